//! When a server begins and ends a leader's duties, and how it hands them on.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ordu_proto::command::envelope::Command;
use ordu_proto::command::{AutopilotSet, ClusterInit};
use tokio::runtime::Handle;

use crate::cluster::Cluster;
use crate::context::Context;
use crate::feed::Feed;
use crate::leader::{LeaderParts, LeaderTerm, Liveness};

/// Does a leader's duties while this server leads, on `work`.
pub(crate) async fn lead_when_elected(
    context: Context,
    feed: Feed,
    liveness: Arc<Liveness>,
    work: Handle,
) -> Result<(), String> {
    let mut metrics = context.cluster.raft().server_metrics();
    let mut term: Option<(u64, LeaderTerm)> = None;
    let mut known_leader = None;
    loop {
        let (leads, current_term, leader) = {
            let metrics = metrics.borrow_watched();
            let term = metrics.vote.leader_id.term;
            (metrics.current_leader == Some(metrics.id), term, metrics.current_leader)
        };
        if known_leader != leader {
            known_leader = leader;
            if leads {
                context.cluster.note_elected();
            }
        }
        if term.as_ref().is_some_and(|(of, _)| !leads || *of != current_term) {
            tracing::info!("this server's term as leader has ended");
            term = None;
        }
        if leads && term.is_none() {
            match begin_term(&context, current_term).await {
                Ok(()) => {
                    let parts = LeaderParts {
                        term: current_term,
                        context: context.clone(),
                        feed: feed.clone(),
                        liveness: liveness.clone(),
                        work: work.clone(),
                    };
                    term = Some((current_term, LeaderTerm::start(parts)));
                    tracing::info!(term = current_term, "the leader's duties have begun");
                }
                Err(reason) => {
                    tracing::warn!(reason, "the leader's duties cannot begin yet");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            }
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

/// Waits until the state here holds all entries of earlier terms, and names the cluster, with a configuration of
/// autopilot, if it has no name.
async fn begin_term(context: &Context, term: u64) -> Result<(), String> {
    let read = openraft::ReadPolicy::ReadIndex;
    context.cluster.raft().ensure_linearizable(read).await.map_err(|error| error.to_string())?;
    if context.state.machine().cluster().cluster_id.is_empty() {
        // Before the name, so that a cluster that has one has both. One that was named by an earlier release, which may
        // still run on other servers, keeps to what its leader was told until an operator sets it.
        let config = Some(context.options.autopilot);
        let autopilot = Command::AutopilotSet(AutopilotSet { config, enforced_modify_index: Some(0) });
        context.writer.write_as_leader(term, autopilot).await.map_err(|error| error.to_string())?;
        let init = Command::ClusterInit(ClusterInit { cluster_id: context.identity.get() });
        context.writer.write_as_leader(term, init).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Hands leadership to the voter that has most of the log, of those that `may_lead`, so that no one has to
/// notice this server's absence.
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
