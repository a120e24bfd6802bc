//! Parses an expression. `or` binds weakest, then `and`, then `not`.

use super::cursor::{Cursor, continues_word};
use super::error::FilterError;
use super::expression::{Base, Collection, Expression, Literal, Match, Quantifier, Selector, Test};
use super::operand::Operand;
use super::wanted::Wanted;
use super::{FILTER_BYTES_MAX, FILTER_NESTING_MAX};

/// Words with which operators begin.
const OPERATOR_WORDS: [&str; 5] = ["contains", "in", "is", "matches", "not"];

/// Characters of a name that an error shows.
const NAME_SHOWN_MAX: usize = 64;

/// Returns the expression and the parts of a row that it reads.
pub(super) fn parse(text: &str) -> Result<(Expression, Wanted), FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLong(text.len()));
    }
    let cursor = Cursor::new(text);
    let mut parser = Parser { cursor, nesting: 0, regexes: 0, bound: Vec::new(), wanted: Wanted::nothing() };
    let expression = parser.or()?;
    if parser.cursor.peek().is_some() {
        return Err(parser.cursor.expected("`and`, `or` or the end"));
    }
    Ok((expression, parser.wanted))
}

/// Recursive-descent parser of an expression.
pub(super) struct Parser<'t> {
    pub(super) cursor: Cursor<'t>,
    nesting: usize,
    /// Number of regular expressions so far.
    pub(super) regexes: usize,
    /// Names bound by the enclosing `any` and `all`, outermost first.
    pub(super) bound: Vec<&'t str>,
    wanted: Wanted,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    Contains,
    In,
    Matches,
    Empty,
    Nil,
}

