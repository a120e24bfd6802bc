//! The part of a row that an expression reads, taken out of it.

use std::borrow::Cow;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum {
    Null,
    /// A member that the document leaves out because it is its type's zero.
    Zero,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Datum>),
    Object(Object),
}

/// Members by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// The names are those of a type: one that is not there is a mistake, and not a key without a value.
    pub(super) is_typed: bool,
    pub(super) members: Vec<(Cow<'static, str>, Datum)>,
}

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<&Datum> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, datum)| datum)
    }
}

/// What a selector finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// Null, a key that a map does not have, or what would be within either.
    Nothing,
    Zero,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(&'a str),
    List(&'a [Datum]),
    Object(&'a Object),
}

impl<'a> Found<'a> {
    pub(super) fn of(datum: &'a Datum) -> Found<'a> {
        match datum {
            Datum::Null => Found::Nothing,
            Datum::Zero => Found::Zero,
            Datum::Bool(value) => Found::Bool(*value),
            Datum::Signed(value) => Found::Integer((*value).into()),
            Datum::Unsigned(value) => Found::Integer((*value).into()),
            Datum::Float(value) => Found::Float(*value),
            Datum::Text(value) => Found::Text(value),
            Datum::List(value) => Found::List(value),
            Datum::Object(value) => Found::Object(value),
        }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Found::Nothing => "null",
            Found::Zero => "zero",
            Found::Bool(_) => "true or false",
            Found::Integer(_) => "a whole number",
            Found::Float(_) => "a number",
            Found::Text(_) => "a text",
            Found::List(_) => "a list",
            Found::Object(Object { is_typed: true, .. }) => "an object",
            Found::Object(Object { is_typed: false, .. }) => "a map",
        }
    }
}
