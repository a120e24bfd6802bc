//! Constraints and affinities: parsed once per job version, evaluated once per node class where possible.

mod set;
mod target;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use regex::Regex;

use set::ItemSet;
pub(crate) use target::{Target, uuid_text};

use super::budget::Budget;
use super::view::NodeFacts;
use crate::limits::{CONSTRAINT_TOLD_BYTES_MAX, REGEX_CACHE_BYTES_MAX, REGEX_COMPILED_BYTES_MAX};
use crate::regexp::Pattern;
use crate::version::{Dialect, Requirement, Version};
use ordu_proto::api::job;

/// A parsed constraint on single nodes. (`distinct_hosts` and `distinct_property` also depend on other allocations and
/// are stored separately; see `ScheduledJob`.)
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    left: Target,
    right: Target,
    test: Test,
    /// The constraint as shown in metrics: `${attr.kernel.name} = linux`. Long ones are truncated.
    pub(crate) text: String,
    /// Whether nodes of one computed class may differ in it.
    pub(crate) escapes_class: bool,
    /// Length of both sides in bytes.
    pub(crate) bytes: usize,
}

/// A weighted preference for nodes.
#[derive(Clone, Debug)]
pub(crate) struct Affinity {
    pub(crate) constraint: Constraint,
    /// -100 to 100.
    pub(crate) weight: f64,
}

#[derive(Clone, Debug)]
enum Test {
    Equal,
    Differ,
    Order(fn(Ordering) -> bool),
    Regexp(Prepared<Expression>),
    Version(Prepared<Requirement>, Dialect),
    /// The left side must contain all of the right side's items, or any of them.
    Contains(Prepared<ItemSet>, Share),
    /// Result of a set comparison whose sides are both literals.
    Fixed(bool),
    IsSet,
    IsNotSet,
    /// Unknown operand: no node meets the constraint.
    Never,
}

/// Whether all items of a set must be present, or any.
#[derive(Clone, Copy, Debug)]
enum Share {
    All,
    Any,
}

/// The right side, parsed in advance if it is a literal.
#[derive(Clone, Debug)]
enum Prepared<T> {
    Fixed(T),
    Unreadable,
    ByNode,
}

impl<T> Prepared<T> {
    fn of(target: &Target, read: impl Fn(&str) -> Option<T>) -> Prepared<T> {
        match target {
            Target::Literal(text) => read(text).map_or(Prepared::Unreadable, Prepared::Fixed),
            _ => Prepared::ByNode,
        }
    }

    /// Applies `test` to the parsed right side. `reading` is the cost of parsing it, if it was not parsed in advance.
    fn holds(
        &self,
        right: &str,
        (budget, reading): (&Budget, u64),
        read: impl Fn(&str) -> Option<T>,
        test: impl Fn(&T) -> bool,
    ) -> bool {
        match self {
            Prepared::Fixed(value) => test(value),
            Prepared::Unreadable => false,
            Prepared::ByNode => {
                budget.spend(reading);
                !budget.is_spent() && read(right).is_some_and(|value| test(&value))
            }
        }
    }
}

/// Returns the cost of compiling a regular expression, in steps.
fn regex_reading_steps(pattern: &str) -> u64 {
    1_000 + 100 * pattern.len() as u64
}

/// Additional cost in steps of compiling a large one, which takes about ten milliseconds.
const REGEX_LARGE_STEPS: u64 = 1_000_000;

/// A regular expression. Matching a large one can take a microsecond or more per byte of text;
/// usual ones take some nanoseconds.
#[derive(Clone, Debug)]
struct Expression {
    regex: Regex,
    is_large: bool,
}

impl Expression {
    /// Compiles an expression; `None` if it is invalid or would take too much memory.
    fn read(text: &str) -> Option<Expression> {
        Self::read_if(text, || true)
    }

    /// Like [`Expression::read`], but within the budget.
    fn read_within(text: &str, budget: &Budget) -> Option<Expression> {
        Self::read_if(text, || {
            budget.spend(REGEX_LARGE_STEPS);
            !budget.is_spent()
        })
    }

    /// Compiles an expression. `may_be_large` is called before a large one is compiled.
    fn read_if(text: &str, may_be_large: impl FnOnce() -> bool) -> Option<Expression> {
        let pattern = Pattern::parse(text).ok()?;
        let compiled = |bytes_max| pattern.compile(bytes_max, REGEX_CACHE_BYTES_MAX);
        match compiled(REGEX_SMALL_BYTES_MAX) {
            Ok(regex) => Some(Expression { regex, is_large: false }),
            Err(malformed) if malformed.is_too_large() && may_be_large() => {
                Some(Expression { regex: compiled(REGEX_COMPILED_BYTES_MAX).ok()?, is_large: true })
            }
            Err(_) => None,
        }
    }

    fn is_in(&self, text: &str, budget: &Budget) -> bool {
        let bytes = text.len() as u64;
        budget.spend(if self.is_large { 1 + 64 * bytes } else { 1 + bytes / 4 });
        !budget.is_spent() && self.regex.is_match(text)
    }
}

/// Maximum compiled size in bytes of an expression that does not count as large.
const REGEX_SMALL_BYTES_MAX: usize = 16 * 1024;

