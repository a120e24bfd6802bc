//! The stored form of a specification, and what the state keeps of it beside.

use ordu_proto::api::job::JobSpec;
use ordu_proto::command::GroupCount;
use ordu_proto::state;

/// The bytes that are stored once a version: JSON with its members in one order, so that equal
/// specifications have equal bytes and different ones have not.
pub fn spec_json(spec: &JobSpec) -> Vec<u8> {
    // A specification holds texts, numbers, lists and maps by text: all of it can be written.
    serde_json::to_vec(spec).expect("a job specification is JSON by its type")
}

/// Reads what [`spec_json`] wrote, now or in another release.
pub fn parse_spec(bytes: &[u8]) -> Result<JobSpec, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// The row of a canonical job that was just registered: what the specification says, and nothing of
/// what `apply` decides (status, version, indexes, time).
pub fn job_row(spec: &JobSpec, stop: bool) -> state::Job {
    state::Job {
        namespace: spec.namespace().to_owned(),
        id: spec.id.clone(),
        name: spec.name().to_owned(),
        region: spec.region().to_owned(),
        r#type: spec.job_type().to_owned(),
        // A valid priority is at most 100.
        priority: i32::try_from(spec.priority()).unwrap_or(i32::MAX),
        datacenters: spec.datacenters.clone(),
        periodic: spec.is_periodic(),
        parameterized: spec.is_parameterized(),
        stop,
        ..state::Job::default()
    }
}

/// The groups with their counts, in the order of the specification.
pub fn group_counts(spec: &JobSpec) -> Vec<GroupCount> {
    spec.task_groups
        .iter()
        .map(|group| GroupCount { name: group.name.clone(), count: group.count() })
        .collect()
}