impl<'t> Parser<'t> {
    fn or(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.and()?];
        while self.cursor.take_word("or") {
            parts.push(self.and()?);
        }
        Ok(single_or(parts, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.not()?];
        while self.cursor.take_word("and") {
            parts.push(self.not()?);
        }
        Ok(single_or(parts, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, FilterError> {
        let mut negated = false;
        self.cursor.skip_spaces();
        while self.cursor.take_word("not") {
            negated = !negated;
            self.cursor.skip_spaces();
        }
        let inner = self.primary()?;
        self.cursor.skip_spaces();
        Ok(if negated { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn primary(&mut self) -> Result<Expression, FilterError> {
        if self.cursor.take("(") {
            return self.nested(")");
        }
        match self.quantifier() {
            Some(quantifier) => self.collection(quantifier),
            None => self.comparison(),
        }
    }

    /// Parses an expression up to and including its closing `close`.
    fn nested(&mut self, close: &str) -> Result<Expression, FilterError> {
        self.nesting += 1;
        if self.nesting > FILTER_NESTING_MAX {
            let text = format!("more than {FILTER_NESTING_MAX} parentheses and braces within each other");
            return Err(self.cursor.error(text));
        }
        let inner = self.or()?;
        if !self.cursor.take(close) {
            return Err(self.cursor.expected(&format!("`and`, `or` or `{close}`")));
        }
        self.nesting -= 1;
        Ok(inner)
    }

    /// Consumes `any` or `all`, unless the word is a member name that is compared.
    fn quantifier(&mut self) -> Option<Quantifier> {
        let quantifier = match self.cursor.word() {
            "any" => Quantifier::Any,
            "all" => Quantifier::All,
            _ => return None,
        };
        let mut ahead = self.cursor;
        ahead.take_while(continues_word);
        ahead.skip_spaces();
        let word = ahead.word();
        let goes_on = match ahead.peek() {
            Some('"' | '`') => true,
            _ => !word.is_empty() && !OPERATOR_WORDS.contains(&word),
        };
        if goes_on {
            self.cursor = ahead;
        }
        goes_on.then_some(quantifier)
    }

    /// Parses what follows `any` or `all`: `Selector as name { condition }`, or with two names.
    fn collection(&mut self, quantifier: Quantifier) -> Result<Expression, FilterError> {
        let selector = self.selector()?;
        self.want(&selector);
        self.cursor.skip_spaces();
        if !self.cursor.take_word("as") {
            return Err(self.cursor.expected("`as` and a name for the elements"));
        }
        let depth = self.bound.len();
        let first = self.binding()?;
        let names_both = self.cursor.take(",");
        self.bound.push(first);
        if names_both {
            let second = self.binding()?;
            self.bound.push(second);
        }
        if !self.cursor.take("{") {
            return Err(self.cursor.expected("`{` and a condition"));
        }
        let condition = self.nested("}")?;
        self.bound.truncate(depth);
        Ok(Expression::Collection(Box::new(Collection { selector, quantifier, names_both, condition })))
    }

    /// Reads the name that an element is bound to, and the spaces around it.
    fn binding(&mut self) -> Result<&'t str, FilterError> {
        self.cursor.skip_spaces();
        let name = self.cursor.word();
        if name.is_empty() {
            return Err(self.cursor.expected("a name"));
        }
        self.cursor.take(name);
        self.cursor.skip_spaces();
        Ok(name)
    }

    fn comparison(&mut self) -> Result<Expression, FilterError> {
        let start = self.cursor;
        let operand = self.operand()?;
        let left = self.cursor.since(start);
        let (operator, negated) = self.operator(left)?;
        self.cursor.skip_spaces();
        let (selector, test) = if operator == Operator::In {
            let literal = match operand {
                Operand::Selector(_) => left.to_owned(),
                Operand::Quoted(text) | Operand::Number(text) => text,
            };
            (self.selector()?, Test::Contains(Literal::new(literal)))
        } else {
            let selector = match operand {
                Operand::Selector(selector) => selector,
                Operand::Quoted(text) => self.pointer(&text, start)?,
                Operand::Number(_) => {
                    return Err(start.expected("a selector, as all operators but `in` need one"));
                }
            };
            (selector, self.test(operator)?)
        };
        self.want(&selector);
        Ok(Expression::Match(Match { selector, test, negated }))
    }

    fn operator(&mut self, left: &str) -> Result<(Operator, bool), FilterError> {
        // The name is followed by a character that is not allowed in names.
        let is_cut = self.cursor.peek().is_some_and(|next| !next.is_whitespace() && !"=!)}".contains(next));
        self.cursor.skip_spaces();
        let place = self.cursor;
        let cursor = &mut self.cursor;
        let found = if cursor.take("==") {
            Some((Operator::Equal, false))
        } else if cursor.take("!=") {
            Some((Operator::Equal, true))
        } else if cursor.take_word("is") {
            cursor.skip_spaces();
            let negated = cursor.take_word("not");
            cursor.skip_spaces();
            let what = [("empty", Operator::Empty), ("nil", Operator::Nil)];
            let found = what.iter().find(|(word, _)| cursor.take_word(word));
            let expected = "`empty`, `nil`, `not empty` or `not nil`";
            return found.map(|(_, operator)| (*operator, negated)).ok_or_else(|| cursor.expected(expected));
        } else {
            let negated = cursor.take_word("not");
            cursor.skip_spaces();
            let words =
                [("contains", Operator::Contains), ("in", Operator::In), ("matches", Operator::Matches)];
            words.iter().find(|(word, _)| cursor.take_word(word)).map(|(_, operator)| (*operator, negated))
        };
        found.ok_or_else(|| {
            let shown: String = left.chars().take(NAME_SHOWN_MAX).collect();
            let hint = if is_cut { "; names with other characters are written as Meta[\"a-b\"]" } else { "" };
            place.expected(&format!("==, !=, contains, in, is, matches or not after `{shown}`{hint}"))
        })
    }

    /// Parses what follows an operator whose left operand is a selector.
    fn test(&mut self, operator: Operator) -> Result<Test, FilterError> {
        match operator {
            Operator::Empty => Ok(Test::Empty),
            Operator::Nil => Ok(Test::Nil),
            Operator::Equal => Ok(Test::Equal(Literal::new(self.value()?))),
            Operator::Contains | Operator::In => Ok(Test::Contains(Literal::new(self.value()?))),
            Operator::Matches => self.regex(),
        }
    }

    /// Records what a selector reads from the row. Paths within a bound name are covered by the binding collection.
    fn want(&mut self, selector: &Selector) {
        if let Base::Row = selector.base {
            self.wanted.add(&selector.path);
        }
    }
}

fn single_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}
