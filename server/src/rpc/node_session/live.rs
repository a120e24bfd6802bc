//! Registry of the nodes that have a session with this server, and when they were last heard from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordu_core::state::Id;
use ordu_proto::server::NodeLivenessRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::leader::Liveness;

/// A node heard from within this time is reported to the leader as alive. Longer than the reporting interval
/// of one second, so that each message counts at least once.
const TOLD_FOR: Duration = Duration::from_millis(1500);

/// The sessions of this server, by node.
#[derive(Debug, Default)]
pub struct LiveSessions {
    sessions: Mutex<Registry>,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Registry {
    opened: u64,
    by_node: BTreeMap<Id, Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    heard_at: Instant,
    ended: CancellationToken,
}

impl LiveSessions {
    /// Returns the nodes heard from just now. Meant to be called once a second.
    pub fn alive(&self) -> Vec<Id> {
        let now = Instant::now();
        let spoke = |entry: &Entry| now.duration_since(entry.heard_at) <= TOLD_FOR;
        self.registry().by_node.iter().filter(|(_, entry)| spoke(entry)).map(|(id, _)| *id).collect()
    }

    /// Returns the number of nodes with a session here.
    pub fn count(&self) -> usize {
        self.registry().by_node.len()
    }

    /// Ends all sessions and refuses new ones, since the server shuts down.
    pub fn end_all(&self) {
        self.closing.cancel();
    }

    /// Opens the node's session. Ends an older session of the node: an agent has only one, so the end of the
    /// older one went unnoticed.
    pub(super) fn open(self: &Arc<Self>, node: Id) -> LiveSession {
        let ended = self.closing.child_token();
        let mut registry = self.registry();
        registry.opened += 1;
        let number = registry.opened;
        let entry = Entry { number, heard_at: Instant::now(), ended: ended.clone() };
        if let Some(former) = registry.by_node.insert(node, entry) {
            former.ended.cancel();
        }
        LiveSession { live: self.clone(), node, number, ended }
    }

    /// Waits until all sessions must end.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session in the registry; dropping it removes it.
pub(super) struct LiveSession {
    live: Arc<LiveSessions>,
    node: Id,
    number: u64,
    ended: CancellationToken,
}

impl LiveSession {
    /// Records that the node was heard from.
    pub(super) fn heard(&self) {
        if let Some(entry) = self.live.registry().by_node.get_mut(&self.node) {
            entry.heard_at = Instant::now();
        }
    }

    /// Waits until the session must end: the node opened another one, or the server shuts down.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        let mut registry = self.live.registry();
        if registry.by_node.get(&self.node).is_some_and(|entry| entry.number == self.number) {
            registry.by_node.remove(&self.node);
        }
    }
}

/// Reports to the leader, once a second, which nodes are alive.
pub(crate) async fn tell_leader_of_live_nodes(
    context: Context,
    sessions: Arc<LiveSessions>,
    liveness: Arc<Liveness>,
) -> Result<(), String> {
    let Context { cluster, peers, identity, .. } = &context;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let ids: Vec<Id> = sessions.alive();
        let Some(leader) = cluster.leader().filter(|_| !ids.is_empty()) else { continue };
        if leader.id == cluster.id() {
            liveness.note_alive(&ids);
            continue;
        }
        let address = peers.address_of(leader.id, &leader.server);
        let node_ids = ids.iter().map(|id| id.to_vec()).collect();
        let request = NodeLivenessRequest { cluster_id: identity.get(), node_ids };
        let told = async { peers.server(&address)?.node_liveness(request).await };
        match tokio::time::timeout(Duration::from_secs(1), told).await {
            Ok(Ok(_)) => {}
            // The next report follows in a second, to whichever server leads then.
            Ok(Err(status)) => {
                tracing::debug!(reason = status.message(), "the leader was not told of live nodes")
            }
            Err(_) => tracing::debug!("the leader did not take note of live nodes in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    const NODE: Id = [1; 16];

    #[tokio::test(start_paused = true)]
    async fn a_node_is_told_as_alive_when_it_spoke_lately() {
        let live = Arc::new(LiveSessions::default());
        let session = live.open(NODE);
        assert_eq!(live.alive(), [NODE]);
        advance(Duration::from_secs(2)).await;
        assert!(live.alive().is_empty());
        session.heard();
        assert_eq!(live.alive(), [NODE]);
        drop(session);
        assert_eq!(0, live.count());
    }

    #[tokio::test]
    async fn a_newer_session_ends_the_former_and_stays_when_that_goes() {
        let live = Arc::new(LiveSessions::default());
        let former = live.open(NODE);
        let newer = live.open(NODE);
        assert!(former.ended().now_or_never().is_some());
        drop(former);
        assert_eq!(1, live.count());
        assert!(newer.ended().now_or_never().is_none());
        live.end_all();
        assert!(newer.ended().now_or_never().is_some());
        assert!(live.open(NODE).ended().now_or_never().is_some(), "a session after the end ends at once");
    }
}
