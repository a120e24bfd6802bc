//! Long-running tasks ("parts") of a server; if one ends, the server ends.

use std::future::{Future, pending};

use tokio::task::JoinSet;

use super::ServerError;
use super::wiring::Wiring;
use crate::cluster::Cluster;
use crate::leader::lead_when_elected;
use crate::membership::{autopilot, levels};
use crate::rpc::node_session;
use crate::{
    addresses, candidacy, clock, counts, disk_space, distances, divergence, guards, leadership, retention,
};

/// Starts all parts except the services on ports. Add new parts here.
pub(super) fn start_all(wiring: &Wiring, parts: &mut Parts) {
    let context = || wiring.context.clone();
    let Wiring { transfers, backlog, feed, liveness, sessions, storage, work, stop, .. } = wiring;
    let faults = storage.tables.faults().clone();

    parts.run_to_the_end("discovery", wiring.discovery().run());
    parts.run_to_the_end("faults of the disk", async move { Err(ServerError::Fatal(faults.wait().await)) });

    parts.run("addresses", addresses::keep(context()));
    parts.run("autopilot", autopilot::keep(context()));
    parts.run("candidacy", candidacy::keep(context()));
    parts.run("clock", clock::keep(context()));
    parts.run("counts of leaders", counts::leader_changes(context()));
    parts.run("distances", distances::keep(context()));
    parts.run("divergence", divergence::keep(context()));
    parts.run("feature level", levels::keep(context()));
    let duties = lead_when_elected(context(), feed.clone(), liveness.clone(), work.clone());
    parts.run("leader's duties", duties);
    parts.run("leadership", leadership::watch(context()));
    let tells = node_session::tell_leader_of_live_nodes(context(), sessions.clone(), liveness.clone());
    parts.run("liveness of nodes", tells);
    parts.run("log retention", retention::keep(context(), transfers.clone(), backlog.clone()));
    parts.run("membership", wiring.context.changes.clone().keep_uniform());
    parts.run("peers", guards::watch_peers(context()));
    parts.run("raft", guards::watch_raft(context()));
    parts.run("rows set aside", guards::tell_of_rows_set_aside(context()));

    if storage.tables.blocks() {
        parts.run("disk space", disk_space::keep(context()));
        parts.run("scrub", guards::scrub(storage.tables.clone(), stop.clone()));
        parts.run("syncs", guards::watch_syncs(context()));
    }
}

/// The running parts. Each returns the reason why it ended.
pub(super) struct Parts {
    cluster: Cluster,
    running: JoinSet<ServerError>,
}

impl Parts {
    /// Creates an empty set.
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, running: JoinSet::new() }
    }

    /// Runs a part whose end ends the server, unless raft was stopped on purpose: then whatever stopped raft
    /// ends the server.
    pub(super) fn run(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let cluster = self.cluster.clone();
        self.run_to_the_end(name, async move {
            let ended = part.await;
            if cluster.is_retired() {
                pending::<()>().await;
            }
            ended.map_err(ServerError::Fatal)
        });
    }

    /// Runs a part whose end always ends the server.
    pub(super) fn run_to_the_end(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<(), ServerError>> + Send + 'static,
    ) {
        self.running.spawn(async move {
            let before_its_time =
                || ServerError::Fatal(format!("a part of the server has ended before its time: {name}"));
            part.await.err().unwrap_or_else(before_its_time)
        });
    }

    /// Waits until a part ends; returns the reason.
    pub(super) async fn failure(&mut self) -> ServerError {
        match self.running.join_next().await {
            Some(Ok(reason)) => reason,
            Some(Err(error)) => ServerError::Fatal(format!("a part of the server has failed: {error}")),
            None => ServerError::Fatal("nothing of the server runs any more".to_owned()),
        }
    }

    /// Stops all parts and waits for them.
    pub(super) async fn end(&mut self) {
        self.running.shutdown().await;
    }
}
