//! The configuration while it is assembled, and the checks on the complete configuration.

use super::address::{HostPort, Interfaces, is_address};
use super::settings::{
    Advertised, AgentConfig, ClientSettings, Listeners, LogLevel, RaftTiming, ReservedResources,
    ServerSettings,
};
use super::{ConfigError, Overrides, apply};
use ordu_proto::state::AutopilotConfig;
use ordu_server::trust::Key;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Settings of one of the agent's ports.
#[derive(Debug, Clone)]
pub(super) struct ListenerDraft {
    pub(super) port: u16,
    /// The address to listen on as written, with its template: the address may not exist yet.
    pub(super) bind_addr: Option<String>,
    /// The address to advertise as written, likewise.
    pub(super) advertise: Option<String>,
}

impl ListenerDraft {
    fn new(port: u16) -> ListenerDraft {
        ListenerDraft { port, bind_addr: None, advertise: None }
    }
}

/// Connections to the HTTP API per client address; Nomad's default.
const HTTP_CONNS_PER_CLIENT_MAX: usize = 100;

/// The addresses of one of the agent's ports.
struct Place {
    bound: SocketAddr,
    told: HostPort,
    /// The address in `told`, if it was found on an interface.
    own: Option<IpAddr>,
}

/// The settings of `server { … }`.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerDraft {
    pub(super) bootstrap_expect: Option<u32>,
    pub(super) raft: RaftTiming,
    pub(super) num_schedulers: Option<u32>,
    pub(super) min_heartbeat_ttl_ms: Option<u64>,
    pub(super) heartbeat_grace_ms: Option<u64>,
    pub(super) clock_skew_limit_ms: Option<u64>,
    pub(super) sync_limit_ms: Option<u64>,
    pub(super) feature_level_after_ms: Option<u64>,
    pub(super) http_stall_limit_ms: Option<u64>,
    pub(super) disk_free_min_mb: Option<u64>,
    pub(super) raft_multiplier: Option<u32>,
    pub(super) encrypt: Option<Key>,
    pub(super) encrypt_verify: Option<bool>,
}

/// The settings of `client { … }`.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientDraft {
    pub(super) node_class: String,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) options: BTreeMap<String, String>,
    pub(super) reserved: ReservedResources,
    pub(super) cpu_total_compute_mhz: Option<u64>,
    pub(super) disk_free_mb: Option<u64>,
    pub(super) memory_total_mb: Option<u64>,
    pub(super) network_interface: Option<String>,
}

