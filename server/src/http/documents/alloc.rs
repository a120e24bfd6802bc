//! Allocations: the whole document, which omits empty members, and the list entry, which omits none.

use std::collections::BTreeMap;

use ordu_proto::api::job::Job;
use ordu_proto::state;
use ordu_proto::state::{ClientStatus, DesiredStatus};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::metric::AllocMetric;
use super::resources::{Allocated, FlatResources};
use super::task::{self, TaskState};
use super::{append, is_empty, is_zero, is_zero_ns};
use crate::http::ids::IdText;

fn desired_word(status: DesiredStatus) -> &'static str {
    match status {
        DesiredStatus::Unspecified | DesiredStatus::Run => "run",
        DesiredStatus::Stop => "stop",
        DesiredStatus::Evict => "evict",
    }
}

pub(crate) fn client_word(status: ClientStatus) -> &'static str {
    match status {
        ClientStatus::Unspecified | ClientStatus::Pending => "pending",
        ClientStatus::Running => "running",
        ClientStatus::Complete => "complete",
        ClientStatus::Failed => "failed",
        ClientStatus::Lost => "lost",
    }
}

fn name_of(alloc: &state::Allocation) -> String {
    format!("{}.{}[{}]", alloc.job_id, alloc.task_group, alloc.name_index)
}

/// The optional members of list entries.
#[derive(Clone, Copy)]
pub(crate) struct StubMembers {
    pub(crate) task_states: bool,
    pub(crate) resources: bool,
}

/// An entry of a list of allocations.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AllocStub<'a> {
    #[serde(rename = "ID")]
    id: IdText<'a>,
    #[serde(rename = "EvalID")]
    eval_id: IdText<'a>,
    name: String,
    namespace: &'a str,
    #[serde(rename = "NodeID")]
    node_id: IdText<'a>,
    node_name: &'a str,
    #[serde(rename = "JobID")]
    job_id: &'a str,
    job_type: &'a str,
    job_version: u64,
    task_group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_resources: Option<Allocated<'a>>,
    desired_status: &'static str,
    desired_description: &'a str,
    client_status: &'static str,
    client_description: &'a str,
    desired_transition: DesiredTransition,
    task_states: Option<BTreeMap<&'a str, TaskState<'a>>>,
    deployment_status: (),
    #[serde(rename = "FollowupEvalID")]
    followup_eval_id: IdText<'a>,
    reschedule_tracker: Option<RescheduleTracker<'a>>,
    preempted_allocations: (),
    preempted_by_allocation: &'static str,
    create_index: u64,
    modify_index: u64,
    create_time: i64,
    modify_time: i64,
}

#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct DesiredTransition {
    migrate: (),
    reschedule: (),
    force_reschedule: Option<bool>,
}

impl DesiredTransition {
    /// `None` if no transition is requested.
    fn of(alloc: &state::Allocation) -> Option<Self> {
        alloc.force_reschedule.then(|| Self { force_reschedule: Some(true), ..Self::default() })
    }
}

/// The reschedules that led to this allocation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RescheduleTracker<'a> {
    events: Vec<RescheduleEvent<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RescheduleEvent<'a> {
    reschedule_time: i64,
    #[serde(rename = "PrevAllocID")]
    previous_alloc_id: IdText<'a>,
    #[serde(rename = "PrevNodeID")]
    previous_node_id: IdText<'a>,
    delay: i64,
}

impl<'a> RescheduleTracker<'a> {
    fn of(alloc: &'a state::Allocation) -> Option<Self> {
        let event = |event: &'a state::RescheduleEvent| RescheduleEvent {
            reschedule_time: event.time_ns,
            previous_alloc_id: IdText(&event.previous_alloc_id),
            previous_node_id: IdText(&event.previous_node_id),
            delay: event.delay_ns,
        };
        let events: Vec<_> = alloc.reschedule_events.iter().map(event).collect();
        (!events.is_empty()).then_some(Self { events })
    }
}

impl<'a> AllocStub<'a> {
    /// Builds the entry of this allocation.
    pub(crate) fn of(alloc: &'a state::Allocation, members: StubMembers) -> Self {
        let resources = alloc.resources.as_ref().filter(|_| members.resources);
        Self {
            id: IdText(&alloc.id),
            eval_id: IdText(&alloc.eval_id),
            name: name_of(alloc),
            namespace: &alloc.namespace,
            node_id: IdText(&alloc.node_id),
            node_name: &alloc.node_name,
            job_id: &alloc.job_id,
            job_type: &alloc.job_type,
            job_version: alloc.job_version,
            task_group: &alloc.task_group,
            allocated_resources: resources.map(Allocated::of),
            desired_status: desired_word(alloc.desired_status()),
            desired_description: &alloc.desired_description,
            client_status: client_word(alloc.client_status()),
            client_description: &alloc.client_description,
            desired_transition: DesiredTransition::of(alloc).unwrap_or_default(),
            task_states: if members.task_states { task::states(&alloc.task_states) } else { None },
            deployment_status: (),
            followup_eval_id: IdText(&alloc.followup_eval_id),
            reschedule_tracker: RescheduleTracker::of(alloc),
            preempted_allocations: (),
            preempted_by_allocation: "",
            create_index: alloc.create_index,
            modify_index: alloc.modify_index,
            create_time: alloc.create_time_ns,
            modify_time: alloc.modify_time_ns,
        }
    }
}

