//! Jobs.

use crate::allocations::AllocationStub;
use crate::client::{Client, segment};
use crate::error::Error;
use crate::evaluations::Evaluation;
use crate::null;
use crate::query::{Answer, Query};
use ordu_proto::api::job::Job;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A job in a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobStub {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The job that dispatched or launched it.
    #[serde(rename = "ParentID")]
    pub parent_id: String,
    /// The name.
    pub name: String,
    /// The namespace; older servers report it only in the summary.
    pub namespace: String,
    /// Datacenters in which it may run.
    #[serde(deserialize_with = "null::default")]
    pub datacenters: Vec<String>,
    /// service, batch or system.
    #[serde(rename = "Type")]
    pub job_type: String,
    /// Priority, 1 to 100.
    pub priority: i64,
    /// Whether it launches children by time.
    pub periodic: bool,
    /// Whether it launches children when dispatched.
    pub parameterized_job: bool,
    /// Whether it was stopped.
    pub stop: bool,
    /// pending, running or dead.
    pub status: String,
    /// Reason for the status.
    pub status_description: String,
    /// Counts of its allocations.
    pub job_summary: Option<JobSummary>,
    /// When it was submitted, nanoseconds since 1970.
    pub submit_time: i64,
    /// Index of its first registration.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// Index of the last change of its specification.
    pub job_modify_index: u64,
}

/// Counts of a job's allocations.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSummary {
    /// The job.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Counts by task group.
    #[serde(deserialize_with = "null::default")]
    pub summary: BTreeMap<String, TaskGroupSummary>,
    /// Counts of the jobs that it launched.
    pub children: Option<JobChildren>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// Counts of a task group's allocations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroupSummary {
    /// Not placed, for lack of resources.
    pub queued: i64,
    /// Placed, but not running yet.
    pub starting: i64,
    /// Running.
    pub running: i64,
    /// Failed.
    pub failed: i64,
    /// Finished successfully.
    pub complete: i64,
    /// On nodes that are down.
    pub lost: i64,
}

/// Counts of the jobs that a job launched.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobChildren {
    /// Not placed.
    pub pending: i64,
    /// Running.
    pub running: i64,
    /// Finished.
    pub dead: i64,
}

/// Options of a registration.
#[derive(Debug, Clone, Default)]
pub struct RegisterOptions {
    /// Registers only if the job's specification was last changed at this index; 0: only if there is no such job.
    pub enforce_job_modify_index: Option<u64>,
    /// Used instead of the client's namespace. Unless it is `default`, either overrides the job's own namespace.
    pub namespace: Option<String>,
}

/// Answer to a registration, or to a request to evaluate a job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Registered {
    /// The evaluation; empty for a job that only launches children.
    #[serde(rename = "EvalID")]
    pub eval_id: String,
    /// The evaluation's index.
    pub eval_create_index: u64,
    /// Index of the specification that is now in force.
    pub job_modify_index: u64,
    /// Warnings about parts of the job that may be mistakes.
    pub warnings: String,
    /// Index of the write.
    pub index: u64,
}

/// Answer to a deregistration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Deregistered {
    /// The evaluation.
    #[serde(rename = "EvalID")]
    pub eval_id: String,
    /// The evaluation's index.
    pub eval_create_index: u64,
    /// Index of the change of the job.
    pub job_modify_index: u64,
}

/// A job's versions.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobVersions {
    /// The versions, newest first.
    #[serde(default, deserialize_with = "null::default")]
    pub versions: Vec<Job>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Registration<'a, J: Serialize + ?Sized> {
    job: &'a J,
    enforce_index: bool,
    job_modify_index: u64,
}

impl Client {
    /// Lists jobs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn jobs(&self, query: &Query) -> Result<Answer<Vec<JobStub>>, Error> {
        self.get("/v1/jobs", query).await
    }

    /// Registers a job: a [`Job`], a [`JobSpec`](ordu_proto::api::job::JobSpec), or its JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn register_job<J: Serialize + ?Sized>(
        &self,
        job: &J,
        options: &RegisterOptions,
    ) -> Result<Registered, Error> {
        let body = Registration {
            job,
            enforce_index: options.enforce_job_modify_index.is_some(),
            job_modify_index: options.enforce_job_modify_index.unwrap_or(0),
        };
        self.write(Method::PUT, "/v1/jobs", options.namespace.as_deref(), &[], Some(&body)).await
    }

    /// Stops a job; `purge` also deletes it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn deregister_job(
        &self,
        id: &str,
        namespace: Option<&str>,
        purge: bool,
    ) -> Result<Deregistered, Error> {
        let parameters = [("purge", purge.to_string())];
        self.write(Method::DELETE, &path(id, ""), namespace, &parameters, None::<&()>).await
    }

    /// Makes the scheduler evaluate a job again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn evaluate_job(&self, id: &str, namespace: Option<&str>) -> Result<Registered, Error> {
        let body = serde_json::json!({ "JobID": id });
        self.write(Method::PUT, &path(id, "/evaluate"), namespace, &[], Some(&body)).await
    }

    /// Reads a job.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job(&self, id: &str, query: &Query) -> Result<Answer<Job>, Error> {
        self.get(&path(id, ""), query).await
    }

    /// Reads a job's versions, the newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job_versions(&self, id: &str, query: &Query) -> Result<Answer<JobVersions>, Error> {
        self.get(&path(id, "/versions"), query).await
    }

    /// Reads the counts of a job's allocations.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job_summary(&self, id: &str, query: &Query) -> Result<Answer<JobSummary>, Error> {
        self.get(&path(id, "/summary"), query).await
    }

    /// Lists a job's allocations.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job_allocations(
        &self,
        id: &str,
        query: &Query,
    ) -> Result<Answer<Vec<AllocationStub>>, Error> {
        self.get(&path(id, "/allocations"), query).await
    }

    /// Lists a job's evaluations.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job_evaluations(&self, id: &str, query: &Query) -> Result<Answer<Vec<Evaluation>>, Error> {
        self.get(&path(id, "/evaluations"), query).await
    }
}

fn path(id: &str, what: &str) -> String {
    format!("/v1/job/{}{what}", segment(id))
}
