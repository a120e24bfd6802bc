//! Reload by SIGHUP: reads the configuration again and applies what can change in a running agent.

use ordu_server::limits::{Limits, LimitsInForce};
use tracing_subscriber::EnvFilter;

use crate::config::{self, AgentConfig, ClientSettings, LogLevel, ServerSettings, Sources};

/// Replaces the log filter.
pub(crate) type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send>;

/// Environment variable whose filter overrides the configured log level.
const FILTER_VARIABLE: &str = "ORDU_LOG";

/// Returns the log filter of a level. Libraries log only errors, unless the level is `trace`.
pub(crate) fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| {
        let level = level.as_str();
        let libraries = if level == "trace" { "debug" } else { "error" };
        EnvFilter::new(format!(
            "{level},openraft={libraries},h2={libraries},hyper={libraries},tonic={libraries},tower={libraries}"
        ))
    })
}

/// The configuration in force, and the sources to read it again from.
pub(crate) struct Reload {
    sources: Sources,
    config: AgentConfig,
    set_filter: Option<SetFilter>,
    /// The server's limits in force, if there is a server.
    limits: LimitsInForce,
}

impl Reload {
    pub(crate) fn new(
        sources: Sources,
        config: AgentConfig,
        set_filter: Option<SetFilter>,
        limits: LimitsInForce,
    ) -> Self {
        Self { sources, config, set_filter, limits }
    }

    /// Reads the configuration again, applies the changes that are possible, and logs those that need a
    /// restart. An invalid configuration changes nothing.
    pub(crate) fn read_again(&mut self) {
        let next = match config::load(&self.sources) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!("told to read the configuration again, and nothing has changed: {error}");
                return;
            }
        };
        if let Some(missing) = &next.missing_address {
            tracing::error!("told to read the configuration again, and nothing has changed: {missing}");
            return;
        }
        for warning in &next.warnings {
            tracing::warn!("{warning}");
        }
        let (level, before) = (next.log_level, self.config.log_level);
        let mut changed = Vec::new();
        if level != before && std::env::var_os(FILTER_VARIABLE).is_some() {
            changed.push(format!("log_level stays as {FILTER_VARIABLE} in the environment says"));
        } else if level != before {
            changed.push(from_to("log_level", before.as_str(), level.as_str()));
        }
        if let (Some(_), Some(next)) = (&self.config.server, &next.server) {
            changed.extend(changes_of_limits(self.limits.get(), next.limits()));
            self.limits.set(next.limits());
        }
        let changed = match changed.is_empty() {
            true => "nothing has changed that can change now".to_owned(),
            false => changed.join(", "),
        };
        // Settings that need a restart are reported at every reload until then.
        let waiting = needing_a_restart(&self.config, &next).join(", ");
        let tell = || match waiting.as_str() {
            "" => tracing::info!("the configuration was read again: {changed}"),
            waiting => {
                tracing::warn!(
                    "the configuration was read again: {changed}; a restart is needed for {waiting}"
                );
            }
        };
        // Logged while the more verbose of the two levels is in force.
        let is_less = level > before;
        if is_less {
            tell();
        }
        self.set_level(level);
        if !is_less {
            tell();
        }
    }

    fn set_level(&mut self, level: LogLevel) {
        // The filter does not change if the environment sets it.
        let set = self.set_filter.as_ref().map_or(Ok(()), |set_filter| set_filter(filter(level)));
        match set {
            Ok(()) => self.config.log_level = level,
            Err(error) => tracing::error!("the log level could not be changed: {error}"),
        }
    }
}

fn from_to(name: &str, before: &str, now: &str) -> String {
    format!("{name} is {now} from now on (it was {before})")
}

/// Describes which limits change.
fn changes_of_limits(before: Limits, now: Limits) -> Vec<String> {
    let megabytes = |limits: Limits| {
        limits.disk_free_bytes_min.map_or_else(|| "not set".to_owned(), |it| (it >> 20).to_string())
    };
    let all = [
        ("server.clock_skew_limit", [before, now].map(|it| format!("{:?}", it.clock_skew_max))),
        ("server.sync_limit", [before, now].map(|it| format!("{:?}", it.sync_time_max))),
        ("server.http_stall_limit", [before, now].map(|it| format!("{:?}", it.http_stall_max))),
        ("server.disk_free_min_mb", [before, now].map(megabytes)),
    ];
    let differing = all.iter().filter(|(_, [before, now])| before != now);
    differing.map(|(name, [before, now])| from_to(name, before, now)).collect()
}

/// Returns the names of the changed settings that need a restart.
fn needing_a_restart(now: &AgentConfig, next: &AgentConfig) -> Vec<&'static str> {
    // A development agent uses a new directory each time.
    let same_data = now.data_dir == next.data_dir || now.data_dir_is_temporary && next.data_dir_is_temporary;
    let mut all = vec![
        ("name", now.name == next.name),
        ("region", now.region == next.region),
        ("datacenter", now.datacenter == next.datacenter),
        ("data_dir", same_data),
        ("bind_addr, addresses and ports", now.listeners == next.listeners),
        ("advertise", now.advertised == next.advertised),
        ("http_allowed_hosts", now.http_allowed_hosts == next.http_allowed_hosts),
        ("limits.http_max_conns_per_client", now.http_conns_per_client_max == next.http_conns_per_client_max),
        ("log_json", now.log_json == next.log_json),
        ("raw_exec", now.raw_exec_enabled == next.raw_exec_enabled),
    ];
    match (&now.server, &next.server) {
        (Some(now), Some(next)) => all.extend(of_server(now, next)),
        (now, next) => all.push(("server", now.is_some() == next.is_some())),
    }
    match (&now.client, &next.client) {
        (Some(now), Some(next)) => all.extend(of_client(now, next)),
        (now, next) => all.push(("client", now.is_some() == next.is_some())),
    }
    all.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

/// Without autopilot's settings, which only matter when a cluster is formed.
fn of_server(now: &ServerSettings, next: &ServerSettings) -> [(&'static str, bool); 10] {
    [
        ("server.bootstrap_expect", now.bootstrap_expect == next.bootstrap_expect),
        ("server.retry_join", now.retry_join == next.retry_join),
        ("server.raft", now.raft == next.raft),
        ("server.raft_multiplier", now.raft_multiplier == next.raft_multiplier),
        ("server.num_schedulers", now.num_schedulers == next.num_schedulers),
        ("server.min_heartbeat_ttl", now.min_heartbeat_ttl_ms == next.min_heartbeat_ttl_ms),
        ("server.heartbeat_grace", now.heartbeat_grace_ms == next.heartbeat_grace_ms),
        ("server.feature_level_after", now.feature_level_after_ms == next.feature_level_after_ms),
        ("server.encrypt", now.encrypt == next.encrypt),
        ("server.encrypt_verify", now.encrypt_verify == next.encrypt_verify),
    ]
}

fn of_client(now: &ClientSettings, next: &ClientSettings) -> [(&'static str, bool); 9] {
    [
        ("client.servers", now.servers == next.servers),
        ("client.node_class", now.node_class == next.node_class),
        ("client.meta", now.meta == next.meta),
        ("client.options", now.options == next.options),
        ("client.reserved", now.reserved == next.reserved),
        ("client.cpu_total_compute", now.cpu_total_compute_mhz == next.cpu_total_compute_mhz),
        ("client.disk_free_mb", now.disk_free_mb == next.disk_free_mb),
        ("client.memory_total_mb", now.memory_total_mb == next.memory_total_mb),
        ("client.network_interface", now.network_interface == next.network_interface),
    ]
}
