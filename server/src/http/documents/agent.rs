//! What a server reports about itself and the servers it knows.

use std::collections::BTreeMap;
use std::time::Duration;

use ordu_proto::api::NOMAD_VERSION;
use ordu_proto::command::TimeWasReset;
use ordu_store::types::Server;
use schemars::JsonSchema;
use serde::Serialize;

use super::stats::stats;
use crate::alarms::Alarm;
use crate::cluster::{Lag, Member, Reach};
use crate::context::Context;
use crate::distances::Distances;
use crate::leadership::no_leader;
use crate::membership::levels::RELEASE;
use crate::options::{RaftTiming, ServerOptions};

/// The version of this program; clients go by [`NOMAD_VERSION`] instead.
pub(super) const ORDU_VERSION: &str = RELEASE;
/// The version of raft's protocol that clients expect if server ids are not addresses.
pub(super) const RAFT_PROTOCOL: &str = "3";

/// Splits `host:port`; the port is 0 if there is none.
fn host_and_port(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0))
}

/// A server in the form of a member of the gossip pool that Nomad has.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MemberDocument {
    name: String,
    addr: String,
    port: u16,
    tags: BTreeMap<&'static str, String>,
    status: &'static str,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

impl MemberDocument {
    fn of(options: &ServerOptions, id: Option<u64>, server: &Server, alive: bool) -> Self {
        let (rpc_host, rpc_port) = host_and_port(&server.rpc_addr);
        let (_, serf_port) = host_and_port(&server.serf_addr);
        let tags = [
            ("role", "nomad".to_owned()),
            ("region", options.region.clone()),
            ("dc", server.datacenter.clone()),
            ("id", id.map(|id| id.to_string()).unwrap_or_default()),
            ("rpc_addr", rpc_host.to_owned()),
            ("port", rpc_port.to_string()),
            ("expect", options.bootstrap_expect.to_string()),
            ("build", NOMAD_VERSION.to_owned()),
            ("ordu.version", ORDU_VERSION.to_owned()),
            ("vsn", "1".to_owned()),
            ("raft_vsn", RAFT_PROTOCOL.to_owned()),
        ];
        Self {
            name: server.name.clone(),
            addr: rpc_host.to_owned(),
            port: if serf_port == 0 { rpc_port } else { serf_port },
            tags: tags.into_iter().collect(),
            status: if alive { "alive" } else { "failed" },
            protocol_min: 1,
            protocol_max: 5,
            protocol_cur: 2,
            delegate_min: 2,
            delegate_max: 5,
            delegate_cur: 4,
        }
    }

    fn itself(options: &ServerOptions, id: Option<u64>) -> Self {
        let server = Server {
            // Members' names are unique across regions.
            name: format!("{}.{}", options.name, options.region),
            rpc_addr: options.rpc_advertise.clone(),
            http_addr: options.http_advertise.clone(),
            datacenter: options.datacenter.clone(),
            serf_addr: options.serf_advertise.clone(),
        };
        Self::of(options, id, &server, true)
    }
}

/// The servers that this server knows.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Members {
    server_name: String,
    server_region: String,
    #[serde(rename = "ServerDC")]
    server_dc: String,
    members: Vec<MemberDocument>,
}

impl Members {
    /// Lists the cluster's members; this server alone while there is no cluster.
    pub(crate) fn of(options: &ServerOptions, members: &[Member]) -> Self {
        let member =
            |member: &Member| MemberDocument::of(options, Some(member.id), &member.server, member.alive);
        let mut known: Vec<MemberDocument> = members.iter().map(member).collect();
        if known.is_empty() {
            known.push(MemberDocument::itself(options, None));
        }
        Self {
            server_name: options.name.clone(),
            server_region: options.region.clone(),
            server_dc: options.datacenter.clone(),
            members: known,
        }
    }
}

/// The agent's configuration as far as clients read it, the agent as a member, and statistics.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AgentSelf {
    config: Config,
    member: MemberDocument,
    stats: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Config {
    region: String,
    datacenter: String,
    node_name: String,
    data_dir: String,
    bind_addr: String,
    ports: Ports,
    advertise_addrs: AdvertiseAddresses,
    server: ServerConfig,
    client: Enabled,
    version: Version,
    #[serde(rename = "ACL")]
    acl: Enabled,
    #[serde(rename = "TLSConfig")]
    tls: TlsConfig,
}

