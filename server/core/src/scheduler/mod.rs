//! The scheduler: compares a job's specification with its allocations, and places missing
//! allocations on the best nodes.
//!
//! All functions here depend on their arguments only. `apply` keeps `ClusterView` up to date. The plan applier and
//! `apply` both use `PlanCheck` to check whether a plan still fits.

mod annotate;
mod blocked;
mod broker;
mod budget;
mod check;
mod class;
mod constraint;
mod datacenters;
mod deployment;
pub mod evaluations;
mod feasible;
mod input;
mod job;
mod place;
mod reconcile;
mod schedule;
#[cfg(test)]
mod testing;
mod view;

pub use blocked::{BlockedEvals, BlockedStats};
pub use broker::{BrokerError, BrokerOptions, BrokerStats, Delivery, EvalBroker, FAILED_QUEUE, Token};
pub use budget::SCHEDULE_STEPS_MAX;
pub use check::{
    AllocLookup, PlanCheck, PlanVerdict, ReadAlloc, RefusalReason, accepted_part, touched_allocs,
};
pub use class::computed_class;
pub(crate) use constraint::uuid_text;
pub use deployment::is_active_deployment;
pub use feasible::Eligibility;
pub use input::{GatheredInput, JobVersions, ReadVersion, ScheduleInput, Subject, read_version};
pub use job::ScheduledJob;
pub use place::Ids;
pub use schedule::{Decision, Ending, plan_is_empty, schedule};
pub use view::{
    Capacity, ClusterView, NodeCondition, Usage, ViewSnapshot, is_client_terminal, is_last_word,
    is_server_terminal, is_terminal,
};
