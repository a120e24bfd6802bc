//! A cluster of real server and node processes on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::agent::Agent;
use super::config::{self, Member};
use super::hanging_disk::HangingDisk;
use super::links::Links;
use super::ports::free_port;
use super::root::Root;
use super::small_disk::SmallDisk;
use super::wait::{eventually, holds};
use super::wall_clock::WallClock;
use crate::http::Client;

/// Timeout for members to find each other, elect a leader, and recover from a crash. Far longer than necessary, because
/// both cores may be busy.
pub const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// Held by each cluster and development agent. They share two cores, so only one of them runs at a time per test
/// process; otherwise they would slow each other down.
pub(super) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Configuration of a test cluster.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Number of servers.
    pub servers: usize,
    /// Number of nodes.
    pub nodes: usize,
    /// Whether the links between members can be cut.
    pub links: bool,
    /// Whether the servers' wall clocks can be set.
    pub clocks: bool,
    /// Whether the servers' disks can be made to hang.
    pub disks: bool,
    /// Size of a separate file system for each server's data, in megabytes. None: servers use the test's file system.
    /// Requires permission to mount, see [`super::may_mount`].
    pub disk_mb: Option<u64>,
    /// Limit of open files per server, if lower than that of the tests.
    pub open_files: Option<u32>,
    /// Text to add to the `server` blocks of the configuration.
    pub server_block: String,
    /// Text to add to the `client` blocks of the configuration.
    pub client_block: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            servers: 3,
            nodes: 1,
            links: false,
            clocks: false,
            disks: false,
            disk_mb: None,
            open_files: None,
            server_block: String::new(),
            client_block: String::new(),
        }
    }
}

/// A running cluster. Dropping it ends its processes and tasks, and removes its data.
pub struct Cluster {
    /// The servers; a server's index is its number in `links`.
    pub servers: Vec<Agent>,
    /// The nodes; in `links` their numbers follow those of the servers.
    pub nodes: Vec<Agent>,
    /// The links, if requested by the shape.
    pub links: Option<Links>,
    /// The servers' clocks, if requested by the shape.
    pub clocks: Vec<WallClock>,
    /// The servers' disks, if requested by the shape.
    pub disks: Vec<HangingDisk>,
    /// The servers' file systems, if requested by the shape.
    pub small_disks: Vec<SmallDisk>,
    shape: Shape,
    /// The ports of HTTP, RPC and gossip, and the advertised RPC ports; of the servers, then the nodes.
    ports: Vec<[u16; 3]>,
    advertised_rpc: Vec<u16>,
    // Fields are dropped in order of declaration: first the agents above, then the remaining processes, then the lock.
    _root: Root,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts a cluster and waits until the servers agree on a leader and every node is ready.
    pub async fn start(shape: Shape) -> Self {
        let mut cluster = Self::prepare(shape).await;
        for number in 0..cluster.servers.len() {
            cluster.start_server(number);
        }
        for number in 0..cluster.nodes.len() {
            cluster.start_node(number);
        }
        cluster.leader().await;
        cluster.wait_for_nodes(cluster.nodes.len()).await;
        cluster
    }

    /// Starts a cluster of three servers and one node.
    pub async fn start_three() -> Self {
        Self::start(Shape::default()).await
    }

