//! Valid and invalid configuration files, and how files, flags and defaults override each other.

use super::{AgentConfig, ConfigError, HostPort, LogLevel, Overrides, Sources, load};
use ordu_proto::state::AutopilotConfig;
use ordu_server::trust::Key;
use std::path::Path;

fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub(super) fn load_text(name: &str, text: &str) -> Result<AgentConfig, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    load(&Sources { paths: vec![write(directory.path(), name, text)], ..Sources::default() })
}

fn host(text: &str) -> HostPort {
    HostPort::parse(text, 4647).unwrap()
}

const SERVER: &str = r#"
# A server of three
data_dir   = "/var/lib/ordu"
name       = "s1"
region     = "eu"
datacenter = "fra"
bind_addr  = "10.0.0.1"
allow_plaintext = true
log_level  = "WARN"
log_json   = true
advertise {
  http = "10.0.0.1"
  rpc  = "s1.example:5647"
}
ports { http = 5646 rpc = 5647 serf = 5648 }
addresses { http = "127.0.0.1" }
server {
  enabled          = true
  bootstrap_expect = 3
  num_schedulers   = 2
  heartbeat_grace  = "1500ms"
  clock_skew_limit = "2s"
  sync_limit = "1s"
  feature_level_after = "1h"
  http_stall_limit = "20s"
  disk_free_min_mb = 512
  raft_multiplier  = 3
  encrypt          = "MDEyMzQ1Njc4OWFiY2RlZg=="
  encrypt_verify   = false
  server_join {
    retry_join     = ["s2", "s3.example:9000", "[fe80::1]:9"]
    retry_interval = "5s"
  }
  raft {
    heartbeat_interval_ms   = 50
    election_timeout_min_ms = 200
    election_timeout_max_ms = 400
    snapshot_mb             = 64
    logs_kept_mb            = 32
    logs_kept_age           = "10m"
    logs_held_mb            = 1024
  }
}
telemetry { publish_allocation_metrics = true }
"#;

#[test]
fn a_server_is_read_from_nomads_keys() {
    let config = load_text("s1.hcl", SERVER).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/ordu"));
    assert_eq!(
        (config.name.as_str(), config.region.as_str(), config.datacenter.as_str()),
        ("s1", "eu", "fra")
    );
    assert_eq!((config.log_level, config.log_json, config.dev), (LogLevel::Warn, true, false));
    assert_eq!(config.listeners.http, "127.0.0.1:5646".parse().unwrap());
    assert_eq!(config.listeners.rpc, "10.0.0.1:5647".parse().unwrap());
    assert_eq!(config.listeners.serf, "10.0.0.1:5648".parse().unwrap());
    assert_eq!(config.advertised.http.to_string(), "10.0.0.1:5646");
    assert_eq!(config.advertised.rpc.to_string(), "s1.example:5647");
    assert_eq!(config.advertised.serf.to_string(), "10.0.0.1:5648");
    let server = config.server.unwrap();
    assert_eq!((server.bootstrap_expect, server.num_schedulers), (3, Some(2)));
    assert_eq!((server.heartbeat_grace_ms, server.min_heartbeat_ttl_ms), (Some(1500), None));
    assert_eq!(server.clock_skew_limit_ms, Some(2000));
    assert_eq!(Some(3_600_000), server.feature_level_after_ms);
    assert_eq!((server.sync_limit_ms, server.http_stall_limit_ms), (Some(1000), Some(20_000)));
    assert_eq!(
        server.retry_join.iter().map(HostPort::to_string).collect::<Vec<_>>(),
        ["s2:5647", "s3.example:9000", "[fe80::1]:9"]
    );
    assert_eq!(server.raft.heartbeat_interval_ms, Some(50));
    assert_eq!(server.raft.election_timeout_max_ms, Some(400));
    assert_eq!((server.raft.snapshot_mb, server.raft.logs_kept_mb), (Some(64), Some(32)));
    assert_eq!((server.raft.logs_kept_age_ms, server.raft.logs_held_mb), (Some(600_000), Some(1024)));
    assert_eq!((server.raft_multiplier, server.disk_free_min_mb), (3, Some(512)));
    assert_eq!(server.encrypt, Key::parse("MDEyMzQ1Njc4OWFiY2RlZg==").ok());
    assert!(server.encrypt.is_some() && !server.encrypt_verify);
    assert_eq!((config.own_address, config.missing_address), (None, None));
    assert_eq!(config.client, None);
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    assert!(
        config.warnings[0].contains("s1.hcl:32: `server.server_join.retry_interval`"),
        "{:?}",
        config.warnings
    );
    assert!(config.warnings[1].contains("s1.hcl:44: `telemetry`"), "{:?}", config.warnings);
}

