//! The members' configuration files, with Nomad's keys.

use std::fmt::Write;
use std::path::Path;

/// The parts of a member's configuration that differ between members.
pub(super) struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its data directory.
    pub data_dir: &'a Path,
    /// Ports of HTTP, RPC and gossip.
    pub ports: [u16; 3],
    /// The advertised RPC port.
    pub advertised_rpc: u16,
    /// RPC addresses of all servers.
    pub servers: &'a [String],
}

/// Returns a server's configuration; `extra` is added to its `server` block.
pub(super) fn server(member: &Member<'_>, extra: &str) -> String {
    let mut text = common(member);
    let _ = write!(
        text,
        r#"
server {{
  enabled          = true
  bootstrap_expect = {count}
  server_join {{
    retry_join = [{join}]
  }}
  {extra}
}}
"#,
        // `bootstrap_expect` is at most 9; further servers may still join.
        count = member.servers.len().min(9),
        join = quoted(member.servers),
    );
    text
}

/// Returns the configuration of a server that knows no other servers, unless `extra`, which is added to its `server`
/// block, names some. It does not set advertised addresses.
pub(super) fn lone_server(
    name: &str,
    data_dir: &Path,
    bind_addr: &str,
    [http, rpc, serf]: [u16; 3],
    extra: &str,
) -> String {
    format!(
        r#"name      = "{name}"
data_dir  = "{data_dir}"
bind_addr = "{bind_addr}"
# Says so for addresses other than loopback.
allow_plaintext = true

ports {{
  http = {http}
  rpc  = {rpc}
  serf = {serf}
}}

server {{
  enabled = true
  {extra}
}}
"#,
        data_dir = data_dir.display(),
    )
}

/// Returns a node's configuration; `extra` is added to its `client` block.
pub(super) fn node(member: &Member<'_>, extra: &str) -> String {
    let mut text = common(member);
    let _ = write!(
        text,
        r#"
client {{
  enabled = true
  servers = [{servers}]
  {extra}
}}

plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
"#,
        servers = quoted(member.servers),
    );
    text
}

fn common(member: &Member<'_>) -> String {
    let [http, rpc, serf] = member.ports;
    format!(
        r#"name       = "{name}"
region     = "global"
datacenter = "dc1"
data_dir   = "{data_dir}"
bind_addr  = "127.0.0.1"
log_level  = "{log_level}"

ports {{
  http = {http}
  rpc  = {rpc}
  serf = {serf}
}}

advertise {{
  http = "127.0.0.1:{http}"
  rpc  = "127.0.0.1:{advertised_rpc}"
  serf = "127.0.0.1:{serf}"
}}
"#,
        name = member.name,
        data_dir = member.data_dir.display(),
        advertised_rpc = member.advertised_rpc,
        log_level = std::env::var("ORDU_TEST_LOG_LEVEL").unwrap_or_else(|_| "INFO".into()),
    )
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}
