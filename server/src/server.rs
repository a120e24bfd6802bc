//! A server from its start to its end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use openraft::SnapshotPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use ordu_core::limits::{NODE_MESSAGE_BYTES_MAX, RPC_MESSAGE_BYTES_MAX};
use ordu_core::state::Id;
use ordu_proto::command::ClusterInit;
use ordu_proto::command::envelope::Command;
use ordu_proto::node::node_server::NodeServer;
use ordu_proto::raft::raft_server::RaftServer;
use ordu_proto::server::server_server::ServerServer;
use ordu_proto::server::{NodeLivenessRequest, Standing};
use ordu_store::background::in_background;
use ordu_store::identity::{Identity, IdentityFile, IdentityStore};
use ordu_store::log::{LogDb, LogStore, RocksLog};
use ordu_store::state_machine::{self, State};
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
use crate::membership::{Changes, ClusterId, Discovery, Former, Greetings, Has, Known, Telling};
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
    /// This server must not go on under its id. It may start anew, with an empty data directory, once what it
    /// has is set aside (see [`Storage::set_aside`]).
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
        let lock = lock(data_dir)?;
        complete_setting_aside(data_dir).map_err(failed(what("what was to be set aside")))?;
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

    /// Tells when no one uses the databases any more.
    pub fn in_use(&self) -> InUse {
        InUse { log: Arc::downgrade(&self.log), tables: Arc::downgrade(&self.tables) }
    }

    /// Moves what a server has in `data_dir` into a directory of its own there, and gives that one's path.
    /// Nothing is removed. No one may use the storage meanwhile.
    ///
    /// # Errors
    /// When the directory is locked, or files cannot be moved.
    pub fn set_aside(data_dir: &Path) -> Result<PathBuf, ServerError> {
        let failed = || failed(format!("cannot set aside what is in {}", data_dir.display()));
        let _lock = lock(data_dir)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let name = (now..).map(|second| format!("{ASIDE}{second}")).find(|it| !data_dir.join(it).exists());
        let name = name.unwrap_or_default();
        std::fs::create_dir(data_dir.join(&name)).map_err(failed())?;
        // Cut short, it is completed before anything is opened: of a server's files, a part is worse than none.
        std::fs::write(data_dir.join(SETTING_ASIDE), &name).map_err(failed())?;
        sync_all(data_dir).map_err(failed())?;
        complete_setting_aside(data_dir).map_err(failed())?;
        Ok(data_dir.join(name))
    }

    /// Who the server in `data_dir` was before what it had was set aside.
    pub fn former(data_dir: &Path) -> Former {
        let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
        let is_aside =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE));
        let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_aside).collect();
        aside.sort();
        Former::read(aside.iter().map(PathBuf::as_path))
    }
}

/// The file by which a server has its data directory for itself.
const LOCK: &str = "lock";
/// How the names of directories begin into which a server's files were moved.
const ASIDE: &str = "aside-";

/// The file that names the directory into which a server's files are being moved.
const SETTING_ASIDE: &str = "setting-aside";

fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

/// Moves what is left to be moved, if anything is.
fn complete_setting_aside(data_dir: &Path) -> io::Result<()> {
    let marker = data_dir.join(SETTING_ASIDE);
    if !marker.exists() {
        return Ok(());
    }
    let name = std::fs::read_to_string(&marker)?;
    if !name.starts_with(ASIDE) || !data_dir.join(&name).is_dir() {
        // Its writing was cut short, and nothing is moved yet.
        return std::fs::remove_file(marker);
    }
    let aside = data_dir.join(name);
    for entry in std::fs::read_dir(data_dir)? {
        let name = entry?.file_name();
        if name != LOCK && name != SETTING_ASIDE && !name.to_string_lossy().starts_with(ASIDE) {
            std::fs::rename(data_dir.join(&name), aside.join(&name))?;
        }
    }
    File::open(&aside)?.sync_all()?;
    std::fs::remove_file(marker)?;
    File::open(data_dir)?.sync_all()
}

