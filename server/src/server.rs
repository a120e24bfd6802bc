//! A server from its start to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::SnapshotPolicy;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use ordu_core::limits::{NODE_MESSAGE_BYTES_MAX, RPC_MESSAGE_BYTES_MAX};
use ordu_core::state::Id;
use ordu_proto::node::node_server::NodeServer;
use ordu_proto::raft::raft_server::RaftServer;
use ordu_proto::server::server_server::ServerServer;
use ordu_proto::server::{NodeLivenessRequest, Standing};
use ordu_store::background::in_background;
use ordu_store::log::LogStore;
use ordu_store::state_machine::{self, State};
use ordu_store::tables::{self, TablesDb};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

use crate::addresses;
use crate::alarms::Alarms;
use crate::candidacy::{self, Candidacy};
use crate::clock::{self, ServerClock};
use crate::cluster::{Cluster, Raft};
use crate::contact::Contact;
use crate::context::Context;
use crate::counts::{self, ConnectionCounts, Counts};
use crate::disk_space::{self, DiskSpace};
use crate::distances;
use crate::divergence;
use crate::feed::{Fanout, Feed};
use crate::guards;
use crate::leader::Liveness;
use crate::leader::duties::{hand_over, lead_when_elected};
use crate::leadership;
use crate::membership::{
    Changes, ClusterId, Discovery, Former, Greetings, Has, HealthRecord, Known, KnownLevels, Telling,
    autopilot, levels,
};
use crate::net::{Accept, Bounded, Bounds, SharedNet, incoming};
use crate::options::ServerOptions;
use crate::peers::Peers;
use crate::raft::{network, service};
use crate::read_index::ReadIndex;
use crate::retention::{self, Transfers};
use crate::rpc;
use crate::rpc::node_session::{LiveSessions, NodeService};
use crate::storage::Storage;
use crate::trust::Trust;
use crate::watch::Watches;
use crate::writer::Writer;

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory is in use.
    #[error(
        "the data directory {path} is in use by another process: stop it, or give this server another directory"
    )]
    Locked {
        /// The directory.
        path: String,
    },
    /// A port.
    #[error("`ports.{key}`: {source}{}", what_helps(source))]
    Listen {
        /// Which one.
        key: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The disk.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A setting that raft refuses.
    #[error("the raft settings cannot be used: {0}")]
    Config(String),
    /// Something that must not go on.
    #[error("{0}")]
    Fatal(String),
    /// The release that this server is of: the cluster's feature level is above what it knows.
    #[error("{0}")]
    TooOld(String),
    /// This server must not go on under its id. It may start anew, with an empty data directory, once what it
    /// has is set aside (see [`crate::storage::Storage::set_aside`]).
    #[error("{reason}: this server has to start anew, with an empty data directory")]
    Anew {
        /// Why.
        reason: String,
        /// Whom it has heard of, for its next life (see [`Former::knowing`]).
        known: Known,
    },
    /// This server has to start again, as it is.
    #[error("{reason}: this server has to start again")]
    Again {
        /// Why.
        reason: String,
    },
}

/// What is to be done where this server cannot listen.
fn what_helps(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            ". Another process listens there: stop it, or set another port in `ports`"
        }
        io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address, or not yet: see `bind_addr` and `addresses`"
        }
        io::ErrorKind::PermissionDenied => {
            ". The user of this process may not listen there: set ports from 1024 on in `ports`"
        }
        _ => "",
    }
}

pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::Io { what, source }
}

/// A server that runs.
pub struct Server {
    context: Context,
    parts: JoinSet<Result<(), ServerError>>,
    http: JoinHandle<()>,
    /// Ends what clients ask, and what runs beside.
    stop: CancellationToken,
    /// Ends what servers ask of each other.
    stop_rpc: CancellationToken,
    sessions: Arc<LiveSessions>,
    tables: Arc<dyn TablesDb>,
    // Dropped last: until then the data directory is this server's alone.
    _lock: Option<Arc<nix::fcntl::Flock<std::fs::File>>>,
}

