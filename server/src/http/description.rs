//! A route's part of the OpenAPI description: summary, parameters, body and answer.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// Generates the schema of a body.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The type of a query parameter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    Text,
    /// True or false.
    Flag,
    /// True or false; true if given without a value.
    Switch,
    /// A non-negative number.
    Count,
    /// An index of the state, such as a ModifyIndex.
    Index,
    /// A duration in Go's notation, such as `1m30s`.
    Span,
}

impl ParamKind {
    /// Returns the schema of valid values.
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

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: ParamKind,
    /// What it does, as a sentence.
    pub meaning: &'static str,
}

const fn param(name: &'static str, kind: ParamKind, meaning: &'static str) -> Param {
    Param { name, kind, meaning }
}

use ParamKind::{Count, Flag, Index, Span, Switch, Text};

/// For routes that answer with a document.
pub(super) const LAYOUT: &[Param] =
    &[param("pretty", Text, "Lays the answer out for people, unless it is 0.")];
/// For routes that refuse requests for another region.
pub(super) const REGION: &[Param] = &[param("region", Text, "The region that is asked; there is one.")];
/// For reads that can be confirmed to be current.
pub(super) const CONSISTENCY: &[Param] = &[
    param("stale", Switch, "Any server may answer with the state that it has."),
    param("consistent", Switch, "Takes `stale` back."),
];
/// For reads that can wait for a change.
pub(super) const BLOCKING: &[Param] = &[
    param("index", Index, "Answer once the index of what is read is greater than this."),
    param("wait", Span, "How long to wait for that, at most and by default five minutes."),
];
/// For objects in a namespace.
pub(super) const NAMESPACE: &[Param] = &[param("namespace", Text, "The namespace; `default` unless given.")];
/// For lists that can be narrowed to ids with a prefix.
pub(super) const PREFIX: &[Param] = &[param("prefix", Text, "The beginning of the ids.")];
/// For lists that can be read page by page.
pub(super) const PAGES: &[Param] = &[
    param("per_page", Count, "At most this many rows; all of them where it is 0."),
    param("next_token", Text, "The row that the page begins with, as X-Nomad-NextToken told it."),
    param("reverse", Flag, "From the last row to the first."),
    param("filter", Text, "An expression that an entry must match."),
];
/// For lists of allocations.
pub(super) const ALLOC_MEMBERS: &[Param] =
    &[RESOURCES[0], param("task_states", Flag, "With the states of the tasks, unless it is false.")];
/// For lists that include resources on request.
pub(super) const RESOURCES: &[Param] = &[param("resources", Flag, "With the resources.")];
/// For lists of objects that belong to a job.
pub(super) const ALL: &[Param] =
    &[param("all", Flag, "With those of earlier jobs of the same name, which were purged.")];
pub(super) const PURGE: &[Param] =
    &[param("purge", Flag, "Forgets the job, instead of keeping it as a stopped one.")];
pub(super) const EVAL_PRIORITY: &[Param] =
    &[param("eval_priority", Count, "The priority of the evaluation, 1 to 100; the job's unless given.")];
pub(super) const OF_EVALUATIONS: &[Param] = &[
    param("job", Text, "Only the evaluations of this job."),
    param("status", Text, "Only the evaluations with this status."),
];
pub(super) const DIFFS: &[Param] = &[param("diffs", Flag, "With what each version changed.")];
pub(super) const IDEMPOTENCY_TOKEN: &[Param] =
    &[param("idempotency_token", Text, "Dispatches with the same token launch one child.")];
pub(super) const HEALTH_OF: &[Param] =
    &[param("type", Text, "`server` or `client`: the part that is asked about; all of them unless given.")];
pub(super) const PEER: &[Param] = &[
    param("id", Text, "The server's raft id."),
    param("address", Text, "The server's address and RPC port, instead of its id."),
];
/// For the removal of a server.
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

/// The body of a successful answer.
#[derive(Clone, Copy, Debug)]
pub enum Contents {
    /// No body.
    Nothing,
    /// A JSON document.
    Json(SchemaOf),
    /// A JSON document, or a text if the request asks for one.
    JsonOrText(SchemaOf),
    /// A JSON document; the same with this status if it reports something unhealthy.
    Health(SchemaOf, &'static str),
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Generates its schema.
    pub schema: SchemaOf,
    /// Whether requests must have one.
    pub required: bool,
}

/// A route's part of the OpenAPI description.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// What the route is for, in a few words.
    pub summary: &'static str,
    /// The query parameters that only this route has; [`super::RouteInfo::params`] returns all.
    pub own_params: &'static [&'static [Param]],
    /// The body that it reads.
    pub body: Option<Body>,
    /// The answer with status 200.
    pub answer: Contents,
    /// Whether it answers with status 404 if the id does not exist.
    pub misses: bool,
    /// Whether it answers with status 409 if the current state does not permit the request.
    pub conflicts: bool,
    /// Whether its answers carry an index.
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

/// Generates the schema of a type.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
