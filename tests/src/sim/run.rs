//! One simulation run: servers, clients, faults, and the final check.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use ordu_server::limits::LimitsInForce;
use ordu_server::membership::{Former, Known};
use ordu_server::options::{FEATURE_LEVEL_AFTER, LogBounds, RaftTiming, ServerOptions};
use ordu_server::server::{Server, ServerError};
use ordu_server::storage::Storage;
use ordu_server::trust::Trust;
use ordu_store::identity::{Identity, IdentityMemory, IdentityStore};
use ordu_store::log::{MemoryLog, Site};
use ordu_store::tables::MemoryDb;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::net::SimNet;

/// The faults of a run.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Number of server crashes.
    pub crashes: u32,
    /// Number of partitions of one server from the others.
    pub partitions: u32,
    /// A sync that the servers omit, to show that the simulation detects the omission.
    pub left_out: Option<Site>,
}

/// Results of a run.
#[derive(Debug)]
pub struct Report {
    /// All events with virtual times; equal for equal seeds.
    pub trace: String,
    /// Number of acknowledged registrations.
    pub acknowledged: usize,
    /// Number of registrations that got an error or no answer.
    pub unanswered: usize,
}

const SERVERS: [&str; 3] = ["server-1", "server-2", "server-3"];
/// All hosts.
const EVERYONE: [&str; 7] =
    ["server-1", "server-2", "server-3", "client-0", "client-1", "client-2", "checker"];
/// The period in which faults occur.
const FAULTY_TIME: Duration = Duration::from_secs(12);
/// Timeout for the healed cluster to agree.
const HEALING_TIME: Duration = Duration::from_secs(30);
/// Most additional power failures at the worst moment per run, and their least distance from other crashes of the same
/// server.
const WORST_MOMENTS_MAX: u32 = 3;
const APART: Duration = Duration::from_millis(400);
/// 2026-01-01, the start time of all simulations.
const EPOCH_NS: i64 = 1_767_225_600_000_000_000;

fn virtual_now_ns() -> i64 {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    EPOCH_NS + i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

/// A server's disk, which survives crashes of the server.
#[derive(Clone)]
struct Disk {
    log: Arc<MemoryLog>,
    tables: Arc<MemoryDb>,
    identity: Arc<IdentityMemory>,
    former: Former,
    left_out: Option<Site>,
}

impl Disk {
    fn new(former: Former, left_out: Option<Site>) -> Self {
        let log = Arc::new(MemoryLog::default());
        if let Some(site) = left_out {
            log.leave_out(site);
        }
        let identity = Arc::new(IdentityMemory::new(Identity::draw()));
        Self { log, tables: Arc::default(), identity, former, left_out }
    }

    /// Returns an empty disk that remembers the identity of the discarded one.
    fn anew(self, known: Known) -> std::io::Result<Self> {
        Ok(Self::new(self.former.and(&self.identity.load()?).knowing(known), self.left_out))
    }

    fn storage(&self) -> std::io::Result<Storage> {
        Storage::simulated(self.log.clone(), self.tables.clone(), self.identity.clone())
    }

    fn lose_power(&self) {
        self.log.lose_power();
        self.tables.lose_unflushed();
    }
}

#[derive(Clone, Default)]
struct Trace(Rc<RefCell<String>>);

impl Trace {
    fn note(&self, at: Duration, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0.borrow_mut(), "{:>8} {text}", at.as_millis());
    }

    fn note_now(&self, text: &str) {
        self.note(turmoil::sim_elapsed().unwrap_or_default(), text);
    }
}

fn options(name: &str) -> ServerOptions {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    ServerOptions {
        data_dir: name.into(),
        name: name.to_owned(),
        region: "global".to_owned(),
        datacenter: "dc1".to_owned(),
        http_bind: any(4646),
        rpc_bind: any(4647),
        serf_bind: None,
        http_advertise: format!("{name}:4646"),
        http_allowed_hosts: Vec::new(),
        http_conns_per_client_max: 0,
        rpc_advertise: format!("{name}:4647"),
        serf_advertise: String::new(),
        own_address: None,
        trust: Trust::default(),
        bootstrap_expect: 3,
        retry_join: SERVERS.map(|server| format!("{server}:4647")).to_vec(),
        // Few entries between snapshots, so that a run of a few seconds has some snapshots.
        raft: RaftTiming::default(),
        log: LogBounds { snapshot_entries: 60, kept_entries: 30, ..LogBounds::default() },
        autopilot: ordu_core::autopilot::DEFAULT,
        feature_level_after: FEATURE_LEVEL_AFTER,
        heartbeat_ttl: Duration::from_secs(5),
        heartbeat_grace: Duration::from_secs(3),
        limits: LimitsInForce::default(),
        client: None,
        workers: 1,
    }
}

fn job(id: &str) -> Value {
    json!({"Job": {"ID": id, "Name": id, "Type": "batch", "Datacenters": ["nowhere"],
        "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Driver": "raw_exec",
            "Config": {"command": "/bin/true"}, "Resources": {"CPU": 20, "MemoryMB": 10}}]}]}})
}

