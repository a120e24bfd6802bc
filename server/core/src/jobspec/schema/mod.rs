//! Schema of jobspecs: the keys of every block, their names in the API, their types, and the values that the API shows
//! for absent keys, both in the parsed and in the canonical form.

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
use crate::hcl::{Body, Dialect, Error, Label, Position};

/// Reads a block with its label.
type ReadBlock = fn(&Body, Option<&Label>, Dialect) -> Result<Option<Object>, Error>;

/// Completes the object of a body that begins at the position.
type Finish = fn(&mut Object, Position) -> Result<(), Error>;

/// Schema of a kind of block.
pub(super) struct Schema {
    /// Name in errors.
    pub(super) what: &'static str,
    /// Member of the API's object that takes the label; without it, no label is allowed.
    pub(super) label: Option<&'static str>,
    /// Keys of the block.
    pub(super) fields: &'static [Field],
    /// Members of the API's object that no key sets.
    pub(super) constants: &'static [Constant],
    /// Final step after all keys are read.
    pub(super) finish: Option<Finish>,
}

/// Member of the API's object that no key sets.
pub(super) struct Constant {
    pub(super) api: &'static str,
    /// Its value.
    pub(super) absent: Absent,
    /// Its value in the canonical form, if different.
    pub(super) canonical: Absent,
}

/// Key of a block.
pub(super) struct Field {
    /// Key in the jobspec.
    pub(super) key: &'static str,
    /// Member of the API's object.
    pub(super) api: &'static str,
    /// The type.
    pub(super) kind: Kind,
    /// Value in the API if the key is absent.
    pub(super) absent: Absent,
    /// Value in the canonical form if the key is absent, or if a text is empty whose absent value is empty.
    /// [`Absent::Omitted`] leaves the value unchanged.
    pub(super) canonical: Absent,
}

/// Type of a key.
pub(super) enum Kind {
    Text,
    Integer,
    /// An integer within inclusive bounds: the API's type holds no others.
    IntegerIn(i64, i64),
    Flag,
    /// A duration; nanoseconds in the API.
    Duration,
    Texts,
    /// A map of texts.
    TextMap,
    /// A map of lists of texts.
    TextsMap,
    /// Free-form content.
    Free,
    /// A block that occurs at most once.
    One(&'static Schema),
    /// A repeatable block: a list.
    Many(&'static Schema),
    /// A repeatable block: an object keyed by labels.
    ByName(&'static Schema),
    /// A repeatable block read by a function; the schema has its members.
    /// It may come to nothing.
    ManyBy(ReadBlock, &'static Schema),
}

impl Schema {
    /// Whether unknown keys are passed over instead of refused, as Nomad's reader of HCL1 does in these blocks. Jobspecs
    /// for later releases are read this way.
    pub(super) fn passes_over_unknown(&self, dialect: Dialect) -> bool {
        dialect == Dialect::Configuration && matches!(self.what, "volume" | "csi_plugin block")
    }
}

impl Kind {
    pub(super) fn may_repeat(&self) -> bool {
        matches!(
            self,
            Kind::Many(_) | Kind::ByName(_) | Kind::ManyBy(..) | Kind::TextMap | Kind::TextsMap | Kind::Free
        )
    }
}

/// Value that the API shows for an absent key.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    Omitted,
    Null,
    Empty,
    Zero,
    False,
    True,
    Text(&'static str),
    /// A number; nanoseconds for durations.
    Integer(i64),
    /// An object with the defaults of its schema.
    Object,
}

impl Field {
    /// Sets the value of the absent key.
    const fn or(mut self, absent: Absent) -> Field {
        self.absent = absent;
        self
    }

    /// Sets the value of the absent key in the canonical form.
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

/// Default weight of affinities and spreads.
const WEIGHT: i64 = 50;

static CONSTRAINT: Schema = block("constraint", &[]);

static AFFINITY: Schema = block("affinity", &[integer("weight", "Weight").filled(Absent::Integer(WEIGHT))]);

const fn block(what: &'static str, fields: &'static [Field]) -> Schema {
    Schema { what, label: None, fields, constants: &[], finish: None }
}
