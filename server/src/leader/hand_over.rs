//! Transfers leadership to another server without an election timeout.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use crate::cluster::Cluster;

/// Transfers leadership to the voter with the most complete log among those that `may_lead`, so that no
/// server has to notice this one's absence first.
pub(crate) async fn hand_over(cluster: &Cluster, may_lead: impl Fn(u64) -> bool) {
    let metrics = cluster.metrics();
    let Some(replication) = metrics.replication.filter(|_| metrics.current_leader == Some(cluster.id()))
    else {
        return;
    };
    let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
    let best = replication
        .into_iter()
        .filter(|(id, _)| *id != cluster.id() && voters.contains(id) && may_lead(*id))
        .max_by_key(|(_, at)| *at);
    let Some((to, _)) = best else { return };
    if cluster.raft().trigger().transfer_leader(to).await.is_err() {
        return;
    }
    let mut changes = cluster.raft().server_metrics();
    let me = cluster.id();
    let handed = async {
        while changes.borrow_watched().current_leader == Some(me) && changes.changed().await.is_ok() {}
    };
    match tokio::time::timeout(Duration::from_secs(2), handed).await {
        Ok(()) => tracing::info!("handed leadership over"),
        Err(_) => tracing::warn!("leadership was not taken over in time; the others will elect"),
    }
}
