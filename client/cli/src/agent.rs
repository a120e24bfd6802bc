//! `ordu agent`: from the command line to a running server, node, or both.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Once};
use std::time::Duration;

use clap::Args;
use ordu_agent::{AgentOptions, NodeStats};
use ordu_server::limits::LimitsInForce;
use ordu_server::membership::Known;
use ordu_server::net::Tcp;
use ordu_server::options::{FEATURE_LEVEL_AFTER, LocalClient, LogBounds, RaftTiming, ServerOptions};
use ordu_server::server::{Server, ServerError};
use ordu_server::storage::{InUse, Storage};
use ordu_server::trust::Trust;
use ordu_store::background::heavy;
use ordu_store::urgency::Urgency;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{self, AgentConfig, ClientSettings, Overrides, ServerSettings, Sources};
use crate::error::AgentError;
use crate::reload::Reload;
use crate::service_manager::ServiceManager;
use crate::{logging, open_files, private};

/// The flags of `ordu agent`.
#[derive(Debug, Clone, Default, Args)]
pub struct AgentArgs {
    /// Configuration file, or directory of .hcl and .json files; may be given several times, later ones
    /// override earlier ones
    #[arg(long, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// Server and node in one process, on loopback, with raw_exec and data in a temporary directory
    #[arg(long)]
    dev: bool,
    /// Directory for the agent's data
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Address to listen on; loopback unless given
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Listen on other addresses than loopback although nothing is encrypted: whoever reaches them may do everything
    #[arg(long)]
    allow_plaintext: bool,
    /// Region
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Datacenter
    #[arg(long, value_name = "NAME")]
    dc: Option<String>,
    /// The agent's name; the host's unless given
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Least severe level that is logged: trace, debug, info, warn, error
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Be a server
    #[arg(long)]
    server: bool,
    /// Servers that have to find each other before they form a cluster
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=9))]
    bootstrap_expect: Option<u32>,
    /// Server to look for until it is found; may be given several times
    #[arg(long, visible_alias = "join", value_name = "HOST[:PORT]")]
    retry_join: Vec<String>,
    /// Be a node
    #[arg(long)]
    client: bool,
    /// Servers of the node
    #[arg(long, value_name = "HOST[:PORT],…", value_delimiter = ',')]
    servers: Vec<String>,
    /// The node's class
    #[arg(long, value_name = "NAME")]
    node_class: Option<String>,
    /// The node's metadata; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
}

impl AgentArgs {
    fn sources(&self) -> Sources {
        let overrides = Overrides {
            data_dir: self.data_dir.clone(),
            bind_addr: self.bind.clone(),
            allow_plaintext: self.allow_plaintext,
            region: self.region.clone(),
            datacenter: self.dc.clone(),
            name: self.node.clone(),
            log_level: self.log_level.clone(),
            server: self.server,
            bootstrap_expect: self.bootstrap_expect,
            retry_join: self.retry_join.clone(),
            client: self.client,
            servers: self.servers.clone(),
            node_class: self.node_class.clone(),
            meta: self.meta.clone(),
        };
        Sources { dev: self.dev, paths: self.config.clone(), overrides }
    }
}

