//! The measured cluster.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::options::Options;
use crate::harness::{Cluster, Shape, processes};
use crate::http::Client;
use crate::jobs::ROOM_FOR_BURSTS;

/// Addresses of a running cluster, and the cluster itself if the benchmark started it.
pub struct Target {
    /// The leader's HTTP address.
    pub leader: SocketAddr,
    /// The followers' HTTP addresses.
    pub followers: Vec<SocketAddr>,
    /// The cluster, if the benchmark started it.
    pub own: Option<Cluster>,
    pids: Vec<i32>,
    run: u64,
    ids_given: AtomicU64,
}

impl Target {
    /// Starts a cluster, or uses the one named by the options.
    pub async fn new(options: &Options) -> Self {
        let own = match options.spawn {
            true => {
                let server_block = options.server_block.clone();
                let client_block = ROOM_FOR_BURSTS.to_owned();
                Some(Cluster::start(Shape { server_block, client_block, ..Shape::default() }).await)
            }
            false => None,
        };
        // The run number makes ids unique across runs on the same cluster.
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut target = Self {
            leader: options.leader.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 4646))),
            followers: options.followers.clone(),
            own,
            pids: options.pids.clone(),
            run,
            ids_given: AtomicU64::new(0),
        };
        target.find_leader().await;
        target
    }

    /// Updates the addresses of leader and followers, if the benchmark started the cluster.
    pub async fn find_leader(&mut self) {
        if let Some(cluster) = &mut self.own {
            let leader = cluster.leader().await;
            self.leader = cluster.servers[leader].http;
            self.followers =
                cluster.http_addresses().into_iter().filter(|http| *http != self.leader).collect();
        }
    }

    /// Returns the leader and one follower, each with its name in the table.
    pub fn leader_and_follower(&self) -> Vec<(&'static str, SocketAddr)> {
        let follower = self.followers.first().map(|follower| ("follower", *follower));
        [("leader", self.leader)].into_iter().chain(follower).collect()
    }

    /// Reserves a block of `count` unused ids.
    pub fn new_ids(&self, count: u64) -> Ids {
        Ids { run: self.run, first: self.ids_given.fetch_add(count, Ordering::Relaxed) }
    }

    /// Returns the resident memory of each server, in bytes.
    pub fn memory(&self) -> Vec<(String, u64)> {
        let named: Vec<(String, i32)> = match &self.own {
            Some(cluster) => cluster
                .servers
                .iter()
                .filter_map(|server| {
                    let role = if server.http == self.leader { "leader" } else { "follower" };
                    Some((format!("{} ({role})", server.name), server.pid()?))
                })
                .collect(),
            None => self.pids.iter().map(|pid| (format!("process {pid}"), *pid)).collect(),
        };
        named.into_iter().filter_map(|(name, pid)| Some((name, processes::resident_bytes(pid)?))).collect()
    }

    /// Describes the number of servers and their release. Ordu also reports a Nomad version, so its own tag is
    /// preferred.
    pub async fn description(&self) -> io::Result<String> {
        let own = Client::new(self.leader).json("/v1/agent/self").await?;
        let tags = &own["member"]["Tags"];
        let nomad = tags["build"].as_str().or_else(|| own["config"]["Version"]["Version"].as_str());
        let release = match (tags["ordu.version"].as_str(), nomad) {
            (Some(ordu), _) => format!("Ordu {ordu}"),
            (None, Some(nomad)) => format!("Nomad {nomad}"),
            (None, None) => "of an unknown release".to_owned(),
        };
        Ok(format!("{} servers, {release}", 1 + self.followers.len()))
    }
}

/// A block of unused job ids.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    run: u64,
    first: u64,
}

impl Ids {
    /// Returns the id with this number in the block.
    pub fn id(&self, number: u64) -> String {
        format!("bench-{:x}-{:07}", self.run, self.first + number)
    }
}
