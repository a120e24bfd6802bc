//! Configures and starts raft.

use std::sync::Arc;

use openraft::SnapshotPolicy;
use ordu_store::log::LogStore;
use ordu_store::state_machine::StateMachine;

use super::network::Network;
use crate::cluster::Raft;
use crate::options::ServerOptions;
use crate::server::ServerError;

/// Starts raft as server `server_id`.
///
/// # Errors
/// Returned if raft refuses the settings or its log is damaged.
pub(crate) async fn start(
    options: &ServerOptions,
    server_id: u64,
    network: Network,
    log: LogStore,
    machine: StateMachine,
) -> Result<Raft, ServerError> {
    let raft = Raft::new(server_id, Arc::new(config(options)?), network, log, machine).await;
    raft.map_err(|error| ServerError::Fatal(format!("raft does not start: {error}")))
}

fn config(options: &ServerOptions) -> Result<openraft::Config, ServerError> {
    let timing = options.raft;
    let config = openraft::Config {
        cluster_name: options.region.clone(),
        heartbeat_interval: timing.heartbeat_interval_ms,
        election_timeout_min: timing.election_timeout_min_ms,
        election_timeout_max: timing.election_timeout_max_ms,
        install_snapshot_timeout: 600_000,
        max_payload_entries: 1_024,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.log.snapshot_entries),
        // Raft must not purge by itself; see `retention`.
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_pre_vote: Some(true),
        // Enabled when there are no objections; see `candidacy`.
        enable_elect: false,
        // A restarted leader must not resume leadership: another may lead by now, or this server may be cut
        // off.
        enable_leader_restore: Some(false),
        quorum_loss_probe_interval: Some(3 * timing.election_timeout_max_ms),
        backoff: "50ms 100ms 200ms ..500ms".to_owned(),
        ..openraft::Config::default()
    };
    config.validate().map_err(|error| ServerError::Config(error.to_string()))
}
