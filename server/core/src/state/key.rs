//! Keys of the tables: typed, big-endian, the namespace first in every key that a job owns.
//!
//! A string inside a key ends with a zero byte; names with a zero byte are refused where they enter.

use super::Id;

/// Keys of the table `Meta`.
pub mod meta {
    /// `ClusterMeta`.
    pub const CLUSTER: &[u8] = b"cluster";
    /// [`ordu_proto::state::AutopilotConfig`]; not there before it was set.
    pub const AUTOPILOT: &[u8] = b"autopilot";
    /// The raft log id applied last (`ordu.raft.LogId`); written by the store with every batch.
    pub const APPLIED: &[u8] = b"applied";
    /// The membership applied last (`ordu.raft.StoredMembership`).
    pub const MEMBERSHIP: &[u8] = b"membership";
    /// What this server's raft log had synced of that (`ordu.raft.LogRecord`).
    pub const LOG_SYNCED: &[u8] = b"log-synced";
    /// [`super::super::hash::Chain`]: of all that entries wrote.
    pub const CHAIN: &[u8] = b"chain";
    /// [`super::super::TableIndexes`].
    pub const INDEXES: &[u8] = b"indexes";
}

fn with_string(mut key: Vec<u8>, text: &str) -> Vec<u8> {
    key.extend_from_slice(text.as_bytes());
    key.push(0);
    key
}

/// All of a namespace, in the tables whose keys begin with one.
pub fn namespace(namespace: &str) -> Vec<u8> {
    with_string(Vec::with_capacity(namespace.len() + 1), namespace)
}

/// A job, in `Jobs` and `JobSummaries`. The id stands last and without an end, so that the keys of
/// a namespace are in the order of the ids and a prefix of an id is a prefix of the key.
pub fn job(namespace: &str, job_id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(namespace.len() + job_id.len() + 1);
    key.extend_from_slice(namespace.as_bytes());
    key.push(0);
    key.extend_from_slice(job_id.as_bytes());
    key
}

/// The namespace and the id in a job's key; `None` where it is none.
pub fn job_names(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('\0')
}

/// All that a job owns, in the tables where something follows the job id.
pub fn of_job(namespace: &str, job_id: &str) -> Vec<u8> {
    let mut key = job(namespace, job_id);
    key.push(0);
    key
}

/// A version of a job in `JobVersions`; newer versions come first.
pub fn job_version(namespace: &str, job_id: &str, version: u64) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(&(u64::MAX - version).to_be_bytes());
    key
}

/// A specification in `JobSpecs` and `SpecUses`. The create index keeps apart jobs that had the same id one after
/// the other: allocations of the former may outlive it.
pub fn job_spec(namespace: &str, job_id: &str, job_create_index: u64, version: u64) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(&job_create_index.to_be_bytes());
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// A deployment of a job, in `DeploymentsByJob`, in the order in which they were made.
pub fn deployment_by_job(namespace: &str, job_id: &str, create_index: u64, id: &[u8]) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(&create_index.to_be_bytes());
    key.extend_from_slice(id);
    key
}

/// Something with an id that a job owns: `EvalsByJob`, `AllocsByJob`.
pub fn by_job(namespace: &str, job_id: &str, id: &[u8]) -> Vec<u8> {
    let mut key = of_job(namespace, job_id);
    key.extend_from_slice(id);
    key
}

/// Something with an id that something else with an id owns: `AllocsByNode`, `AllocsByEval`.
pub fn by_id(owner: &[u8], id: &[u8]) -> Vec<u8> {
    [owner, id].concat()
}

/// A child that was dispatched with a token, in `ChildrenByToken`.
pub fn by_token(namespace: &str, parent_id: &str, token: &str) -> Vec<u8> {
    let mut key = of_job(namespace, parent_id);
    key.extend_from_slice(token.as_bytes());
    key
}

/// A log index, in `Requests`.
pub fn index(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// The first key after all keys that begin with `prefix`; `None` where there is no such key.
pub fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The first key after `key` alone: none is between them.
pub fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The last sixteen bytes of a key, where a key ends with an id.
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