impl Server {
    /// Starts a server: opens its state, listens, looks for its cluster.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(
        options: ServerOptions,
        storage: Storage,
        net: SharedNet,
    ) -> Result<Self, ServerError> {
        Self::start_after(Former::default(), options, storage, net, Handle::current()).await
    }

    /// Starts a server that was another before: what it had was set aside. What clients ask, and what a leader
    /// decides, runs on `work`: apart from raft, its log and the sessions of nodes, which run on the caller's
    /// runtime and must not wait for it.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_after(
        former: Former,
        options: ServerOptions,
        storage: Storage,
        net: SharedNet,
        work: Handle,
    ) -> Result<Self, ServerError> {
        if let Err(error) = tables::read(&*storage.tables, tables::must_be_known)
            && error.kind() == io::ErrorKind::Unsupported
        {
            return Err(ServerError::TooOld(format!("{}: {error}", options.data_dir.display())));
        }
        let options = Arc::new(options);
        let identity = ClusterId::load(storage.identity).map_err(failed("cannot read who this server is"))?;
        let peers = Peers::new(net.clone(), options.trust.clone(), options.raft);
        options.trust.tell();
        let clock = ServerClock::new(options.limits.clone());
        let known = former.known();
        let greetings = Greetings::new(
            options.clone(),
            identity.clone(),
            peers.clone(),
            known.clone(),
            former,
            clock.clone(),
        );

        let watches = Arc::new(Watches::default());
        let feed = Feed::default();
        let observer = Arc::new(Fanout { watches: watches.clone(), feed: feed.clone() });
        let faults = storage.tables.faults().clone();
        let server_id = identity.server_id();
        let (tables, log) = (storage.tables.clone(), storage.log.clone());
        let log = in_background(tables.blocks(), move || {
            LogStore::open(log, server_id, &state_machine::seen(&*tables, server_id)?)
        });
        let mut log = log.await.map_err(failed("this server must not vote"))?;
        let own = state_machine::Own { server_id, progress: log.progress() };
        let opened = state_machine::open(storage.tables.clone(), own, observer);
        let (machine, state) = opened.map_err(|error| {
            faults.reported().map_or_else(|| failed("cannot read the state")(error), ServerError::Fatal)
        })?;
        let (syncs, extent, backlog) = (log.syncs(), log.extent(), log.backlog_bytes());
        let (space, transfers) = (DiskSpace::default(), Transfers::default());
        let has_followed = introduce(&greetings, &identity, &known, &state, &mut log).await?;

        let listen = async |key: &'static str, addr| {
            net.listen(addr).await.map_err(|source| ServerError::Listen { key, source })
        };
        let http = listen("http", options.http_bind).await?;
        let rpc = listen("rpc", options.rpc_bind).await?;
        let serf = match options.serf_bind {
            Some(addr) => Some(listen("serf", addr).await?),
            None => None,
        };

        let contact = Arc::new(Contact::new(has_followed));
        let network = network::Network {
            peers: peers.clone(),
            cluster_id: identity.clone(),
            transfers: transfers.clone(),
            timing: options.raft,
            contact: contact.clone(),
        };
        let config = Arc::new(raft_config(&options)?);
        let raft = Raft::new(identity.server_id(), config, network, log, machine)
            .await
            .map_err(|error| ServerError::Fatal(format!("raft does not start: {error}")))?;
        tracing::info!(
            name = options.name,
            id = identity.server_id(),
            applied = state.applied_index(),
            rpc = options.rpc_advertise,
            http = options.http_advertise,
            "this server is up"
        );

        let cluster = Cluster::new(raft.clone(), contact.clone(), known.clone(), space.clone());
        let changes = Changes::new(cluster.clone(), state.clone());
        let context = Context {
            options: options.clone(),
            state: state.clone(),
            watches,
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
            cluster: cluster.clone(),
            changes: changes.clone(),
            health: HealthRecord::default(),
            known_levels: KnownLevels::default(),
            peers: peers.clone(),
            identity: identity.clone(),
            alarms: Alarms::default(),
            candidacy: Candidacy::default(),
            log: extent,
            space: space.clone(),
            clock: clock.clone(),
            counts: Counts { started_ns: clock::now_ns(), syncs: syncs.clone(), ..Counts::default() },
        };
        let liveness = Arc::new(Liveness::default());
        let sessions = Arc::new(LiveSessions::default());
        let (stop, stop_rpc) = (CancellationToken::new(), CancellationToken::new());
        let mut parts = JoinSet::new();

        let raft_service = Arc::new(service::Service {
            raft: raft.clone(),
            state: state.clone(),
            cluster_id: identity.clone(),
            contact,
            space,
            refusals: Arc::default(),
        });
        let server_service = Arc::new(rpc::server::Service {
            context: context.clone(),
            known: known.clone(),
            greetings: greetings.clone(),
            liveness: liveness.clone(),
        });
        let node_service = Arc::new(NodeService::new(context.clone(), sessions.clone()));
        for listener in [Some(rpc), serf].into_iter().flatten() {
            let services = (raft_service.clone(), server_service.clone(), node_service.clone());
            let (connections, trust) = (context.counts.rpc.clone(), options.trust.clone());
            let serving = serve_rpc(listener, connections, services, trust, stop_rpc.clone());
            parts.spawn(part(&cluster, serving));
        }
        let bounds = Bounds::of_http(options.limits.get().http_stall_max);
        let http = work.spawn(crate::http::serve(http, bounds, context.clone(), stop.clone()));
        let discovery = Discovery {
            options,
            identity: identity.clone(),
            cluster: cluster.clone(),
            changes: changes.clone(),
            peers: peers.clone(),
            known,
            clock,
            greetings,
            log: storage.log,
            state,
            alarms: context.alarms.clone(),
        };
        parts.spawn(discovery.run());
        parts.spawn(part(&cluster, autopilot::keep(context.clone())));
        parts.spawn(part(&cluster, levels::keep(context.clone())));
        parts.spawn(part(&cluster, changes.keep_uniform()));
        parts.spawn(part(&cluster, divergence::run(context.clone(), identity.clone(), peers.clone())));
        parts.spawn(part(&cluster, clock::keep(context.clone())));
        parts.spawn(part(&cluster, candidacy::keep(context.clone())));
        parts.spawn(part(&cluster, retention::keep(context.clone(), transfers, backlog)));
        parts.spawn(part(&cluster, distances::keep(context.clone())));
        parts.spawn(part(&cluster, addresses::keep(context.clone())));
        let reporting =
            report_liveness(context.clone(), identity.clone(), peers, sessions.clone(), liveness.clone());
        parts.spawn(part(&cluster, reporting));
        parts.spawn(part(&cluster, guards::tell_of_rows_set_aside(context.clone())));
        parts.spawn(part(&cluster, guards::watch_peers(context.clone())));
        parts.spawn(part(&cluster, leadership::watch(context.clone())));
        let changes_of_leader = context.counts.leader_changes.clone();
        parts.spawn(part(&cluster, counts::leader_changes(cluster.clone(), changes_of_leader)));
        parts.spawn(part(&cluster, lead_when_elected(context.clone(), identity, feed, liveness, work)));
        parts.spawn(part(&cluster, guards::watch_raft(raft)));
        if storage.tables.blocks() {
            parts.spawn(part(&cluster, guards::watch_syncs(context.clone(), syncs)));
            parts.spawn(part(&cluster, disk_space::keep(context.clone())));
            parts.spawn(part(&cluster, guards::scrub(storage.tables.clone(), stop.clone())));
        }
        parts.spawn(async move { Err(ServerError::Fatal(faults.wait().await)) });
        let (tables, _lock) = (storage.tables, storage.lock);
        Ok(Self { context, parts, http, stop, stop_rpc, sessions, tables, _lock })
    }

    /// The server's parts, for those who live in the same process.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Runs until `shutdown`, then hands leadership over and ends in order.
    ///
    /// # Errors
    /// What made the server end by itself: it must not go on.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => None,
            part = next_failure(&mut self.parts) => Some(part),
            ended = &mut self.http => {
                Some(ServerError::Fatal(format!("the HTTP service has ended before its time: {ended:?}")))
            }
        };
        if ended.is_none() {
            hand_over(&self.context.cluster, |_| true).await;
        }
        self.stop.cancel();
        if ended.is_some() {
            self.stop_rpc.cancel();
        }
        // Open sessions would hold the RPC service up; their agents move to another server.
        self.sessions.end_all();
        if !self.http.is_finished()
            && let Err(error) = (&mut self.http).await
        {
            tracing::warn!(%error, "the HTTP service did not end in order");
        }
        // What clients have asked is answered by now: the new leader's word was needed for it.
        self.stop_rpc.cancel();
        let raft = self.context.cluster.raft().clone();
        if let Err(error) = raft.shutdown().await {
            tracing::warn!(%error, "raft did not end in order");
        }
        self.parts.shutdown().await;
        let tables = self.tables.clone();
        // What a fault of the disk has brought about is less than the fault.
        let ended = ended.map(|reason| tables.faults().reported().map_or(reason, ServerError::Fatal));
        // A flushed state has nothing to replay at the next start.
        let flushed = if tables.blocks() {
            tokio::task::spawn_blocking(move || tables.flush()).await.map_err(io::Error::other).flatten()
        } else {
            tables.flush()
        };
        match ended {
            None => flushed.map_err(failed("the state cannot be flushed")),
            Some(reason) => Err(reason),
        }
    }
}

