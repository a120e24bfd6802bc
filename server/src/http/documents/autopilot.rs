//! Autopilot's configuration, and the servers' health.

use ordu_core::job::{Span, rfc3339};
use ordu_proto::api::NOMAD_VERSION;
use ordu_proto::server::ServerHealth;
use ordu_proto::state::AutopilotConfig;
use schemars::JsonSchema;
use serde::Serialize;

/// Autopilot's configuration. Durations are in Go's notation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AutopilotConfiguration {
    /// Whether a failed voter is removed once another server votes in its place.
    cleanup_dead_servers: bool,
    /// A server whose last answer is older is unhealthy.
    last_contact_threshold: String,
    /// Log entries that a healthy server may be behind.
    max_trailing_logs: u64,
    /// No voter is removed automatically if fewer than this many would be left.
    min_quorum: u64,
    /// How long a server must have been healthy without a break before it becomes a voter.
    server_stabilization_time: String,
    /// Has no effect here.
    enable_redundancy_zones: bool,
    /// Has no effect here.
    disable_upgrade_migration: bool,
    /// Has no effect here.
    enable_custom_upgrades: bool,
    create_index: u64,
    modify_index: u64,
}

impl AutopilotConfiguration {
    pub(crate) fn of(config: &AutopilotConfig) -> Self {
        Self {
            cleanup_dead_servers: config.cleanup_dead_servers,
            last_contact_threshold: Span(config.last_contact_threshold_ns).to_string(),
            max_trailing_logs: config.max_trailing_logs,
            min_quorum: config.min_quorum,
            server_stabilization_time: Span(config.server_stabilization_time_ns).to_string(),
            enable_redundancy_zones: config.enable_redundancy_zones,
            disable_upgrade_migration: config.disable_upgrade_migration,
            enable_custom_upgrades: config.enable_custom_upgrades,
            create_index: config.create_index,
            modify_index: config.modify_index,
        }
    }
}

/// The servers' health.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AutopilotHealth {
    /// Whether all servers are healthy.
    pub(crate) healthy: bool,
    /// How many healthy voters can be lost while a majority is left.
    failure_tolerance: usize,
    /// The leader's raft id.
    leader: String,
    /// The raft ids of the servers that vote.
    voters: Vec<String>,
    servers: Vec<AutopilotServer>,
}

/// A server's health.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AutopilotServer {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    address: String,
    /// `alive` or `failed`.
    serf_status: &'static str,
    version: &'static str,
    leader: bool,
    /// Time since the leader sent the message that the server answered last; negative if it never answered.
    last_contact: String,
    last_term: u64,
    last_index: u64,
    healthy: bool,
    voter: bool,
    /// Since when the server has been healthy or unhealthy, as far as the leader has seen.
    stable_since: String,
    /// Has no meaning here.
    meta: Option<()>,
}

impl AutopilotServer {
    fn of(health: ServerHealth) -> Self {
        let last_contact = health.last_contact_ns.map_or(-1, |ns| i64::try_from(ns).unwrap_or(i64::MAX));
        Self {
            id: health.id.to_string(),
            name: health.name,
            address: health.rpc_addr,
            serf_status: if health.alive { "alive" } else { "failed" },
            version: NOMAD_VERSION,
            leader: health.leader,
            last_contact: Span(last_contact).to_string(),
            last_term: health.last_term,
            last_index: health.last_index,
            healthy: health.healthy,
            voter: health.voter,
            stable_since: rfc3339(health.stable_since_ns),
            meta: None,
        }
    }
}

impl AutopilotHealth {
    pub(crate) fn of(servers: Vec<ServerHealth>) -> Self {
        let voters = || servers.iter().filter(|server| server.voter);
        let quorum = voters().count() / 2 + 1;
        let leader = servers.iter().find(|server| server.leader);
        Self {
            healthy: servers.iter().all(|server| server.healthy),
            failure_tolerance: voters().filter(|voter| voter.healthy).count().saturating_sub(quorum),
            leader: leader.map(|leader| leader.id.to_string()).unwrap_or_default(),
            voters: voters().map(|voter| voter.id.to_string()).collect(),
            servers: servers.into_iter().map(AutopilotServer::of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_told_as_nomad_does() {
        let config = AutopilotConfig { create_index: 5, modify_index: 6, ..ordu_core::autopilot::DEFAULT };
        let expected = serde_json::json!({
            "CleanupDeadServers": true, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250, "MinQuorum": 0,
            "ServerStabilizationTime": "10s", "EnableRedundancyZones": false, "DisableUpgradeMigration": false,
            "EnableCustomUpgrades": false, "CreateIndex": 5, "ModifyIndex": 6,
        });
        assert_eq!(expected, serde_json::to_value(AutopilotConfiguration::of(&config)).unwrap());
        // The configuration can be read back, except its indexes.
        let body = serde_json::to_vec(&expected).unwrap();
        assert_eq!(Ok(ordu_core::autopilot::DEFAULT), ordu_core::autopilot::decode_config(&body));
    }

    fn server(id: u64, healthy: bool, voter: bool) -> ServerHealth {
        ServerHealth {
            id,
            name: format!("s{id}.global"),
            rpc_addr: format!("10.0.0.{id}:4647"),
            alive: healthy,
            leader: id == 1,
            voter,
            last_contact_ns: healthy.then_some(15_200_000),
            last_term: 2,
            last_index: 46,
            healthy,
            stable_since_ns: 1_767_225_600_000_000_000,
        }
    }

    #[test]
    fn a_server_is_told_as_nomad_does() {
        let told = serde_json::to_value(AutopilotHealth::of(vec![server(1, true, true)])).unwrap();
        let expected = serde_json::json!({
            "Healthy": true, "FailureTolerance": 0, "Leader": "1", "Voters": ["1"], "Servers": [{
                "ID": "1", "Name": "s1.global", "Address": "10.0.0.1:4647", "SerfStatus": "alive", "Version": "1.0.18",
                "Leader": true, "LastContact": "15.2ms", "LastTerm": 2, "LastIndex": 46, "Healthy": true, "Voter": true,
                "StableSince": "2026-01-01T00:00:00Z", "Meta": null,
            }],
        });
        assert_eq!(expected, told);
        let gone = serde_json::to_value(AutopilotHealth::of(vec![server(2, false, true)])).unwrap();
        let gone = &gone["Servers"][0];
        assert_eq!(
            ("failed", "-1ns"),
            (gone["SerfStatus"].as_str().unwrap(), gone["LastContact"].as_str().unwrap())
        );
    }

    #[test]
    fn healthy_voters_beyond_a_majority_may_be_lost() {
        // Healthy voters, unhealthy voters, healthy learners, and how many voters may be lost.
        for (well, unwell, learners, tolerance) in
            [(1, 0, 0, 0), (3, 0, 0, 1), (2, 1, 0, 0), (1, 2, 0, 0), (5, 0, 2, 2), (4, 1, 0, 1), (4, 0, 1, 1)]
        {
            let of = |count, healthy, voter| (0..count).map(move |id| server(id, healthy, voter));
            let all = of(well, true, true).chain(of(unwell, false, true)).chain(of(learners, true, false));
            let health = AutopilotHealth::of(all.collect());
            assert_eq!(
                (unwell == 0, tolerance),
                (health.healthy, health.failure_tolerance),
                "{well} {unwell}"
            );
        }
        let with_a_sick_learner = AutopilotHealth::of(vec![server(1, true, true), server(2, false, false)]);
        assert!(!with_a_sick_learner.healthy, "it has not the log yet, or has gone");
    }
}
