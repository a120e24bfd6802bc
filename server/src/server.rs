//! A server from its start to its end.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::SnapshotPolicy;
use openraft::async_runtime::WatchReceiver;
use ordu_core::limits::{NODE_MESSAGE_BYTES_MAX, RPC_MESSAGE_BYTES_MAX};
use ordu_core::state::Id;
use ordu_proto::command::ClusterInit;
use ordu_proto::command::envelope::Command;
use ordu_proto::node::node_server::NodeServer;
use ordu_proto::raft::raft_server::RaftServer;
use ordu_proto::server::NodeLivenessRequest;
use ordu_proto::server::server_server::ServerServer;
use ordu_store::background::in_background;
use ordu_store::identity::{Identity, IdentityFile, IdentityStore};
use ordu_store::log::{LogDb, LogStore, RocksLog};
use ordu_store::state_machine;
use ordu_store::tables::{RocksDb, TablesDb};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::alarms::{Alarm, Alarms};
use crate::clock::{self, ServerClock};
use crate::cluster::{Cluster, Contact, Raft};
use crate::context::Context;
use crate::divergence;
use crate::feed::{Fanout, Feed};
use crate::leader::{LeaderParts, LeaderTerm, Liveness};
use crate::membership::{Changes, ClusterId, Discovery, Known};
use crate::net::{Accept, Bounded, Bounds, SharedNet, incoming};
use crate::options::ServerOptions;
use crate::peers::Peers;
use crate::raft::{network, service};
use crate::read_index::ReadIndex;
use crate::rpc;
use crate::rpc::node_session::{LiveSessions, NodeService};
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
    /// The disk, or a port.
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
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::Io { what, source }
}

/// Where a server keeps what it must not forget: the disk's seam.
#[derive(Clone)]
pub struct Storage {
    /// The raft log.
    pub log: Arc<dyn LogDb>,
    /// The state tables.
    pub tables: Arc<dyn TablesDb>,
    /// Who the server is.
    pub identity: Arc<dyn IdentityStore>,
    /// Held for as long as the data directory is in use.
    _lock: Option<Arc<nix::fcntl::Flock<File>>>,
}

impl Storage {
    /// On disk, in `data_dir`.
    ///
    /// # Errors
    /// When the directory is locked, damaged or not writable.
    pub fn open(data_dir: &Path) -> Result<Self, ServerError> {
        let what = |part: &str| format!("cannot open {part} in {}", data_dir.display());
        std::fs::create_dir_all(data_dir).map_err(failed(what("the data directory")))?;
        let file = File::create(data_dir.join("lock")).map_err(failed(what("the lock")))?;
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
            .map_err(|_| ServerError::Locked { path: data_dir.display().to_string() })?;
        let identity = IdentityFile::new(data_dir);
        let may_create = !identity.load().map_err(failed(what("the identity")))?.is_prepared;
        let log = RocksLog::open(&data_dir.join("raft-log"), may_create);
        let log = log.map_err(failed(what("the raft log")))?;
        let tables = RocksDb::open(&data_dir.join("tables"), may_create);
        let tables = tables.map_err(failed(what("the state tables")))?;
        let storage = Self {
            log: Arc::new(log),
            tables: Arc::new(tables),
            identity: Arc::new(identity),
            _lock: Some(Arc::new(lock)),
        };
        storage.prepare(may_create).map_err(failed(what("the raft log")))?;
        Ok(storage)
    }

    /// Completes what a first start begins: from then on a log or tables that are missing are lost, and not new.
    fn prepare(&self, is_first: bool) -> io::Result<()> {
        let identity = self.identity.load()?;
        if is_first {
            ordu_store::log::prepare(&*self.log, identity.server_id)?;
            self.identity.save(&Identity { is_prepared: true, ..identity })?;
        }
        Ok(())
    }

    /// What a simulation provides.
    ///
    /// # Errors
    /// When the disk is another server's, or fails.
    pub fn simulated(
        log: Arc<dyn LogDb>,
        tables: Arc<dyn TablesDb>,
        identity: Arc<dyn IdentityStore>,
    ) -> io::Result<Self> {
        let storage = Self { log, tables, identity, _lock: None };
        storage.prepare(!storage.identity.load()?.is_prepared)?;
        Ok(storage)
    }
}