#[derive(Serialize, JsonSchema)]
struct Ports {
    #[serde(rename = "HTTP")]
    http: u16,
    #[serde(rename = "RPC")]
    rpc: u16,
    #[serde(rename = "Serf")]
    serf: u16,
}

#[derive(Serialize, JsonSchema)]
struct AdvertiseAddresses {
    #[serde(rename = "HTTP")]
    http: String,
    #[serde(rename = "RPC")]
    rpc: String,
    #[serde(rename = "Serf")]
    serf: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ServerConfig {
    enabled: bool,
    bootstrap_expect: u32,
    num_schedulers: usize,
    heartbeat_grace: u64,
    retry_join: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize, JsonSchema)]
struct TlsConfig {
    #[serde(rename = "EnableHTTP")]
    http: bool,
    #[serde(rename = "EnableRPC")]
    rpc: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: &'static str,
    version_prerelease: &'static str,
    version_metadata: &'static str,
    revision: &'static str,
}

impl AgentSelf {
    pub(crate) fn of(context: &Context) -> Self {
        let options = &context.options;
        Self {
            config: Config::of(options),
            member: MemberDocument::itself(options, Some(context.cluster.id())),
            stats: stats(context),
        }
    }
}

impl Config {
    fn of(options: &ServerOptions) -> Self {
        Self {
            region: options.region.clone(),
            datacenter: options.datacenter.clone(),
            node_name: options.name.clone(),
            data_dir: options.data_dir.display().to_string(),
            bind_addr: options.http_bind.ip().to_string(),
            ports: Ports {
                http: options.http_bind.port(),
                rpc: options.rpc_bind.port(),
                serf: options.serf_bind.map_or(0, |serf| serf.port()),
            },
            advertise_addrs: AdvertiseAddresses {
                http: options.http_advertise.clone(),
                rpc: options.rpc_advertise.clone(),
                serf: options.serf_advertise.clone(),
            },
            server: ServerConfig {
                enabled: true,
                bootstrap_expect: options.bootstrap_expect,
                num_schedulers: options.workers,
                heartbeat_grace: u64::try_from(options.heartbeat_grace.as_nanos()).unwrap_or(u64::MAX),
                retry_join: options.retry_join.clone(),
            },
            client: Enabled { enabled: options.client.is_some() },
            version: Version {
                version: NOMAD_VERSION,
                version_prerelease: "",
                version_metadata: "",
                revision: ORDU_VERSION,
            },
            acl: Enabled { enabled: false },
            tls: TlsConfig { http: false, rpc: false },
        }
    }
}

/// Whether the agent's parts work.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Health {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<HealthOf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<HealthOf>,
}

#[derive(Serialize, JsonSchema)]
struct HealthOf {
    ok: bool,
    message: String,
    /// Missing for a server that is alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    raft: Option<RaftHealth>,
}

/// Why a server cannot do its work, as texts of the health answer; empty if it can.
pub(crate) struct ServerFaults(Vec<String>);

impl ServerFaults {
    /// Derives the faults from whether a leader is known, which voters are reached, and how far the server is behind.
    pub(crate) fn of(leader_known: bool, reach: &Reach, lag: &Lag) -> Self {
        let mut faults = Vec::new();
        if !leader_known {
            faults.push("No cluster leader".to_owned());
            if reach.voters > 0 {
                faults.push(no_leader(reach));
            }
        }
        if !lag.has_caught_up {
            let Lag { applied_index, committed_index, .. } = lag;
            faults.push(format!(
                "this server is catching up: it has log entry {applied_index} of {committed_index}"
            ));
        }
        Self(faults)
    }
}

/// The distances between the servers, and raft's timing for them.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RaftHealth {
    /// The configured multiplier.
    multiplier: u32,
    /// The multiplier that the round trips need.
    multiplier_needed: u32,
    /// By server name.
    round_trips_ms: BTreeMap<String, f64>,
    /// Log entries that are committed but not applied by this server.
    entries_behind: u64,
    /// Names of the voters that this server cannot reach.
    unreached: Vec<String>,
}

