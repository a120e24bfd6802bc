//! The agent's main function: opens the data directory, resumes the allocations in it, and keeps a session with a
//! server until shutdown.

use std::sync::Arc;
use std::time::Duration;

use ordu_proto::node::Hello;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::alloc::runner::NodeContext;
use crate::alloc::store::Store;
use crate::alloc::table::TableHandle;
use crate::environment::NodeFacts;
use crate::error::Error;
use crate::fingerprint;
use crate::identity::DataDir;
use crate::limits::{RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN, REFUSED_PAUSE, SESSION_GOOD};
use crate::options::AgentOptions;
use crate::reports::Reports;
use crate::servers::ServerList;
use crate::session::{self, End, SessionContext};
use crate::standing::Standing;
use crate::supervisor::connection::SupervisorPlace;
use crate::supervisor::handle::SupervisorHandle;

/// Runs a node agent until `shutdown`. Tasks keep running afterwards, unless the options say to stop them. Fails
/// only during startup: if the data directory is in use or unreadable, or no server is configured.
pub async fn run(options: AgentOptions, shutdown: CancellationToken) -> Result<(), Error> {
    if options.servers.is_empty() {
        return Err(Error::NoServers);
    }
    let data = DataDir::open(&options.data_dir).await?;
    let identity = data.identity()?;
    let node = fingerprint::node(&options, &identity, &data.allocs());
    tracing::info!("node {:?} ({}) in datacenter {:?} starts", node.name, identity.id, node.datacenter);
    let place = data.supervisor();
    let supervisor = SupervisorHandle::begin(SupervisorPlace {
        program: options.supervisor_program.clone(),
        version: options.revision.clone(),
        socket: place.join("socket"),
        log: place.join("log"),
        state: place,
    });
    options.stats.send_modify(|stats| {
        stats.node_id = identity.id.to_string();
        stats.known_servers.clone_from(&options.servers);
    });
    let reports = Arc::new(Reports::default());
    let context = NodeContext {
        facts: NodeFacts::new(&node, identity.id.to_string(), &options.region),
        raw_exec_enabled: options.raw_exec_enabled,
        supervisor: supervisor.clone(),
        reports: Arc::clone(&reports),
        store: Store::new(data.alloc_states()),
        allocs_directory: data.allocs(),
    };
    let table = TableHandle::begin(Arc::new(context), options.stats.clone())
        .map_err(Error::io("read", &data.alloc_states()))?;
    supervisor.connected().await;
    let secret_id = identity.secret.to_string();
    let fingerprint = {
        let (options, alloc_dir, supervisor) = (options.clone(), data.allocs(), supervisor.clone());
        move || {
            let mut node = fingerprint::node(&options, &identity, &alloc_dir);
            supervisor.standing().describe(&mut node);
            node
        }
    };
    let session = SessionContext {
        hello: Hello { node: Some(fingerprint()), secret_id, acted_on_index: 0 },
        fingerprint: Box::new(fingerprint),
        supervisor: supervisor.standings(),
        reports,
        table: table.clone(),
        servers: ServerList::new(options.servers.clone()),
        standing: options.standing.clone(),
        stats: options.stats.clone(),
        lagging: None,
    };
    options.standing.send_replace(Standing::Alone);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep_session(session) => {}
    }
    if options.stop_tasks_on_shutdown {
        tracing::info!("the node agent stops its tasks");
        table.stop_all().await;
        supervisor.quit().await;
    }
    tracing::info!("the node agent ends");
    // Hold the lock until here, so that the next agent does not find tasks that this one is still stopping.
    drop(data);
    Ok(())
}

/// Opens one session after another, forever.
async fn keep_session(mut context: SessionContext) {
    let mut failures = 0;
    while let Some(server) = context.servers.next() {
        let began = Instant::now();
        let end = session::speak(&mut context, &server).await;
        context.standing.send_replace(Standing::Alone);
        if began.elapsed() > SESSION_GOOD {
            failures = 0;
        }
        let pause = match end {
            End::Refused(text) => {
                tracing::error!("server {server} refuses this node: {text}");
                jittered(REFUSED_PAUSE)
            }
            End::Lost(text) => {
                tracing::warn!("no session with server {server}: {text}");
                pause_after(failures, context.servers.len())
            }
        };
        failures += 1;
        sleep(pause).await;
    }
}

/// Returns the pause before the next try: short in the first round through the servers, doubled in each further
/// round, up to the maximum.
fn pause_after(failures: u32, servers: usize) -> Duration {
    let rounds = failures / u32::try_from(servers.max(1)).unwrap_or(u32::MAX);
    jittered((RECONNECT_PAUSE_MIN * 2_u32.pow(rounds.min(8))).min(RECONNECT_PAUSE_MAX))
}

/// Returns a random 50 to 100 percent of the pause, so that nodes that lost the same server do not all reconnect
/// at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_each_round_and_stay_within_their_bounds() {
        for failures in 0..100 {
            let pause = pause_after(failures, 3);
            assert!(
                pause >= RECONNECT_PAUSE_MIN / 2 && pause <= RECONNECT_PAUSE_MAX,
                "{failures}: {pause:?}"
            );
        }
        assert!(pause_after(2, 3) < RECONNECT_PAUSE_MIN, "every server is tried before the pause grows");
        assert!(pause_after(99, 3) >= RECONNECT_PAUSE_MAX / 2);
    }
}
