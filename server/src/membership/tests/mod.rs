//! Tests of several servers in one process, with a network that can be cut and a paused clock that advances
//! when idle.

mod autopilot;
mod changes;
mod discovery;
mod faults;
mod forming;
mod greetings;
mod silence;
mod slow_disks;
mod wires;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ordu_core::autopilot as autopilot_config;
use ordu_proto::server::Peer;
use ordu_proto::state::AutopilotConfig;
use ordu_store::identity::{Identity, IdentityMemory, IdentityStore};
use ordu_store::log::MemoryLog;
use ordu_store::tables::MemoryDb;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::wires::Wires;
use super::{Changes, Discovery, Former};
use crate::context::Context;
use crate::limits::LimitsInForce;
use crate::net::SharedNet;
use crate::options::{FEATURE_LEVEL_AFTER, LogBounds, RaftTiming, ServerOptions};
use crate::server::{Server, ServerError};
use crate::storage::Storage;
use crate::trust::Trust;

/// In the tests' paused time, which advances only when there is nothing to do.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long a learner must be healthy before it votes, by default.
const SERVER_STABILIZATION_TIME: Duration =
    Duration::from_nanos(autopilot_config::DEFAULT.server_stabilization_time_ns.unsigned_abs());

/// Interval between checks of a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A running server. The last digits of its ports are its place. It may start anew under another id.
#[derive(Clone)]
struct Running(Arc<Mutex<(u64, Context)>>);

impl Running {
    fn id(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    fn context(&self) -> Context {
        self.0.lock().unwrap().1.clone()
    }

    /// Returns its description, as in a request to join.
    fn peer(&self) -> Peer {
        Discovery::me(&self.context().options, self.id())
    }

    /// Returns the voters' ids if the configuration is uniform, as known to this server.
    fn uniform_voters(&self) -> Option<BTreeSet<u64>> {
        let metrics = self.context().cluster.metrics();
        match metrics.membership_config.membership().get_joint_config().as_slice() {
            [voters] => Some(voters.clone()),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Servers {
    seed: u64,
    wires: Wires,
    running: Vec<Running>,
    /// The logs of the running servers, except those that started anew.
    logs: Vec<Arc<MemoryLog>>,
    /// Autopilot options of servers started from now on; defaults if `None`.
    autopilot: Option<AutopilotConfig>,
    /// Stops all servers.
    stop: CancellationToken,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The servers' wall clock, which follows the tests' paused time.
fn wall_ns() -> i64 {
    let elapsed = BEGAN.get().map_or(Duration::ZERO, |began| began.elapsed());
    1_767_225_600_000_000_000 + i64::try_from(elapsed.as_nanos()).unwrap()
}

/// A server's persistent stores.
struct Disk {
    log: Arc<MemoryLog>,
    tables: Arc<MemoryDb>,
    identity: Arc<IdentityMemory>,
}

impl Default for Disk {
    fn default() -> Self {
        let identity = Arc::new(IdentityMemory::new(Identity::draw()));
        Self { log: Arc::default(), tables: Arc::default(), identity }
    }
}

impl Disk {
    fn id(&self) -> u64 {
        self.identity.load().unwrap().server_id
    }

    async fn start(&self, options: &ServerOptions, net: &SharedNet, former: Former) -> Server {
        let storage =
            Storage::simulated(self.log.clone(), self.tables.clone(), self.identity.clone()).unwrap();
        Server::start_after(former, options.clone(), storage, net.clone(), Handle::current()).await.unwrap()
    }
}

fn options(place: usize, name: &str, bootstrap_expect: u32, retry_join: Vec<String>) -> ServerOptions {
    let at = |port: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port + place).unwrap()));
    ServerOptions {
        data_dir: name.into(),
        name: name.to_owned(),
        region: "global".to_owned(),
        datacenter: "dc1".to_owned(),
        http_bind: at(2_000),
        rpc_bind: at(3_000),
        serf_bind: None,
        http_advertise: at(2_000).to_string(),
        http_allowed_hosts: Vec::new(),
        http_conns_per_client_max: 0,
        rpc_advertise: at(3_000).to_string(),
        serf_advertise: String::new(),
        own_address: None,
        trust: Trust::default(),
        bootstrap_expect,
        retry_join,
        raft: RaftTiming::default(),
        log: LogBounds::default(),
        autopilot: autopilot_config::DEFAULT,
        feature_level_after: FEATURE_LEVEL_AFTER,
        heartbeat_ttl: Duration::from_secs(10),
        heartbeat_grace: Duration::from_secs(10),
        limits: LimitsInForce::default(),
        client: None,
        workers: 1,
    }
}

fn rpc(place: usize) -> String {
    format!("127.0.0.1:{}", 3_000 + place)
}

impl Servers {
    /// Creates an empty set; servers draw ids and timeouts from `seed`.
    fn seeded(seed: u64) -> Self {
        ordu_store::runtime::seed_thread(seed);
        let mut servers = Self::default();
        servers.seed = seed;
        servers
    }

    /// Forms a cluster of `count` servers.
    async fn form(count: usize) -> Self {
        Self::form_with(count, autopilot_config::DEFAULT).await
    }

    /// Forms a cluster of `count` servers with these autopilot options.
    async fn form_with(count: usize, autopilot: AutopilotConfig) -> Self {
        let mut servers = Self::seeded(7);
        servers.autopilot = Some(autopilot);
        let expect = u32::try_from(count).unwrap();
        for place in 0..count {
            let all = (0..count).map(rpc).collect();
            servers.start(&format!("server-{place}"), expect, all).await;
        }
        servers.leader().await;
        servers
    }

    /// Starts another server.
    async fn start(&mut self, name: &str, bootstrap_expect: u32, retry_join: Vec<String>) -> &Running {
        let place = self.running.len();
        if place == 0 {
            BEGAN.set(Some(Instant::now()));
            crate::clock::simulate(wall_ns);
        }
        let mut options = options(place, name, bootstrap_expect, retry_join);
        options.autopilot = self.autopilot.unwrap_or(options.autopilot);
        let net = self.wires.of(place);
        let mut disk = Disk::default();
        let mut server = disk.start(&options, &net, Former::default()).await;
        let running = Running(Arc::new(Mutex::new((disk.id(), server.context().clone()))));
        self.running.push(running.clone());
        self.logs.push(disk.log.clone());
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let mut former = Former::default();
            // Restart as the binary does.
            loop {
                match server.run(stop.clone()).await {
                    Err(ServerError::Anew { known, .. }) => {
                        former = former.and(&disk.identity.load().unwrap()).knowing(known);
                        disk = Disk::default();
                    }
                    Err(ServerError::Again { .. }) => {}
                    _ => return,
                }
                server = disk.start(&options, &net, former.clone()).await;
                *running.0.lock().unwrap() = (disk.id(), server.context().clone());
            }
        });
        &self.running[place]
    }