impl RaftHealth {
    pub(crate) fn of(timing: &RaftTiming, distances: Distances, reach: &Reach, lag: &Lag) -> Self {
        let in_ms = |(name, took): (String, Duration)| (name, (took.as_secs_f64() * 1e6).round() / 1e3);
        Self {
            multiplier: timing.multiplier,
            multiplier_needed: distances.multiplier_needed(timing),
            round_trips_ms: distances.round_trips.into_iter().map(in_ms).collect(),
            entries_behind: lag.entries(),
            unreached: reach.unreached.iter().map(|it| it.server.name.clone()).collect(),
        }
    }
}

impl Health {
    /// `asked` holds the server's faults and raft's health, if the request asks about the server; `alarms` are
    /// its other faults. `client` is whether to report on a client.
    pub(crate) fn of(
        asked: Option<(ServerFaults, RaftHealth)>,
        alarms: &[(Alarm, String)],
        client: bool,
    ) -> Self {
        let server = |(ServerFaults(faults), raft): (ServerFaults, RaftHealth)| {
            let ok = faults.is_empty() && !alarms.iter().any(|(alarm, _)| alarm.is_unfit());
            let said: Vec<String> =
                faults.into_iter().chain(alarms.iter().map(|(_, text)| text.clone())).collect();
            let message = if said.is_empty() { "ok".to_owned() } else { said.join("; ") };
            let is_alone = raft.round_trips_ms.is_empty() && raft.unreached.is_empty();
            HealthOf { ok, message, raft: (!is_alone).then_some(raft) }
        };
        Self {
            server: asked.map(server),
            client: client.then(|| HealthOf { ok: true, message: "ok".to_owned(), raft: None }),
        }
    }

    pub(crate) fn is_well(&self) -> bool {
        [&self.server, &self.client].into_iter().flatten().all(|part| part.ok)
    }
}

/// The servers in raft's configuration, voters and others.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RaftConfiguration {
    servers: Vec<RaftServer>,
    // Nomad never fills it.
    index: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RaftServer {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    leader: bool,
    voter: bool,
    raft_protocol: &'static str,
}

impl RaftConfiguration {
    pub(crate) fn of(members: &[Member]) -> Self {
        let server = |member: &Member| RaftServer {
            id: member.id.to_string(),
            node: member.server.name.clone(),
            address: member.server.rpc_addr.clone(),
            leader: member.leader,
            voter: member.voter,
            raft_protocol: RAFT_PROTOCOL,
        };
        Self { servers: members.iter().map(server).collect(), index: 0 }
    }
}

/// The servers from and to which leadership moved.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LeadershipTransfer {
    from: RaftAddress,
    to: RaftAddress,
    /// Whether the chosen server already led.
    noop: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RaftAddress {
    #[serde(rename = "ID")]
    id: String,
    address: String,
}

impl LeadershipTransfer {
    /// Each server comes with its raft id.
    pub(crate) fn of(from: (u64, &Server), to: (u64, &Server)) -> Self {
        let address = |(id, server): (u64, &Server)| RaftAddress {
            id: id.to_string(),
            address: server.rpc_addr.clone(),
        };
        Self { from: address(from), to: address(to), noop: from.0 == to.0 }
    }
}

/// A hash that is equal on servers that have applied the same log entries.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StateHash {
    index: u64,
    hash: String,
}