fn lock(data_dir: &Path) -> Result<nix::fcntl::Flock<File>, ServerError> {
    let what = format!("cannot open the lock in {}", data_dir.display());
    let file = File::create(data_dir.join(LOCK)).map_err(failed(what))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| ServerError::Locked { path: data_dir.display().to_string() })
}

/// Databases that may still be in use; see [`Storage::in_use`].
pub struct InUse {
    log: Weak<dyn LogDb>,
    tables: Weak<dyn TablesDb>,
}

impl InUse {
    /// Waits until they are closed.
    ///
    /// # Errors
    /// When they are not within a few seconds.
    pub async fn closed(self) -> Result<(), ServerError> {
        for _ in 0..CLOSING_TRIES {
            if self.log.strong_count() == 0 && self.tables.strong_count() == 0 {
                return Ok(());
            }
            tokio::time::sleep(CLOSING_PAUSE).await;
        }
        Err(ServerError::Fatal("the data of this server is still in use; start it again".to_owned()))
    }
}

/// How often it is looked whether the databases of a server that has ended are closed …
const CLOSING_TRIES: u32 = 500;
/// … and the pause in between.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);

/// A server that runs.
pub struct Server {
    context: Context,
    parts: JoinSet<Result<(), ServerError>>,
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
        Self::start_after(Former::default(), options, storage, net).await
    }

    /// Starts a server that was another before: what it had was set aside.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_after(
        former: Former,
        options: ServerOptions,
        storage: Storage,
        net: SharedNet,
    ) -> Result<Self, ServerError> {
        let options = Arc::new(options);
        let identity = ClusterId::load(storage.identity).map_err(failed("cannot read who this server is"))?;
        let peers = Peers::new(net.clone());
        let clock = ServerClock::new(options.clock_skew_max);
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
        let has_followed = introduce(&greetings, &identity, &known, &state, &mut log).await?;

        let listen = |addr| net.listen(addr);
        let http = listen(options.http_bind).await.map_err(failed("HTTP"))?;
        let rpc = listen(options.rpc_bind).await.map_err(failed("RPC"))?;
        let serf = match options.serf_bind {
            Some(addr) => Some(listen(addr).await.map_err(failed("serf"))?),
            None => None,
        };

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

        let contact = Arc::new(Contact::new(has_followed));
        let cluster = Cluster::new(raft.clone(), contact.clone(), known.clone());
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
            greetings: greetings.clone(),
            liveness: liveness.clone(),
        });
        let node_service = Arc::new(NodeService::new(context.clone(), sessions.clone()));
        for listener in [Some(rpc), serf].into_iter().flatten() {
            let services = (raft_service.clone(), server_service.clone(), node_service.clone());
            parts.spawn(part(&cluster, serve_rpc(listener, services, stop.clone())));
        }
        let http = tokio::spawn(crate::http::serve(http, Bounds::of_http(), context.clone(), stop.clone()));
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
        parts.spawn(part(&cluster, changes.keep_uniform()));
        parts.spawn(part(&cluster, divergence::run(context.clone(), identity.clone(), peers.clone())));
        parts.spawn(part(&cluster, clock::keep(context.clone())));
        let reporting =
            report_liveness(context.clone(), identity.clone(), peers, sessions.clone(), liveness.clone());
        parts.spawn(part(&cluster, reporting));
        parts.spawn(part(&cluster, tell_of_rows_set_aside(context.clone())));
        parts.spawn(part(&cluster, lead_when_elected(context.clone(), identity, feed, liveness)));
        parts.spawn(part(&cluster, watch_raft(raft)));
        if storage.tables.blocks() {
            parts.spawn(part(&cluster, scrub(storage.tables.clone(), stop.clone())));
        }
        parts.spawn(async move { Err(ServerError::Fatal(faults.wait().await)) });
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
            ended = &mut self.http => {
                Some(ServerError::Fatal(format!("the HTTP service has ended before its time: {ended:?}")))
            }
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
    let telling = Telling { formed: follows, standing: Standing { term, committed: None } };
    let introduced = greetings.introduce(&members, telling, Has { term, last }).await;
    match introduced.map_err(ServerError::Fatal)? {
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
