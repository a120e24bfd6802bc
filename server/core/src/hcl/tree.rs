//! Tree of an evaluated document: bodies of attributes and blocks, and values, each with its position.

/// Position in a document. Line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// Content of a document or of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Attributes and blocks in document order.
    pub entries: Vec<Entry>,
    /// Start of the body.
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
    /// Key without quotes.
    pub key: String,
    /// Position of the key.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// `kind "label" { … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// First word of the block.
    pub kind: String,
    /// Words between `kind` and the brace, quoted or bare.
    pub labels: Vec<Label>,
    /// Content of the braces.
    pub body: Body,
    /// Position of the first word.
    pub position: Position,
}

/// A label of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Label without quotes.
    pub text: String,
    /// Position of the label.
    pub position: Position,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Kind and content.
    pub kind: ValueKind,
    /// Start of the value.
    pub position: Position,
}

/// Kind and content of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// `null`
    Null,
    /// `true` or `false`
    Flag(bool),
    /// A number without fraction and exponent.
    Integer(i64),
    /// A whole number beyond 64 bits, as written.
    Digits(String),
    /// Any other number.
    Float(f64),
    /// String or heredoc with escapes resolved. Runtime references (`${node.…}`) are kept verbatim.
    Text(String),
    /// `[ … ]`
    List(Vec<Value>),
    /// `{ key = value … }`
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Key without quotes.
    pub key: String,
    /// Position of the key.
    pub position: Position,
    /// The value.
    pub value: Value,
}

impl Entry {
    /// Returns the attribute's key or the block's kind.
    pub fn key(&self) -> &str {
        match self {
            Entry::Attribute(attribute) => &attribute.key,
            Entry::Block(block) => &block.kind,
        }
    }

    /// Returns the position of the key or of the block's first word.
    pub fn position(&self) -> Position {
        match self {
            Entry::Attribute(attribute) => attribute.position,
            Entry::Block(block) => block.position,
        }
    }
}