/// Reads the configuration and runs the agent until a signal ends it.
pub(crate) fn execute(arguments: &AgentArgs) -> ExitCode {
    let sources = arguments.sources();
    let config = config::load(&sources).map_err(AgentError::from);
    match config.and_then(|config| run(config, sources)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::tell_end(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

/// Runs the agent until a signal ends it. SIGHUP reads its configuration again from `sources`.
///
/// # Errors
/// Why the agent could not start, or had to stop.
pub fn run(config: AgentConfig, sources: Sources) -> Result<(), AgentError> {
    let set_filter = logging::start(&config);
    die_on_panic();
    let config = config::with_addresses(config, &sources)?;
    private::open_data_directory(&config)?;
    let umask = private::take_umask();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let open_files =
        open_files::raise().inspect_err(|error| tracing::warn!("{error}; fewer clients are served")).ok();
    let threads = Threads::start(&config)?;
    let main = threads.server.as_ref().map(|server| &server.raft).or(threads.node.as_ref());
    let main = main.ok_or_else(|| "an agent is a server, a node, or both".to_owned())?;
    let limits = LimitsInForce::new(config.server.as_ref().map(ServerSettings::limits).unwrap_or_default());
    let reload = Reload::new(sources, config.clone(), set_filter, limits.clone());
    let result = main.block_on(run_parts(&config, open_files, umask, &threads, reload, limits));
    threads.end();
    if config.data_dir_is_temporary
        && let Err(error) = std::fs::remove_dir_all(&config.data_dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %config.data_dir.display(), "the temporary data directory cannot be removed");
    }
    result
}

/// The thread pools of a process, separate so that no part of it starves another.
struct Threads {
    server: Option<ServerThreads>,
    /// The node's; tasks inherit from these threads.
    node: Option<Runtime>,
}

struct ServerThreads {
    /// For raft, its log and the sessions of nodes.
    raft: Runtime,
    /// For requests of clients, and scheduling.
    requests: Runtime,
}

impl Threads {
    fn start(config: &AgentConfig) -> Result<Self, String> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // At least two threads, so that long work leaves one free.
        let usual = |name| runtime(name, cores.max(2), || ());
        // Raft does little at one time, and waking another thread costs more than it gains. Long work moves off
        // raft's threads.
        let for_server = |_| {
            Ok::<_, String>(ServerThreads {
                raft: runtime("raft", (cores / 2).max(1), hurry)?,
                requests: usual("requests")?,
            })
        };
        Ok(Self {
            server: config.server.as_ref().map(for_server).transpose()?,
            node: config.client.as_ref().map(|_| usual("node")).transpose()?,
        })
    }

    /// Returns a handle of each thread pool.
    fn handles(&self) -> Vec<Handle> {
        let of_server = self.server.iter().flat_map(|server| [&server.raft, &server.requests]);
        of_server.chain(&self.node).map(|runtime| runtime.handle().clone()).collect()
    }

    /// Stops all threads. What still runs belongs to connections that nothing waits for.
    fn end(self) {
        let of_server = self.server.into_iter().flat_map(|server| [server.requests, server.raft]);
        for runtime in self.node.into_iter().chain(of_server) {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Starts a thread pool; `started` is called on each thread.
fn runtime(
    name: &str,
    threads: usize,
    started: impl Fn() + Send + Sync + 'static,
) -> Result<Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(threads)
        .thread_name(name)
        .on_thread_start(started)
        .build()
        .map_err(|error| format!("cannot start the threads of {name}: {error}"))
}

/// Gives this thread raft's priority in the system's scheduler.
fn hurry() {
    static TOLD: Once = Once::new();
    if let Err(error) = Urgency::Raft.take() {
        TOLD.call_once(|| {
            tracing::info!(
                "raft's threads wait like all others where processors are short: {error}. CAP_SYS_NICE, or a limit for \
                 nice of -10, lets this process give them priority"
            );
        });
    }
}

/// Makes every panic that is not contained end the process: a server must not go on with a part missing.
fn die_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if !ordu_server::contain::is_contained() {
            std::process::abort();
        }
    }));
}

