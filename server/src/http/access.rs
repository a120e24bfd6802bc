//! Access control: the right that a route requires, as a value, and the one function that authorizes requests.

use std::fmt::{Display, Formatter, Result as Formatted};

use axum::http::StatusCode;

use super::error::HttpError;
use super::scope::Scope;

/// A capability that a policy can grant in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Listing jobs.
    ListJobs,
    /// Reading jobs and what belongs to them, and requesting their evaluation.
    ReadJob,
    /// Registering, changing and stopping jobs.
    SubmitJob,
    /// Launching children of jobs.
    DispatchJob,
    /// Parsing jobspecs.
    ParseJob,
}

impl Capability {
    /// Returns its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Capability::ListJobs => "list-jobs",
            Capability::ReadJob => "read-job",
            Capability::SubmitJob => "submit-job",
            Capability::DispatchJob => "dispatch-job",
            Capability::ParseJob => "parse-job",
        }
    }
}

/// What names the namespace in which a capability is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceOf {
    /// The query; `default` if it names none.
    Query,
    /// The query, else the body.
    Body,
    /// The query, else the body, else the job in the body.
    Job,
    /// The row that the path's id refers to.
    Row,
}

/// What the rows of a list belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsOf {
    /// The query's namespace, in which the capability is needed; `*` means all namespaces and needs none.
    Query,
    /// A node; reading nodes is needed too.
    Node,
    /// An evaluation.
    Evaluation,
    /// What a search finds: nodes, which need the right to read nodes, and rows of the query's namespace, else of the
    /// body's. Contexts without the right are left out.
    Search,
}

/// The level of a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl Level {
    /// Returns its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Level::Read => "read",
            Level::Write => "write",
        }
    }
}

/// The right that a caller needs for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No right.
    Public,
    /// One of these capabilities in the namespace.
    Namespace(&'static [Capability], NamespaceOf),
    /// One of these capabilities in each row's namespace; other rows are left out of the answer.
    Rows(&'static [Capability], RowsOf),
    /// A right on nodes.
    Node(Level),
    /// A right on agents.
    Agent(Level),
    /// A right on operators' functions.
    Operator(Level),
    /// A management token.
    Management,
}

impl Access {
    /// Whether it depends on the query's `namespace`.
    pub fn reads_namespace_of_query(self) -> bool {
        use NamespaceOf::{Body, Job, Query};
        matches!(
            self,
            Access::Namespace(_, Query | Body | Job) | Access::Rows(_, RowsOf::Query | RowsOf::Search)
        )
    }
}

/// In the terms of Nomad's policies, for the OpenAPI description.
impl Display for Access {
    fn fmt(&self, out: &mut Formatter<'_>) -> Formatted {
        let any_of = |capabilities: &[Capability]| {
            let names = capabilities.iter().map(|capability| format!("namespace:{}", capability.name()));
            names.collect::<Vec<String>>().join(" or ")
        };
        let left_out =
            |capabilities| format!("rows of namespaces without {} are left out", any_of(capabilities));
        match self {
            Access::Public => write!(out, "none"),
            Access::Namespace(capabilities, of) => {
                let named = match of {
                    NamespaceOf::Query => "the query's namespace",
                    NamespaceOf::Body => "the query's namespace, else in the body's",
                    NamespaceOf::Job => "the query's namespace, else in the body's, else in the job's",
                    NamespaceOf::Row => "the namespace of what the id leads to",
                };
                write!(out, "{} in {named}", any_of(capabilities))
            }
            Access::Rows(capabilities, RowsOf::Query) => {
                let (needed, left_out) = (any_of(capabilities), left_out(capabilities));
                write!(out, "{needed} in the query's namespace; where that is *, {left_out}")
            }
            Access::Rows(capabilities, RowsOf::Node) => write!(out, "node:read; {}", left_out(capabilities)),
            Access::Rows(capabilities, RowsOf::Search) => {
                let needed = any_of(capabilities);
                write!(
                    out,
                    "node:read or {needed} in the query's namespace, else in the body's; contexts without their right \
                     are left out"
                )
            }
            Access::Rows(capabilities, RowsOf::Evaluation) => write!(out, "none; {}", left_out(capabilities)),
            Access::Node(level) => write!(out, "node:{}", level.name()),
            Access::Agent(level) => write!(out, "agent:{}", level.name()),
            Access::Operator(level) => write!(out, "operator:{}", level.name()),
            Access::Management => write!(out, "management"),
        }
    }
}

/// The rights of a caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rights {
    /// Everything.
    All,
    /// A test's decision about a right and its namespace.
    #[cfg(test)]
    Judged(fn(Access, Option<&str>) -> bool),
}

