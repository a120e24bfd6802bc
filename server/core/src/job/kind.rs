//! Types of jobs.

use ordu_proto::api::job::{JobSpec, TYPE_BATCH, TYPE_SERVICE, TYPE_SYSTEM};

/// Type of a job. It selects the scheduler and the defaults of the job's policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Runs until it is stopped.
    Service,
    /// Runs to completion.
    Batch,
    /// Runs once on every feasible node.
    System,
}

impl JobKind {
    /// Parses the type in a row or a specification; `None` for a type that this release does not know.
    pub fn parse(text: &str) -> Option<JobKind> {
        match text {
            TYPE_SERVICE => Some(JobKind::Service),
            TYPE_BATCH => Some(JobKind::Batch),
            TYPE_SYSTEM => Some(JobKind::System),
            _ => None,
        }
    }

    /// Returns the type of a specification.
    pub fn of(spec: &JobSpec) -> Option<JobKind> {
        JobKind::parse(spec.job_type())
    }

    /// Returns the type as stored and as written in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            JobKind::Service => TYPE_SERVICE,
            JobKind::Batch => TYPE_BATCH,
            JobKind::System => TYPE_SYSTEM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_back_from_its_text_and_nothing_else_is_one() {
        for kind in [JobKind::Service, JobKind::Batch, JobKind::System] {
            assert_eq!(Some(kind), JobKind::parse(kind.as_str()));
        }
        for text in ["", "Service", "sysbatch", "_core", "batch "] {
            assert_eq!(None, JobKind::parse(text), "{text:?}");
        }
        assert_eq!(Some(JobKind::Service), JobKind::of(&JobSpec::default()), "where nothing is said");
    }
}