async fn next_failure(parts: &mut JoinSet<Result<(), ServerError>>) -> ServerError {
    ServerError::Fatal(match parts.join_next().await {
        Some(Ok(Err(error))) => return error,
        Some(Ok(Ok(()))) => "a part of the server has ended before its time".to_owned(),
        Some(Err(error)) => format!("a part of the server has failed: {error}"),
        None => "nothing of the server runs any more".to_owned(),
    })
}

/// A part of a server, whose end ends the server. Not so where raft was stopped on purpose: the server then
/// ends by what stopped it.
fn part<Running: Future<Output = Result<(), String>>>(
    cluster: &Cluster,
    running: Running,
) -> impl Future<Output = Result<(), ServerError>> + use<Running> {
    let cluster = cluster.clone();
    async move {
        let ended = running.await;
        if cluster.is_retired() {
            std::future::pending::<()>().await;
        }
        ended.map_err(ServerError::Fatal)
    }
}

/// Greets the other servers of its cluster before this one may vote: it may be a copy, or its log may have gone
/// back. Tells whether the log may have entries from other leaders.
async fn introduce(
    greetings: &Greetings,
    identity: &ClusterId,
    known: &Known,
    state: &State,
    log: &mut LogStore,
) -> Result<bool, ServerError> {
    let position = state.read(state_machine::position).map_err(failed("cannot read the state"))?;
    let read = failed("cannot read the raft log");
    let (vote, last) = match (log.read_vote().await, log.get_log_state().await) {
        (Ok(vote), Ok(state)) => (vote, state.last_log_id),
        (Err(error), _) | (_, Err(error)) => return Err(read(error)),
    };
    let follows = position.last_log_id.is_some() || last.is_some_and(|last| last.index > 0);
    if identity.get().is_empty() {
        return Ok(follows);
    }
    if follows || identity.settled().is_empty() {
        known.belong_to(identity.get());
    }
    let term = vote.map_or(0, |vote| vote.leader_id.term);
    let last = last.max(position.last_log_id).map(|last| (last.leader_id.term, last.index));
    let members: Vec<(u64, ordu_store::types::Server)> =
        position.last_membership.membership().nodes().map(|(id, server)| (*id, server.clone())).collect();
    let telling =
        Telling { formed: follows, standing: Standing { term, committed: None }, ..Telling::default() };
    let introduced = greetings.introduce(&members, telling, Has { term, last }).await;
    match introduced? {
        Some(loss) => {
            tracing::error!("{}", loss.sentence());
            Err(greetings.end_of(&loss).await)
        }
        None => Ok(follows),
    }
}

