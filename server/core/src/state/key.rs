//! Typed keys of the tables. Numbers are big-endian; the keys of a job and its rows begin with the namespace.
//!
//! A string inside a key ends with a zero byte. Requests and commands with a zero byte in a name are refused.

use super::Id;

/// Keys of the table `Meta`.
pub mod meta {
    /// `ClusterMeta`.
    pub const CLUSTER: &[u8] = b"cluster";
    /// [`ordu_proto::state::AutopilotConfig`]; absent until it is set.
    pub const AUTOPILOT: &[u8] = b"autopilot";
    /// The Raft log id applied last (`ordu.raft.LogId`); the store writes it with every batch.
    pub const APPLIED: &[u8] = b"applied";
    /// The membership applied last (`ordu.raft.StoredMembership`).
    pub const MEMBERSHIP: &[u8] = b"membership";
    /// The synced end of this server's Raft log when the batch was applied (`ordu.raft.LogRecord`).
    pub const LOG_SYNCED: &[u8] = b"log-synced";
    /// [`super::super::hash::Chain`], the hash chain over the writes of all entries.
    pub const CHAIN: &[u8] = b"chain";
    /// [`super::super::TableIndexes`].
    pub const INDEXES: &[u8] = b"indexes";
}

fn with_string(mut key: Vec<u8>, text: &str) -> Vec<u8> {
    key.extend_from_slice(text.as_bytes());
    key.push(0);
    key
}

/// Returns the prefix of all keys of a namespace, in tables whose keys begin with one.
pub fn namespace(namespace: &str) -> Vec<u8> {
    with_string(Vec::with_capacity(namespace.len() + 1), namespace)
}

/// Returns the key of a job in `Jobs` and `JobSummaries`. The id comes last without a terminator, so that a
/// namespace's keys are ordered by id and a prefix of an id gives a prefix of the key.
pub fn job(namespace: &str, job_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(namespace.len() + job_id.len() + 1);
    key.extend_from_slice(namespace.as_bytes());
    key.push(0);
    key.extend_from_slice(job_id.as_bytes());
    key
}

/// Splits a job's key into namespace and id; `None` if the key is malformed.
pub fn job_names(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('\0')
}

/// Returns the prefix of all rows that a job owns, in tables whose keys continue after the job id.
pub fn of_job(namespace: &str, job_id: &str) -> Vec<u8> {
    let mut key = job(namespace, job_id);
    key.push(0);
    key
}

/// Returns the key of a job version in `JobVersions`. Newer versions sort first.
pub fn job_version(namespace: &str, job_id: &str, version: u64) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(&(u64::MAX - version).to_be_bytes());
    key
}

/// Returns the key of a specification in `JobSpecs` and `SpecUses`. The create index distinguishes successive jobs
/// with the same id: allocations of the former job may outlive it.
pub fn job_spec(namespace: &str, job_id: &str, job_create_index: u64, version: u64) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(&job_create_index.to_be_bytes());
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// Returns the key of a job's deployment in `DeploymentsByJob`, ordered by creation.
pub fn deployment_by_job(namespace: &str, job_id: &str, create_index: u64, id: &[u8]) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(&create_index.to_be_bytes());
    key.extend_from_slice(id);
    key
}

/// Returns the key of a job's evaluation or allocation in `EvalsByJob` or `AllocsByJob`.
pub fn by_job(namespace: &str, job_id: &str, id: &[u8]) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(id);
    key
}

/// Returns the key of an allocation in `AllocsByNode` or `AllocsByEval`, under the id of its node or evaluation.
pub fn by_id(owner: &[u8], id: &[u8]) -> Vec<u8> {
    [owner, id].concat()
}

/// Returns the key of a dispatched child in `ChildrenByToken`.
pub fn by_token(namespace: &str, parent_id: &str, token: &str) -> Vec<u8> {
    let mut key = of_job(namespace, parent_id);
    key.extend_from_slice(token.as_bytes());
    key
}

/// Returns the key of an answered request in `Requests`, from its log index.
pub fn index(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// Returns the first key after all keys that begin with `prefix`, or `None` if there is none.
pub fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Returns the key that directly follows `key`.
pub fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Returns the last sixteen bytes of a key that ends with an id.
pub fn trailing_id(key: &[u8]) -> Option<Id> {
    key.last_chunk::<16>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_a_namespace_are_in_the_order_of_their_ids_and_apart_from_other_namespaces() {
        let mut keys = [job("a", "z"), job("a", "b"), job("a", "b/c"), job("ab", "a"), job("a", "ba")];
        keys.sort();
        assert_eq!(keys, [job("a", "b"), job("a", "b/c"), job("a", "ba"), job("a", "z"), job("ab", "a")]);
        assert!(!job("ab", "a").starts_with(&namespace("a")));
    }

    #[test]
    fn what_a_job_owns_is_apart_from_a_job_whose_id_begins_alike() {
        assert!(!job_version("a", "job2", 0).starts_with(&of_job("a", "job")));
        assert!(by_job("a", "job", &[1; 16]).starts_with(&of_job("a", "job")));
    }

    #[test]
    fn newer_versions_come_first() {
        assert!(job_version("a", "j", 2) < job_version("a", "j", 1));
    }

    #[test]
    fn the_end_of_a_prefix_is_after_all_that_begin_with_it() {
        assert_eq!(Some(vec![1, 3]), end_of(&[1, 2]));
        assert_eq!(Some(vec![2]), end_of(&[1, 255]));
        assert_eq!(None, end_of(&[255, 255]));
        assert_eq!(None, end_of(&[]));
    }
}