/// A whole allocation, except its job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AllocDocument<'a> {
    #[serde(rename = "ID")]
    id: IdText<'a>,
    #[serde(skip_serializing_if = "is_empty")]
    namespace: &'a str,
    #[serde(rename = "EvalID", skip_serializing_if = "IdText::is_absent")]
    eval_id: IdText<'a>,
    name: String,
    #[serde(rename = "NodeID", skip_serializing_if = "IdText::is_absent")]
    node_id: IdText<'a>,
    #[serde(skip_serializing_if = "is_empty")]
    node_name: &'a str,
    #[serde(rename = "JobID", skip_serializing_if = "is_empty")]
    job_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    task_group: &'a str,
    #[serde(flatten)]
    resources: Option<Resources<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<AllocMetric<'a>>,
    desired_status: &'static str,
    #[serde(skip_serializing_if = "is_empty")]
    desired_description: &'a str,
    client_status: &'static str,
    #[serde(skip_serializing_if = "is_empty")]
    client_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_states: Option<BTreeMap<&'a str, TaskState<'a>>>,
    #[serde(rename = "PreviousAllocation", skip_serializing_if = "IdText::is_absent")]
    previous_allocation: IdText<'a>,
    #[serde(rename = "NextAllocation", skip_serializing_if = "IdText::is_absent")]
    next_allocation: IdText<'a>,
    #[serde(rename = "DeploymentID", skip_serializing_if = "IdText::is_absent")]
    deployment_id: IdText<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_status: Option<NetworkStatus>,
    #[serde(rename = "FollowupEvalID", skip_serializing_if = "IdText::is_absent")]
    followup_eval_id: IdText<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired_transition: Option<DesiredTransition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reschedule_tracker: Option<RescheduleTracker<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    create_index: u64,
    #[serde(skip_serializing_if = "is_zero")]
    modify_index: u64,
    #[serde(skip_serializing_if = "is_zero")]
    alloc_modify_index: u64,
    #[serde(skip_serializing_if = "is_zero_ns")]
    create_time: i64,
    #[serde(skip_serializing_if = "is_zero_ns")]
    modify_time: i64,
}

/// The resources given to an allocation, in every form that clients read.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "GivenResources")]
struct Resources<'a> {
    allocated_resources: Allocated<'a>,
    resources: FlatResources<'a>,
    shared_resources: FlatResources<'a>,
    task_resources: BTreeMap<&'a str, FlatResources<'a>>,
}

/// The network made by the agent for an allocation: always empty, and present once the allocation has started.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct NetworkStatus {
    interface_name: &'static str,
    address: &'static str,
    #[serde(rename = "DNS")]
    dns: (),
}

impl<'a> AllocDocument<'a> {
    fn of(alloc: &'a state::Allocation) -> Self {
        let resources = alloc.resources.as_ref().map(|given| {
            let (resources, shared_resources, task_resources) = Allocated::flat(given);
            Resources {
                allocated_resources: Allocated::of(given),
                resources,
                shared_resources,
                task_resources,
            }
        });
        Self {
            id: IdText(&alloc.id),
            namespace: &alloc.namespace,
            eval_id: IdText(&alloc.eval_id),
            name: name_of(alloc),
            node_id: IdText(&alloc.node_id),
            node_name: &alloc.node_name,
            job_id: &alloc.job_id,
            task_group: &alloc.task_group,
            resources,
            metrics: alloc.metrics.as_ref().map(AllocMetric::of),
            desired_status: desired_word(alloc.desired_status()),
            desired_description: &alloc.desired_description,
            client_status: client_word(alloc.client_status()),
            client_description: &alloc.client_description,
            task_states: task::states(&alloc.task_states),
            previous_allocation: IdText(&alloc.previous_allocation),
            next_allocation: IdText(&alloc.next_allocation),
            deployment_id: IdText(&alloc.deployment_id),
            network_status: (!alloc.task_states.is_empty()).then(NetworkStatus::default),
            followup_eval_id: IdText(&alloc.followup_eval_id),
            desired_transition: DesiredTransition::of(alloc),
            reschedule_tracker: RescheduleTracker::of(alloc),
            create_index: alloc.create_index,
            modify_index: alloc.modify_index,
            alloc_modify_index: alloc.alloc_modify_index,
            create_time: alloc.create_time_ns,
            modify_time: alloc.modify_time_ns,
        }
    }
}

/// Generates the schema of the whole document.
pub(crate) fn described(generator: &mut SchemaGenerator) -> Schema {
    let (document, job) = (generator.subschema_for::<AllocDocument<'_>>(), generator.subschema_for::<Job>());
    json_schema!({ "allOf": [document, { "properties": { "Job": job } }] })
}

/// Generates the schema of a list of whole documents.
pub(crate) fn list_described(generator: &mut SchemaGenerator) -> Schema {
    let items = described(generator);
    json_schema!({ "type": "array", "items": items })
}

/// Appends the whole document. `job` is its job's JSON, or empty if the job is no longer known.
pub(crate) fn write(alloc: &state::Allocation, job: &[u8], out: &mut Vec<u8>) {
    append(&AllocDocument::of(alloc), out);
    if !job.is_empty() {
        // The job is long and already JSON: it is inserted before the document's closing brace.
        out.pop();
        out.extend_from_slice(b",\"Job\":");
        out.extend_from_slice(job);
        out.push(b'}');
    }
}
