//! Command 32, since 0.1: raises the cluster's feature level.

use ordu_proto::command::{Done, FeatureLevelRaise};

use super::Step;
use super::declared::Command;
use super::entry::Entry;
use super::level::FIRST_LEVEL;

impl Command for FeatureLevelRaise {
    type Answer = Done;
    const NUMBER: u32 = 32;
    const LEVEL: u32 = FIRST_LEVEL;

    fn raises_level_to(&self) -> u32 {
        self.level
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        entry.cluster.feature_level = entry.cluster.feature_level.max(self.level);
        Ok(Ok(Done { index: entry.index }))
    }
}