impl StateHash {
    pub(crate) fn of(index: u64, hash: &[u8; 32]) -> Self {
        Self { index, hash: hash.iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

/// What resetting the cluster's time changed. Times are nanoseconds since 1970.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TimeResetAnswer {
    index: u64,
    time_before: i64,
    time: i64,
    periodic_launches: u64,
    evaluations: u64,
}

impl TimeResetAnswer {
    pub(crate) fn of(reset: &TimeWasReset) -> Self {
        Self {
            index: reset.index,
            time_before: reset.before_ns,
            time: reset.time_ns,
            periodic_launches: reset.launches,
            evaluations: reset.evaluations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (address, host, port) in [
            ("10.0.0.1:4647", "10.0.0.1", 4647),
            ("[::1]:4647", "::1", 4647),
            ("server-1:4647", "server-1", 4647),
            ("alone", "alone", 0),
        ] {
            assert_eq!((host, port), host_and_port(address), "{address}");
        }
    }

    #[test]
    fn an_agent_is_well_when_all_that_is_asked_about_is() {
        let json = |health: &Health| serde_json::to_value(health).unwrap();
        let lag = |applied_index, has_caught_up| Lag { applied_index, committed_index: 9, has_caught_up };
        let reach = |unreached: &[Member]| Reach {
            voters: 3,
            has_quorum: unreached.len() < 2,
            unreached: unreached.to_vec(),
        };
        let asked = |leader_known, reach: Reach, lag: Lag| {
            let round_trips = vec![("b".to_owned(), Duration::from_micros(90_500))];
            let raft = RaftHealth::of(&RaftTiming::default(), Distances { round_trips }, &reach, &lag);
            Some((ServerFaults::of(leader_known, &reach, &lag), raft))
        };
        let both = Health::of(asked(true, reach(&[]), lag(9, true)), &[], true);
        let ok = serde_json::json!({"ok": true, "message": "ok"});
        let told = serde_json::json!({
            "multiplier": 1, "multiplier_needed": 3, "round_trips_ms": {"b": 90.5}, "entries_behind": 0, "unreached": [],
        });
        assert!(both.is_well());
        assert_eq!(
            serde_json::json!({"server": {"ok": true, "message": "ok", "raft": told}, "client": ok}),
            json(&both)
        );
        assert_eq!(serde_json::json!({"client": ok}), json(&Health::of(None, &[], true)));
        let away = ["b", "c"].map(|name| {
            let server =
                Server { name: name.to_owned(), rpc_addr: "10.0.0.1:4647".to_owned(), ..Server::default() };
            Member { id: 7, server, voter: true, leader: false, alive: false }
        });
        let leaderless = Health::of(asked(false, reach(&away), lag(9, true)), &[], false);
        assert!(!leaderless.is_well());
        let said = json(&leaderless);
        assert_eq!(serde_json::json!(["b", "c"]), said["server"]["raft"]["unreached"]);
        let message = said["server"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("No cluster leader; the quorum is lost: 2 of 3"), "{message}");
        let late = Health::of(asked(true, reach(&away[..1]), lag(4, false)), &[], false);
        assert!(!late.is_well());
        assert_eq!(5, json(&late)["server"]["raft"]["entries_behind"]);
        assert_eq!("this server is catching up: it has log entry 4 of 9", json(&late)["server"]["message"]);
        for (alarm, is_well) in [(Alarm::ClockSkew, true), (Alarm::Diverged, false)] {
            let alarmed = asked(true, reach(&[]), lag(9, true));
            let alarmed = Health::of(alarmed, &[(alarm, "something".to_owned())], false);
            assert_eq!(is_well, alarmed.is_well(), "{alarm:?}");
            assert_eq!("something", json(&alarmed)["server"]["message"]);
        }
    }

    #[test]
    fn a_state_s_hash_is_sixty_four_digits() {
        let json = serde_json::to_value(StateHash::of(7, &[0xab; 32])).unwrap();
        assert_eq!(serde_json::json!({"Index": 7, "Hash": "ab".repeat(32)}), json);
    }

    #[test]
    fn raft_s_servers_are_told_by_id_and_address() {
        let server =
            Server { name: "a".to_owned(), rpc_addr: "127.0.0.1:4647".to_owned(), ..Server::default() };
        let members = [Member { id: 7, server, voter: true, leader: true, alive: true }];
        assert_eq!(
            serde_json::json!({"Index": 0, "Servers": [{
                "ID": "7", "Node": "a", "Address": "127.0.0.1:4647", "Leader": true, "Voter": true,
                "RaftProtocol": "3",
            }]}),
            serde_json::to_value(RaftConfiguration::of(&members)).unwrap()
        );
    }
}
