//! The identity of a job in collections and channels.

use ordu_proto::state::{Allocation, Evaluation, Job};

/// A job's namespace and id. The id is unique within the namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// The namespace.
    pub namespace: String,
    /// The id.
    pub id: String,
}

impl JobKey {
    /// Builds the key of a job.
    pub fn new(namespace: impl Into<String>, id: impl Into<String>) -> JobKey {
        JobKey { namespace: namespace.into(), id: id.into() }
    }
}

impl From<&Job> for JobKey {
    fn from(job: &Job) -> JobKey {
        JobKey::new(&job.namespace, &job.id)
    }
}

/// Identifies the evaluation's job.
impl From<&Evaluation> for JobKey {
    fn from(eval: &Evaluation) -> JobKey {
        JobKey::new(&eval.namespace, &eval.job_id)
    }
}

/// Identifies the allocation's job.
impl From<&Allocation> for JobKey {
    fn from(alloc: &Allocation) -> JobKey {
        JobKey::new(&alloc.namespace, &alloc.job_id)
    }
}
