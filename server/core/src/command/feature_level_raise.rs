//! Command 32, since 0.1: the cluster's feature level rises.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, FeatureLevelRaise};
use ordu_proto::state::ClusterMeta;

pub(super) fn apply(cluster: &mut ClusterMeta, index: u64, command: &FeatureLevelRaise) -> Answer {
    cluster.feature_level = cluster.feature_level.max(command.level);
    Answer::Done(Done { index })
}
