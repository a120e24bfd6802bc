//! The right that a caller needs for a route, as a value, and the one function that decides who may go on.

use std::fmt::{Display, Formatter, Result as Formatted};

use axum::http::StatusCode;

use super::error::HttpError;
use super::scope::Scope;

/// What a policy can allow in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// To list jobs.
    ListJobs,
    /// To read jobs and what belongs to them, and to have them evaluated.
    ReadJob,
    /// To register, change and stop jobs.
    SubmitJob,
    /// To launch children of jobs.
    DispatchJob,
    /// To have jobspecs read.
    ParseJob,
}

impl Capability {
    /// Its name in policies.
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

/// Where the namespace stands in which a capability is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceOf {
    /// In the query; `default` where it names none.
    Query,
    /// In the query, else in the body.
    Body,
    /// In the query, else in the body, else in the job that the body holds.
    Job,
    /// In the row that the path's id leads to.
    Row,
}

/// What the rows of a list belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsOf {
    /// The namespace that the query names, in which the capability is needed; `*` names all, and needs none.
    Query,
    /// A node, which takes the right to read nodes.
    Node,
    /// An evaluation.
    Evaluation,
}

/// How far a right goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl Level {
    /// Its name in policies.
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
    /// None.
    Public,
    /// One of these capabilities in a namespace.
    Namespace(&'static [Capability], NamespaceOf),
    /// For each row one of these capabilities in the row's namespace: all others are left out of the answer.
    Rows(&'static [Capability], RowsOf),
    /// A right to nodes.
    Node(Level),
    /// A right to agents.
    Agent(Level),
    /// A right to what operators look after.
    Operator(Level),
    /// A management token.
    Management,
}

impl Access {
    /// Whether the query's `namespace` has a part in it.
    pub fn reads_namespace_of_query(self) -> bool {
        use NamespaceOf::{Body, Job, Query};
        matches!(self, Access::Namespace(_, Query | Body | Job) | Access::Rows(_, RowsOf::Query))
    }
}

/// In the words of Nomad's policies, as the description of the API tells it.
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
            Access::Rows(capabilities, RowsOf::Evaluation) => write!(out, "none; {}", left_out(capabilities)),
            Access::Node(level) => write!(out, "node:{}", level.name()),
            Access::Agent(level) => write!(out, "agent:{}", level.name()),
            Access::Operator(level) => write!(out, "operator:{}", level.name()),
            Access::Management => write!(out, "management"),
        }
    }
}

/// What a caller may do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rights {
    /// Everything.
    All,
    /// What a test says, of a right and the namespace that it is needed in.
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

/// That a request may go to its handler. It is asked again for the namespaces that only the request's body or the
/// rows found tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    access: Access,
    rights: Rights,
}

/// Decides whether a request may go to its handler. Each comes here once it is known what it is for; a handler
/// cannot be called without the grant.
///
/// No tokens and no policies are kept yet, so `rights` are those of every caller: all. Access control takes them
/// from the policies of the token in `scope` instead (or of anonymous callers, where there is none), and refuses
/// a token that is not known. Everything that it decides is decided here and by the grant.
///
/// # Errors
/// 403 when the caller lacks the right.
pub(super) fn authorize(access: Access, scope: &Scope, rights: Rights) -> Result<Grant, HttpError> {
    use NamespaceOf::{Body, Job, Query, Row};
    let grant = Grant { access, rights };
    match access {
        Access::Public | Access::Namespace(_, Body | Job | Row) | Access::Rows(_, RowsOf::Evaluation) => {}
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
    /// Refuses what is for a namespace in which the caller lacks the right.
    ///
    /// # Errors
    /// 403.
    pub(super) fn in_namespace(self, namespace: &str) -> Result<(), HttpError> {
        self.check(Some(namespace))
    }

    /// Refuses what was found, where it belongs to such a namespace.
    ///
    /// # Errors
    /// 403; 500 where the handler of such a route does not tell the namespace: it shows nothing then.
    pub(super) fn found(self, namespace: Option<&str>) -> Result<(), HttpError> {
        match (self.access, namespace) {
            (Access::Namespace(_, NamespaceOf::Row), Some(namespace)) => self.in_namespace(namespace),
            (Access::Namespace(_, NamespaceOf::Row), None) => {
                Err(HttpError::internal("what was found is not shown, since its namespace is not known"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller sees the rows of a namespace.
    pub(super) fn shows(self, namespace: &str) -> bool {
        self.rights.allow(self.access, Some(namespace))
    }

    fn check(self, namespace: Option<&str>) -> Result<(), HttpError> {
        if self.rights.allow(self.access, namespace) {
            return Ok(());
        }
        Err(HttpError::new(StatusCode::FORBIDDEN, "Permission denied"))
    }
}