async fn run_parts(
    config: &AgentConfig,
    open_files: Option<u64>,
    umask: u32,
    threads: &Threads,
    mut reload: Reload,
    limits: LimitsInForce,
) -> Result<(), AgentError> {
    let manager = ServiceManager::default();
    manager.starting().await;
    let shutdown = CancellationToken::new();
    let signalled = shutdown.clone();
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let told = manager.clone();
    let rereading = tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            told.reloading(|| heavy(true, || reload.read_again())).await;
        }
    });
    let ending = manager.clone();
    let signals = tokio::spawn(async move {
        let mut told = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        told().await;
        tracing::info!("told to end; told once more, this process ends at once");
        signalled.cancel();
        ending.stopping().await;
        told().await;
        // Safe, since the stored state is consistent at every moment, as it must be for a kill.
        tracing::warn!("told again to end: nothing is waited for");
        std::process::exit(1);
    });

    let node_stats = watch::Sender::<NodeStats>::default();
    let server = match config.server.as_ref().zip(threads.server.as_ref()) {
        Some((settings, threads)) => {
            let client = config.client.as_ref().map(|_| local_client(node_stats.subscribe()));
            let (options, work) =
                (server_options(config, settings, limits, client), threads.requests.handle());
            let started = start_server(&options, Known::default(), work, &manager).await;
            Some((started.map_err(|error| AgentError::of_server(&error))?, options, work))
        }
        None => None,
    };
    // The node ends before the server that it talks to.
    let node_shutdown = shutdown.child_token();
    let server_shutdown = CancellationToken::new();
    let node = async {
        let result = match config.client.as_ref().zip(threads.node.as_ref()) {
            Some((settings, threads)) => {
                let mut options = node_options(config, settings);
                options.standing = manager.node();
                options.stats = node_stats.clone();
                if let Some(open_files) = open_files {
                    options.supervisor_program = open_files::supervisor(open_files);
                }
                options.supervisor_program.args.push(private::argument(umask));
                let node = threads.spawn(ordu_agent::run(options, node_shutdown.clone()));
                match node.await {
                    Ok(ended) => ended.map_err(|error| AgentError::of_node(&error)),
                    Err(error) => Err(AgentError::Ended(format!("the node has ended: {error}"))),
                }
            }
            // Also cancelled when the server ends on its own: the process must not outlive it.
            None => {
                node_shutdown.cancelled().await;
                Ok(())
            }
        };
        server_shutdown.cancel();
        result
    };
    let server = async {
        let result = match server {
            Some((server, options, work)) => {
                let ended = run_server(server, &options, work, &manager, &server_shutdown).await;
                ended.map_err(|error| AgentError::of_running_server(&error))
            }
            None => {
                server_shutdown.cancelled().await;
                Ok(())
            }
        };
        node_shutdown.cancel();
        result
    };
    let (has_server, has_node) = (config.server.is_some(), config.client.is_some());
    let following = tokio::spawn(manager.clone().follow(has_server, has_node, threads.handles()));
    let (server, node) = tokio::join!(server, async {
        let result = node.await;
        shutdown.cancel();
        result
    });
    manager.stopping().await;
    following.abort();
    signals.abort();
    rereading.abort();
    server.and(node)
}

/// A started server, and the means to wait until its databases are closed.
struct Started {
    server: Server,
    in_use: InUse,
}

/// Starts a server from its data directory. If the data must be set aside first, it then starts as a new server.
async fn start_server(
    options: &ServerOptions,
    mut known: Known,
    work: &Handle,
    manager: &ServiceManager,
) -> Result<Started, ServerError> {
    loop {
        let storage = Storage::open(&options.data_dir)?;
        let in_use = storage.in_use();
        let former = Storage::former(&options.data_dir).knowing(known);
        match Server::start_after(former, options.clone(), storage, Arc::new(Tcp), work.clone()).await {
            Ok(server) => {
                manager.set_server(Some(server.context().cluster.clone()));
                return Ok(Started { server, in_use });
            }
            Err(error) => known = prepare_next(error, in_use, options).await?,
        }
    }
}