impl Rights {
    fn allow(self, access: Access, namespace: Option<&str>) -> bool {
        match (self, access, namespace) {
            (Rights::All, ..) => true,
            #[cfg(test)]
            (Rights::Judged(judge), ..) => judge(access, namespace),
        }
    }
}

/// Permission for a request to go to its handler. It also checks the namespaces that become known only from the
/// request's body or from the rows found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    access: Access,
    rights: Rights,
}

/// Authorizes a request once its scope is known. Handlers cannot be called without the grant.
///
/// Tokens and policies are not stored yet, so `rights` allows everything to every caller. Access control will
/// instead take the rights from the policies of the token in `scope` (or of anonymous callers, if there is
/// none) and refuse unknown tokens. All access decisions are made here and by the grant.
///
/// # Errors
/// 403 when the caller lacks the right.
pub(super) fn authorize(access: Access, scope: &Scope, rights: Rights) -> Result<Grant, HttpError> {
    use NamespaceOf::{Body, Job, Query, Row};
    let grant = Grant { access, rights };
    match access {
        Access::Public
        | Access::Namespace(_, Body | Job | Row)
        | Access::Rows(_, RowsOf::Evaluation | RowsOf::Search) => {}
        Access::Namespace(_, Query) => grant.in_namespace(scope.namespace())?,
        Access::Rows(_, RowsOf::Query) => {
            scope.list_namespace().map_or(Ok(()), |named| grant.in_namespace(named))?
        }
        Access::Rows(_, RowsOf::Node)
        | Access::Node(_)
        | Access::Agent(_)
        | Access::Operator(_)
        | Access::Management => grant.check(None)?,
    }
    Ok(grant)
}

impl Grant {
    /// Refuses a namespace in which the caller lacks the right.
    ///
    /// # Errors
    /// 403.
    pub(super) fn in_namespace(self, namespace: &str) -> Result<(), HttpError> {
        self.check(Some(namespace))
    }

    /// Refuses a row that was found by its id in a namespace in which the caller lacks the right.
    ///
    /// # Errors
    /// 403; 500 when the handler of such a route does not report the namespace: nothing is shown then.
    pub(super) fn found(self, namespace: Option<&str>) -> Result<(), HttpError> {
        match (self.access, namespace) {
            (Access::Namespace(_, NamespaceOf::Row), Some(namespace)) => self.in_namespace(namespace),
            (Access::Namespace(_, NamespaceOf::Row), None) => {
                Err(HttpError::internal("what was found is not shown, since its namespace is not known"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may see the rows of a namespace.
    pub(super) fn shows(self, namespace: &str) -> bool {
        self.rights.allow(self.access, Some(namespace))
    }

    /// Whether the caller may read nodes.
    pub(super) fn reads_nodes(self) -> bool {
        self.rights.allow(Access::Node(Level::Read), None)
    }

    fn check(self, namespace: Option<&str>) -> Result<(), HttpError> {
        if self.rights.allow(self.access, namespace) {
            return Ok(());
        }
        Err(denied())
    }
}

/// The refusal of a caller who lacks a right.
pub(super) fn denied() -> HttpError {
    HttpError::new(StatusCode::FORBIDDEN, "Permission denied")
}
