//! The nodes of a document: bodies of attributes and blocks, and values, each with its position.

/// A place in a document; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// The inside of a document or of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Attributes and blocks in the order in which they stand.
    pub entries: Vec<Entry>,
    /// Where it begins.
    pub position: Position,
}

/// An attribute or a block.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// `key = value`
    Attribute(Attribute),
    /// `kind "label" { … }`
    Block(Block),
}

/// `key = value`
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The key, without its quotes if it had any.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// `kind "label" { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The first word.
    pub kind: String,
    /// The words between it and the brace, quoted or bare.
    pub labels: Vec<Label>,
    /// What stands in the braces.
    pub body: Body,
    /// Where the first word stands.
    pub position: Position,
}

/// A label of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The label, without its quotes if it had any.
    pub text: String,
    /// Where it stands.
    pub position: Position,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it begins.
    pub position: Position,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// `null`
    Null,
    /// `true`, `false`
    Flag(bool),
    /// A number written without fraction and exponent.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string or heredoc, escapes resolved; runtime references (`${node.…}`) as they stand.
    Text(String),
    /// `[ … ]`
    List(Vec<Value>),
    /// `{ key = value … }`
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key, without its quotes if it had any.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// The value.
    pub value: Value,
}

impl Entry {
    /// The attribute's key or the block's kind.
    pub fn key(&self) -> &str {
        match self {
            Entry::Attribute(attribute) => &attribute.key,
            Entry::Block(block) => &block.kind,
        }
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        match self {
            Entry::Attribute(attribute) => attribute.position,
            Entry::Block(block) => block.position,
        }
    }
}
