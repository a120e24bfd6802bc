//! Syntax tree of an expression.

use regex::Regex;

/// Condition on a row.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// At least one operand holds.
    Or(Vec<Expression>),
    /// All operands hold.
    And(Vec<Expression>),
    /// The operand does not hold.
    Not(Box<Expression>),
    /// A comparison.
    Match(Match),
    /// `any` or `all`.
    Collection(Box<Collection>),
}

/// Comparison of the value that a selector finds.
#[derive(Clone, Debug)]
pub(super) struct Match {
    pub(super) selector: Selector,
    pub(super) test: Test,
    /// `!=`, `not …` or `is not …`.
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

/// Condition on the elements of a list or map.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    pub(super) selector: Selector,
    pub(super) quantifier: Quantifier,
    /// Whether two names are bound: index or key, and element. A single name binds the list's element or the map's key.
    pub(super) names_both: bool,
    pub(super) condition: Expression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Any,
    All,
}

/// Path to a value.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) base: Base,
    pub(super) path: Vec<Part>,
}

impl Selector {
    /// Returns the path as a JSON pointer, for errors.
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

/// Start of a path.
#[derive(Clone, Debug)]
pub(super) enum Base {
    /// The row.
    Row,
    /// A name bound by an enclosing `any` or `all`; `place` counts from the outermost.
    Bound { place: usize, name: String },
}

/// One name of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    /// The name as a list index, if it is a number.
    pub(super) index: Option<usize>,
}

impl Part {
    pub(super) fn new(name: &str) -> Part {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        Part { name: name.to_owned(), index: if is_number { name.parse().ok() } else { None } }
    }
}

/// Literal value in every form that its text can be read as.
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

    /// Whether the literal is the zero value of any type.
    pub(super) fn is_zero(&self) -> bool {
        self.text.is_empty()
            || self.integer == Some(0)
            || self.float == Some(0.0)
            || self.boolean == Some(false)
    }
}