impl Constraint {
    /// Parses a constraint. An invalid one (an unknown operand, a malformed regular expression) holds on no node;
    /// validation has already reported it to the user.
    pub(crate) fn parse(left: &str, operand: &str, right: &str) -> Constraint {
        let (left_target, right_target) = (Target::parse(left), Target::parse(right));
        let version = |dialect| {
            Test::Version(Prepared::of(&right_target, |text| Requirement::parse(text, dialect).ok()), dialect)
        };
        let test = match operand {
            "" | "=" | "==" | "is" => Test::Equal,
            "!=" | "not" => Test::Differ,
            "<" => Test::Order(Ordering::is_lt),
            "<=" => Test::Order(Ordering::is_le),
            ">" => Test::Order(Ordering::is_gt),
            ">=" => Test::Order(Ordering::is_ge),
            "regexp" => Test::Regexp(Prepared::of(&right_target, Expression::read)),
            "version" => version(Dialect::Version),
            "semver" => version(Dialect::Semver),
            "set_contains" | "set_contains_all" => contains(&left_target, &right_target, Share::All),
            "set_contains_any" => contains(&left_target, &right_target, Share::Any),
            "is_set" => Test::IsSet,
            "is_not_set" => Test::IsNotSet,
            _ => Test::Never,
        };
        let escapes_class = left_target.escapes_class() || right_target.escapes_class();
        let operand = if operand.is_empty() { "=" } else { operand };
        Constraint {
            left: left_target,
            right: right_target,
            test,
            text: told(format!("{left} {operand} {right}")),
            escapes_class,
            bytes: left.len() + right.len(),
        }
    }

    /// Returns whether the node meets the constraint. Returns false if the budget is used up;
    /// such a result must be discarded.
    pub(crate) fn holds(&self, node: &NodeFacts, budget: &Budget) -> bool {
        if let Test::Fixed(answer) = self.test {
            return answer;
        }
        let left = self.left.resolve(node);
        let bytes = left.as_ref().map_or(0, |text| text.len());
        budget.spend_bytes(bytes);
        match &self.test {
            Test::IsSet => return left.is_some(),
            Test::IsNotSet => return left.is_none(),
            Test::Never => return false,
            // A missing attribute differs from everything except another missing one.
            Test::Differ => return left != self.right.resolve(node),
            _ => {}
        }
        if budget.is_spent() {
            return false;
        }
        let (Some(left), Some(right)) = (left, self.right.resolve(node)) else { return false };
        let read_bytes = 1 + (right.len() / 8) as u64;
        match &self.test {
            Test::Equal => left == right,
            Test::Order(accepts) => {
                budget.spend_bytes(left.len() + right.len());
                compare(&left, &right).is_some_and(accepts)
            }
            Test::Regexp(regex) => {
                let reading = (budget, regex_reading_steps(&right));
                let read = |text: &str| Expression::read_within(text, budget);
                regex.holds(&right, reading, read, |regex| regex.is_in(&left, budget))
            }
            Test::Version(requirement, dialect) => {
                let Some(version) = Version::parse(&left) else { return false };
                let read = |text: &str| Requirement::parse(text, *dialect).ok();
                requirement.holds(&right, (budget, read_bytes), read, |requirement| {
                    budget.spend(requirement.steps(&version));
                    !budget.is_spent() && requirement.is_met_by(&version)
                })
            }
            Test::Contains(wanted, share) => {
                // Each item is looked up in the other list, or sorted into its own.
                let items_steps = |bytes: usize| 1 + 2 * bytes as u64;
                budget.spend(items_steps(bytes));
                let read = |text: &str| Some(ItemSet::of(text));
                wanted.holds(&right, (budget, items_steps(right.len())), read, |wanted| {
                    wanted.is_in(&left, *share)
                })
            }
            Test::Differ | Test::IsSet | Test::IsNotSet | Test::Never | Test::Fixed(_) => false,
        }
    }
}

/// Builds the test of a set, evaluated at once if both sides are literals.
fn contains(left: &Target, right: &Target, share: Share) -> Test {
    let wanted = Prepared::of(right, |text| Some(ItemSet::of(text)));
    match (left, &wanted) {
        (Target::Literal(left), Prepared::Fixed(wanted)) => Test::Fixed(wanted.is_in(left, share)),
        _ => Test::Contains(wanted, share),
    }
}

/// Truncates a long text for metrics.
fn told(mut text: String) -> String {
    if text.len() > CONSTRAINT_TOLD_BYTES_MAX {
        text.truncate(text.floor_char_boundary(CONSTRAINT_TOLD_BYTES_MAX));
        text.push('…');
    }
    text
}

impl From<&job::Constraint> for Constraint {
    fn from(constraint: &job::Constraint) -> Constraint {
        Constraint::parse(&constraint.left, &constraint.operand, &constraint.right)
    }
}

impl From<&job::Affinity> for Affinity {
    fn from(affinity: &job::Affinity) -> Affinity {
        let constraint = Constraint::parse(&affinity.left, &affinity.operand, &affinity.right);
        Affinity { constraint, weight: f64::from(affinity.weight()) }
    }
}

/// Compares by value if both sides are numbers, else as text. Nothing is less or greater than the number `NaN`.
fn compare(left: &str, right: &str) -> Option<Ordering> {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return Some(left.cmp(&right));
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.partial_cmp(&right),
        _ => Some(left.cmp(right)),
    }
}
