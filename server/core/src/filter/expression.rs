//! The tree of an expression.

use regex::Regex;

/// Something that holds of a row or does not.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// One of them holds.
    Or(Vec<Expression>),
    /// Each of them holds.
    And(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// A comparison.
    Match(Match),
    /// `any` and `all`.
    Collection(Box<Collection>),
}

/// A comparison of what a selector finds.
#[derive(Clone, Debug)]
pub(super) struct Match {
    pub(super) selector: Selector,
    pub(super) test: Test,
    /// `!=`, `not …`, `is not …`.
    pub(super) negated: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Equal(Literal),
    Contains(Literal),
    Matches(Regex),
    Empty,
    Nil,
}

/// A condition on the elements of a list or map.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    pub(super) selector: Selector,
    pub(super) quantifier: Quantifier,
    /// Two names were given: index or key, and element. With one it is a list's element or a map's key.
    pub(super) names_both: bool,
    pub(super) condition: Expression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Any,
    All,
}

/// A path to a value.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) base: Base,
    pub(super) path: Vec<Part>,
}

impl Selector {
    /// The path as a JSON pointer, which is how errors name it.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = match &self.base {
            Base::Row => String::new(),
            Base::Bound { name, .. } => format!("/{name}"),
        };
        for part in &self.path {
            pointer.push('/');
            pointer.push_str(&part.name.replace('~', "~0").replace('/', "~1"));
        }
        pointer
    }
}

/// What a path begins at.
#[derive(Clone, Debug)]
pub(super) enum Base {
    /// The row.
    Row,
    /// What an enclosing `any` or `all` has bound, counted from the outermost.
    Bound { place: usize, name: String },
}

/// One name of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    /// The name as an index into a list, where it is one.
    pub(super) index: Option<usize>,
}

impl Part {
    pub(super) fn new(name: &str) -> Part {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        Part { name: name.to_owned(), index: if is_number { name.parse().ok() } else { None } }
    }
}

/// A value, in each of the forms that it has.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    pub(super) text: String,
    pub(super) integer: Option<i128>,
    pub(super) float: Option<f64>,
    pub(super) boolean: Option<bool>,
}

impl Literal {
    pub(super) fn new(text: String) -> Literal {
        let boolean = match text.as_str() {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            _ => None,
        };
        Literal { integer: text.parse().ok(), float: text.parse().ok(), boolean, text }
    }

    /// Whether it is the zero of any type.
    pub(super) fn is_zero(&self) -> bool {
        self.text.is_empty()
            || self.integer == Some(0)
            || self.float == Some(0.0)
            || self.boolean == Some(false)
    }
}