/// Runs a server until it is told to end or fails; starts it again if it asks for that.
async fn run_server(
    mut started: Started,
    options: &ServerOptions,
    work: &Handle,
    manager: &ServiceManager,
    shutdown: &CancellationToken,
) -> Result<(), ServerError> {
    loop {
        let Started { server, in_use } = started;
        let ended = server.run(shutdown.clone()).await;
        manager.set_server(None);
        let known = match ended {
            Ok(()) => return Ok(()),
            Err(error) => prepare_next(error, in_use, options).await?,
        };
        if shutdown.is_cancelled() {
            return Ok(());
        }
        started = start_server(options, known, work, manager).await?;
    }
}

/// Prepares the data directory for the next start, if the server may start again. Returns the servers that it knew.
async fn prepare_next(
    error: ServerError,
    in_use: InUse,
    options: &ServerOptions,
) -> Result<Known, ServerError> {
    match error {
        ServerError::Again { reason } => {
            tracing::warn!("{reason}; starting again");
            in_use.closed().await?;
            Ok(Known::default())
        }
        ServerError::Anew { reason, known } => {
            tracing::warn!("{reason}; starting anew as another server");
            in_use.closed().await?;
            let aside = Storage::set_aside(&options.data_dir)?;
            tracing::warn!(aside = %aside.display(), "what this server had is set aside, nothing is removed");
            Ok(known)
        }
        error => Err(error),
    }
}

/// Returns the node agent of this process as the server knows it.
fn local_client(stats: watch::Receiver<NodeStats>) -> LocalClient {
    LocalClient::new(move || {
        let stats = stats.borrow().clone();
        // Go's notation of a duration.
        let seconds = |span: Duration| format!("{:.3}s", span.as_secs_f64());
        let last_heartbeat = stats.last_heartbeat.map(|at| ("last_heartbeat", seconds(at.elapsed())));
        let figures = [
            ("node_id", stats.node_id),
            ("known_servers", stats.known_servers.join(",")),
            ("num_allocations", stats.num_allocations.to_string()),
            ("heartbeat_ttl", seconds(stats.heartbeat_ttl)),
        ];
        figures.into_iter().chain(last_heartbeat).collect()
    })
}

fn server_options(
    config: &AgentConfig,
    settings: &ServerSettings,
    limits: LimitsInForce,
    client: Option<LocalClient>,
) -> ServerOptions {
    let (default, log, raft) = (RaftTiming::default(), LogBounds::default(), settings.raft);
    let scaled =
        |set: Option<u64>, default: u64| set.unwrap_or(default) * u64::from(settings.raft_multiplier);
    let bytes = |mb: Option<u64>, default: u64| mb.map_or(default, |mb| mb << 20);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ServerOptions {
        data_dir: config.data_dir.join("server"),
        name: config.name.clone(),
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        http_bind: config.listeners.http,
        rpc_bind: config.listeners.rpc,
        serf_bind: Some(config.listeners.serf),
        http_advertise: config.advertised.http.to_string(),
        http_allowed_hosts: config.http_allowed_hosts.clone(),
        http_conns_per_client_max: config.http_conns_per_client_max,
        rpc_advertise: config.advertised.rpc.to_string(),
        serf_advertise: config.advertised.serf.to_string(),
        own_address: config.own_address,
        trust: Trust::new(settings.encrypt.clone(), !settings.encrypt_verify),
        bootstrap_expect: settings.bootstrap_expect,
        retry_join: settings.retry_join.iter().map(ToString::to_string).collect(),
        raft: RaftTiming {
            heartbeat_interval_ms: scaled(raft.heartbeat_interval_ms, default.heartbeat_interval_ms),
            election_timeout_min_ms: scaled(raft.election_timeout_min_ms, default.election_timeout_min_ms),
            election_timeout_max_ms: scaled(raft.election_timeout_max_ms, default.election_timeout_max_ms),
            multiplier: settings.raft_multiplier,
        },
        log: LogBounds {
            snapshot_entries: raft.snapshot_logs.unwrap_or(log.snapshot_entries),
            snapshot_bytes: bytes(raft.snapshot_mb, log.snapshot_bytes),
            kept_entries: raft.logs_kept.unwrap_or(log.kept_entries),
            kept_bytes: bytes(raft.logs_kept_mb, log.kept_bytes),
            kept_age: raft.logs_kept_age_ms.map_or(log.kept_age, Duration::from_millis),
            held_bytes: bytes(raft.logs_held_mb, log.held_bytes),
        },
        autopilot: settings.autopilot,
        feature_level_after: settings
            .feature_level_after_ms
            .map_or(FEATURE_LEVEL_AFTER, Duration::from_millis),
        heartbeat_ttl: Duration::from_millis(settings.min_heartbeat_ttl_ms.unwrap_or(HEARTBEAT_TTL_MS)),
        heartbeat_grace: Duration::from_millis(settings.heartbeat_grace_ms.unwrap_or(HEARTBEAT_GRACE_MS)),
        limits,
        client,
        workers: settings.num_schedulers.map_or(cores, |workers| workers as usize),
    }
}

