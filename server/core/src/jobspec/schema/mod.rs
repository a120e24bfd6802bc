//! What a jobspec may hold, as data: for every block its keys, their names in the API, their types,
//! and what the API shows where the author wrote nothing.

mod group;
mod job;
mod service;
mod shared;
mod task;

pub(super) use job::JOB;

use super::constraint;
use super::read::Object;
use crate::hcl::{Body, Error};

/// A kind of block.
pub(super) struct Schema {
    /// Its name, for errors.
    pub(super) what: &'static str,
    /// The API's member that takes its label; without one it has none.
    pub(super) label: Option<&'static str>,
    /// Its keys.
    pub(super) fields: &'static [Field],
    /// Members of the API's object that no key sets.
    pub(super) constants: &'static [(&'static str, Absent)],
    /// What remains to be done when all keys are read.
    pub(super) finish: Option<fn(&mut Object)>,
}

/// A key of a block.
pub(super) struct Field {
    /// The key as the author writes it.
    pub(super) key: &'static str,
    /// The member of the API's object.
    pub(super) api: &'static str,
    /// The type.
    pub(super) kind: Kind,
    /// What the API shows where the key is not written.
    pub(super) absent: Absent,
}

/// The type of a key.
pub(super) enum Kind {
    Text,
    Integer,
    Flag,
    /// In the API: nanoseconds.
    Duration,
    Texts,
    /// Names and texts.
    TextMap,
    /// Names and lists of texts.
    TextsMap,
    /// Whatever the author writes.
    Free,
    /// A block that stands there once at most.
    One(&'static Schema),
    /// A block that may stand there several times: a list.
    Many(&'static Schema),
    /// A block that may stand there several times: an object by their labels.
    ByName(&'static Schema),
    /// A block that may stand there several times and is read by a function.
    ManyBy(fn(&Body) -> Result<Object, Error>),
}

impl Kind {
    pub(super) fn may_repeat(&self) -> bool {
        matches!(
            self,
            Kind::Many(_) | Kind::ByName(_) | Kind::ManyBy(_) | Kind::TextMap | Kind::TextsMap | Kind::Free
        )
    }
}

/// What the API shows for a key that is not written.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    Omitted,
    Null,
    Empty,
    Zero,
    False,
    True,
    Text(&'static str),
    Nanoseconds(i64),
}

impl Field {
    const fn or(mut self, absent: Absent) -> Field {
        self.absent = absent;
        self
    }
}

const fn field(key: &'static str, api: &'static str, kind: Kind) -> Field {
    Field { key, api, kind, absent: Absent::Null }
}

const fn text(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Text)
}

const fn integer(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Integer)
}

const fn flag(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Flag)
}

const fn duration(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Duration)
}

const fn texts(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Texts)
}

const fn one(key: &'static str, api: &'static str, schema: &'static Schema) -> Field {
    field(key, api, Kind::One(schema))
}

const fn many(key: &'static str, api: &'static str, schema: &'static Schema) -> Field {
    field(key, api, Kind::Many(schema))
}

const fn meta() -> Field {
    field("meta", "Meta", Kind::TextMap)
}

const fn constraints() -> Field {
    field("constraint", "Constraints", Kind::ManyBy(constraint::constraint))
}

const fn affinities() -> Field {
    field("affinity", "Affinities", Kind::ManyBy(constraint::affinity))
}

const fn block(what: &'static str, fields: &'static [Field]) -> Schema {
    Schema { what, label: None, fields, constants: &[], finish: None }
}
