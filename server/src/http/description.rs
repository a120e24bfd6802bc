//! What a route says of itself beside how it is answered: the description of the API is made of this.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// Describes a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a parameter of the query holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    Text,
    /// True or false.
    Flag,
    /// True or false; true where it stands without a value.
    Switch,
    /// A number, not negative.
    Count,
    /// An index.
    Index,
    /// A span of time as Go writes it, `1m30s` for one.
    Span,
}

impl ParamKind {
    /// Of the values that mean something.
    pub(super) fn schema(self) -> Value {
        let schema = match self {
            ParamKind::Text => json_schema!({ "type": "string" }),
            ParamKind::Flag | ParamKind::Switch => json_schema!({ "type": "boolean" }),
            ParamKind::Count => json_schema!({ "type": "integer", "format": "uint32", "minimum": 0 }),
            ParamKind::Index => json_schema!({ "type": "integer", "format": "uint64", "minimum": 0 }),
            ParamKind::Span => json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$" }),
        };
        schema.into()
    }
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ParamKind,
    /// What it does, as a sentence.
    pub meaning: &'static str,
}

const fn param(name: &'static str, kind: ParamKind, meaning: &'static str) -> Param {
    Param { name, kind, meaning }
}

use ParamKind::{Count, Flag, Index, Span, Switch, Text};

/// Of everything that answers with a document.
pub(super) const LAYOUT: &[Param] =
    &[param("pretty", Text, "Lays the answer out for people, unless it is 0.")];
/// Of everything that goes to one region.
pub(super) const REGION: &[Param] = &[param("region", Text, "The region that is asked; there is one.")];
/// Of reads that can be confirmed to be current.
pub(super) const CONSISTENCY: &[Param] = &[
    param("stale", Switch, "Any server may answer with the state that it has."),
    param("consistent", Switch, "Takes `stale` back."),
];
/// Of reads that can wait for a change.
pub(super) const BLOCKING: &[Param] = &[
    param("index", Index, "Answer once the index of what is read is greater than this."),
    param("wait", Span, "How long to wait for that, at most and by default five minutes."),
];
/// Of what lives in a namespace.
pub(super) const NAMESPACE: &[Param] = &[param("namespace", Text, "The namespace; `default` unless given.")];
/// Of lists that can be narrowed to ids that begin alike.
pub(super) const PREFIX: &[Param] = &[param("prefix", Text, "The beginning of the ids.")];
/// Of lists that can be read page by page.
pub(super) const PAGES: &[Param] = &[
    param("per_page", Count, "At most this many rows; all of them where it is 0."),
    param("next_token", Text, "The row that the page begins with, as X-Nomad-NextToken told it."),
    param("reverse", Flag, "From the last row to the first."),
    param("filter", Text, "An expression that an entry must match."),
];
/// Of lists of allocations.
pub(super) const ALLOC_MEMBERS: &[Param] =
    &[RESOURCES[0], param("task_states", Flag, "With the states of the tasks, unless it is false.")];
/// Of lists that tell resources to those who ask.
pub(super) const RESOURCES: &[Param] = &[param("resources", Flag, "With the resources.")];
/// Of lists of what belongs to a job.
pub(super) const ALL: &[Param] =
    &[param("all", Flag, "With those of earlier jobs of the same name, which were purged.")];
pub(super) const PURGE: &[Param] =
    &[param("purge", Flag, "Forgets the job, instead of keeping it as a stopped one.")];
pub(super) const DIFFS: &[Param] = &[param("diffs", Flag, "With what each version changed.")];
pub(super) const IDEMPOTENCY_TOKEN: &[Param] =
    &[param("idempotency_token", Text, "Dispatches with the same token launch one child.")];
pub(super) const HEALTH_OF: &[Param] =
    &[param("type", Text, "`server` or `client`: the part that is asked about; all of them unless given.")];
pub(super) const PEER: &[Param] = &[
    param("id", Text, "The server's raft id."),
    param("address", Text, "The server's address and RPC port, instead of its id."),
];
/// Of the removal of a server.
pub(super) const FORCE: &[Param] = &[
    param(
        "force_living",
        Flag,
        "Removes the server although it lives; unless it is stopped, it joins again.",
    ),
    param(
        "force_without_majority",
        Flag,
        "Removes it although no majority of the voters that are left lives: nothing is decided before some are back.",
    ),
];
pub(super) const CAS: &[Param] =
    &[param("cas", Index, "Does nothing, and answers false, unless ModifyIndex is this.")];
pub(super) const METRICS_FORMAT: &[Param] =
    &[param("format", Text, "`prometheus` answers in the text format of Prometheus.")];

/// What a successful answer holds.
#[derive(Clone, Copy, Debug)]
pub enum Contents {
    /// Nothing.
    Nothing,
    /// A document.
    Json(SchemaOf),
    /// A document, or a text for those who ask for one.
    JsonOrText(SchemaOf),
    /// A document, and the same with this status where it tells of something that is not well.
    Health(SchemaOf, &'static str),
}

/// The body that a request brings.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Describes it.
    pub schema: SchemaOf,
    /// Whether there must be one.
    pub required: bool,
}

/// What a route says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// What it is for, in a few words.
    pub summary: &'static str,
    /// The parameters of the query that are its own; [`super::RouteInfo::params`] tells all.
    pub own_params: &'static [&'static [Param]],
    /// What it reads.
    pub body: Option<Body>,
    /// What it answers with status 200.
    pub answer: Contents,
    /// Whether it answers with status 404 where nothing has the id.
    pub misses: bool,
    /// Whether it answers with status 409 where it cannot be done as things stand.
    pub conflicts: bool,
    /// Whether its answers tell an index.
    pub indexed: bool,
}

impl Description {
    pub(super) const NONE: Self = Self {
        summary: "",
        own_params: &[],
        body: None,
        answer: Contents::Nothing,
        misses: false,
        conflicts: false,
        indexed: false,
    };
}

/// The description of a type.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