/// Time to live of a node's session; the node sends three heartbeats in this time.
const HEARTBEAT_TTL_MS: u64 = 5_000;
/// Additional silence after which the node is considered down.
const HEARTBEAT_GRACE_MS: u64 = 3_000;

fn node_options(config: &AgentConfig, settings: &ClientSettings) -> AgentOptions {
    let mut options = AgentOptions::new(config.data_dir.clone());
    options.name = Some(config.name.clone());
    options.region.clone_from(&config.region);
    options.datacenter.clone_from(&config.datacenter);
    options.node_class.clone_from(&settings.node_class);
    options.meta.clone_from(&settings.meta);
    options.servers = settings.servers.iter().map(ToString::to_string).collect();
    options.raw_exec_enabled = config.raw_exec_enabled;
    options.cpu_total_compute_mhz = settings.cpu_total_compute_mhz.and_then(|mhz| i64::try_from(mhz).ok());
    options.disk_free_mb = settings.disk_free_mb.and_then(|mb| i64::try_from(mb).ok());
    options.memory_total_mb = settings.memory_total_mb.and_then(|mb| i64::try_from(mb).ok());
    options.network_interface.clone_from(&settings.network_interface);
    options.http_addr = config.advertised.http.to_string();
    options.reserved.cpu_mhz = i64::try_from(settings.reserved.cpu_mhz).unwrap_or(i64::MAX);
    options.reserved.memory_mb = i64::try_from(settings.reserved.memory_mb).unwrap_or(i64::MAX);
    options.reserved.disk_mb = i64::try_from(settings.reserved.disk_mb).unwrap_or(i64::MAX);
    options.stop_tasks_on_shutdown = config.dev;
    options
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::die_on_panic;

    const WHERE: &str = "ORDU_TEST_PANICS";
    const ALIVE: &str = "the process lives";

    /// Panics as the environment says, in a process of its own.
    #[tokio::test]
    async fn child_that_panics() {
        let Ok(place) = std::env::var(WHERE) else { return };
        die_on_panic();
        match place.as_str() {
            "request" => {
                let panicked = ordu_server::contain::contained(async { panic!("in a request") }).await;
                assert_eq!(Err("in a request".to_owned()), panicked.map(|(): ()| ()));
            }
            "elsewhere" => {
                let _ = tokio::spawn(async { panic!("elsewhere") }).await;
            }
            _ => {}
        }
        println!("{ALIVE}");
    }

    #[test]
    fn a_panic_ends_the_process_unless_it_is_contained() {
        for (place, lives) in [("nowhere", true), ("request", true), ("elsewhere", false)] {
            let test = "agent::tests::child_that_panics";
            let child = Command::new(std::env::current_exe().unwrap())
                .args([test, "--exact", "--nocapture", "--test-threads=1"])
                .env(WHERE, place)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert_eq!(lives, child.status.success(), "{place}: {said}");
            assert_eq!(lives, said.contains(ALIVE), "{place}: {said}");
        }
    }
}