#[test]
fn a_node_is_read_from_hcl_and_json_alike() {
    let hcl = r#"
data_dir = "/tmp/x"
client {
  enabled = true
  servers = ["127.0.0.1:7001", "127.0.0.1:7002"]
  server_join { retry_join = ["127.0.0.1:7002", "10.0.0.9"] }
  node_class = "gpu"
  meta { rack = "r1", "ssd.size" = 5 }
  options = { "user.denylist" = "root" }
  reserved { cpu = 100 memory = 64 disk = 10 }
  cpu_total_compute = 3000
  memory_total_mb = 2000
  disk_free_mb = 9000
  network_interface = "lo"
}
plugin "raw_exec" { config { enabled = true } }
plugin "docker" { config { anything = true } }
"#;
    let json = r#"{
  "data_dir": "/tmp/x",
  "client": {
    "enabled": true,
    "servers": ["127.0.0.1:7001", "127.0.0.1:7002"],
    "server_join": {"retry_join": ["127.0.0.1:7002", "10.0.0.9"]},
    "node_class": "gpu",
    "meta": [{"rack": "r1"}, {"ssd.size": 5}],
    "options": {"user.denylist": "root"},
    "reserved": [{"cpu": 100, "memory": 64, "disk": 10}],
    "cpu_total_compute": 3000,
    "memory_total_mb": 2000,
    "disk_free_mb": 9000,
    "network_interface": "lo"
  },
  "plugin": [{"raw_exec": {"config": {"enabled": true}}}, {"docker": [{"config": {}}]}]
}"#;
    for (name, text) in [("n.hcl", hcl), ("n.json", json), ("n", json), ("n.conf", hcl)] {
        let config = load_text(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(config.raw_exec_enabled && config.server.is_none(), "{name}");
        let client = config.client.unwrap();
        assert_eq!(client.servers, [host("127.0.0.1:7001"), host("127.0.0.1:7002"), host("10.0.0.9:4647")]);
        assert_eq!(client.node_class, "gpu");
        assert_eq!(client.meta.get("rack").map(String::as_str), Some("r1"));
        assert_eq!(client.meta.get("ssd.size").map(String::as_str), Some("5"));
        assert_eq!(client.options.len(), 1);
        let reserved = client.reserved;
        assert_eq!(
            (client.cpu_total_compute_mhz, client.memory_total_mb, client.disk_free_mb),
            (Some(3000), Some(2000), Some(9000))
        );
        assert_eq!(client.network_interface.as_deref(), Some("lo"));
        assert_eq!((reserved.cpu_mhz, reserved.memory_mb, reserved.disk_mb), (100, 64, 10));
        assert_eq!(config.warnings.len(), 1, "{name}: {:?}", config.warnings);
        assert!(config.warnings[0].contains("\"docker\""), "{name}: {:?}", config.warnings);
    }
}

#[test]
fn autopilot_has_nomads_keys_and_nomads_defaults() {
    let text =
        |block: &str| format!("data_dir = \"/x\" server {{ enabled = true bootstrap_expect = 1 }} {block}");
    let autopilot = |block: &str| {
        let config = load_text("a.hcl", &text(block)).unwrap();
        (config.server.unwrap().autopilot, config.warnings)
    };
    let default = ordu_core::autopilot::DEFAULT;
    assert_eq!((default, vec![]), autopilot(""));
    assert_eq!((default, vec![]), autopilot("autopilot {}"));
    let (set, warnings) = autopilot(
        r#"autopilot {
            cleanup_dead_servers = false
            last_contact_threshold = "1.5s"
            max_trailing_logs = 500
            min_quorum = 3
            server_stabilization_time = "1m"
            enable_redundancy_zones = true
        }"#,
    );
    let expected = AutopilotConfig {
        cleanup_dead_servers: false,
        last_contact_threshold_ns: 1_500_000_000,
        max_trailing_logs: 500,
        min_quorum: 3,
        server_stabilization_time_ns: 60_000_000_000,
        enable_redundancy_zones: true,
        ..default
    };
    assert_eq!(expected, set);
    assert_eq!(1, warnings.len(), "{warnings:?}");
    assert!(warnings[0].contains("`autopilot.enable_redundancy_zones`"), "{warnings:?}");
}

