//! Feature levels: which commands a release knows, and which a cluster may use.
//!
//! A release that adds a command, or changes the meaning of one, raises [`FEATURE_LEVEL`] by one. The cluster's own
//! level, in [`ordu_proto::state::ClusterMeta`], rises once every server knows the new one. Until then commands of the
//! new level are refused, so that each server can be downgraded to its previous release.

use ordu_proto::command::Refusal;

use super::refuse;

/// Level of a server or a cluster that reports none.
pub const FIRST_LEVEL: u32 = 1;

/// Level that added priorities of evaluations to registrations and stops, and prefixes of ids to dispatches, and at which
/// a version that is marked as stable takes its job's status.
pub(super) const SECOND_LEVEL: u32 = 2;

/// Highest feature level that this release knows.
pub const FEATURE_LEVEL: u32 = if cfg!(feature = "next-level") { NEXT_LEVEL } else { SECOND_LEVEL };

/// Level that no release has, for tests of upgrades.
pub(super) const NEXT_LEVEL: u32 = SECOND_LEVEL + 1;

/// Refuses a command above the cluster's level. The text names no servers, because all servers
/// must write the same answer.
pub(super) fn must_have_reached(needed: u32, level: u32) -> Result<(), Refusal> {
    if needed <= level {
        return Ok(());
    }
    Err(refuse(409, format!("this needs feature level {needed}, and the cluster's is {level}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_has_not_reached_is_refused() {
        assert_eq!(Ok(()), must_have_reached(1, 1));
        assert_eq!(Ok(()), must_have_reached(1, 2));
        let refusal = must_have_reached(2, 1).expect_err("it is refused");
        assert_eq!(
            (409, "this needs feature level 2, and the cluster's is 1"),
            (refusal.status, refusal.text.as_str())
        );
    }
}
