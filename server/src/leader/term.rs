//! Starts and ends a leader's duties with the terms in which this server leads.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ordu_proto::command::{AutopilotSet, ClusterInit};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{Liveness, duties};
use crate::context::Context;
use crate::feed::Feed;
use crate::membership::levels::first_level;

/// Pause between attempts to begin a term's duties.
const BEGIN_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What the duties of a term are built from. A cheap handle.
#[derive(Clone)]
pub(super) struct Term {
    /// The raft term in which this server leads.
    pub(super) number: u64,
    /// The server's parts.
    pub(super) context: Context,
    /// When nodes were last heard from.
    pub(super) liveness: Arc<Liveness>,
}

/// A term in which this server leads. Dropping it ends all duties.
struct LeaderTerm {
    number: u64,
    /// Dropping the set aborts the duties.
    _duties: JoinSet<()>,
}

impl LeaderTerm {
    /// Starts the duties on `work`, not on raft's runtime, since scheduling occupies whole threads. This
    /// server's state must already contain all entries of earlier terms.
    fn start(term: Term, feed: &Feed, work: &Handle) -> LeaderTerm {
        let (number, state) = (term.number, term.context.state.clone());
        // Subscribe before reading the tables, so that no change is missed.
        let applied = feed.subscribe();
        let mut duties = JoinSet::new();
        duties.spawn_on(duties::run(state, move |tasks| duties::all(&term, tasks), applied), work);
        LeaderTerm { number, _duties: duties }
    }
}

/// Runs the leader's duties on `work` whenever this server leads.
pub(crate) async fn lead_when_elected(
    context: Context,
    feed: Feed,
    liveness: Arc<Liveness>,
    work: Handle,
) -> Result<(), String> {
    let mut metrics = context.cluster.raft().server_metrics();
    let mut term: Option<LeaderTerm> = None;
    let mut known_leader = None;
    loop {
        let (leads, number, leader) = {
            let metrics = metrics.borrow_watched();
            let number = metrics.vote.leader_id.term;
            (metrics.current_leader == Some(metrics.id), number, metrics.current_leader)
        };
        if known_leader != leader {
            known_leader = leader;
            if leads {
                context.cluster.note_elected();
            }
        }
        if term.as_ref().is_some_and(|term| !leads || term.number != number) {
            tracing::info!("this server's term as leader has ended");
            term = None;
        }
        if leads && term.is_none() {
            if let Err(reason) = prepare(&context, number).await {
                tracing::warn!(reason, "the leader's duties cannot begin yet");
                tokio::time::sleep(BEGIN_RETRY_PAUSE).await;
                continue;
            }
            let of = Term { number, context: context.clone(), liveness: liveness.clone() };
            term = Some(LeaderTerm::start(of, &feed, &work));
            tracing::info!(term = number, "the leader's duties have begun");
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

/// Waits until this server's state contains all entries of earlier terms. If the cluster has no id yet,
/// writes the autopilot configuration, then the id and the feature level.
async fn prepare(context: &Context, term: u64) -> Result<(), String> {
    let read = openraft::ReadPolicy::ReadIndex;
    context.cluster.raft().ensure_linearizable(read).await.map_err(|error| error.to_string())?;
    if context.state.machine().cluster().cluster_id.is_empty() {
        // Written before the id, so that a cluster with an id has both. A cluster that got its id from an
        // earlier release, which other servers may still run, keeps its leader's configured options until an
        // operator sets a configuration.
        let config = Some(context.options.autopilot);
        let autopilot = AutopilotSet { config, enforced_modify_index: Some(0) };
        context.writer.write_as_leader(term, autopilot).await.map_err(|error| error.to_string())?;
        let init =
            ClusterInit { cluster_id: context.identity.get(), feature_level: first_level(&context.cluster) };
        context.writer.write_as_leader(term, init).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
