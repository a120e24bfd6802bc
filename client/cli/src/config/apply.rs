//! Applies the contents of a configuration file to the draft, key by key.

use super::address::{HostPort, example, is_address};
use super::draft::{Draft, ListenerDraft};
use super::settings::LogLevel;
use super::{ConfigError, exposure, keys};
use ordu_core::hcl::{self, Attribute, Body, Entry, Value, ValueKind, nearest};
use ordu_server::options::RAFT_MULTIPLIER_MAX;
use ordu_server::trust::Key;
use std::collections::BTreeMap;
use std::path::Path;

/// Minimum time to live of a node's session. Agents accept no shorter one: with three heartbeats in it they
/// would flood their servers and still be considered down most of the time.
const HEARTBEAT_TTL_MS_MIN: u64 = 150;
/// Minimum: clocks are compared over the network, which is no more accurate.
const CLOCK_SKEW_MS_MIN: u64 = 100;
/// Minimum: a healthy but busy disk sometimes takes some hundred milliseconds.
const SYNC_MS_MIN: u64 = 100;
/// Minimum: a client may have a slow connection or be busy for a moment.
const HTTP_STALL_MS_MIN: u64 = 1_000;
/// Minimum: every follower needs the newest entries.
const LOGS_KEPT_AGE_MS_MIN: u64 = 10_000;
/// More than any disk has, megabytes of 2^20 bytes.
const MB_MAX: i64 = 1 << 40;

pub(super) type Outcome = Result<(), hcl::Error>;

/// Applies a file to the draft.
pub(super) fn apply(draft: &mut Draft, path: &Path, body: &Body) -> Result<(), ConfigError> {
    let mut layer = Layer { draft, path };
    layer.agent(body).map_err(|error| place(path, error))
}

/// Adds the file's path to a parser error.
pub(super) fn place(path: &Path, error: hcl::Error) -> ConfigError {
    ConfigError::Place { path: path.to_owned(), line: error.line, column: error.column, text: error.text }
}

pub(super) struct Layer<'a> {
    pub(super) draft: &'a mut Draft,
    pub(super) path: &'a Path,
}

