//! Starts raft, and builds what the rest of the server shares.

use std::sync::Arc;

use ordu_store::log::{Extent, LogStore};
use ordu_store::state_machine::{State, StateMachine};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServerError;
use super::opening::{Data, Listeners, Peering};
use super::parts::Parts;
use crate::alarms::Alarms;
use crate::candidacy::Candidacy;
use crate::clock;
use crate::cluster::{Cluster, Raft};
use crate::contact::Contact;
use crate::context::Context;
use crate::counts::Counts;
use crate::disk_space::DiskSpace;
use crate::feed::Feed;
use crate::leader::Liveness;
use crate::membership::{Changes, Discovery, Greetings, HealthRecord, Known, KnownLevels};
use crate::net::Bounds;
use crate::raft::network::Network;
use crate::raft::{self, service};
use crate::read_index::ReadIndex;
use crate::retention::Transfers;
use crate::rpc::node_session::{LiveSessions, NodeService};
use crate::rpc::{self, Services};
use crate::storage::Storage;
use crate::watch::Watches;
use crate::writer::Writer;

/// What a server's services and parts are built from.
pub(super) struct Wiring {
    /// Shared with request handlers.
    pub(super) context: Context,
    pub(super) known: Known,
    pub(super) greetings: Greetings,
    pub(super) contact: Arc<Contact>,
    pub(super) transfers: Transfers,
    /// Bytes not yet written to the log.
    pub(super) backlog: watch::Receiver<usize>,
    pub(super) feed: Feed,
    pub(super) liveness: Arc<Liveness>,
    pub(super) sessions: Arc<LiveSessions>,
    pub(super) storage: Storage,
    /// Runtime for client requests and leader decisions.
    pub(super) work: Handle,
    /// Stops client services and background tasks.
    pub(super) stop: CancellationToken,
    /// Stops the services between servers.
    pub(super) stop_rpc: CancellationToken,
}

impl Wiring {
    /// Starts raft and everything built on it. `has_followed`: the log may contain entries from other
    /// leaders.
    pub(super) async fn with_raft(
        peering: Peering,
        data: Data,
        has_followed: bool,
        storage: Storage,
        work: Handle,
    ) -> Result<Self, ServerError> {
        let Data { log, machine, state, watches, feed } = data;
        let (syncs, extent, backlog) = (log.syncs(), log.extent(), log.backlog_bytes());
        let (contact, transfers) = (Arc::new(Contact::new(has_followed)), Transfers::default());
        let raft = start_raft(&peering, &contact, &transfers, log, machine).await?;
        tell_of_start(&peering, &state);
        let space = DiskSpace::default();
        let cluster = Cluster::new(raft, contact.clone(), peering.known.clone(), space.clone());
        let counts = Counts { started_ns: clock::now_ns(), syncs, ..Counts::default() };
        Ok(Self {
            context: context(&peering, cluster, state, watches, extent, space, counts),
            known: peering.known,
            greetings: peering.greetings,
            contact,
            transfers,
            backlog,
            feed,
            liveness: Arc::default(),
            sessions: Arc::default(),
            storage,
            work,
            stop: CancellationToken::new(),
            stop_rpc: CancellationToken::new(),
        })
    }

    /// Starts accepting connections. Returns the HTTP service; adds the RPC services to the parts.
    pub(super) fn serve(&self, listeners: Listeners, parts: &mut Parts) -> JoinHandle<()> {
        let services = self.rpc_services();
        for listener in listeners.rpc {
            let (connections, trust) = (self.context.counts.rpc.clone(), self.context.options.trust.clone());
            let serving = rpc::serve(listener, services.clone(), connections, trust, self.stop_rpc.clone());
            parts.run("RPC service", serving);
        }
        let options = &self.context.options;
        let bounds = Bounds::of_http(options.limits.get().http_stall_max, options.http_conns_per_client_max);
        let serving = crate::http::serve(listeners.http, bounds, self.context.clone(), self.stop.clone());
        self.work.spawn(serving)
    }

    fn rpc_services(&self) -> Services {
        Services {
            raft: Arc::new(service::Service {
                raft: self.context.cluster.raft().clone(),
                state: self.context.state.clone(),
                cluster_id: self.context.identity.clone(),
                contact: self.contact.clone(),
                space: self.context.space.clone(),
                refusals: Arc::default(),
            }),
            server: Arc::new(rpc::server::Service {
                context: self.context.clone(),
                known: self.known.clone(),
                greetings: self.greetings.clone(),
                liveness: self.liveness.clone(),
            }),
            node: Arc::new(NodeService::new(self.context.clone(), self.sessions.clone())),
        }
    }

    /// Builds the task that greets other servers and forms or joins a cluster.
    pub(super) fn discovery(&self) -> Discovery {
        let context = self.context.clone();
        Discovery {
            options: context.options,
            identity: context.identity,
            cluster: context.cluster,
            changes: context.changes,
            peers: context.peers,
            known: self.known.clone(),
            clock: context.clock,
            greetings: self.greetings.clone(),
            log: self.storage.log.clone(),
            state: context.state,
            alarms: context.alarms,
        }
    }
}

async fn start_raft(
    peering: &Peering,
    contact: &Arc<Contact>,
    transfers: &Transfers,
    log: LogStore,
    machine: StateMachine,
) -> Result<Raft, ServerError> {
    let network = Network {
        peers: peering.peers.clone(),
        cluster_id: peering.identity.clone(),
        transfers: transfers.clone(),
        timing: peering.options.raft,
        contact: contact.clone(),
    };
    raft::start(&peering.options, peering.identity.server_id(), network, log, machine).await
}

fn tell_of_start(peering: &Peering, state: &State) {
    let options = &peering.options;
    tracing::info!(
        name = options.name,
        id = peering.identity.server_id(),
        applied = state.applied_index(),
        rpc = options.rpc_advertise,
        http = options.http_advertise,
        "this server is up"
    );
}

fn context(
    peering: &Peering,
    cluster: Cluster,
    state: State,
    watches: Arc<Watches>,
    log: Extent,
    space: DiskSpace,
    counts: Counts,
) -> Context {
    let Peering { options, identity, peers, clock, .. } = peering;
    Context {
        writer: Writer::new(
            cluster.clone(),
            state.clone(),
            peers.clone(),
            identity.clone(),
            clock.clone(),
            space.clone(),
        ),
        reads: ReadIndex::start(
            cluster.clone(),
            state.clone(),
            peers.clone(),
            identity.clone(),
            options.raft,
        ),
        changes: Changes::new(cluster.clone(), state.clone()),
        health: HealthRecord::default(),
        known_levels: KnownLevels::default(),
        alarms: Alarms::default(),
        candidacy: Candidacy::default(),
        options: options.clone(),
        identity: identity.clone(),
        peers: peers.clone(),
        clock: clock.clone(),
        cluster,
        state,
        watches,
        log,
        space,
        counts,
    }
}
