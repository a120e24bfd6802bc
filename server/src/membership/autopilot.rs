//! Maintains the membership as the leader: promotes learners that have been healthy for a while, and removes
//! learners that have failed.
//!
//! New servers join as learners because anything that reaches the port may ask to join. If it became a voter
//! at once, three such servers that disappear again would cost a cluster of three its quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::metrics::RaftMetrics;
use ordu_core::limits::VOTER_LAG_ENTRIES_MAX;
use ordu_core::state::{Corrupt, read};
use ordu_proto::server::ServerHealth;
use ordu_proto::state::AutopilotConfig;
use ordu_store::state_machine::State;
use ordu_store::types::TypeConfig;
use tokio::time::{Instant, sleep};

use super::changes::replicated;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::options::ServerOptions;

/// Interval between checks of the members.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Returns the configuration in force: the cluster's, or this server's start options if the cluster has none.
pub(crate) fn config(state: &State, options: &ServerOptions) -> Result<AutopilotConfig, Corrupt> {
    Ok(state.read(read::autopilot)?.unwrap_or(options.autopilot))
}

/// Returns the servers' health as seen by this leader.
pub(crate) fn health(context: &Context) -> Result<Vec<ServerHealth>, Corrupt> {
    Ok(look(context, &config(&context.state, &context.options)?))
}

fn look(context: &Context, config: &AutopilotConfig) -> Vec<ServerHealth> {
    context.health.look(&context.cluster, &context.options.raft, config, crate::clock::now_ns())
}

/// Maintains the membership whenever this server leads.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { cluster, changes, .. } = &context;
    // Healthy learners, each with the start of its healthy time; and the last reported reason why a learner
    // cannot vote.
    let mut well: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut told: BTreeMap<u64, String> = BTreeMap::new();
    loop {
        sleep(LOOK_INTERVAL).await;
        if !cluster.is_leader() {
            // Another server leads and starts its own records.
            well.clear();
            context.health.clear();
            continue;
        }
        // Skip the round: a disk fault ends this server where it is detected.
        let Ok(config) = config(&context.state, &context.options) else { continue };
        look(&context, &config);
        let stabilization = Duration::from_nanos(config.server_stabilization_time_ns.max(0).unsigned_abs());
        let metrics = cluster.metrics();
        let mut learners = cluster.members_of(&metrics);
        learners.retain(|member| !member.voter);
        told.retain(|id, _| learners.iter().any(|learner| learner.id == *id));
        well.retain(|id, _| learners.iter().any(|learner| learner.id == *id));
        for learner in learners {
            let id = learner.id;
            if !is_well(cluster, &metrics, id) {
                well.remove(&id);
                if cluster.has_failed(&metrics, &learner)
                    && let Err(status) = changes.forget(id).await
                {
                    tracing::debug!(name = learner.server.name, "not forgotten yet: {}", status.message());
                }
                continue;
            }
            if well.entry(id).or_insert_with(Instant::now).elapsed() < stabilization {
                continue;
            }
            if let Err(status) = changes.promote(id, &config).await
                && told.get(&id).is_none_or(|told| told != status.message())
            {
                tracing::warn!(name = learner.server.name, "a server cannot vote yet: {}", status.message());
                told.insert(id, status.message().to_owned());
            }
        }
    }
}

/// Whether a server answers this leader and is up to date. Promoting one that is not would hold up every
/// write.
fn is_well(cluster: &Cluster, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
    let member_since = metrics.membership_config.log_id().as_ref().map_or(0, |id| id.index);
    let last = metrics.last_log_index.unwrap_or_default();
    let needed = member_since.max(last.saturating_sub(VOTER_LAG_ENTRIES_MAX));
    let has = replicated(metrics, id).flatten();
    has.is_some_and(|has| has >= needed) && cluster.answers(metrics, id)
}
