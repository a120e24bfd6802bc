//! The terms in which this server leads: when one begins and ends, and what its duties are made of.

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

/// What the duties of a term are made of. A cheap handle.
#[derive(Clone)]
pub(super) struct Term {
    /// Raft's term in which this server leads.
    pub(super) number: u64,
    /// The server.
    pub(super) context: Context,
    /// When nodes were heard of.
    pub(super) liveness: Arc<Liveness>,
}

/// A term in which this server leads. Dropping it ends all duties.
struct LeaderTerm {
    number: u64,
    /// Dropped with the term, which aborts it.
    _duties: JoinSet<()>,
}

impl LeaderTerm {
    /// Takes up the duties of a leader on `work`: scheduling takes whole threads, and not those that raft runs on. To
    /// be called when this server's state holds all entries of earlier terms.
    fn start(term: Term, feed: &Feed, work: &Handle) -> LeaderTerm {
        let (number, state) = (term.number, term.context.state.clone());
        // First the feed, then the tables: nothing falls in between.
        let applied = feed.subscribe();
        let mut duties = JoinSet::new();
        duties.spawn_on(duties::run(state, move |tasks| duties::all(&term, tasks), applied), work);
        LeaderTerm { number, _duties: duties }
    }
}

/// Does a leader's duties while this server leads, on `work`.
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

/// Waits until the state here holds all entries of earlier terms, and names the cluster, with a configuration of
/// autopilot and a feature level, if it has no name.
async fn prepare(context: &Context, term: u64) -> Result<(), String> {
    let read = openraft::ReadPolicy::ReadIndex;
    context.cluster.raft().ensure_linearizable(read).await.map_err(|error| error.to_string())?;
    if context.state.machine().cluster().cluster_id.is_empty() {
        // Before the name, so that a cluster that has one has both. One that was named by an earlier release, which may
        // still run on other servers, keeps to what its leader was told until an operator sets it.
        let config = Some(context.options.autopilot);
        let autopilot = AutopilotSet { config, enforced_modify_index: Some(0) };
        context.writer.write_as_leader(term, autopilot).await.map_err(|error| error.to_string())?;
        let init =
            ClusterInit { cluster_id: context.identity.get(), feature_level: first_level(&context.cluster) };
        context.writer.write_as_leader(term, init).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
