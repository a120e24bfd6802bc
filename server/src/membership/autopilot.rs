//! A leader's care for the membership: who has been well for a while votes, who has gone before that is forgotten.
//!
//! Whatever reaches the port may ask to join. Were it a voter at once, three that go again would leave a cluster of three
//! without a quorum.

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

/// How often the members are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The configuration in force: the cluster's, or what this server was told at its start where the cluster has none.
pub(crate) fn config(state: &State, options: &ServerOptions) -> Result<AutopilotConfig, Corrupt> {
    Ok(state.read(read::autopilot)?.unwrap_or(options.autopilot))
}

/// How the servers are, by this server's word, which leads.
pub(crate) fn health(context: &Context) -> Result<Vec<ServerHealth>, Corrupt> {
    Ok(look(context, &config(&context.state, &context.options)?))
}

fn look(context: &Context, config: &AutopilotConfig) -> Vec<ServerHealth> {
    context.health.look(&context.cluster, &context.options.raft, config, crate::clock::now_ns())
}

/// Looks after the members for as long as this server runs, while it leads.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { cluster, changes, .. } = &context;
    // Learners that are well, each with since when; and why one does not vote for all that.
    let mut well: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut told: BTreeMap<u64, String> = BTreeMap::new();
    loop {
        sleep(LOOK_INTERVAL).await;
        if !cluster.is_leader() {
            // Another one looks, and begins anew.
            well.clear();
            context.health.clear();
            continue;
        }
        // A fault of the disk ends this server where it arises.
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

/// Whether a server answers this leader and has the log: a voter without it would hold up every write.
fn is_well(cluster: &Cluster, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
    let member_since = metrics.membership_config.log_id().as_ref().map_or(0, |id| id.index);
    let last = metrics.last_log_index.unwrap_or_default();
    let needed = member_since.max(last.saturating_sub(VOTER_LAG_ENTRIES_MAX));
    let has = replicated(metrics, id).flatten();
    has.is_some_and(|has| has >= needed) && cluster.answers(metrics, id)
}