/// A server that runs.
pub struct Server {
    context: Context,
    parts: JoinSet<Result<(), String>>,
    http: JoinHandle<()>,
    stop: CancellationToken,
    sessions: Arc<LiveSessions>,
    tables: Arc<dyn TablesDb>,
    // Dropped last: until then the data directory is this server's alone.
    _lock: Option<Arc<nix::fcntl::Flock<File>>>,
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
        let options = Arc::new(options);
        let identity = ClusterId::load(storage.identity).map_err(failed("cannot read who this server is"))?;
        let listen = |addr| net.listen(addr);
        let http = listen(options.http_bind).await.map_err(failed("HTTP"))?;
        let rpc = listen(options.rpc_bind).await.map_err(failed("RPC"))?;
        let serf = match options.serf_bind {
            Some(addr) => Some(listen(addr).await.map_err(failed("serf"))?),
            None => None,
        };

        let watches = Arc::new(Watches::default());
        let feed = Feed::default();
        let observer = Arc::new(Fanout { watches: watches.clone(), feed: feed.clone() });
        let faults = storage.tables.faults().clone();
        let server_id = identity.server_id();
        let tables = storage.tables.clone();
        let log = in_background(tables.blocks(), move || {
            LogStore::open(storage.log, server_id, &state_machine::seen(&*tables, server_id)?)
        });
        let log = log.await.map_err(failed("this server must not vote"))?;
        let own = state_machine::Own { server_id, progress: log.progress() };
        let opened = state_machine::open(storage.tables.clone(), own, observer);
        let (machine, state) = opened.map_err(|error| {
            faults.reported().map_or_else(|| failed("cannot read the state")(error), ServerError::Fatal)
        })?;
        let peers = Peers::new(net.clone());
        let network = network::Network { peers: peers.clone(), cluster_id: identity.clone() };
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

        let contact = Arc::new(Contact::default());
        let known = Known::default();
        let cluster = Cluster::new(raft.clone(), contact.clone(), known.clone());
        let clock = ServerClock::new(options.clock_skew_max);
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
            ),
            reads: ReadIndex::start(cluster.clone(), state.clone(), peers.clone(), identity.clone()),
            cluster: cluster.clone(),
            alarms: Alarms::default(),
            clock: clock.clone(),
        };
        let changes = Changes::new(cluster.clone());
        let liveness = Arc::new(Liveness::default());
        let sessions = Arc::new(LiveSessions::default());
        let stop = CancellationToken::new();
        let mut parts = JoinSet::new();

        let raft_service = Arc::new(service::Service {
            raft: raft.clone(),
            state: state.clone(),
            cluster_id: identity.clone(),
            contact,
            refusals: Arc::default(),
        });
        let server_service = Arc::new(rpc::server::Service {
            context: context.clone(),
            identity: identity.clone(),
            known: known.clone(),
            changes: changes.clone(),
            peers: peers.clone(),
            liveness: liveness.clone(),
        });
        let node_service = Arc::new(NodeService::new(context.clone(), sessions.clone()));
        for listener in [Some(rpc), serf].into_iter().flatten() {
            let services = (raft_service.clone(), server_service.clone(), node_service.clone());
            parts.spawn(serve_rpc(listener, services, stop.clone()));
        }
        let http = tokio::spawn(crate::http::serve(http, Bounds::of_http(), context.clone(), stop.clone()));
        let discovery = Discovery {
            options,
            identity: identity.clone(),
            cluster,
            changes: changes.clone(),
            peers: peers.clone(),
            known,
            clock,
        };
        parts.spawn(discovery.run());
        parts.spawn(changes.keep_uniform());
        parts.spawn(divergence::run(context.clone(), identity.clone(), peers.clone()));
        parts.spawn(clock::keep(context.clone()));
        parts.spawn(report_liveness(
            context.clone(),
            identity.clone(),
            peers,
            sessions.clone(),
            liveness.clone(),
        ));
        parts.spawn(lead_when_elected(context.clone(), identity, feed, liveness));
        parts.spawn(watch_raft(raft));
        if storage.tables.blocks() {
            parts.spawn(scrub(storage.tables.clone(), stop.clone()));
        }
        parts.spawn(tell_of_rows_set_aside(context.clone()));
        parts.spawn(async move { Err(faults.wait().await) });
        let (tables, _lock) = (storage.tables, storage._lock);
        Ok(Self { context, parts, http, stop, sessions, tables, _lock })
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
            ended = &mut self.http => Some(format!("the HTTP service has ended before its time: {ended:?}")),
        };
        if ended.is_none() {
            hand_over(&self.context.cluster, |_| true).await;
        }
        self.stop.cancel();
        // Open sessions would hold the RPC service up; their agents move to another server.
        self.sessions.end_all();
        if !self.http.is_finished()
            && let Err(error) = (&mut self.http).await
        {
            tracing::warn!(%error, "the HTTP service did not end in order");
        }
        let raft = self.context.cluster.raft().clone();
        if let Err(error) = raft.shutdown().await {
            tracing::warn!(%error, "raft did not end in order");
        }
        self.parts.shutdown().await;
        let tables = self.tables.clone();
        // What a fault of the disk has brought about is less than the fault.
        let ended = ended.map(|reason| tables.faults().reported().unwrap_or(reason));
        // A flushed state has nothing to replay at the next start.
        let flushed = if tables.blocks() {
            tokio::task::spawn_blocking(move || tables.flush()).await.map_err(io::Error::other).flatten()
        } else {
            tables.flush()
        };
        match ended {
            None => flushed.map_err(failed("the state cannot be flushed")),
            Some(reason) => Err(ServerError::Fatal(reason)),
        }
    }
}

