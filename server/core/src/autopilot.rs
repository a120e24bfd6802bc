//! Configuration of autopilot, which supervises the servers of the cluster: defaults and decoding.

use std::fmt;

use ordu_proto::state::AutopilotConfig;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::hcl::parse_duration_ns;
use crate::job::decode;

/// Nomad's defaults, except for settings that have no effect in Ordu.
pub const DEFAULT: AutopilotConfig = AutopilotConfig {
    cleanup_dead_servers: true,
    last_contact_threshold_ns: 200_000_000,
    max_trailing_logs: 250,
    min_quorum: 0,
    server_stabilization_time_ns: 10_000_000_000,
    enable_redundancy_zones: false,
    disable_upgrade_migration: false,
    enable_custom_upgrades: false,
    create_index: 0,
    modify_index: 0,
};

/// Body of the request that sets the configuration of autopilot. Absent members take their defaults.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotConfigRequest {
    cleanup_dead_servers: Option<bool>,
    last_contact_threshold: Option<SpanOfTime>,
    max_trailing_logs: Option<u64>,
    min_quorum: Option<u64>,
    server_stabilization_time: Option<SpanOfTime>,
    enable_redundancy_zones: Option<bool>,
    disable_upgrade_migration: Option<bool>,
    enable_custom_upgrades: Option<bool>,
}

/// Decodes the body that sets the configuration. Indexes in the body are ignored.
///
/// # Errors
/// Describes the fault in the body, in Nomad's words where Nomad has an equivalent error.
pub fn decode_config(body: &[u8]) -> Result<AutopilotConfig, String> {
    let it: AutopilotConfigRequest =
        decode::from_slice(body).map_err(|fault| format!("Error parsing autopilot config: {fault}"))?;
    let span = |said: Option<SpanOfTime>, default| said.map_or(default, |SpanOfTime(ns)| ns);
    Ok(AutopilotConfig {
        cleanup_dead_servers: it.cleanup_dead_servers.unwrap_or(DEFAULT.cleanup_dead_servers),
        last_contact_threshold_ns: span(it.last_contact_threshold, DEFAULT.last_contact_threshold_ns),
        max_trailing_logs: it.max_trailing_logs.unwrap_or(DEFAULT.max_trailing_logs),
        min_quorum: it.min_quorum.unwrap_or(DEFAULT.min_quorum),
        server_stabilization_time_ns: span(
            it.server_stabilization_time,
            DEFAULT.server_stabilization_time_ns,
        ),
        enable_redundancy_zones: it.enable_redundancy_zones.unwrap_or_default(),
        disable_upgrade_migration: it.disable_upgrade_migration.unwrap_or_default(),
        enable_custom_upgrades: it.enable_custom_upgrades.unwrap_or_default(),
        ..DEFAULT
    })
}

/// Non-negative duration in nanoseconds, decoded from a Go duration string (empty for zero) or a number of nanoseconds.
struct SpanOfTime(i64);

impl<'de> Deserialize<'de> for SpanOfTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = SpanOfTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time like \"10s\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SpanOfTime, E> {
                if text.is_empty() {
                    return Ok(SpanOfTime(0));
                }
                let ns = parse_duration_ns(text).filter(|ns| *ns >= 0);
                ns.map(SpanOfTime).ok_or_else(|| E::custom(format!("time: invalid duration {text:?}")))
            }

            fn visit_u64<E: Error>(self, ns: u64) -> Result<SpanOfTime, E> {
                let ns = i64::try_from(ns);
                ns.map(SpanOfTime).map_err(|_| E::custom("a span of time of more than 292 years"))
            }

            fn visit_i64<E: Error>(self, ns: i64) -> Result<SpanOfTime, E> {
                let ns = u64::try_from(ns).map_err(|_| E::custom("a span of time is not negative"))?;
                self.visit_u64(ns)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for SpanOfTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SpanOfTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_does_not_say_is_as_by_default_whatever_its_spelling() {
        for body in ["{}", "null", r#"{"LastContactThreshold": null, "ModifyIndex": 7, "Unknown": [1]}"#] {
            assert_eq!(Ok(DEFAULT), decode_config(body.as_bytes()), "{body}");
        }
        let all = r#"{"cleanupdeadservers": false, "LastContactThreshold": "1m0.5s", "MaxTrailingLogs": 3, "MinQuorum": 4,
            "ServerStabilizationTime": 7000, "EnableRedundancyZones": true, "DisableUpgradeMigration": true,
            "EnableCustomUpgrades": true, "CreateIndex": 5, "ModifyIndex": 6}"#;
        let expected = AutopilotConfig {
            cleanup_dead_servers: false,
            last_contact_threshold_ns: 60_500_000_000,
            max_trailing_logs: 3,
            min_quorum: 4,
            server_stabilization_time_ns: 7_000,
            enable_redundancy_zones: true,
            disable_upgrade_migration: true,
            enable_custom_upgrades: true,
            ..AutopilotConfig::default()
        };
        assert_eq!(Ok(expected), decode_config(all.as_bytes()));
    }

    #[test]
    fn what_is_no_configuration_is_refused_in_words() {
        for (body, words) in [
            ("{", "unexpected EOF"),
            ("", "unexpected EOF"),
            (r#"{"ServerStabilizationTime": "soon"}"#, "time: invalid duration \"soon\""),
            (r#"{"ServerStabilizationTime": "-1s"}"#, "time: invalid duration \"-1s\""),
            (r#"{"LastContactThreshold": -1}"#, "not negative"),
            (r#"{"LastContactThreshold": true}"#, "LastContactThreshold"),
            (r#"{"MinQuorum": -1}"#, "MinQuorum"),
            (r#"{"CleanupDeadServers": "yes"}"#, "CleanupDeadServers"),
        ] {
            let told = decode_config(body.as_bytes()).unwrap_err();
            assert!(
                told.starts_with("Error parsing autopilot config: ") && told.contains(words),
                "{body}: {told}"
            );
        }
    }
}
