//! Command 24, since 0.1: sets the cluster's id. Later commands cannot change it.

use ordu_proto::command::{ClusterInit, Done, Refusal};

use super::declared::Command;
use super::entry::Entry;
use super::level::FIRST_LEVEL;
use super::{Step, check, refuse};

impl Command for ClusterInit {
    type Answer = Done;
    const NUMBER: u32 = 24;
    const LEVEL: u32 = FIRST_LEVEL;

    fn raises_level_to(&self) -> u32 {
        self.feature_level
    }

    fn check(&self) -> Result<(), Refusal> {
        check::cluster_id(&self.cluster_id)
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        let cluster = &mut *entry.cluster;
        if cluster.cluster_id.is_empty() {
            cluster.cluster_id = self.cluster_id;
        } else if cluster.cluster_id != self.cluster_id {
            return Ok(Err(refuse(409, "the cluster has another id")));
        }
        // Use the command's level, not this release's: servers of two releases must write the same row.
        cluster.feature_level = cluster.feature_level.max(self.feature_level).max(FIRST_LEVEL);
        Ok(Ok(Done { index: entry.index }))
    }
}