impl Layer<'_> {
    fn agent(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            match entry.key() {
                "data_dir" => self.draft.data_dir = Some(text(entry)?.into()),
                "name" => self.draft.name = Some(text(entry)?),
                "region" => self.draft.region = word(entry)?,
                "datacenter" => self.draft.datacenter = word(entry)?,
                "bind_addr" => self.draft.bind_addr = Some(bind(entry.key(), &attribute(entry)?.value)?),
                "log_level" => self.draft.log_level = log_level(entry)?,
                "log_json" => self.draft.log_json = flag(entry)?,
                "ports" => self.listeners(entry, |draft, key, value| {
                    draft.port = value.to_integer_in(key, 1, 65_535)? as u16;
                    Ok(())
                })?,
                "addresses" => self.listeners(entry, |draft, key, value| {
                    draft.bind_addr = Some(bind(key, value)?);
                    Ok(())
                })?,
                "advertise" => self.listeners(entry, |draft, key, value| {
                    let text = value.to_text(key)?;
                    let as_it_may_be =
                        example(&text).map_err(|fault| hcl::Error::at(value.position, fault))?;
                    host_port(key, &as_it_may_be, value)?;
                    draft.advertise = Some(text);
                    Ok(())
                })?,
                "acl" => sections(entry)?.iter().try_for_each(|body| self.acl(body))?,
                "tls" => sections(entry)?.iter().try_for_each(|body| self.tls(body))?,
                "allow_plaintext" => self.draft.allow_plaintext = flag(entry)?,
                "http_allowed_hosts" => self.draft.http_allowed_hosts = exposure::allowed_hosts(entry)?,
                "limits" => sections(entry)?.iter().try_for_each(|body| self.limits(body))?,
                "autopilot" => sections(entry)?.iter().try_for_each(|body| self.autopilot(body))?,
                "server" => sections(entry)?.iter().try_for_each(|body| self.server(body))?,
                "client" => sections(entry)?.iter().try_for_each(|body| self.client(body))?,
                "plugin" => self.plugins(entry)?,
                _ => {
                    let own = &["allow_plaintext", "http_allowed_hosts", "raft"];
                    self.without_effect("", keys::AGENT, own, entry)?;
                }
            }
        }
        Ok(())
    }

    fn autopilot(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            let autopilot = &mut self.draft.autopilot;
            match entry.key() {
                "cleanup_dead_servers" => autopilot.cleanup_dead_servers = flag(entry)?,
                "last_contact_threshold" => autopilot.last_contact_threshold_ns = nanoseconds(entry)?,
                "max_trailing_logs" => autopilot.max_trailing_logs = integer(entry, 0, i64::MAX)? as u64,
                "min_quorum" => autopilot.min_quorum = integer(entry, 0, i64::MAX)? as u64,
                "server_stabilization_time" => {
                    autopilot.server_stabilization_time_ns = nanoseconds(entry)?;
                }
                key => {
                    // Stored although they have no effect, since the API reports them.
                    match key {
                        "disable_upgrade_migration" => autopilot.disable_upgrade_migration = flag(entry)?,
                        "enable_custom_upgrades" => autopilot.enable_custom_upgrades = flag(entry)?,
                        "enable_redundancy_zones" => autopilot.enable_redundancy_zones = flag(entry)?,
                        _ => {}
                    }
                    self.without_effect("autopilot", keys::AUTOPILOT, &[], entry)?;
                }
            }
        }
        Ok(())
    }

    fn server(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            let server = &mut self.draft.server;
            match entry.key() {
                "enabled" => self.draft.server_enabled = flag(entry)?,
                // More voters than this only slow down writes.
                "bootstrap_expect" => server.bootstrap_expect = Some(integer(entry, 0, 9)? as u32),
                "retry_join" | "start_join" => self.draft.server_join = hosts(entry)?,
                "server_join" => {
                    for body in sections(entry)? {
                        if let Some(hosts) = self.join("server.server_join", &body)? {
                            self.draft.server_join = hosts;
                        }
                    }
                }
                "num_schedulers" => server.num_schedulers = Some(integer(entry, 0, 1024)? as u32),
                "min_heartbeat_ttl" => {
                    server.min_heartbeat_ttl_ms = Some(milliseconds_from(entry, HEARTBEAT_TTL_MS_MIN)?)
                }
                "heartbeat_grace" => server.heartbeat_grace_ms = Some(milliseconds(entry)?),
                "clock_skew_limit" => {
                    server.clock_skew_limit_ms = Some(milliseconds_from(entry, CLOCK_SKEW_MS_MIN)?)
                }
                "sync_limit" => server.sync_limit_ms = Some(milliseconds_from(entry, SYNC_MS_MIN)?),
                "feature_level_after" => server.feature_level_after_ms = Some(milliseconds(entry)?),
                "http_stall_limit" => {
                    server.http_stall_limit_ms = Some(milliseconds_from(entry, HTTP_STALL_MS_MIN)?)
                }
                "disk_free_min_mb" => server.disk_free_min_mb = Some(integer(entry, 1, MB_MAX)? as u64),
                "encrypt" => server.encrypt = Some(key(entry)?),
                "encrypt_verify" => server.encrypt_verify = Some(flag(entry)?),
                "raft_multiplier" => {
                    server.raft_multiplier = Some(integer(entry, 0, i64::from(RAFT_MULTIPLIER_MAX))? as u32)
                }
                "raft" => sections(entry)?.iter().try_for_each(|body| self.raft(body))?,
                _ => {
                    let own = &[
                        "clock_skew_limit",
                        "disk_free_min_mb",
                        "encrypt_verify",
                        "feature_level_after",
                        "http_stall_limit",
                        "raft",
                        "sync_limit",
                    ];
                    self.without_effect("server", keys::SERVER, own, entry)?;
                }
            }
        }
        Ok(())
    }

    fn raft(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            let raft = &mut self.draft.server.raft;
            // Below 10 ms, scheduling delays on a loaded machine already cause elections.
            let milliseconds = |slot: &mut Option<u64>| -> Outcome {
                *slot = Some(integer(entry, 10, 60_000)? as u64);
                Ok(())
            };
            match entry.key() {
                "heartbeat_interval_ms" => milliseconds(&mut raft.heartbeat_interval_ms)?,
                "election_timeout_min_ms" => milliseconds(&mut raft.election_timeout_min_ms)?,
                "election_timeout_max_ms" => milliseconds(&mut raft.election_timeout_max_ms)?,
                "snapshot_logs" => raft.snapshot_logs = Some(integer(entry, 10, 10_000_000)? as u64),
                "snapshot_mb" => raft.snapshot_mb = Some(integer(entry, 1, MB_MAX)? as u64),
                "logs_kept_mb" => raft.logs_kept_mb = Some(integer(entry, 1, MB_MAX)? as u64),
                "logs_kept_age" => {
                    raft.logs_kept_age_ms = Some(milliseconds_from(entry, LOGS_KEPT_AGE_MS_MIN)?)
                }
                "logs_held_mb" => raft.logs_held_mb = Some(integer(entry, 1, MB_MAX)? as u64),
                "logs_kept" => raft.logs_kept = Some(integer(entry, 10, 10_000_000)? as u64),
                _ => self.without_effect("server.raft", keys::RAFT, &[], entry)?,
            }
        }
        Ok(())
    }

    fn client(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            let client = &mut self.draft.client;
            match entry.key() {
                "enabled" => self.draft.client_enabled = flag(entry)?,
                "servers" => self.draft.client_servers = hosts(entry)?,
                "server_join" => {
                    for body in sections(entry)? {
                        if let Some(hosts) = self.join("client.server_join", &body)? {
                            self.draft.client_join = hosts;
                        }
                    }
                }
                "cpu_total_compute" => {
                    client.cpu_total_compute_mhz = Some(integer(entry, 1, i64::from(u32::MAX))? as u64);
                }
                "disk_free_mb" => {
                    client.disk_free_mb = Some(integer(entry, 1, i64::from(u32::MAX))? as u64);
                }
                "memory_total_mb" => {
                    client.memory_total_mb = Some(integer(entry, 1, i64::from(u32::MAX))? as u64);
                }
                "network_interface" => client.network_interface = Some(word(entry)?),
                "node_class" => client.node_class = text(entry)?,
                "meta" => client.meta.extend(texts(entry)?),
                "options" => client.options.extend(texts(entry)?),
                "reserved" => sections(entry)?.iter().try_for_each(|body| self.reserved(body))?,
                _ => self.without_effect("client", keys::CLIENT, &[], entry)?,
            }
        }
        Ok(())
    }

    fn reserved(&mut self, body: &Body) -> Outcome {
        for entry in &body.entries {
            let reserved = &mut self.draft.client.reserved;
            match entry.key() {
                "cpu" => reserved.cpu_mhz = integer(entry, 0, i64::from(u32::MAX))? as u64,
                "memory" => reserved.memory_mb = integer(entry, 0, i64::from(u32::MAX))? as u64,
                "disk" => reserved.disk_mb = integer(entry, 0, i64::from(u32::MAX))? as u64,
                _ => self.without_effect("client.reserved", keys::RESERVED, &[], entry)?,
            }
        }
        Ok(())
    }

    fn join(&mut self, section: &str, body: &Body) -> Result<Option<Vec<String>>, hcl::Error> {
        let mut found: Option<Vec<String>> = None;
        for entry in &body.entries {
            match entry.key() {
                "retry_join" | "start_join" => found.get_or_insert_default().extend(hosts(entry)?),
                _ => self.without_effect(section, keys::SERVER_JOIN, &[], entry)?,
            }
        }
        Ok(found)
    }

    fn listeners(
        &mut self,
        entry: &Entry,
        set: impl Fn(&mut ListenerDraft, &str, &Value) -> Outcome,
    ) -> Outcome {
        for body in sections(entry)? {
            for inner in &body.entries {
                let listener = match inner.key() {
                    "http" => &mut self.draft.http,
                    "rpc" => &mut self.draft.rpc,
                    "serf" => &mut self.draft.serf,
                    _ => return self.without_effect(entry.key(), keys::LISTENERS, &[], inner),
                };
                set(listener, &format!("{}.{}", entry.key(), inner.key()), &attribute(inner)?.value)?;
            }
        }
        Ok(())
    }

    /// Applies `plugin "raw_exec" { … }`, also in JSON's notations.
    fn plugins(&mut self, entry: &Entry) -> Outcome {
        if let Entry::Block(block) = entry {
            return match block.labels.as_slice() {
                [label] => self.plugin(&label.text, &block.body, entry),
                _ => Err(hcl::Error::at(block.position, "a plugin has one name: `plugin \"name\" { … }`")),
            };
        }
        for body in sections(entry)? {
            for named in &body.entries {
                for inner in sections(named)? {
                    self.plugin(named.key(), &inner, named)?;
                }
            }
        }
        Ok(())
    }

    fn plugin(&mut self, name: &str, body: &Body, entry: &Entry) -> Outcome {
        if name != "raw_exec" {
            self.warn(entry, &format!("the plugin {name:?} is not known to Ordu and is not loaded"));
            return Ok(());
        }
        for entry in &body.entries {
            if entry.key() != "config" {
                self.without_effect("plugin.raw_exec", keys::PLUGIN, &[], entry)?;
                continue;
            }
            for config in sections(entry)? {
                for entry in &config.entries {
                    match entry.key() {
                        "enabled" => self.draft.raw_exec_enabled = flag(entry)?,
                        _ => self.without_effect("plugin.raw_exec.config", keys::RAW_EXEC, &[], entry)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Handles a key that Ordu does not read: Nomad's keys are warnings, all others are errors.
    pub(super) fn without_effect(
        &mut self,
        section: &str,
        nomads: &[&str],
        own: &[&str],
        entry: &Entry,
    ) -> Outcome {
        let key = entry.key();
        let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        if nomads.contains(&key) {
            self.warn(entry, &format!("`{full}` is a key of Nomad's that has no effect in Ordu"));
            return Ok(());
        }
        let hint = match nearest(key, nomads.iter().chain(own).copied()) {
            Some(near) => format!("; is `{near}` meant?"),
            None => String::new(),
        };
        let text = format!("`{full}` is a key that neither Ordu nor Nomad knows{hint}");
        Err(hcl::Error::at(entry.position(), text))
    }

    fn warn(&mut self, entry: &Entry, text: &str) {
        let line = entry.position().line;
        self.draft.warnings.push(format!("{}:{line}: {text}", self.path.display()));
    }
}

/// Returns the bodies in an entry: of a block, an object, or a list of objects.
fn sections(entry: &Entry) -> Result<Vec<Body>, hcl::Error> {
    let refuse = |position| hcl::Error::at(position, format!("`{0}` is a block: `{0} {{ … }}`", entry.key()));
    match entry {
        Entry::Block(block) => match block.labels.first() {
            Some(label) => {
                let text = format!("the block `{}` has no name behind it", block.kind);
                Err(hcl::Error::at(label.position, text))
            }
            None => Ok(vec![block.body.clone()]),
        },
        Entry::Attribute(Attribute { value, .. }) => match &value.kind {
            ValueKind::List(items) => {
                items.iter().map(|item| item.as_body().ok_or_else(|| refuse(item.position))).collect()
            }
            _ => Ok(vec![value.as_body().ok_or_else(|| refuse(value.position))?]),
        },
    }
}

pub(super) fn attribute(entry: &Entry) -> Result<&Attribute, hcl::Error> {
    match entry {
        Entry::Attribute(attribute) => Ok(attribute),
        Entry::Block(block) => {
            let text = format!("`{0}` is not a block; it is set with `{0} = …`", block.kind);
            Err(hcl::Error::at(block.position, text))
        }
    }
}

fn text(entry: &Entry) -> Result<String, hcl::Error> {
    attribute(entry)?.value.to_text(entry.key())
}

/// Reads a text that is not empty and has no white space.
fn word(entry: &Entry) -> Result<String, hcl::Error> {
    let value = &attribute(entry)?.value;
    let text = value.to_text(entry.key())?;
    if text.is_empty() || text.contains(char::is_whitespace) {
        let text = format!("`{}` has to be a word without blanks, and is {text:?}", entry.key());
        return Err(hcl::Error::at(value.position, text));
    }
    Ok(text)
}

pub(super) fn flag(entry: &Entry) -> Result<bool, hcl::Error> {
    attribute(entry)?.value.to_flag(entry.key())
}

pub(super) fn integer(entry: &Entry, least: i64, most: i64) -> Result<i64, hcl::Error> {
    attribute(entry)?.value.to_integer_in(entry.key(), least, most)
}

fn nanoseconds(entry: &Entry) -> Result<i64, hcl::Error> {
    let value = &attribute(entry)?.value;
    let nanoseconds = value.to_duration_ns(entry.key())?;
    if nanoseconds < 0 {
        return Err(hcl::Error::at(value.position, format!("`{}` cannot be negative", entry.key())));
    }
    Ok(nanoseconds)
}

fn milliseconds(entry: &Entry) -> Result<u64, hcl::Error> {
    Ok(nanoseconds(entry)?.unsigned_abs() / 1_000_000)
}

fn milliseconds_from(entry: &Entry, least: u64) -> Result<u64, hcl::Error> {
    let milliseconds = milliseconds(entry)?;
    if milliseconds < least {
        let text = format!("`{}` has to be at least {least}ms, and is {milliseconds}ms", entry.key());
        return Err(hcl::Error::at(attribute(entry)?.value.position, text));
    }
    Ok(milliseconds)
}

fn texts(entry: &Entry) -> Result<BTreeMap<String, String>, hcl::Error> {
    let mut all = BTreeMap::new();
    for body in sections(entry)? {
        for entry in &body.entries {
            all.insert(entry.key().to_owned(), text(entry)?);
        }
    }
    Ok(all)
}

fn log_level(entry: &Entry) -> Result<LogLevel, hcl::Error> {
    let value = &attribute(entry)?.value;
    let text = value.to_text(entry.key())?;
    parse_log_level(&text).map_err(|fault| hcl::Error::at(value.position, format!("`log_level`: {fault}")))
}

/// Parses a level by Nomad's names, ignoring case.
pub(super) fn parse_log_level(text: &str) -> Result<LogLevel, String> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok(LogLevel::Trace),
        "debug" => Ok(LogLevel::Debug),
        "info" => Ok(LogLevel::Info),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "err" | "error" => Ok(LogLevel::Error),
        _ => Err(format!("{text:?} is none of trace, debug, info, warn and error")),
    }
}

/// Reads an IP address or a template for one; the template is kept.
fn bind(key: &str, value: &Value) -> Result<String, hcl::Error> {
    let text = value.to_text(key)?;
    let refuse = |fault| hcl::Error::at(value.position, fault);
    match is_address(&text).map_err(refuse)? {
        true => Ok(text),
        false => Err(refuse(format!("`{key}` has to be an IP address, and is {text:?}"))),
    }
}

/// Reads a key. Errors do not show the key's text.
fn key(entry: &Entry) -> Result<Key, hcl::Error> {
    let value = &attribute(entry)?.value;
    let key = Key::parse(&value.to_text(entry.key())?);
    key.map_err(|fault| hcl::Error::at(value.position, format!("`{}`: {fault}", entry.key())))
}

fn host_port(key: &str, text: &str, value: &Value) -> Outcome {
    match HostPort::parse(text, 1) {
        Ok(_) => Ok(()),
        Err(fault) => Err(hcl::Error::at(value.position, format!("`{key}`: {fault}"))),
    }
}

/// Reads and checks a list of hosts. Their default port is known only after all files are read.
fn hosts(entry: &Entry) -> Result<Vec<String>, hcl::Error> {
    let value = &attribute(entry)?.value;
    let hosts = value.to_texts(entry.key())?;
    hosts.iter().try_for_each(|host| host_port(entry.key(), host, value))?;
    Ok(hosts)
}
