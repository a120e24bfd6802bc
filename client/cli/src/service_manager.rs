//! Reports the agent's state to the service manager by systemd's protocol: readiness, status, watchdog, reload,
//! stop. Without `NOTIFY_SOCKET` nothing is reported.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use ordu_agent::Standing;
use ordu_server::cluster::Cluster;
use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;

/// Maximum interval between checks of the agent's status.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How many times the watchdog is fed within its timeout.
const WATCHDOG_PARTS: u32 = 4;

/// Handle of the service manager, with the state to report; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct ServiceManager(Arc<Agent>);

#[derive(Default)]
struct Agent {
    /// The running server.
    server: Mutex<Option<Cluster>>,
    /// State of the node, if there is one.
    node: watch::Sender<Standing>,
    /// Whether readiness was reported, and no stop since.
    is_up: AtomicBool,
}

impl ServiceManager {
    /// Returns the channel on which the node reports its state.
    pub(crate) fn node(&self) -> watch::Sender<Standing> {
        self.0.node.clone()
    }

    /// Sets the running server. A server that has ended must be dropped here, since its files are opened again.
    pub(crate) fn set_server(&self, server: Option<Cluster>) {
        *self.0.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Reports that the agent is starting, which may take long: the log and the tables are read completely.
    pub(crate) async fn starting(&self) {
        if has_manager() {
            tell(&[NotifyState::Status("starting: what is stored is opened")]).await;
        }
    }

    /// Reports readiness once the node is up (the server already is). From then on reports the status, and
    /// feeds the watchdog as long as all `threads` do work.
    pub(crate) async fn follow(self, has_server: bool, has_node: bool, threads: Vec<Handle>) {
        if !has_manager() {
            return;
        }
        let mut node = self.0.node.subscribe();
        if has_node && node.wait_for(|standing| *standing != Standing::Starting).await.is_err() {
            return;
        }
        let mut status = self.status(has_server, has_node);
        self.0.is_up.store(true, Ordering::Relaxed);
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]).await;
        let watchdog = sd_notify::watchdog_enabled();
        let interval = watchdog.map_or(LOOK_INTERVAL, |limit| LOOK_INTERVAL.min(limit / WATCHDOG_PARTS));
        loop {
            sleep(interval).await;
            if !pass_through(&threads).await {
                return;
            }
            // Also reads the state of raft and the node under their locks, so that a deadlock there stops the
            // watchdog's feed.
            let now = self.status(has_server, has_node);
            if !self.0.is_up.load(Ordering::Relaxed) {
                return;
            }
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]).await;
            }
            if now != status {
                tell(&[NotifyState::Status(&now)]).await;
                status = now;
            }
        }
    }

    /// Reports the reload before and after `read_again`.
    pub(crate) async fn reloading(&self, read_again: impl FnOnce()) {
        // Before readiness was reported, the manager would take the end of the reload for it.
        let is_up = self.0.is_up.load(Ordering::Relaxed);
        if is_up && let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]).await;
        }
        read_again();
        if is_up {
            tell(&[NotifyState::Ready]).await;
        }
    }

    /// Reports that the agent is stopping.
    pub(crate) async fn stopping(&self) {
        if self.0.is_up.swap(false, Ordering::Relaxed) {
            tell(&[NotifyState::Stopping, NotifyState::Status("ending")]).await;
        }
    }

    fn status(&self, has_server: bool, has_node: bool) -> String {
        let server = self.0.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let server = has_server
            .then(|| server.as_ref().map_or_else(|| "server: starting again".to_owned(), of_server));
        let node = has_node.then(|| of_node(&self.0.node.borrow()));
        server.into_iter().chain(node).collect::<Vec<_>>().join("; ")
    }
}

fn of_server(cluster: &Cluster) -> String {
    match cluster.leader() {
        Some(leader) if leader.id == cluster.id() => "server: leader".to_owned(),
        Some(leader) => format!("server: follower of {} at {}", leader.server.name, leader.server.rpc_addr),
        None if cluster.members().is_empty() => "server: waiting for its cluster".to_owned(),
        None => "server: no leader is known".to_owned(),
    }
}

fn of_node(standing: &Standing) -> String {
    match standing {
        Standing::Starting => "node: starting".to_owned(),
        Standing::Alone => "node: looking for a server".to_owned(),
        Standing::Registered { server } => format!("node: registered at {server}"),
        Standing::Held { server } => {
            format!("node: not ready, the servers' state is older than its own (told by {server})")
        }
    }
}

/// Runs a trivial task on each thread pool in turn; returns false if one has shut down.
async fn pass_through(threads: &[Handle]) -> bool {
    for thread in threads {
        if thread.spawn(async {}).await.is_err() {
            return false;
        }
    }
    true
}

fn has_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

async fn tell(states: &[NotifyState<'_>]) {
    static FAILED: Once = Once::new();
    let text = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    // A busy manager may block, which must not delay raft.
    let told = tokio::task::spawn_blocking(move || sd_notify::notify(&[NotifyState::Custom(&text)])).await;
    if let Ok(Err(error)) = told {
        FAILED.call_once(|| tracing::warn!(%error, "the service manager cannot be told how this agent is"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn one_that_hangs_among_several_keeps_the_watchdog_from_being_fed() {
        let runtime =
            || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (raft, requests) = (runtime(), runtime());
        let threads = [raft.handle().clone(), requests.handle().clone()];
        let (go_on, hanging) = mpsc::channel::<()>();
        raft.block_on(async {
            assert!(pass_through(&threads).await);
            let hangs = requests.spawn(async move { hanging.recv() });
            let short = Duration::from_millis(200);
            assert!(timeout(short, pass_through(&threads)).await.is_err());
            go_on.send(()).unwrap();
            hangs.await.unwrap().unwrap();
            assert!(pass_through(&threads).await);
        });
        requests.shutdown_background();
        raft.block_on(async { assert!(!pass_through(&threads).await) });
    }
}
