//! The key by which collections and channels know a job.

use ordu_proto::state::{Allocation, Evaluation, Job};

/// A job's namespace and its id, which is unique there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// The namespace.
    pub namespace: String,
    /// The id.
    pub id: String,
}

impl JobKey {
    /// The key of the job of this id.
    pub fn new(namespace: impl Into<String>, id: impl Into<String>) -> JobKey {
        JobKey { namespace: namespace.into(), id: id.into() }
    }
}

impl From<&Job> for JobKey {
    fn from(job: &Job) -> JobKey {
        JobKey::new(&job.namespace, &job.id)
    }
}

/// The job that an evaluation is of.
impl From<&Evaluation> for JobKey {
    fn from(eval: &Evaluation) -> JobKey {
        JobKey::new(&eval.namespace, &eval.job_id)
    }
}

/// The job that an allocation is of.
impl From<&Allocation> for JobKey {
    fn from(alloc: &Allocation) -> JobKey {
        JobKey::new(&alloc.namespace, &alloc.job_id)
    }
}