#[test]
fn the_option_of_old_turns_raw_exec_on() {
    let text = r#"data_dir = "/x" client { enabled = true servers = ["a"] options { "driver.raw_exec.enable" = "1" } }"#;
    assert!(load_text("a.hcl", text).unwrap().raw_exec_enabled);
}

#[test]
fn dev_needs_no_file() {
    let sources = Sources { dev: true, ..Sources::default() };
    let (one, other) = (load(&sources).unwrap(), load(&sources).unwrap());
    assert!(one.data_dir_is_temporary && one.data_dir.starts_with(std::env::temp_dir()));
    assert_ne!(one.data_dir, other.data_dir);
    assert!(!one.data_dir.exists());
    assert!(one.raw_exec_enabled && one.dev && !one.name.is_empty());
    assert_eq!(one.listeners.http, "127.0.0.1:4646".parse().unwrap());
    assert_eq!(one.advertised.rpc, host("127.0.0.1:4647"));
    let server = one.server.unwrap();
    assert_eq!((server.bootstrap_expect, server.retry_join.len()), (1, 0));
    assert_eq!(one.client.unwrap().servers, [host("127.0.0.1:4647")]);
    assert_eq!(one.warnings, Vec::<String>::new());
}

#[test]
fn later_files_override_earlier_ones_and_flags_override_both() {
    let directory = tempfile::tempdir().unwrap();
    let first = write(
        directory.path(),
        "first.hcl",
        r#"name = "a" data_dir = "/a" ports { http = 1001 rpc = 1002 }"#,
    );
    let inside = directory.path().join("conf.d");
    std::fs::create_dir(&inside).unwrap();
    write(&inside, "20.hcl", r#"name = "c" server { retry_join = ["c"] }"#);
    write(&inside, "10.json", r#"{"name": "b", "server": {"enabled": true, "retry_join": ["a", "b"]}}"#);
    write(&inside, "30.hcl.bak", "not read at all {");
    let mut sources = Sources { paths: vec![first, inside], ..Sources::default() };
    let config = load(&sources).unwrap();
    assert_eq!(
        (config.name.as_str(), config.listeners.rpc.port(), config.listeners.serf.port()),
        ("c", 1002, 4648)
    );
    assert_eq!(config.server.unwrap().retry_join, [host("c:1002")]);
    sources.overrides = Overrides {
        data_dir: Some("/flag".into()),
        bind_addr: Some("127.0.0.9".to_owned()),
        name: Some("flag".to_owned()),
        region: Some("r".to_owned()),
        datacenter: Some("d".to_owned()),
        log_level: Some("trace".to_owned()),
        bootstrap_expect: Some(5),
        retry_join: vec!["x:1".to_owned()],
        client: true,
        node_class: Some("k".to_owned()),
        meta: vec!["a=1,b=2".to_owned(), "c=x=y".to_owned()],
        ..Overrides::default()
    };
    let config = load(&sources).unwrap();
    assert_eq!(
        (config.name.as_str(), config.region.as_str(), config.datacenter.as_str()),
        ("flag", "r", "d")
    );
    assert_eq!((config.data_dir.as_path(), config.log_level), (Path::new("/flag"), LogLevel::Trace));
    assert_eq!(config.listeners.http, "127.0.0.9:1001".parse().unwrap());
    let server = config.server.unwrap();
    assert_eq!((server.bootstrap_expect, server.retry_join), (5, vec![host("x:1")]));
    let client = config.client.unwrap();
    assert_eq!(client.servers, [host("127.0.0.9:1002")]);
    assert_eq!((client.node_class.as_str(), client.meta.len(), client.meta["c"].as_str()), ("k", 3, "x=y"));
}

#[test]
fn faults_are_named_with_file_line_and_key() {
    let cases = [
        (
            "a.hcl",
            "data_dir = \"/x\"\nnonsense = 1",
            "a.hcl:2:1: `nonsense` is a key that neither Ordu nor Nomad knows",
        ),
        (
            "a.hcl",
            "datadir = \"/x\"",
            "a.hcl:1:1: `datadir` is a key that neither Ordu nor Nomad knows; is `data_dir` meant?",
        ),
        (
            "a.hcl",
            "server {\n  bootstrap_expct = 3\n}",
            "a.hcl:2:3: `server.bootstrap_expct` is a key that neither Ordu nor Nomad knows; is `bootstrap_expect` meant?",
        ),
        (
            "a.hcl",
            "server {\n bootstrap_expect = \"three\"\n}",
            "a.hcl:2:21: `bootstrap_expect` has to be a whole number, and is \"three\"",
        ),
        (
            "a.hcl",
            "server {\n bootstrap_expect = -1\n}",
            "a.hcl:2:21: `bootstrap_expect` has to be between 0 and 9, and is -1",
        ),
        (
            "a.hcl",
            "server { enabled = \"maybe\" }",
            "a.hcl:1:20: `enabled` has to be true or false, and is \"maybe\"",
        ),
        ("a.hcl", "server = 1", "a.hcl:1:10: `server` is a block: `server { … }`"),
        ("a.hcl", "server \"x\" {}", "a.hcl:1:8: the block `server` has no name behind it"),
        ("a.hcl", "name {}", "a.hcl:1:1: `name` is not a block; it is set with `name = …`"),
        (
            "a.hcl",
            "region = \"two words\"",
            "a.hcl:1:10: `region` has to be a word without blanks, and is \"two words\"",
        ),
        (
            "a.hcl",
            "bind_addr = \"example.org\"",
            "a.hcl:1:13: `bind_addr` has to be an IP address, and is \"example.org\"",
        ),
        (
            "a.hcl",
            "bind_addr = \"{{ GetEverything }}\"",
            "a.hcl:1:13: the template {{ GetEverything }} is not known; write the address itself",
        ),
        ("a.hcl", "ports {\n http = 0\n}", "a.hcl:2:9: `ports.http` has to be between 1 and 65535, and is 0"),
        (
            "a.hcl",
            "ports {\n https = 1\n}",
            "a.hcl:2:2: `ports.https` is a key that neither Ordu nor Nomad knows; is `http` meant?",
        ),
        (
            "a.hcl",
            "advertise { rpc = \"a b\" }",
            "a.hcl:1:19: `advertise.rpc`: \"a b\" is not a host with or without a port",
        ),
        ("a.hcl", "server { retry_join = [\"a:0\"] }", "a.hcl:1:23: `retry_join`: \"0\" is not a port"),
        (
            "a.hcl",
            "server { retry_join = [\"provider=aws x=y\"] }",
            "a.hcl:1:23: `retry_join`: finding servers through a cloud provider is not supported; name their addresses",
        ),
        (
            "a.hcl",
            "server { heartbeat_grace = \"soon\" }",
            "a.hcl:1:28: `heartbeat_grace` has to be a duration like \"30s\" or \"1h30m\", and is \"soon\"",
        ),
        (
            "a.hcl",
            "server { min_heartbeat_ttl = \"0s\" }",
            "a.hcl:1:30: `min_heartbeat_ttl` has to be at least 150ms, and is 0ms",
        ),
        (
            "a.hcl",
            "server { clock_skew_limit = \"1ms\" }",
            "a.hcl:1:29: `clock_skew_limit` has to be at least 100ms, and is 1ms",
        ),
        ("a.hcl", "server { heartbeat_grace = \"-1s\" }", "a.hcl:1:28: `heartbeat_grace` cannot be negative"),
        (
            "a.hcl",
            "server { raft { heartbeat_interval_ms = 1 } }",
            "a.hcl:1:41: `heartbeat_interval_ms` has to be between 10 and 60000, and is 1",
        ),
        (
            "a.hcl",
            "server { raft { heartbeat_ms = 50 } }",
            "a.hcl:1:17: `server.raft.heartbeat_ms` is a key that neither Ordu nor Nomad knows",
        ),
        (
            "a.hcl",
            "autopilot { server_stabilization_time = \"-1s\" }",
            "a.hcl:1:41: `server_stabilization_time` cannot be negative",
        ),
        (
            "a.hcl",
            "autopilot { min_quorm = 3 }",
            "a.hcl:1:13: `autopilot.min_quorm` is a key that neither Ordu nor Nomad knows; is `min_quorum` meant?",
        ),
        (
            "a.hcl",
            "log_level = \"loud\"",
            "a.hcl:1:13: `log_level`: \"loud\" is none of trace, debug, info, warn and error",
        ),
        (
            "a.hcl",
            "plugin \"raw_exec\" { config { enabld = true } }",
            "a.hcl:1:30: `plugin.raw_exec.config.enabld` is a key that neither Ordu nor Nomad knows; is `enabled` meant?",
        ),
        ("a.hcl", "client { meta { a = [1] } }", "a.hcl:1:21: `a` has to be a string, and is a list"),
        ("a.hcl", "server {", "a.hcl:1:8: this `{` is never closed: `}` is missing"),
        (
            "a.json",
            "{\n \"nonsense\": 1\n}",
            "a.json:2:2: `nonsense` is a key that neither Ordu nor Nomad knows",
        ),
        (
            "a.json",
            "{\n \"server\": {\n  \"enabled\": 7\n }\n}",
            "a.json:3:14: `enabled` has to be true or false, and is 7",
        ),
        (
            "a.hcl",
            "server { encrypt = \"secret\" }",
            "a.hcl:1:20: `encrypt`: this is no base64: a key is base64 of 16, 24 or 32 bytes; `ordu operator gossip \
             keyring generate` makes one",
        ),
        (
            "a.hcl",
            "server { encrypt = \"c2VjcmV0\" }",
            "a.hcl:1:20: `encrypt`: invalid key size: a key is base64 of 16, 24 or 32 bytes; `ordu operator gossip \
             keyring generate` makes one, and this is one of 6",
        ),
        (
            "a.hcl",
            "server { encrypt_verfy = true }",
            "a.hcl:1:10: `server.encrypt_verfy` is a key that neither Ordu nor Nomad knows; is `encrypt_verify` meant?",
        ),
        (
            "a.hcl",
            "data_dir = \"/x\"",
            "the agent is neither a server nor a client: enable one of them, or start it with -dev",
        ),
        (
            "a.hcl",
            "server { enabled = true }",
            "data_dir is not set: the agent needs a directory for its data (data_dir, or -data-dir)",
        ),
        ("a.hcl", "data_dir = \"\" server { enabled = true }", "data_dir is empty"),
        (
            "a.hcl",
            "data_dir = \"/x\" client { enabled = true }",
            "the client has no servers: name them in client.servers or client.server_join",
        ),
        (
            "a.hcl",
            "ports { http = 1 rpc = 1 } server { enabled = true }",
            "ports.http and ports.rpc are both 1: each needs its own",
        ),
        (
            "a.hcl",
            "name = \"a b\" data_dir = \"/x\" server { enabled = true }",
            "the agent's name \"a b\" is not a word without blanks",
        ),
        (
            "a.hcl",
            "data_dir = \"/x\" server { enabled = true raft { election_timeout_min_ms = 300 election_timeout_max_ms = 200 } }",
            "server.raft: election_timeout_min_ms (300) has to be below election_timeout_max_ms (200)",
        ),
        (
            "a.hcl",
            "data_dir = \"/x\" server { enabled = true raft { heartbeat_interval_ms = 300 election_timeout_min_ms = 200 } }",
            "server.raft: heartbeat_interval_ms (300) has to be below election_timeout_min_ms (200)",
        ),
        (
            "a.hcl",
            "data_dir = \"/x\" server { enabled = true raft { heartbeat_interval_ms = 200 } }",
            "server.raft: heartbeat_interval_ms (200) has to be below election_timeout_min_ms (150)",
        ),
    ];
    for (name, text, wanted) in cases {
        let error = load_text(name, text).err().unwrap_or_else(|| panic!("{text:?} was taken")).to_string();
        assert!(error.ends_with(wanted), "{text:?}: {error}");
    }
}

#[test]
fn faults_outside_of_files_are_named_too() {
    let directory = tempfile::tempdir().unwrap();
    let missing = load(&Sources { paths: vec![directory.path().join("none.hcl")], ..Sources::default() });
    assert!(missing.unwrap_err().to_string().contains("none.hcl"));
    std::fs::write(directory.path().join("bytes.hcl"), [0xff, 0xfe]).unwrap();
    let no_text = load(&Sources { paths: vec![directory.path().join("bytes.hcl")], ..Sources::default() });
    assert!(no_text.unwrap_err().to_string().contains("bytes.hcl"));
    let flagged = |overrides: Overrides| load(&Sources { dev: true, overrides, ..Sources::default() });
    let cases = [
        (Overrides { bind_addr: Some("x".to_owned()), ..Overrides::default() }, "the flag -bind"),
        (Overrides { region: Some(String::new()), ..Overrides::default() }, "the flag -region"),
        (Overrides { log_level: Some("loud".to_owned()), ..Overrides::default() }, "the flag -log-level"),
        (Overrides { retry_join: vec!["a:b".to_owned()], ..Overrides::default() }, "the flag -retry-join"),
        (Overrides { servers: vec![String::new()], ..Overrides::default() }, "the flag -servers"),
        (Overrides { meta: vec!["a".to_owned()], ..Overrides::default() }, "the flag -meta"),
    ];
    for (overrides, wanted) in cases {
        let error = flagged(overrides).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[test]
fn a_server_that_nobody_will_find_is_warned_of() {
    let config = load_text("a.hcl", "data_dir = \"/x\" server { enabled = true }").unwrap();
    assert!(config.warnings[0].contains("neither bootstrap_expect nor retry_join"), "{:?}", config.warnings);
    let config = load_text(
        "a.hcl",
        "data_dir = \"/x\" server { enabled = true bootstrap_expect = 1 encrypt_verify = true }",
    );
    assert!(config.unwrap().warnings[0].contains("says nothing without a key"));
}

#[test]
fn an_interface_without_an_address_is_waited_for_and_is_no_fault() {
    let text = "data_dir = \"/x\" bind_addr = \"{{ GetInterfaceIP \\\"none0\\\" }}\" allow_plaintext = true server { enabled = true }";
    let config = load_text("a.hcl", text).unwrap();
    assert_eq!(config.missing_address.as_deref(), Some("the interface \"none0\" has no address"));
}

#[test]
fn a_key_is_not_printed_with_the_configuration() {
    let config = load_text("s1.hcl", SERVER).unwrap();
    let printed = format!("{config:?}");
    assert!(printed.contains("Key(…)") && !printed.contains("MDEyMzQ1"), "{printed}");
}

#[test]
fn hosts_are_read_with_and_without_ports() {
    let cases = [
        ("a", Some("a:7")),
        ("a.b-c_d:80", Some("a.b-c_d:80")),
        ("10.0.0.1", Some("10.0.0.1:7")),
        ("::1", Some("[::1]:7")),
        ("[::1]", Some("[::1]:7")),
        ("[::1]:80", Some("[::1]:80")),
        ("", None),
        (":80", None),
        ("a:", None),
        ("a:99999", None),
        ("[::1", None),
        ("[::1]x", None),
        ("[x]:1", None),
        ("http://a", None),
        ("a/b", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(HostPort::parse(text, 7).ok().map(|host| host.to_string()).as_deref(), wanted, "{text:?}");
    }
}

#[test]
fn the_tables_of_keys_are_in_order() {
    for table in [
        super::keys::AGENT,
        super::keys::SERVER,
        super::keys::CLIENT,
        super::keys::RAW_EXEC,
        super::keys::ACL,
        super::keys::TLS,
        super::keys::LIMITS,
    ] {
        assert!(table.is_sorted(), "{table:?}");
    }
}
