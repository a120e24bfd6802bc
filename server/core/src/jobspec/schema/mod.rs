//! What a jobspec may hold, as data: for every block its keys, their names in the API, their types, and
//! what the API shows where the author wrote nothing: as the job was read, and in its canonical form.

mod connect;
mod group;
mod job;
mod network;
mod policy;
mod service;
mod task;

pub(super) use job::JOB;

use super::constraint;
use super::read::Object;
use crate::hcl::{Body, Error, Label, Position};

/// Finishes an object of a body that begins at the place.
type Finish = fn(&mut Object, Position) -> Result<(), Error>;

/// A kind of block.
pub(super) struct Schema {
    /// Its name, for errors.
    pub(super) what: &'static str,
    /// The API's member that takes its label; without one it has none.
    pub(super) label: Option<&'static str>,
    /// Its keys.
    pub(super) fields: &'static [Field],
    /// Members of the API's object that no key sets.
    pub(super) constants: &'static [Constant],
    /// What remains to be done when all keys are read.
    pub(super) finish: Option<Finish>,
}

/// A member of the API's object that no key sets.
pub(super) struct Constant {
    pub(super) api: &'static str,
    /// What stands there.
    pub(super) absent: Absent,
    /// What stands there in the canonical form, if that is not the same.
    pub(super) canonical: Absent,
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
    /// What the canonical form shows there, or where a text is empty that is so when it is not written.
    /// [`Absent::Omitted`] leaves it as it is.
    pub(super) canonical: Absent,
}

/// The type of a key.
pub(super) enum Kind {
    Text,
    Integer,
    /// A whole number between two, both allowed: the API has no room for others.
    IntegerIn(i64, i64),
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
    /// A block that may stand there several times and is read by a function; its members by the schema.
    ManyBy(fn(&Body, Option<&Label>) -> Result<Object, Error>, &'static Schema),
}

impl Kind {
    pub(super) fn may_repeat(&self) -> bool {
        matches!(
            self,
            Kind::Many(_) | Kind::ByName(_) | Kind::ManyBy(..) | Kind::TextMap | Kind::TextsMap | Kind::Free
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
    /// A number; durations are numbers of nanoseconds.
    Integer(i64),
    /// An empty object that is filled in its turn.
    Object,
}

impl Field {
    /// What the API shows where the key is not written, in either form.
    const fn or(mut self, absent: Absent) -> Field {
        self.absent = absent;
        self
    }

    /// What the canonical form shows where the key is not written.
    const fn filled(mut self, canonical: Absent) -> Field {
        self.canonical = canonical;
        self
    }
}

const fn constant(api: &'static str, absent: Absent, canonical: Absent) -> Constant {
    Constant { api, absent, canonical }
}

const fn field(key: &'static str, api: &'static str, kind: Kind) -> Field {
    Field { key, api, kind, absent: Absent::Null, canonical: Absent::Omitted }
}

const fn text(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Text)
}

const fn integer(key: &'static str, api: &'static str) -> Field {
    field(key, api, Kind::Integer)
}

const fn integer_in(key: &'static str, api: &'static str, least: i64, most: i64) -> Field {
    field(key, api, Kind::IntegerIn(least, most))
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
    field("constraint", "Constraints", Kind::ManyBy(constraint::constraint, &CONSTRAINT))
}

const fn affinities() -> Field {
    field("affinity", "Affinities", Kind::ManyBy(constraint::affinity, &AFFINITY))
}

/// The weight of an affinity or a spread that names none.
const WEIGHT: i64 = 50;

static CONSTRAINT: Schema = block("constraint", &[]);

static AFFINITY: Schema = block("affinity", &[integer("weight", "Weight").filled(Absent::Integer(WEIGHT))]);

const fn block(what: &'static str, fields: &'static [Field]) -> Schema {
    Schema { what, label: None, fields, constants: &[], finish: None }
}