/// The configuration so far; Nomad's defaults for what was not set.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) dev: bool,
    pub(super) name: Option<String>,
    pub(super) region: String,
    pub(super) datacenter: String,
    pub(super) data_dir: Option<PathBuf>,
    /// The address to listen on as written, with its template; `None` if it is not set.
    pub(super) bind_addr: Option<String>,
    pub(super) allow_plaintext: bool,
    pub(super) http_allowed_hosts: Vec<String>,
    /// `limits.http_max_conns_per_client`; 0 for no limit.
    pub(super) http_conns_per_client_max: usize,
    /// Protection that the files ask for and this release does not have, by key.
    pub(super) unkept: BTreeMap<&'static str, ConfigError>,
    pub(super) http: ListenerDraft,
    pub(super) rpc: ListenerDraft,
    pub(super) serf: ListenerDraft,
    pub(super) log_level: LogLevel,
    pub(super) log_json: bool,
    pub(super) raw_exec_enabled: bool,
    pub(super) server_enabled: bool,
    pub(super) server: ServerDraft,
    pub(super) server_join: Vec<String>,
    pub(super) autopilot: AutopilotConfig,
    pub(super) client_enabled: bool,
    pub(super) client: ClientDraft,
    pub(super) client_servers: Vec<String>,
    pub(super) client_join: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Default for Draft {
    fn default() -> Draft {
        Draft {
            dev: false,
            name: None,
            region: "global".to_owned(),
            datacenter: "dc1".to_owned(),
            data_dir: None,
            bind_addr: None,
            allow_plaintext: false,
            http_allowed_hosts: Vec::new(),
            http_conns_per_client_max: HTTP_CONNS_PER_CLIENT_MAX,
            unkept: BTreeMap::new(),
            http: ListenerDraft::new(4646),
            rpc: ListenerDraft::new(4647),
            serf: ListenerDraft::new(4648),
            log_level: LogLevel::Info,
            log_json: false,
            raw_exec_enabled: false,
            server_enabled: false,
            server: ServerDraft::default(),
            server_join: Vec::new(),
            autopilot: ordu_core::autopilot::DEFAULT,
            client_enabled: false,
            client: ClientDraft::default(),
            client_servers: Vec::new(),
            client_join: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Draft {
    /// Returns the defaults of `-dev`.
    pub(super) fn development() -> Draft {
        Draft {
            dev: true,
            bind_addr: Some(Ipv4Addr::LOCALHOST.to_string()),
            log_level: LogLevel::Debug,
            raw_exec_enabled: true,
            server_enabled: true,
            server: ServerDraft { bootstrap_expect: Some(1), ..ServerDraft::default() },
            client_enabled: true,
            ..Draft::default()
        }
    }

    /// Applies the command line's settings.
    pub(super) fn override_with(&mut self, flags: &Overrides) -> Result<(), ConfigError> {
        let refuse = |flag: &'static str| move |text: String| ConfigError::Flag { flag, text };
        if let Some(data_dir) = &flags.data_dir {
            self.data_dir = Some(data_dir.clone());
        }
        if let Some(text) = &flags.bind_addr {
            if !is_address(text).map_err(refuse("bind"))? {
                return Err(refuse("bind")(format!("{text:?} is not an IP address")));
            }
            self.bind_addr = Some(text.clone());
        }
        self.allow_plaintext |= flags.allow_plaintext;
        for (flag, value, slot) in
            [("region", &flags.region, &mut self.region), ("dc", &flags.datacenter, &mut self.datacenter)]
        {
            if let Some(value) = value {
                if value.is_empty() || value.contains(char::is_whitespace) {
                    return Err(refuse(flag)(format!("{value:?} is not a word without blanks")));
                }
                slot.clone_from(value);
            }
        }
        self.name = flags.name.clone().or_else(|| self.name.take());
        if let Some(level) = &flags.log_level {
            self.log_level = apply::parse_log_level(level).map_err(refuse("log-level"))?;
        }
        self.server_enabled |= flags.server;
        self.client_enabled |= flags.client;
        self.server.bootstrap_expect = flags.bootstrap_expect.or(self.server.bootstrap_expect);
        for (flag, hosts) in [("retry-join", &flags.retry_join), ("servers", &flags.servers)] {
            hosts.iter().try_for_each(|host| HostPort::parse(host, 1).map(drop)).map_err(refuse(flag))?;
        }
        if !flags.retry_join.is_empty() {
            let join = if self.server_enabled { &mut self.server_join } else { &mut self.client_join };
            join.clone_from(&flags.retry_join);
        }
        if !flags.servers.is_empty() {
            self.client_servers.clone_from(&flags.servers);
        }
        if let Some(class) = &flags.node_class {
            self.client.node_class.clone_from(class);
        }
        for pair in flags.meta.iter().flat_map(|list| list.split(',')) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| refuse("meta")(format!("{pair:?} is not of the form key=value")))?;
            self.client.meta.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        Ok(())
    }

    /// Checks the complete configuration and builds it.
    pub(super) fn finish(mut self) -> Result<AgentConfig, ConfigError> {
        if !self.server_enabled && !self.client_enabled {
            return whole(
                "the agent is neither a server nor a client: enable one of them, or start it with -dev",
            );
        }
        if let Some(unkept) = self.unkept.pop_first() {
            return Err(unkept.1);
        }
        self.check_ports()?;
        let (data_dir, data_dir_is_temporary) = self.data_directory()?;
        let name = self.agent_name()?;
        let mut interfaces = Interfaces::look();
        let mut place =
            |listener: &ListenerDraft| self.place(listener, &mut interfaces).map_err(ConfigError::Whole);
        let (http, rpc, serf) = (place(&self.http)?, place(&self.rpc)?, place(&self.serf)?);
        let listeners = Listeners { http: http.bound, rpc: rpc.bound, serf: serf.bound };
        let advertised = Advertised { http: http.told, rpc: rpc.told, serf: serf.told };
        self.check_exposure(&listeners)?;
        if self.server_enabled
            && self.server.bootstrap_expect.unwrap_or(0) == 0
            && self.server_join.is_empty()
        {
            // Not an error: a server that was in a cluster before finds it by its own data.
            self.warnings.push(
                "the server has neither bootstrap_expect nor retry_join: unless it was part of a cluster before, \
                 it waits until another server is told to join it"
                    .to_owned(),
            );
        }
        if self.server.encrypt.is_none() && self.server.encrypt_verify.is_some() {
            self.warnings
                .push("`server.encrypt_verify` says nothing without a key in `server.encrypt`".to_owned());
        }
        let server = if self.server_enabled { Some(self.server_settings()?) } else { None };
        let client = if self.client_enabled { Some(self.client_settings(&advertised)?) } else { None };
        // Nomad's legacy option for the driver also counts, beside the plugin block.
        if let Some(raw_exec) = self.client.options.get("driver.raw_exec.enable") {
            self.raw_exec_enabled |= matches!(raw_exec.as_str(), "1" | "true");
        }
        Ok(AgentConfig {
            dev: self.dev,
            name,
            region: self.region,
            datacenter: self.datacenter,
            data_dir,
            data_dir_is_temporary,
            listeners,
            advertised,
            own_address: rpc.own,
            missing_address: interfaces.missing,
            http_allowed_hosts: self.http_allowed_hosts,
            http_conns_per_client_max: self.http_conns_per_client_max,
            log_level: self.log_level,
            log_json: self.log_json,
            raw_exec_enabled: self.raw_exec_enabled,
            server,
            client,
            warnings: self.warnings,
        })
    }

    fn check_ports(&self) -> Result<(), ConfigError> {
        let ports = [("http", self.http.port), ("rpc", self.rpc.port), ("serf", self.serf.port)];
        for (index, (name, port)) in ports.iter().enumerate() {
            if let Some((other, _)) = ports[..index].iter().find(|(_, earlier)| earlier == port) {
                return whole(format!("ports.{other} and ports.{name} are both {port}: each needs its own"));
            }
        }
        Ok(())
    }

    fn data_directory(&self) -> Result<(PathBuf, bool), ConfigError> {
        match &self.data_dir {
            Some(data_dir) if data_dir.as_os_str().is_empty() => whole("data_dir is empty"),
            Some(data_dir) => match std::path::absolute(data_dir) {
                Ok(absolute) => Ok((absolute, false)),
                Err(cause) => whole(format!("data_dir {}: {cause}", data_dir.display())),
            },
            None if self.dev => {
                let name = format!("ordu-dev-{}", uuid::Uuid::new_v4());
                Ok((std::env::temp_dir().join(Path::new(&name)), true))
            }
            None => whole(
                "data_dir is not set: the agent needs a directory for its data (data_dir, or -data-dir)",
            ),
        }
    }

    fn agent_name(&self) -> Result<String, ConfigError> {
        match &self.name {
            Some(name) if name.is_empty() || name.contains(char::is_whitespace) => {
                whole(format!("the agent's name {name:?} is not a word without blanks"))
            }
            Some(name) => Ok(name.clone()),
            None => match nix::unistd::gethostname().map(|host| host.into_string()) {
                Ok(Ok(host)) if !host.is_empty() => Ok(host),
                _ => whole("this machine has no name that could be the agent's: set `name`, or -node"),
            },
        }
    }

    /// Resolves the addresses of a port. Others are told the configured address; else the one that is listened
    /// on; if that stands for all of the machine's addresses, the one at which they most likely reach it.
    fn place(&self, listener: &ListenerDraft, interfaces: &mut Interfaces) -> Result<Place, String> {
        let port = listener.port;
        // A node listens on no port, and reports an address at which its machine is reached.
        let own = if self.server_enabled { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let bind_addr = self.configured(listener).map_or_else(|| own.to_string(), str::to_owned);
        let (bound, found) = interfaces.expand(&bind_addr)?;
        let bound: IpAddr = bound.parse().map_err(|_| format!("{bound:?} is not an IP address"))?;
        let (told, own) = match &listener.advertise {
            Some(text) => {
                let (text, found) = interfaces.expand(text)?;
                (HostPort::parse(&text, port)?, found)
            }
            None => {
                let found = match found {
                    None if bound.is_unspecified() && self.server_enabled => {
                        Some(interfaces.reached_at(bound))
                    }
                    // A node listens on no port, so a missing address is not an error.
                    None if bound.is_unspecified() => {
                        Some(interfaces.likely(|_| true).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
                    }
                    found => found,
                };
                (HostPort { host: found.unwrap_or(bound).to_string(), port }, found)
            }
        };
        Ok(Place { bound: SocketAddr::new(bound, port), told, own })
    }

    /// Returns the address to listen on as it is written for this port; `None` if it is the default.
    pub(super) fn configured<'a>(&'a self, listener: &'a ListenerDraft) -> Option<&'a str> {
        listener.bind_addr.as_deref().or(self.bind_addr.as_deref())
    }

    fn hosts(&self, hosts: &[String]) -> Result<Vec<HostPort>, ConfigError> {
        let mut all: Vec<HostPort> = Vec::new();
        for host in hosts {
            let host = HostPort::parse(host, self.rpc.port).map_err(ConfigError::Whole)?;
            if !all.contains(&host) {
                all.push(host);
            }
        }
        Ok(all)
    }

    fn server_settings(&self) -> Result<ServerSettings, ConfigError> {
        let raft = self.server.raft;
        // Missing values are the server's defaults; all of them must fit together.
        let own = ordu_server::options::RaftTiming::default();
        let heartbeat = raft.heartbeat_interval_ms.unwrap_or(own.heartbeat_interval_ms);
        let min = raft.election_timeout_min_ms.unwrap_or(own.election_timeout_min_ms);
        let max = raft.election_timeout_max_ms.unwrap_or(own.election_timeout_max_ms);
        if min >= max {
            return whole(format!(
                "server.raft: election_timeout_min_ms ({min}) has to be below election_timeout_max_ms ({max})"
            ));
        }
        if heartbeat >= min {
            return whole(format!(
                "server.raft: heartbeat_interval_ms ({heartbeat}) has to be below election_timeout_min_ms ({min})"
            ));
        }
        let retry_join = self.hosts(&self.server_join)?;
        let bootstrap_expect = self.server.bootstrap_expect.unwrap_or(0);
        Ok(ServerSettings {
            bootstrap_expect,
            retry_join,
            raft,
            num_schedulers: self.server.num_schedulers,
            min_heartbeat_ttl_ms: self.server.min_heartbeat_ttl_ms,
            heartbeat_grace_ms: self.server.heartbeat_grace_ms,
            clock_skew_limit_ms: self.server.clock_skew_limit_ms,
            sync_limit_ms: self.server.sync_limit_ms,
            feature_level_after_ms: self.server.feature_level_after_ms,
            http_stall_limit_ms: self.server.http_stall_limit_ms,
            disk_free_min_mb: self.server.disk_free_min_mb,
            // As in Nomad, 0 means the default.
            raft_multiplier: self.server.raft_multiplier.unwrap_or(1).max(1),
            encrypt: self.server.encrypt.clone(),
            encrypt_verify: self.server.encrypt_verify.unwrap_or(true),
            autopilot: self.autopilot,
        })
    }

    fn client_settings(&self, advertised: &Advertised) -> Result<ClientSettings, ConfigError> {
        let named: Vec<String> = self.client_servers.iter().chain(&self.client_join).cloned().collect();
        let mut servers = self.hosts(&named)?;
        if servers.is_empty() && self.server_enabled {
            servers.push(advertised.rpc.clone());
        }
        if servers.is_empty() {
            return whole("the client has no servers: name them in client.servers or client.server_join");
        }
        Ok(ClientSettings {
            servers,
            node_class: self.client.node_class.clone(),
            meta: self.client.meta.clone(),
            options: self.client.options.clone(),
            reserved: self.client.reserved,
            cpu_total_compute_mhz: self.client.cpu_total_compute_mhz,
            disk_free_mb: self.client.disk_free_mb,
            memory_total_mb: self.client.memory_total_mb,
            network_interface: self.client.network_interface.clone(),
        })
    }
}

fn whole<T>(text: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Whole(text.into()))
}
