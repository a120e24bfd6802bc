//! The cluster's feature level, and the level that each server supports.

use ordu_core::job::Span;
use ordu_proto::server::{FeatureLevelsReply, ServerLevel};
use schemars::JsonSchema;
use serde::Serialize;

/// The cluster's feature level, and the level that each server supports. Durations are in Go's notation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FeatureLevels {
    /// The cluster's level. Features of a higher level are refused.
    level: u32,
    /// The highest level that any server supports.
    highest: u32,
    /// Names of the servers that do not support that level, as far as the leader knows.
    held_back_by: Vec<String>,
    /// How long every server has supported more than the cluster's level; null if some do not.
    known_for: Option<String>,
    /// How long that must last before the leader raises the level.
    raised_after: String,
    servers: Vec<ReleaseOfServer>,
}

/// A server's release, as the server reported it last.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ReleaseOfServer {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    address: String,
    /// The highest feature level that it supports; 0 if the leader has not heard from it.
    level: u32,
    /// Ordu's version.
    release: String,
}

impl FeatureLevels {
    pub(crate) fn of(told: FeatureLevelsReply) -> Self {
        let FeatureLevelsReply { level, servers, known_for_ms, raised_after_ms } = told;
        let highest = servers.iter().map(|server| server.level).max().unwrap_or(0).max(level);
        let behind = servers.iter().filter(|server| server.level < highest);
        Self {
            level,
            highest,
            held_back_by: behind.map(|server| server.name.clone()).collect(),
            known_for: known_for_ms.map(span),
            raised_after: span(raised_after_ms),
            servers: servers.into_iter().map(ReleaseOfServer::of).collect(),
        }
    }
}

impl ReleaseOfServer {
    fn of(told: ServerLevel) -> Self {
        Self {
            id: told.id.to_string(),
            name: told.name,
            address: told.rpc_addr,
            level: told.level,
            release: told.release,
        }
    }
}

fn span(ms: u64) -> String {
    Span(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)).to_string()
}

/// The feature level that the cluster has.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RaisedLevel {
    pub(crate) level: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_told_with_those_who_hold_them_back() {
        let server = |id: u64, level| ServerLevel {
            id,
            name: format!("s{id}.global"),
            rpc_addr: format!("10.0.0.{id}:4647"),
            level,
            release: "0.1.0".to_owned(),
        };
        let told = FeatureLevelsReply {
            level: 1,
            servers: vec![server(1, 2), server(2, 1), server(3, 0)],
            known_for_ms: None,
            raised_after_ms: 600_000,
        };
        let row = |id: u64, level: u32| {
            serde_json::json!({"ID": id.to_string(), "Name": format!("s{id}.global"),
                "Address": format!("10.0.0.{id}:4647"), "Level": level, "Release": "0.1.0"})
        };
        let expected = serde_json::json!({
            "Level": 1, "Highest": 2, "HeldBackBy": ["s2.global", "s3.global"], "KnownFor": null,
            "RaisedAfter": "10m0s", "Servers": [row(1, 2), row(2, 1), row(3, 0)],
        });
        assert_eq!(expected, serde_json::to_value(FeatureLevels::of(told)).unwrap());
        let told =
            FeatureLevelsReply { known_for_ms: Some(1_500), level: 3, ..FeatureLevelsReply::default() };
        let told = serde_json::to_value(FeatureLevels::of(told)).unwrap();
        assert_eq!(
            (&serde_json::json!("1.5s"), &serde_json::json!(3)),
            (&told["KnownFor"], &told["Highest"])
        );
    }
}