async fn next_failure(parts: &mut JoinSet<Result<(), String>>) -> String {
    match parts.join_next().await {
        Some(Ok(Err(reason))) => reason,
        Some(Ok(Ok(()))) => "a part of the server has ended before its time".to_owned(),
        Some(Err(error)) => format!("a part of the server has failed: {error}"),
        None => "nothing of the server runs any more".to_owned(),
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
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_logs),
        max_in_snapshot_log_to_keep: timing.logs_kept,
        purge_batch_size: (timing.snapshot_logs / 4).max(1),
        enable_pre_vote: Some(true),
        // Until it is known that its clock is right; see `clock::keep`.
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
    services: Services,
    stop: CancellationToken,
) -> Result<(), String> {
    let (raft, server, node) = services;
    let listener = Bounded::new("RPC", listener, Bounds::of_rpc());
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .add_service(
            RaftServer::from_arc(raft)
                .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
        )
        .add_service(
            ServerServer::from_arc(server)
                .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
        )
        .add_service(
            NodeServer::from_arc(node)
                .max_decoding_message_size(NODE_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
        )
        .serve_with_incoming_shutdown(incoming(listener), stop.cancelled())
        .await
        .map_err(|error| format!("the RPC service has ended: {error}"))
}

/// Bytes of tables and snapshots that are scrubbed in a second at most.
const SCRUB_BYTES_PER_SECOND: usize = 32 * 1024 * 1024;
/// From the end of one scrub to the next.
const SCRUB_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads all that is stored, at the start and then once a day; ends with an error at the first bad block.
async fn scrub(tables: Arc<dyn TablesDb>, stop: CancellationToken) -> Result<(), String> {
    loop {
        let (tables, stopped) = (tables.clone(), stop.clone());
        let mut pace = move |bytes: usize| {
            let seconds = bytes as f64 / SCRUB_BYTES_PER_SECOND as f64;
            std::thread::sleep(Duration::from_secs_f64(seconds));
            !stopped.is_cancelled()
        };
        in_background(true, move || tables.scrub(&mut pace)).await.map_err(|error| error.to_string())?;
        tracing::debug!("the tables and the snapshot were read whole and are well");
        tokio::time::sleep(SCRUB_INTERVAL).await;
    }
}

/// Ends with an error when raft has stopped by itself: this server must leave service before it can lie.
async fn watch_raft(raft: Raft) -> Result<(), String> {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = metrics.borrow_watched().running_state.clone() {
            return Err(format!("raft has stopped, this server leaves service: {fatal}"));
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

/// Tells the operator of rows that cannot be decoded, for as long as there are any.
async fn tell_of_rows_set_aside(context: Context) -> Result<(), String> {
    let set_aside = context.state.db().set_aside();
    let mut changes = set_aside.watch();
    loop {
        match set_aside.describe() {
            Some(text) => context.alarms.raise(Alarm::RowsSetAside, text),
            None => context.alarms.clear(Alarm::RowsSetAside),
        }
        if changes.changed().await.is_err() {
            return Err("the tables are closed, this server leaves service".to_owned());
        }
    }
}

/// Does a leader's duties while this server leads.
async fn lead_when_elected(
    context: Context,
    identity: ClusterId,
    feed: Feed,
    liveness: Arc<Liveness>,
) -> Result<(), String> {
    let mut metrics = context.cluster.raft().server_metrics();
    let mut term: Option<(u64, LeaderTerm)> = None;
    let mut known_leader = None;
    loop {
        let (leads, current_term, leader) = {
            let metrics = metrics.borrow_watched();
            let term = metrics.vote.leader_id.term;
            (metrics.current_leader == Some(metrics.id), term, metrics.current_leader)
        };
        if known_leader != leader {
            known_leader = leader;
            if leads {
                context.cluster.note_elected();
            }
            match context.cluster.leader() {
                Some(leader) if leads => {
                    tracing::info!(name = leader.server.name, term = current_term, "this server leads")
                }
                Some(leader) => {
                    tracing::info!(name = leader.server.name, term = current_term, "another server leads")
                }
                None => tracing::warn!(term = current_term, "no leader is known"),
            }
        }
        if term.as_ref().is_some_and(|(of, _)| !leads || *of != current_term) {
            tracing::info!("this server's term as leader has ended");
            term = None;
        }
        if leads && term.is_none() {
            match begin_term(&context, &identity, current_term).await {
                Ok(()) => {
                    let parts = LeaderParts {
                        term: current_term,
                        context: context.clone(),
                        feed: feed.clone(),
                        liveness: liveness.clone(),
                    };
                    term = Some((current_term, LeaderTerm::start(parts)));
                    tracing::info!(term = current_term, "the leader's duties have begun");
                }
                Err(reason) => {
                    tracing::warn!(reason, "the leader's duties cannot begin yet");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            }
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

/// Waits until the state here holds all entries of earlier terms, and names the cluster if it has no name.
async fn begin_term(context: &Context, identity: &ClusterId, term: u64) -> Result<(), String> {
    let read = openraft::ReadPolicy::ReadIndex;
    context.cluster.raft().ensure_linearizable(read).await.map_err(|error| error.to_string())?;
    if context.state.machine().cluster().cluster_id.is_empty() {
        let init = Command::ClusterInit(ClusterInit { cluster_id: identity.get() });
        context.writer.write_as_leader(term, init).await.map_err(|error| error.to_string())?;
    }
    Ok(())
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

/// Hands leadership to the voter that has most of the log, of those that `may_lead`, so that no one has to
/// notice this server's absence.
pub(crate) async fn hand_over(cluster: &Cluster, may_lead: impl Fn(u64) -> bool) {
    let metrics = cluster.metrics();
    let Some(replication) = metrics.replication.filter(|_| metrics.current_leader == Some(cluster.id()))
    else {
        return;
    };
    let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
    let best = replication
        .into_iter()
        .filter(|(id, _)| *id != cluster.id() && voters.contains(id) && may_lead(*id))
        .max_by_key(|(_, at)| *at);
    let Some((to, _)) = best else { return };
    if cluster.raft().trigger().transfer_leader(to).await.is_err() {
        return;
    }
    let mut changes = cluster.raft().server_metrics();
    let me = cluster.id();
    let handed = async {
        while changes.borrow_watched().current_leader == Some(me) && changes.changed().await.is_ok() {}
    };
    match tokio::time::timeout(Duration::from_secs(2), handed).await {
        Ok(()) => tracing::info!("handed leadership over"),
        Err(_) => tracing::warn!("leadership was not taken over in time; the others will elect"),
    }
}
