//! Constraints and affinities: read once a job version, asked once a class of nodes.

mod target;
#[cfg(test)]
mod tests;
mod version;

use std::cmp::Ordering;

use regex::Regex;

pub(crate) use target::{Target, uuid_text};
use version::{Dialect, Requirement};

use super::view::NodeFacts;
use ordu_proto::api::job;

/// A constraint on single nodes, read. (`distinct_hosts` and `distinct_property` look at other
/// allocations too and are kept apart; see `ScheduledJob`.)
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    left: Target,
    right: Target,
    test: Test,
    /// As metrics name it: `${attr.kernel.name} = linux`.
    pub(crate) text: String,
    /// Nodes of one computed class may differ in it.
    pub(crate) escapes_class: bool,
}

/// What a node had better be, and how much that counts.
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
    Regexp(Prepared<Regex>),
    Version(Prepared<Requirement>, Dialect),
    ContainsAll,
    ContainsAny,
    IsSet,
    IsNotSet,
    /// No such operand: no node meets it.
    Never,
}

/// The right side, read beforehand where it is the same for all nodes.
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

    fn holds(&self, right: &str, read: impl Fn(&str) -> Option<T>, test: impl Fn(&T) -> bool) -> bool {
        match self {
            Prepared::Fixed(value) => test(value),
            Prepared::Unreadable => false,
            Prepared::ByNode => read(right).is_some_and(|value| test(&value)),
        }
    }
}

impl Constraint {
    /// Reads a constraint. What cannot be read (an operand that does not exist, a regular expression
    /// that is none) holds on no node; validation has told the user before.
    pub(crate) fn parse(left: &str, operand: &str, right: &str) -> Constraint {
        let (left_target, right_target) = (Target::parse(left), Target::parse(right));
        let version = |dialect| {
            Test::Version(Prepared::of(&right_target, |text| Requirement::parse(text, dialect)), dialect)
        };
        let test = match operand {
            "" | "=" | "==" | "is" => Test::Equal,
            "!=" | "not" => Test::Differ,
            "<" => Test::Order(Ordering::is_lt),
            "<=" => Test::Order(Ordering::is_le),
            ">" => Test::Order(Ordering::is_gt),
            ">=" => Test::Order(Ordering::is_ge),
            "regexp" => Test::Regexp(Prepared::of(&right_target, read_regex)),
            "version" => version(Dialect::Version),
            "semver" => version(Dialect::Semver),
            "set_contains" | "set_contains_all" => Test::ContainsAll,
            "set_contains_any" => Test::ContainsAny,
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
            text: format!("{left} {operand} {right}"),
            escapes_class,
        }
    }

    /// Whether the node meets it.
    pub(crate) fn holds(&self, node: &NodeFacts) -> bool {
        let left = self.left.resolve(node);
        match &self.test {
            Test::IsSet => return left.is_some(),
            Test::IsNotSet => return left.is_none(),
            Test::Never => return false,
            // A missing attribute differs from everything but another missing one.
            Test::Differ => return left != self.right.resolve(node),
            _ => {}
        }
        let (Some(left), Some(right)) = (left, self.right.resolve(node)) else { return false };
        match &self.test {
            Test::Equal => left == right,
            Test::Order(accepts) => accepts(compare(&left, &right)),
            Test::Regexp(regex) => regex.holds(&right, read_regex, |regex| regex.is_match(&left)),
            Test::Version(requirement, dialect) => {
                let read = |text: &str| Requirement::parse(text, *dialect);
                requirement.holds(&right, read, |requirement| requirement.is_met_by(&left))
            }
            Test::ContainsAll => items(&right).all(|wanted| items(&left).any(|item| item == wanted)),
            Test::ContainsAny => items(&right).any(|wanted| items(&left).any(|item| item == wanted)),
            Test::Differ | Test::IsSet | Test::IsNotSet | Test::Never => false,
        }
    }
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

fn read_regex(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// Numbers by value where both sides are numbers, else letter by letter.
fn compare(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left.cmp(&right);
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(left), Ok(right)) => left.total_cmp(&right),
        _ => left.cmp(right),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}
