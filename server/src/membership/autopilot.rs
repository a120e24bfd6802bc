//! A leader's care for the membership: who has been well for a while votes, who has gone before that is forgotten.
//!
//! Whatever reaches the port may ask to join. Were it a voter at once, three that go again would leave a cluster of three
//! without a quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::metrics::RaftMetrics;
use ordu_core::limits::VOTER_LAG_ENTRIES_MAX;
use ordu_store::types::TypeConfig;
use tokio::time::{Instant, sleep};

use super::changes::{Changes, replicated};
use crate::cluster::Cluster;

/// How often the members are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// A server votes once it has been well for so long without a break, as Nomad's `server_stabilization_time` has it.
pub(super) const SERVER_STABILIZATION_TIME: Duration = Duration::from_secs(10);

/// Looks after the members for as long as this server runs, while it leads.
pub(crate) async fn keep(cluster: Cluster, changes: Changes) -> Result<(), String> {
    // Learners that are well, each with since when; and why one does not vote for all that.
    let mut well: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut told: BTreeMap<u64, String> = BTreeMap::new();
    loop {
        sleep(LOOK_INTERVAL).await;
        if !cluster.is_leader() {
            // Another one looks, and begins anew.
            well.clear();
            continue;
        }
        let metrics = cluster.metrics();
        let mut learners = cluster.members_of(&metrics);
        learners.retain(|member| !member.voter);
        told.retain(|id, _| learners.iter().any(|learner| learner.id == *id));
        well.retain(|id, _| learners.iter().any(|learner| learner.id == *id));
        for learner in learners {
            let id = learner.id;
            if !is_well(&cluster, &metrics, id) {
                well.remove(&id);
                if cluster.has_failed(&metrics, &learner)
                    && let Err(status) = changes.forget(id).await
                {
                    tracing::debug!(name = learner.server.name, "not forgotten yet: {}", status.message());
                }
                continue;
            }
            if well.entry(id).or_insert_with(Instant::now).elapsed() < SERVER_STABILIZATION_TIME {
                continue;
            }
            if let Err(status) = changes.promote(id).await
                && told.get(&id).is_none_or(|told| told != status.message())
            {
                tracing::warn!(name = learner.server.name, "a server cannot vote yet: {}", status.message());
                told.insert(id, status.message().to_owned());
            }
        }
    }
}

/// Whether a server answers this leader and has the log: a voter without it would hold up every write.
fn is_well(cluster: &Cluster, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
    let member_since = metrics.membership_config.log_id().as_ref().map_or(0, |id| id.index);
    let last = metrics.last_log_index.unwrap_or_default();
    let needed = member_since.max(last.saturating_sub(VOTER_LAG_ENTRIES_MAX));
    let has = replicated(metrics, id).flatten();
    has.is_some_and(|has| has >= needed) && cluster.answers(metrics, id)
}
