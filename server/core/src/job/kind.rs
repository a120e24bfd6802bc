//! The types that a job can have.

use ordu_proto::api::job::{JobSpec, TYPE_BATCH, TYPE_SERVICE, TYPE_SYSTEM};

/// A job's type: it selects the scheduler and the defaults of the job's policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Work that runs until it is stopped.
    Service,
    /// Work that ends.
    Batch,
    /// Work that runs once on every feasible node.
    System,
}

impl JobKind {
    /// The type that a row or a specification names; `None` where this release knows no such type.
    pub fn parse(text: &str) -> Option<JobKind> {
        match text {
            TYPE_SERVICE => Some(JobKind::Service),
            TYPE_BATCH => Some(JobKind::Batch),
            TYPE_SYSTEM => Some(JobKind::System),
            _ => None,
        }
    }

    /// The type of a specification.
    pub fn of(spec: &JobSpec) -> Option<JobKind> {
        JobKind::parse(spec.job_type())
    }

    /// The type as it is stored and as the API spells it.
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