/// Sends one request on its own connection.
async fn ask(server: &str, method: &str, path: &str, body: &Value) -> Result<(u16, Value), String> {
    let stream = turmoil::net::TcpStream::connect((server, 4646)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let connection = tokio::task::spawn_local(connection);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", server)
        .body(Full::new(bytes::Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    };
    let answer = answer.await;
    connection.abort();
    answer
}

/// Registers jobs sequentially, at each server in turn, while faults occur.
async fn register_jobs(client: usize, trace: Trace, log: Rc<RefCell<BTreeMap<String, bool>>>) {
    let mut number = 0;
    while turmoil::sim_elapsed().unwrap_or_default() < FAULTY_TIME {
        let id = format!("client-{client}-job-{number}");
        let server = SERVERS[(client + number) % SERVERS.len()];
        number += 1;
        let answer = timeout(Duration::from_secs(3), ask(server, "POST", "/v1/jobs", &job(&id))).await;
        let acknowledged = matches!(answer, Ok(Ok((200, _))));
        let outcome = match &answer {
            Ok(Ok((status, _))) => status.to_string(),
            Ok(Err(_)) => "connection lost".to_owned(),
            Err(_) => "no answer".to_owned(),
        };
        trace.note_now(&format!("{id} at {server}: {outcome}"));
        log.borrow_mut().insert(id, acknowledged);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until all servers have the same state, and checks that it contains all acknowledged jobs.
async fn check(trace: Trace, log: Rc<RefCell<BTreeMap<String, bool>>>) -> Result<(), String> {
    let deadline = FAULTY_TIME + HEALING_TIME;
    let null = Value::Null;
    loop {
        if turmoil::sim_elapsed().unwrap_or_default() > deadline {
            return Err("the healed cluster did not agree in time".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut hashes = Vec::new();
        for server in SERVERS {
            let asked = ask(server, "GET", "/v1/operator/ordu/state-hash?stale", &null);
            if let Ok(Ok((200, answer))) = timeout(Duration::from_secs(2), asked).await {
                hashes.push(answer);
            }
        }
        // Evaluations may still be processed after the last registration, so compare index and hash together.
        if hashes.len() == SERVERS.len() && hashes.iter().all(|hash| *hash == hashes[0]) {
            trace.note_now(&format!("all servers agree: {}", hashes[0]));
            break;
        }
    }
    for server in SERVERS {
        let (status, jobs) = ask(server, "GET", "/v1/jobs", &null).await?;
        let jobs =
            jobs.as_array().filter(|_| status == 200).ok_or_else(|| format!("{server}: no list of jobs"))?;
        let ids: Vec<&str> = jobs.iter().filter_map(|job| job["ID"].as_str()).collect();
        for (id, acknowledged) in log.borrow().iter() {
            if *acknowledged && !ids.contains(&id.as_str()) {
                return Err(format!("{server} has lost {id}, which was acknowledged"));
            }
        }
        if let Some(phantom) = ids.iter().find(|id| !log.borrow().contains_key(**id)) {
            return Err(format!("{server} has a job that no one registered: {phantom}"));
        }
        trace.note_now(&format!("{server} has {} jobs", ids.len()));
    }
    Ok(())
}

async fn run_server(name: &str, disk: &Disk) -> Result<(), ServerError> {
    let net = Arc::new(SimNet);
    let storage = disk.storage();
    let storage =
        storage.map_err(|source| ServerError::Io { what: "the simulated disk".to_owned(), source })?;
    let server =
        Server::start_after(disk.former.clone(), options(name), storage, net, Handle::current()).await?;
    server.run(CancellationToken::new()).await
}

/// The kind of a fault.
#[derive(Debug)]
enum Fault {
    Crash(&'static str),
    Partition(&'static str),
}

fn draw_faults(faults: Faults, rng: &mut StdRng) -> Vec<(Duration, Duration, Fault)> {
    let mut drawn = Vec::new();
    let kinds = (0..faults.crashes).map(|_| true).chain((0..faults.partitions).map(|_| false));
    for crash in kinds {
        let server = SERVERS[rng.random_range(0..SERVERS.len())];
        let begin = Duration::from_millis(rng.random_range(2_000..9_000));
        let end = begin + Duration::from_millis(rng.random_range(200..2_500));
        drawn.push((begin, end, if crash { Fault::Crash(server) } else { Fault::Partition(server) }));
    }
    drawn.sort_by_key(|(begin, _, _)| *begin);
    drawn
}

/// Runs the simulation of `seed`.
///
/// # Errors
/// A violation seen by a client, or that the cluster did not agree in time.
pub fn run(seed: u64, faults: Faults) -> Result<Report, String> {
    // Raft's random numbers and ids are per thread, so a separate thread isolates runs.
    let running =
        std::thread::Builder::new().name(format!("simulation-{seed}")).spawn(move || simulate(seed, faults));
    let running = running.map_err(|error| error.to_string())?;
    running.join().map_err(|_| format!("the simulation of seed {seed} panicked"))?
}

fn simulate(seed: u64, faults: Faults) -> Result<Report, String> {
    ordu_store::runtime::seed_thread(seed);
    ordu_server::clock::simulate(virtual_now_ns);
    let mut rng = StdRng::seed_from_u64(seed);
    let trace = Trace::default();
    let log: Rc<RefCell<BTreeMap<String, bool>>> = Rc::default();
    let new = |name| (name, Rc::new(RefCell::new(Disk::new(Former::default(), faults.left_out))));
    let disks: BTreeMap<&str, Rc<RefCell<Disk>>> = SERVERS.into_iter().map(new).collect();

    let mut sim = turmoil::Builder::new()
        .simulation_duration(FAULTY_TIME + 2 * HEALING_TIME)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .tcp_capacity(4_096)
        .rng_seed(seed)
        .build();
    for name in SERVERS {
        let disk = disks[name].clone();
        sim.host(name, move || {
            let disk = disk.clone();
            async move {
                loop {
                    let now = disk.borrow().clone();
                    let ended = run_server(name, &now).await;
                    match ended {
                        Err(ServerError::Anew { known, .. }) => *disk.borrow_mut() = now.anew(known)?,
                        Err(ServerError::Again { .. }) => {}
                        ended => return Ok(ended?),
                    }
                }
            }
        });
    }
    let mut clients = Vec::new();
    for client in 0..3 {
        let (trace, log) = (trace.clone(), log.clone());
        let done = Rc::new(RefCell::new(false));
        clients.push(done.clone());
        sim.client(format!("client-{client}"), async move {
            register_jobs(client, trace, log).await;
            *done.borrow_mut() = true;
            Ok(())
        });
    }
    {
        let (trace, log) = (trace.clone(), log.clone());
        sim.client("checker", async move {
            tokio::time::sleep(FAULTY_TIME + Duration::from_secs(4)).await;
            check(trace, log).await?;
            Ok(())
        });
    }

    let mut plan = draw_faults(faults, &mut rng);
    let mut worst_moments = 0;
    let mut begun = vec![false; plan.len()];
    let mut ended = vec![false; plan.len()];
    loop {
        let now = sim.elapsed();
        // Also cut the power at the worst moment: when something was promised that is not on disk. There is no such
        // moment unless a sync is left out.
        let exposed = SERVERS.into_iter().find(|server| disks[server].borrow().log.is_exposed());
        if let Some(server) =
            exposed.filter(|_| worst_moments < WORST_MOMENTS_MAX && now < FAULTY_TIME + HEALING_TIME / 3)
        {
            let is_apart = |(begin, end, fault): &(Duration, Duration, Fault)| {
                let is_its_own = matches!(fault, Fault::Crash(crashed) if *crashed == server);
                !is_its_own || now > *end + APART || now + APART < *begin
            };
            if now > APART && plan.iter().all(is_apart) {
                worst_moments += 1;
                plan.push((now, now + Duration::from_millis(300), Fault::Crash(server)));
                begun.push(false);
                ended.push(false);
            }
        }
        for (number, (begin, end, fault)) in plan.iter().enumerate() {
            if !begun[number] && now >= *begin {
                begun[number] = true;
                trace.note(now, &format!("{fault:?} begins"));
                match fault {
                    Fault::Crash(server) => {
                        // A power failure sends no FIN. (A FIN would also be sent in the order in which tokio drops a
                        // runtime's tasks, which depends on a process-wide counter and not on the seed.)
                        for other in EVERYONE.iter().filter(|other| *other != server) {
                            sim.partition(*server, *other);
                        }
                        sim.crash(*server);
                        disks[server].borrow().lose_power();
                    }
                    Fault::Partition(server) => {
                        for other in SERVERS.iter().filter(|other| *other != server) {
                            sim.partition(*server, *other);
                        }
                    }
                }
            }
            if begun[number] && !ended[number] && now >= *end {
                ended[number] = true;
                trace.note(now, &format!("{fault:?} ends"));
                match fault {
                    Fault::Crash(server) => {
                        for other in EVERYONE.iter().filter(|other| *other != server) {
                            sim.repair(*server, *other);
                        }
                        sim.bounce(*server);
                    }
                    Fault::Partition(server) => {
                        for other in SERVERS.iter().filter(|other| *other != server) {
                            sim.repair(*server, *other);
                        }
                    }
                }
            }
        }
        match sim.step() {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return Err(format!("seed {seed}: {error}\n{}", trace.0.borrow())),
        }
    }
    for (name, disk) in &disks {
        if let Some(broken) = disk.borrow().log.broken_promises().first() {
            return Err(format!("seed {seed}: a power loss took back from {name}: {broken}"));
        }
    }
    let log = log.borrow();
    let acknowledged = log.values().filter(|acknowledged| **acknowledged).count();
    Ok(Report { trace: trace.0.borrow().clone(), acknowledged, unanswered: log.len() - acknowledged })
}
