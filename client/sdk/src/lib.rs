//! A typed, asynchronous client of the HTTP API of Ordu, and of others that serve the same API.
//!
//! ```no_run
//! # async fn example() -> Result<(), ordu_client::Error> {
//! use ordu_client::{Client, Options, Query};
//!
//! let client = Client::new(Options::at("http://127.0.0.1:4646"))?;
//! let jobs = client.jobs(&Query::default()).await?;
//! for job in &jobs.value {
//!     println!("{} is {}", job.id, job.status);
//! }
//! // Wait until something about the jobs changes.
//! let changed = client.jobs(&Query::default().after(jobs.meta.index)).await?;
//! # Ok(())
//! # }
//! ```

mod agent;
mod allocations;
mod autopilot;
mod client;
mod error;
mod evaluations;
mod feature_level;
mod jobs;
mod nodes;
mod null;
mod query;
mod search;
#[cfg(test)]
mod tests;

pub use agent::{
    AgentMembers, AgentSelf, ForcedRemoval, LeadershipTransfer, Member, RaftAddress, RaftConfiguration,
    RaftPeer, RaftServer, TimeReset,
};
pub use allocations::{AllocMetric, Allocation, AllocationStub, NodeScore, TaskEvent, TaskState};
pub use autopilot::{AutopilotConfiguration, AutopilotHealth, ServerHealth};
pub use client::{Client, Options, segment};
pub use error::Error;
pub use evaluations::Evaluation;
pub use feature_level::{FeatureLevels, ReleaseOfServer};
pub use jobs::{
    Deregistered, JobChildren, JobStub, JobSummary, JobVersions, RegisterOptions, Registered,
    TaskGroupSummary,
};
pub use nodes::{DriverInfo, Node, NodeEvent, NodeResources, NodeStub};
pub use ordu_proto::api::job;
pub use query::{Answer, Meta, Query};
pub use search::SearchResult;
