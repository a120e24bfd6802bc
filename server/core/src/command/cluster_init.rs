//! Command 24, since 0.1: the cluster has an id. The first one stays.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{ClusterInit, Done, Refusal};
use ordu_proto::state::ClusterMeta;

use super::level::FIRST_LEVEL;
use super::refuse;

pub(super) fn apply(cluster: &mut ClusterMeta, index: u64, command: ClusterInit) -> Result<Answer, Refusal> {
    if cluster.cluster_id.is_empty() {
        cluster.cluster_id = command.cluster_id;
    } else if cluster.cluster_id != command.cluster_id {
        return Err(refuse(409, "the cluster has another id"));
    }
    // What the command says, not what this release knows: servers of two releases must write the same row.
    cluster.feature_level = cluster.feature_level.max(command.feature_level).max(FIRST_LEVEL);
    Ok(Answer::Done(Done { index }))
}
