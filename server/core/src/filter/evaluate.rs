//! Evaluates an expression on a row.

use super::FILTER_STEPS_MAX;
use super::datum::{Datum, Found, Object};
use super::error::Fault;
use super::expression::{Base, Collection, Expression, Literal, Match, Quantifier, Selector, Test};

/// Evaluation of one row.
pub(super) struct Evaluation<'a> {
    row: &'a Datum,
    /// Values bound by the enclosing `any` and `all`, outermost first.
    bound: Vec<Found<'a>>,
    steps_left: u32,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(row: &'a Datum) -> Self {
        Self { row, bound: Vec::new(), steps_left: FILTER_STEPS_MAX }
    }

    /// Whether the expression holds. As in Nomad, `and` and `or` short-circuit: operands that are skipped cannot fail.
    pub(super) fn holds(&mut self, expression: &Expression) -> Result<bool, Fault> {
        match expression {
            Expression::Or(parts) => {
                for part in parts {
                    if self.holds(part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Expression::And(parts) => {
                for part in parts {
                    if !self.holds(part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Expression::Not(inner) => Ok(!self.holds(inner)?),
            Expression::Match(comparison) => {
                self.step()?;
                Ok(passes(comparison, self.find(&comparison.selector)?)? != comparison.negated)
            }
            Expression::Collection(collection) => self.collection(collection),
        }
    }

    fn step(&mut self) -> Result<(), Fault> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Fault::TooManySteps)?;
        Ok(())
    }

    fn find(&self, selector: &Selector) -> Result<Found<'a>, Fault> {
        let mut at = match &selector.base {
            Base::Row => Found::of(self.row),
            Base::Bound { place, .. } => self.bound.get(*place).copied().unwrap_or(Found::Nothing),
        };
        for (position, part) in selector.path.iter().enumerate() {
            let next = match (at, part.index) {
                (Found::Object(object), _) => match object.get(&part.name) {
                    None if object.is_typed => {
                        let (path, name) = (selector.pointer(), part.name.clone());
                        return Err(Fault::UnknownMember { path, part: position, name });
                    }
                    member => member,
                },
                (Found::List(elements), Some(index)) => elements.get(index),
                (Found::Nothing | Found::Zero, _) => None,
                (Found::List(_), None) => {
                    let text = "what it belongs to is a list, whose elements are numbered from 0";
                    return Err(no_member(selector, &part.name, text));
                }
                (scalar, _) => {
                    let text = format!("what it belongs to is {}, which has no members", scalar.kind());
                    return Err(no_member(selector, &part.name, &text));
                }
            };
            at = next.map_or(Found::Nothing, Found::of);
        }
        Ok(at)
    }

    fn collection(&mut self, collection: &Collection) -> Result<bool, Fault> {
        let stops_at = collection.quantifier == Quantifier::Any;
        let depth = self.bound.len();
        let mut decided = !stops_at;
        let found = self.find(&collection.selector)?;
        let count = match found {
            Found::Nothing | Found::Zero => 0,
            Found::List(elements) => elements.len(),
            Found::Object(object) => object.members.len(),
            scalar => {
                return Err(mismatch(
                    "",
                    &collection.selector,
                    scalar,
                    "; `any` and `all` look into lists and maps",
                ));
            }
        };
        for place in 0..count {
            self.step()?;
            let (key, element) = match found {
                Found::List(elements) => (Found::Integer(place as i128), Found::of(&elements[place])),
                Found::Object(Object { members, .. }) => {
                    let (key, element) = &members[place];
                    (Found::Text(key), Found::of(element))
                }
                _ => break,
            };
            match (collection.names_both, found) {
                (true, _) => self.bound.extend([key, element]),
                (false, Found::List(_)) => self.bound.push(element),
                (false, _) => self.bound.push(key),
            }
            let holds = self.holds(&collection.condition);
            self.bound.truncate(depth);
            if holds? == stops_at {
                decided = stops_at;
                break;
            }
        }
        Ok(decided)
    }
}

/// Whether the value passes the test, before any negation.
fn passes(comparison: &Match, found: Found<'_>) -> Result<bool, Fault> {
    let selector = &comparison.selector;
    match (&comparison.test, found) {
        (Test::Nil, found) => Ok(matches!(found, Found::Nothing | Found::Zero)),
        (Test::Empty, Found::Nothing | Found::Zero) => Ok(true),
        (Test::Empty, Found::Text(text)) => Ok(text.is_empty()),
        (Test::Empty, Found::List(elements)) => Ok(elements.is_empty()),
        (Test::Empty, Found::Object(object)) => Ok(!object.is_typed && object.members.is_empty()),
        (Test::Empty, found) => {
            Err(mismatch("", selector, found, "; `is empty` asks of texts, lists and maps, use =="))
        }
        (_, Found::Nothing) => Ok(false),
        (Test::Equal(literal), found) => equals(selector, found, literal, ""),
        (Test::Contains(literal), found) => contains(selector, found, literal),
        (Test::Matches(regex), Found::Text(text)) => Ok(regex.is_match(text)),
        (Test::Matches(regex), Found::Zero) => Ok(regex.is_match("")),
        (Test::Matches(_), found) => {
            Err(mismatch("", selector, found, "; only a text can match a regular expression"))
        }
    }
}

/// Whether the value equals the literal. In errors, `part_of` says how the value relates to the selector's.
fn equals(selector: &Selector, found: Found<'_>, literal: &Literal, part_of: &str) -> Result<bool, Fault> {
    let same = match found {
        Found::Text(text) => Some(text == literal.text),
        Found::Integer(number) => literal.integer.map(|value| value == number),
        Found::Float(number) => literal.float.map(|value| value == number),
        Found::Bool(truth) => literal.boolean.map(|value| value == truth),
        Found::Zero => Some(literal.is_zero()),
        Found::Nothing => Some(false),
        Found::List(_) | Found::Object(_) => {
            return Err(mismatch(
                part_of,
                selector,
                found,
                "; == compares single values, use contains, in or is empty",
            ));
        }
    };
    same.ok_or_else(|| mismatch(part_of, selector, found, &format!(", which {:?} is not", literal.text)))
}

fn contains(selector: &Selector, found: Found<'_>, literal: &Literal) -> Result<bool, Fault> {
    match found {
        Found::Text(text) => Ok(text.contains(literal.text.as_str())),
        Found::Object(object) if !object.is_typed => Ok(object.get(&literal.text).is_some()),
        Found::List(elements) => {
            for element in elements {
                if equals(selector, Found::of(element), literal, "an element of ")? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Found::Zero | Found::Nothing => Ok(false),
        _ => Err(mismatch("", selector, found, "; only lists, maps and texts contain something")),
    }
}

fn mismatch(part_of: &str, selector: &Selector, found: Found<'_>, what: &str) -> Fault {
    Fault::Mismatch(format!("{part_of}{} is {}{what}", selector.pointer(), found.kind()))
}

fn no_member(selector: &Selector, name: &str, why: &str) -> Fault {
    Fault::Mismatch(format!(
        "error finding value in datum: {}: couldn't find key {name:?}: {why}",
        selector.pointer()
    ))
}
