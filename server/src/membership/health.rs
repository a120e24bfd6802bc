//! Servers' health as seen by the leader: whether each answers and is up to date, and since when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::metrics::RaftMetrics;
use ordu_proto::server::ServerHealth;
use ordu_proto::state::AutopilotConfig;
use ordu_store::codec::log_id_to_pb;
use ordu_store::types::TypeConfig;

use crate::cluster::{Cluster, Member, answered_ago};
use crate::options::{RAFT_MULTIPLIER_MAX, RaftTiming};

/// Since when servers are healthy or unhealthy, as seen by this leader. A cheap handle.
#[derive(Clone, Default)]
pub struct HealthRecord(Arc<Mutex<BTreeMap<u64, Seen>>>);

/// A server's last state, and since when, in nanoseconds since 1970.
struct Seen {
    healthy: bool,
    since_ns: i64,
}

impl HealthRecord {
    /// Checks all servers as their leader, and returns their health.
    pub(super) fn look(
        &self,
        cluster: &Cluster,
        timing: &RaftTiming,
        config: &AutopilotConfig,
        now_ns: i64,
    ) -> Vec<ServerHealth> {
        let metrics = cluster.metrics();
        let members = cluster.members_of(&metrics);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|id, _| members.iter().any(|member| member.id == *id));
        let look = |member: Member| {
            let mut health = health_of(&metrics, timing, config, member);
            let now = Seen { healthy: health.healthy, since_ns: now_ns };
            let before = seen.get(&health.id).filter(|before| before.healthy == health.healthy);
            health.stable_since_ns = before.map_or(now_ns, |before| before.since_ns);
            if before.is_none() {
                seen.insert(health.id, now);
            }
            health
        };
        members.into_iter().map(look).collect()
    }

    /// Clears the record; another leader starts its own.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Returns a server's health, without `stable_since_ns`.
fn health_of(
    metrics: &RaftMetrics<TypeConfig>,
    timing: &RaftTiming,
    config: &AutopilotConfig,
    member: Member,
) -> ServerHealth {
    let (term, last_index) = (metrics.vote.leader_id.term, metrics.last_log_index.unwrap_or_default());
    let is_leader = member.id == metrics.id;
    let (last_contact, last_term, has) = if is_leader {
        (Some(Duration::ZERO), term, last_index)
    } else {
        let replicated = metrics.replication.as_ref().and_then(|all| all.get(&member.id)?.as_ref());
        let has = replicated.map(log_id_to_pb).unwrap_or_default();
        (answered_ago(metrics, member.id), has.term, has.index)
    };
    let is_in_touch = member.alive && last_contact.is_some_and(|ago| ago <= contact_max(timing, config));
    let has_the_log = last_term == term && has.saturating_add(config.max_trailing_logs) >= last_index;
    ServerHealth {
        id: member.id,
        name: member.server.name,
        rpc_addr: member.server.rpc_addr,
        alive: member.alive,
        leader: is_leader,
        voter: member.voter,
        last_contact_ns: last_contact.map(|ago| u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)),
        last_term,
        last_index: has,
        healthy: is_in_touch && has_the_log,
        stable_since_ns: 0,
    }
}

/// Returns how old a healthy server's last answer may be. The configured threshold is for servers in one
/// rack, so it is scaled; one heartbeat interval is added, in which nothing may be sent.
fn contact_max(timing: &RaftTiming, config: &AutopilotConfig) -> Duration {
    let threshold = Duration::from_nanos(config.last_contact_threshold_ns.max(0).unsigned_abs());
    timing.scaled(threshold, RAFT_MULTIPLIER_MAX) + Duration::from_millis(timing.heartbeat_interval_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_grows_with_raft_s_times() {
        let config = ordu_core::autopilot::DEFAULT;
        let near = RaftTiming::default();
        assert_eq!(Duration::from_millis(200 + 50), contact_max(&near, &config));
        let far = RaftTiming { multiplier: 10, heartbeat_interval_ms: 500, ..near };
        assert_eq!(Duration::from_millis(2_000 + 500), contact_max(&far, &config));
        for (threshold_ns, most) in [(0, 50), (-1, 50), (i64::MIN, 50)] {
            let config = AutopilotConfig { last_contact_threshold_ns: threshold_ns, ..config };
            assert_eq!(Duration::from_millis(most), contact_max(&near, &config));
        }
        let longest = AutopilotConfig { last_contact_threshold_ns: i64::MAX, ..config };
        assert!(contact_max(&far, &longest) > Duration::from_secs(1_000_000_000));
    }
}
