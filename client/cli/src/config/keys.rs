//! The keys of Nomad's configuration files, by section. A listed key that Ordu does not read is a warning, so
//! that files written for Nomad work unchanged; a key that is not listed is an error.

/// The top level of a file.
pub(super) const AGENT: &[&str] = &[
    "acl",
    "addresses",
    "advertise",
    "audit",
    "autopilot",
    "bind_addr",
    "client",
    "consul",
    "data_dir",
    "datacenter",
    "disable_anonymous_signature",
    "disable_update_check",
    "enable_debug",
    "enable_syslog",
    "eventlog",
    "http_api_response_headers",
    "keyring",
    "leave_on_interrupt",
    "leave_on_terminate",
    "limits",
    "log_file",
    "log_include_location",
    "log_json",
    "log_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "name",
    "plugin",
    "plugin_dir",
    "ports",
    "region",
    "reporting",
    "rpc",
    "sentinel",
    "server",
    "syslog_facility",
    "telemetry",
    "tls",
    "ui",
    "vault",
];

/// `acl`.
pub(super) const ACL: &[&str] = &[
    "enabled",
    "policy_ttl",
    "replication_token",
    "role_ttl",
    "token_max_expiration_ttl",
    "token_min_expiration_ttl",
    "token_ttl",
];

/// `tls`.
pub(super) const TLS: &[&str] = &[
    "ca_file",
    "cert_file",
    "http",
    "key_file",
    "rpc",
    "rpc_upgrade_mode",
    "tls_cipher_suites",
    "tls_min_version",
    "tls_prefer_server_cipher_suites",
    "verify_https_client",
    "verify_server_hostname",
];

/// `limits`.
pub(super) const LIMITS: &[&str] = &[
    "http_max_conns_per_client",
    "https_handshake_timeout",
    "rpc_handshake_timeout",
    "rpc_max_conns_per_client",
];

/// `autopilot`.
pub(super) const AUTOPILOT: &[&str] = &[
    "cleanup_dead_servers",
    "disable_upgrade_migration",
    "enable_custom_upgrades",
    "enable_redundancy_zones",
    "last_contact_threshold",
    "max_trailing_logs",
    "min_quorum",
    "server_stabilization_time",
];

/// `ports`, `addresses` and `advertise`.
pub(super) const LISTENERS: &[&str] = &["http", "rpc", "serf"];

/// `server`.
pub(super) const SERVER: &[&str] = &[
    "acl_token_gc_threshold",
    "authoritative_region",
    "batch_eval_gc_threshold",
    "bootstrap_expect",
    "client_introduction",
    "csi_plugin_gc_threshold",
    "csi_volume_claim_gc_interval",
    "csi_volume_claim_gc_threshold",
    "data_dir",
    "default_scheduler_config",
    "deployment_gc_threshold",
    "deployment_query_rate_limit",
    "enable_event_broker",
    "enabled",
    "enabled_schedulers",
    "encrypt",
    "eval_gc_threshold",
    "event_buffer_size",
    "failover_heartbeat_ttl",
    "heartbeat_grace",
    "job_default_priority",
    "job_gc_interval",
    "job_gc_threshold",
    "job_max_count",
    "job_max_priority",
    "job_max_source_size",
    "job_tracked_versions",
    "license_env",
    "license_path",
    "max_heartbeats_per_second",
    "min_heartbeat_ttl",
    "node_gc_threshold",
    "non_voting_server",
    "num_schedulers",
    "oidc_issuer",
    "plan_rejection_tracker",
    "protocol_version",
    "raft_boltdb",
    "raft_logstore",
    "raft_multiplier",
    "raft_protocol",
    "raft_snapshot_interval",
    "raft_snapshot_threshold",
    "raft_trailing_logs",
    "redundancy_zone",
    "rejoin_after_leave",
    "retry_interval",
    "retry_join",
    "retry_max",
    "root_key_gc_interval",
    "root_key_gc_threshold",
    "root_key_rotation_threshold",
    "search",
    "server_join",
    "start_join",
    "start_timeout",
    "upgrade_version",
];

/// `server_join`, in `server` and `client`.
pub(super) const SERVER_JOIN: &[&str] = &["retry_interval", "retry_join", "retry_max", "start_join"];

/// `raft` in `server`: Ordu's own keys.
pub(super) const RAFT: &[&str] = &[
    "election_timeout_max_ms",
    "election_timeout_min_ms",
    "heartbeat_interval_ms",
    "logs_held_mb",
    "logs_kept",
    "logs_kept_age",
    "logs_kept_mb",
    "snapshot_logs",
    "snapshot_mb",
];

/// `client`.
pub(super) const CLIENT: &[&str] = &[
    "alloc_dir",
    "alloc_mounts_dir",
    "artifact",
    "bridge_network_hairpin_mode",
    "bridge_network_name",
    "bridge_network_subnet",
    "bridge_network_subnet_ipv6",
    "cgroup_parent",
    "chroot_env",
    "cni_config_dir",
    "cni_path",
    "cpu_disable_dmidecode",
    "cpu_total_compute",
    "disable_remote_exec",
    "disk_free_mb",
    "disk_total_mb",
    "drain_on_shutdown",
    "enabled",
    "fingerprint",
    "gc_disk_usage_threshold",
    "gc_inode_usage_threshold",
    "gc_interval",
    "gc_max_allocs",
    "gc_parallel_destroys",
    "gc_volumes_on_node_gc",
    "host_network",
    "host_volume",
    "host_volume_plugin_dir",
    "host_volumes_dir",
    "max_dynamic_port",
    "max_kill_timeout",
    "memory_total_mb",
    "meta",
    "min_dynamic_port",
    "network_interface",
    "network_speed",
    "no_host_uuid",
    "node_class",
    "node_max_allocs",
    "node_pool",
    "nomad_service_discovery",
    "options",
    "preferred_address_family",
    "reservable_cores",
    "reserved",
    "server_join",
    "servers",
    "state_dir",
    "stats",
    "template",
    "users",
];

/// `reserved` in `client`.
pub(super) const RESERVED: &[&str] = &["cores", "cpu", "disk", "iops", "memory", "reserved_ports"];

/// `plugin "…"`.
pub(super) const PLUGIN: &[&str] = &["args", "config"];

/// `config` in `plugin "raw_exec"`.
pub(super) const RAW_EXEC: &[&str] =
    &["denied_envvars", "denied_host_gids", "denied_host_uids", "enabled", "no_cgroups"];