fn raft_config(options: &ServerOptions) -> Result<openraft::Config, ServerError> {
    let timing = options.raft;
    let config = openraft::Config {
        cluster_name: options.region.clone(),
        heartbeat_interval: timing.heartbeat_interval_ms,
        election_timeout_min: timing.election_timeout_min_ms,
        election_timeout_max: timing.election_timeout_max_ms,
        install_snapshot_timeout: 600_000,
        max_payload_entries: 1_024,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.log.snapshot_entries),
        // Never by itself; see `retention`.
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_pre_vote: Some(true),
        // Until nothing speaks against it; see `candidacy`.
        enable_elect: false,
        // The others may have another leader by now, or this server may be cut off: it asks first.
        enable_leader_restore: Some(false),
        quorum_loss_probe_interval: Some(3 * timing.election_timeout_max_ms),
        backoff: "50ms 100ms 200ms ..500ms".to_owned(),
        ..openraft::Config::default()
    };
    config.validate().map_err(|error| ServerError::Config(error.to_string()))
}

type Services = (Arc<service::Service>, Arc<rpc::server::Service>, Arc<NodeService>);

async fn serve_rpc(
    listener: Box<dyn Accept>,
    connections: ConnectionCounts,
    services: Services,
    trust: Trust,
    stop: CancellationToken,
) -> Result<(), String> {
    let (raft, server, node) = services;
    let listener = Bounded::new("RPC", listener, Bounds::of_rpc(), connections);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .add_service(InterceptedService::new(
            RaftServer::from_arc(raft)
                .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
            trust.clone(),
        ))
        .add_service(InterceptedService::new(
            ServerServer::from_arc(server)
                .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
            trust.clone(),
        ))
        .add_service(
            NodeServer::from_arc(node)
                .max_decoding_message_size(NODE_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
        )
        .serve_with_incoming_shutdown(trust.received(incoming(listener)), stop.cancelled())
        .await
        .map_err(|error| format!("the RPC service has ended: {error}"))
}

/// Tells the leader, once a second, which nodes have a session here.
async fn report_liveness(
    context: Context,
    identity: ClusterId,
    peers: Peers,
    sessions: Arc<LiveSessions>,
    liveness: Arc<Liveness>,
) -> Result<(), String> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let ids: Vec<Id> = sessions.alive();
        let Some(leader) = context.cluster.leader().filter(|_| !ids.is_empty()) else { continue };
        if leader.id == context.cluster.id() {
            liveness.note_alive(&ids);
            continue;
        }
        let address = peers.address_of(leader.id, &leader.server);
        let node_ids = ids.iter().map(|id| id.to_vec()).collect();
        let request = NodeLivenessRequest { cluster_id: identity.get(), node_ids };
        let told = async { peers.server(&address)?.node_liveness(request).await };
        match tokio::time::timeout(Duration::from_secs(1), told).await {
            Ok(Ok(_)) => {}
            // The next second tells again, whoever leads then.
            Ok(Err(status)) => {
                tracing::debug!(reason = status.message(), "the leader was not told of live nodes")
            }
            Err(_) => tracing::debug!("the leader did not take note of live nodes in time"),
        }
    }
}