    /// Creates a cluster without starting its members.
    pub async fn prepare(shape: Shape) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let root = Root::new();
        let ports: Vec<[u16; 3]> = (0..shape.servers + shape.nodes).map(|_| three_ports()).collect();
        let advertised_rpc = ports.iter().map(|[_, rpc, _]| *rpc).collect();
        let agent = |name: String, [http, ..]: &[u16; 3]| {
            let file = root.path().join(format!("{name}.hcl"));
            let arguments = vec!["-config".to_owned(), file.display().to_string()];
            Agent::new(&name, loopback(*http), arguments, root.path(), root.log(&name))
        };
        let (of_servers, of_nodes) = ports.split_at(shape.servers);
        let named = |kind: &'static str| (1..).map(move |number| format!("{kind}-{number}"));
        let mut servers: Vec<Agent> =
            named("server").zip(of_servers).map(|(name, ports)| agent(name, ports)).collect();
        let clocks = servers.iter_mut().filter(|_| shape.clocks).map(|server| {
            let clock = WallClock::new(root.path(), &server.name);
            server.set_environment(clock.environment());
            clock
        });
        let clocks = clocks.collect();
        for server in &mut servers {
            server.set_open_files(shape.open_files);
        }
        let disks = servers.iter_mut().filter(|_| shape.disks).map(|server| {
            let disk = HangingDisk::new(root.path(), &server.name);
            server.set_environment(disk.environment());
            disk
        });
        let disks = disks.collect();
        let small_disk = |server: &Agent, megabytes| {
            SmallDisk::new(root.path().join(&server.name), megabytes).expect("file systems can be mounted")
        };
        let small_disks = shape
            .disk_mb
            .iter()
            .flat_map(|mb| servers.iter().map(|server| small_disk(server, *mb)))
            .collect();
        let nodes = named("node").zip(of_nodes).map(|(name, ports)| agent(name, ports)).collect();
        let links = shape.links.then(Links::new);
        let mut cluster = Self {
            servers,
            nodes,
            links,
            clocks,
            disks,
            small_disks,
            shape,
            ports,
            advertised_rpc,
            _root: root,
            _turn: turn,
        };
        cluster.open_relays().await;
        cluster.write_configurations();
        cluster
    }

    async fn open_relays(&mut self) {
        let Some(links) = &self.links else { return };
        for number in 0..self.servers.len() {
            let [_, rpc, _] = self.ports[number];
            self.advertised_rpc[number] = free_port();
            let opened = links.relay(number, loopback(self.advertised_rpc[number]), loopback(rpc)).await;
            opened.expect("a free port can be listened on");
        }
    }

    /// Replaces the additional text in the servers' `server` blocks, from their next start on.
    pub fn set_server_block(&mut self, server_block: String) {
        self.shape.server_block = server_block;
        self.write_configurations();
    }

    fn write_configurations(&self) {
        let servers = self.rpc_addresses();
        for (number, agent) in self.servers.iter().chain(&self.nodes).enumerate() {
            let member = Member {
                name: &agent.name,
                data_dir: &self._root.path().join(&agent.name),
                ports: self.ports[number],
                advertised_rpc: self.advertised_rpc[number],
                servers: &servers,
            };
            let text = match number < self.servers.len() {
                true => config::server(&member, &self.shape.server_block),
                false => config::node(&member, &self.shape.client_block),
            };
            self._root.write(&format!("{}.hcl", agent.name), &text);
        }
    }

    /// Returns the advertised RPC addresses of all servers.
    fn rpc_addresses(&self) -> Vec<String> {
        self.advertised_rpc[..self.servers.len()].iter().map(|port| loopback(*port).to_string()).collect()
    }

    /// Gives a stopped server new addresses. All configuration files contain the new addresses, for members that are
    /// started later.
    pub fn move_server(&mut self, number: usize) {
        assert!(!self.servers[number].is_started(), "a running server keeps its addresses");
        assert!(self.links.is_none(), "relays do not move");
        self.ports[number] = three_ports();
        let [http, rpc, _] = self.ports[number];
        self.advertised_rpc[number] = rpc;
        self.servers[number].http = loopback(http);
        self.write_configurations();
    }

    /// Adds a server without starting it. All configuration files name it, for members that are started later.
    pub fn add_server(&mut self) -> usize {
        assert!(self.links.is_none(), "relays are opened when the cluster starts");
        let number = self.servers.len();
        let ports = three_ports();
        let name = format!("server-{}", number + 1);
        let file = self._root.path().join(format!("{name}.hcl"));
        let arguments = vec!["-config".to_owned(), file.display().to_string()];
        let (root, log) = (self._root.path(), self._root.log(&name));
        self.servers.push(Agent::new(&name, loopback(ports[0]), arguments, root, log));
        self.ports.insert(number, ports);
        self.advertised_rpc.insert(number, ports[1]);
        self.write_configurations();
        number
    }

    /// Deletes the data of a stopped server.
    pub fn wipe_server(&mut self, number: usize) {
        let agent = &self.servers[number];
        assert!(!agent.is_started(), "a running server needs its disk");
        let data = self._root.path().join(&agent.name);
        std::fs::remove_dir_all(data).expect("the test's folder can be written to");
    }

    /// Starts or restarts a server.
    pub fn start_server(&mut self, number: usize) {
        self.servers[number].start();
        if let (Some(links), Some(pid)) = (&self.links, self.servers[number].pid()) {
            links.set_pid(number, pid);
        }
    }

    /// Starts or restarts a node.
    pub fn start_node(&mut self, number: usize) {
        self.nodes[number].start();
        if let (Some(links), Some(pid)) = (&self.links, self.nodes[number].pid()) {
            links.set_pid(self.servers.len() + number, pid);
        }
    }

    /// Returns a client of a server.
    pub fn client(&self, server: usize) -> Client {
        self.servers[server].client()
    }

    /// Returns a server's data directory.
    pub fn data_dir(&self, server: usize) -> PathBuf {
        self._root.path().join(&self.servers[server].name)
    }

    /// Returns the advertised RPC address of a server.
    pub fn rpc_address(&self, server: usize) -> String {
        loopback(self.advertised_rpc[server]).to_string()
    }

    /// Returns the HTTP addresses of all servers.
    pub fn http_addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.http).collect()
    }

    /// Returns the directory of the members' data, configuration and logs.
    pub fn root(&self) -> &Root {
        &self._root
    }

    /// Waits until all running servers report the same leader, which is one of them; returns its number.
    pub async fn leader(&mut self) -> usize {
        let running: Vec<usize> =
            (0..self.servers.len()).filter(|number| self.servers[*number].is_started()).collect();
        self.leader_among(&running).await
    }

    /// Waits until these servers report the same leader; returns its number.
    pub async fn leader_among(&mut self, among: &[usize]) -> usize {
        for number in among {
            self.check_process(*number);
        }
        let addresses = self.rpc_addresses();
        let clients: Vec<Client> = among.iter().map(|number| self.client(*number)).collect();
        eventually("the servers agree on a leader", SETTLE_WITHIN, async || {
            let mut named = Vec::new();
            for client in &clients {
                let answer = client.with_timeout(Duration::from_secs(2)).json("/v1/status/leader").await;
                named
                    .push(answer.map_err(|error| error.to_string())?.as_str().unwrap_or_default().to_owned());
            }
            let number = addresses.iter().position(|address| *address == named[0]);
            let agreed =
                number.filter(|number| among.contains(number) && named.iter().all(|n| *n == named[0]));
            agreed.ok_or_else(|| format!("servers {among:?} name {named:?}"))
        })
        .await
    }

    /// Returns a running server that is not the leader.
    pub async fn follower(&mut self) -> usize {
        let leader = self.leader().await;
        (0..self.servers.len())
            .find(|number| *number != leader && self.servers[*number].is_started())
            .expect("a cluster has a follower")
    }

    /// Returns the advertised RPC ports of all servers.
    pub fn advertised_rpc_ports(&self) -> &[u16] {
        &self.advertised_rpc[..self.servers.len()]
    }

    fn check_process(&mut self, server: usize) {
        if let Err(end) = self.servers[server].ended_by_itself() {
            panic!("{end}");
        }
    }

    /// Waits until this many nodes are ready.
    pub async fn wait_for_nodes(&mut self, count: usize) {
        let leader = self.leader().await;
        let client = self.client(leader);
        for node in &mut self.nodes {
            if let Err(end) = node.ended_by_itself() {
                panic!("{end}");
            }
        }
        eventually("the nodes are ready", SETTLE_WITHIN, async || {
            let nodes = client.json("/v1/nodes").await.map_err(|error| error.to_string())?;
            let ready =
                nodes.as_array().into_iter().flatten().filter(|node| node["Status"] == "ready").count();
            holds(ready == count, || format!("{ready} of {count} are: {nodes}"))
        })
        .await;
    }

    /// Waits until all servers report the same state: the same index and the same hash.
    pub async fn wait_for_equal_states(&mut self) {
        for number in 0..self.servers.len() {
            self.check_process(number);
        }
        let clients: Vec<Client> = (0..self.servers.len()).map(|number| self.client(number)).collect();
        eventually("the servers' states are equal", SETTLE_WITHIN, async || {
            let mut states = Vec::new();
            for client in &clients {
                let state = client.json("/v1/operator/ordu/state-hash?stale").await;
                states.push(state.map_err(|error| error.to_string())?);
            }
            let told = |state: &Value| {
                state["Index"].as_u64().is_some_and(|index| index > 0)
                    && state["Hash"].as_str().is_some_and(|hash| !hash.is_empty())
            };
            holds(told(&states[0]) && states.iter().all(|state| *state == states[0]), || {
                format!("{states:?}")
            })
        })
        .await;
    }
}

fn three_ports() -> [u16; 3] {
    [free_port(), free_port(), free_port()]
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
