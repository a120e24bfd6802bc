//! The figures in `/v1/agent/self`: maps of texts, with the names that Nomad gives them.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use openraft::ServerState;
use ordu_core::command::FEATURE_LEVEL;
use ordu_store::types::LogId;

use super::agent::{ORDU_VERSION, RAFT_PROTOCOL};
use crate::context::Context;

/// Figures by name.
type Figures = BTreeMap<&'static str, String>;

/// Returns the figures of this process, by subsystem. Figures that Ordu does not have are missing.
pub(super) fn stats(context: &Context) -> BTreeMap<&'static str, Figures> {
    let client = context.options.client.as_ref().map(|client| ("client", client.figures()));
    let server =
        [("nomad", nomad(context)), ("ordu", ordu(context)), ("raft", raft(context)), ("runtime", runtime())];
    server.into_iter().chain(client).collect()
}

fn nomad(context: &Context) -> Figures {
    let Context { options, cluster, .. } = context;
    Figures::from([
        ("server", true.to_string()),
        ("leader", cluster.is_leader().to_string()),
        ("leader_addr", cluster.leader().map(|leader| leader.server.rpc_addr).unwrap_or_default()),
        ("bootstrap", (options.bootstrap_expect == 1).to_string()),
        ("known_regions", 1.to_string()),
    ])
}

fn raft(context: &Context) -> Figures {
    let cluster = &context.cluster;
    let (metrics, lag, synced) = (cluster.metrics(), cluster.lag(), cluster.synced());
    let is_leader = metrics.state == ServerState::Leader;
    let state = match metrics.state {
        ServerState::Leader => "Leader",
        ServerState::Candidate => "Candidate",
        // Nomad's servers without a vote are followers, too.
        ServerState::Follower | ServerState::Learner => "Follower",
        ServerState::Shutdown => "Shutdown",
    };
    let index = |id: Option<&LogId>| id.map_or(0, |id| id.index).to_string();
    let term = |id: Option<&LogId>| id.map_or(0, |id| id.leader_id.term).to_string();
    let others = cluster.members_of(&metrics).into_iter().filter(|it| it.voter && it.id != metrics.id);
    let last_contact = if is_leader { "0".to_owned() } else { format!("{}ms", cluster.last_contact_ms()) };
    Figures::from([
        ("applied_index", lag.applied_index.to_string()),
        ("commit_index", lag.committed_index.to_string()),
        ("fsm_pending", lag.entries().to_string()),
        ("last_contact", last_contact),
        ("last_log_index", index(synced.as_ref())),
        ("last_log_term", term(synced.as_ref())),
        ("last_snapshot_index", index(metrics.snapshot.as_ref())),
        ("last_snapshot_term", term(metrics.snapshot.as_ref())),
        ("latest_configuration_index", index(metrics.membership_config.log_id().as_ref())),
        ("num_peers", others.count().to_string()),
        ("protocol_version", RAFT_PROTOCOL.to_owned()),
        ("state", state.to_owned()),
        ("term", metrics.current_term.to_string()),
    ])
}

fn ordu(context: &Context) -> Figures {
    Figures::from([
        ("version", ORDU_VERSION.to_owned()),
        ("feature_level", FEATURE_LEVEL.to_string()),
        ("cluster_feature_level", context.state.feature_level().to_string()),
    ])
}

fn runtime() -> Figures {
    let processors = available_parallelism().ok().map(|count| ("cpu_count", count.to_string()));
    let system =
        [("arch", std::env::consts::ARCH.to_owned()), ("kernel.name", std::env::consts::OS.to_owned())];
    system.into_iter().chain(processors).collect()
}
