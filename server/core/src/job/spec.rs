//! Stored form of a specification, and the values derived from it for the tables.

use ordu_proto::api::job::JobSpec;
use ordu_proto::command::GroupCount;
use ordu_proto::state;

/// Serialises a specification for storage, once for each version: JSON with a fixed order of members, so that
/// specifications are equal exactly if their bytes are.
pub fn spec_json(spec: &JobSpec) -> Vec<u8> {
    // A specification contains only strings, numbers, lists and maps with string keys, so it always serialises.
    serde_json::to_vec(spec).expect("a job specification is JSON by its type")
}

/// Parses the output of [`spec_json`], from this or another release.
pub fn parse_spec(bytes: &[u8]) -> Result<JobSpec, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Creates the row of a canonical job at registration. Members that `apply` decides (status, version, indexes, time)
/// stay unset.
pub fn job_row(spec: &JobSpec, stop: bool) -> state::Job {
    state::Job {
        namespace: spec.namespace().to_owned(),
        id: spec.id.clone(),
        name: spec.name().to_owned(),
        region: spec.region().to_owned(),
        r#type: spec.job_type().to_owned(),
        // Saturating is safe: a valid priority is at most 100.
        priority: i32::try_from(spec.priority()).unwrap_or(i32::MAX),
        datacenters: spec.datacenters.clone(),
        periodic: spec.is_periodic(),
        parameterized: spec.is_parameterized(),
        stop,
        ..state::Job::default()
    }
}

/// Returns the groups with their counts, in the order of the specification.
pub fn group_counts(spec: &JobSpec) -> Vec<GroupCount> {
    spec.task_groups
        .iter()
        .map(|group| GroupCount { name: group.name.clone(), count: group.count() })
        .collect()
}
