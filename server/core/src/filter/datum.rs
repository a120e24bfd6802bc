//! Values that an expression reads, extracted from a row.

use std::borrow::Cow;

/// Value in a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Datum {
    Null,
    /// Member that the JSON of the row omits because it has the zero value of its type.
    Zero,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Datum>),
    Object(Object),
}

/// Members of a struct or a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// Whether this is a struct: an unknown name is then an error rather than a missing key.
    pub(super) is_typed: bool,
    pub(super) members: Vec<(Cow<'static, str>, Datum)>,
}

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<&Datum> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, datum)| datum)
    }
}

/// Value that a selector resolves to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// Null, a key that a map does not have, or anything below either.
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

    /// Describes the kind of value in an error text.
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