    /// Returns the place of the leader.
    async fn leader(&self) -> usize {
        let leads = |server: &Running| server.context().cluster.is_leader();
        eventually("a server leads", || self.running.iter().position(leads)).await
    }

    /// Returns the place of a follower.
    async fn follower(&self) -> usize {
        (self.leader().await + 1) % self.running.len()
    }

    fn ids(&self, places: &[usize]) -> BTreeSet<u64> {
        places.iter().map(|place| self.running[*place].id()).collect()
    }

    /// Returns the leader's membership changes.
    async fn changes(&self) -> Changes {
        self.running[self.leader().await].context().changes
    }

    /// Waits until the membership has `count` servers according to the leader.
    async fn wait_for_members(&self, count: usize) {
        eventually(&format!("there are {count} members (seed {})", self.seed), || {
            let leader = self.running.iter().find(|server| server.context().cluster.is_leader())?;
            (leader.context().cluster.members().len() == count).then_some(())
        })
        .await;
    }

    /// Checks that the servers in `places` stay the voters for `time`, according to the leader.
    async fn stay_voters(&self, places: &[usize], time: Duration) {
        let voters = self.ids(places);
        lastingly(&format!("they are the voters (seed {})", self.seed), time, || {
            let mut leaders = self.running.iter().filter(|server| server.context().cluster.is_leader());
            leaders.all(|leader| leader.uniform_voters().as_ref() == Some(&voters))
        })
        .await;
    }

    /// Waits until the servers in `places` are the voters according to each of them.
    async fn wait_for_voters(&self, places: &[usize]) {
        eventually(&format!("they are the voters (seed {})", self.seed), || {
            // Read the ids each time: a server that starts anew has another id.
            let voters = self.ids(places);
            let agreed = |place: &usize| self.running[*place].uniform_voters().as_ref() == Some(&voters);
            places.iter().all(agreed).then_some(())
        })
        .await;
    }
}

/// Checks for `time` that something continues to hold.
async fn lastingly(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(holds(), "no more after {:?}: {what}", began.elapsed());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Polls until `look` returns something.
async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in {} s: {what}", DEADLINE.as_secs());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
