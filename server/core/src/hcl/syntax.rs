//! Syntax tree of a document as written. Parts to be evaluated are kept as text.

use super::tree::{Label, Position, ValueKind};
use super::{Dialect, fragment::Fragment};

/// State of parsing a document.
pub(super) struct Reader {
    pub(super) dialect: Dialect,
    /// First position with a layout that only HCL1 accepts: several entries on one line, quoted keys, a comma after an
    /// entry or no comma between members.
    pub(super) old_layout: Option<Position>,
}

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Reader {
        Reader { dialect, old_layout: None }
    }

    pub(super) fn note_old_layout(&mut self, position: Position) {
        self.old_layout.get_or_insert(position);
    }
}

/// Content of a document or of a block.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) position: Position,
}

/// An attribute or a block.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Attribute(Attribute<'a>),
    Block(Block<'a>),
}

/// `key = value`
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) value: Value<'a>,
}

/// `kind "label" { … }`
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) kind: String,
    pub(super) labels: Vec<Label>,
    pub(super) body: Body<'a>,
    pub(super) position: Position,
}

/// A value, possibly not yet evaluated.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) position: Position,
}

/// Kind of a value.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// A number, flag, null or literal string.
    Plain(ValueKind),
    /// A string with `${…}` in it.
    Pieces(Vec<Piece<'a>>),
    /// Anything that the expression parser has to read.
    Fragment(Fragment<'a>),
    /// `[ … ]`
    List(Vec<Value<'a>>),
    /// `{ key = value … }`
    Object(Vec<Member<'a>>),
}

/// A piece of a string.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    Text(String),
    /// The content of a `${…}`.
    Interpolation(Fragment<'a>),
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) key: Key<'a>,
    pub(super) position: Position,
    pub(super) value: Value<'a>,
}

/// The key of a member.
#[derive(Debug)]
pub(super) enum Key<'a> {
    Plain(String),
    /// `(expression)`, or a quoted key with `${…}` in it.
    Computed(Value<'a>),
}

impl Entry<'_> {
    pub(super) fn position(&self) -> Position {
        match self {
            Entry::Attribute(attribute) => attribute.position,
            Entry::Block(block) => block.position,
        }
    }
}
