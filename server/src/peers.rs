//! Channels to other servers: one per server and purpose, opened at first use and reopened after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use ordu_core::limits::RPC_MESSAGE_BYTES_MAX;
use ordu_proto::raft::raft_client::RaftClient;
use ordu_proto::server::server_client::ServerClient;
use ordu_store::types::Server;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::net::SharedNet;
use crate::options::RaftTiming;
use crate::trust::Trust;

/// Purpose of a channel: heartbeats must not queue behind bulk data, and nothing must queue behind a
/// snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Log entries.
    Append,
    /// Heartbeats and votes.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// All other requests between servers.
    Ask,
}

/// Connect timeout. Like the timeouts below it is meant for servers in one rack.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Interval of probes on an idle connection …
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(1_000);
/// … and how long to wait for the answer before closing it.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// Channels to the other servers, and their addresses.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    net: SharedNet,
    /// Proves this server's identity and checks the others'.
    trust: Trust,
    /// Runtime that drives all channels, so that client requests on another runtime do not delay requests
    /// between servers.
    runtime: Handle,
    /// Scales the timeouts.
    timing: RaftTiming,
    channels: Mutex<BTreeMap<(String, Purpose), Channel>>,
    /// Addresses that servers report themselves; more current than the membership after an address has
    /// changed.
    addresses: Mutex<BTreeMap<u64, Server>>,
}

impl Peers {
    /// Creates an empty set of channels. Must be called on the runtime that is to drive them.
    pub fn new(net: SharedNet, trust: Trust, timing: RaftTiming) -> Self {
        let runtime = Handle::current();
        Self(Arc::new(Inner {
            net,
            trust,
            runtime,
            timing,
            channels: Mutex::default(),
            addresses: Mutex::default(),
        }))
    }

    /// Spawns a task on the runtime that drives the channels.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(task);
    }

    /// Returns what servers must prove.
    pub(crate) fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// Records the address that a server reported.
    pub fn met(&self, id: u64, server: Server) {
        self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner).insert(id, server);
    }

    /// Forgets the addresses of unwanted servers, and closes channels to addresses that are neither in
    /// `addresses` nor remembered.
    pub fn keep(&self, is_wanted: impl Fn(u64) -> bool, addresses: &BTreeSet<&str>) {
        let mut known = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| is_wanted(*id));
        let is_used = |address: &str| {
            addresses.contains(address) || known.values().any(|server| server.rpc_addr == address)
        };
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|(address, _), _| is_used(address));
    }

    /// Returns a server's RPC address: the reported one, else the one in the membership.
    pub fn address_of(&self, id: u64, membership: &Server) -> String {
        let addresses = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&id).unwrap_or(membership).rpc_addr.clone()
    }

    /// Returns the channel to `host:port`. It connects at first use.
    pub fn channel(&self, host_port: &str, purpose: Purpose) -> Result<Channel, tonic::Status> {
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host_port.to_owned(), purpose);
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        let channel = self.open(host_port)?;
        channels.insert(key, channel.clone());
        Ok(channel)
    }

    fn open(&self, host_port: &str) -> Result<Channel, tonic::Status> {
        let bad = |error| tonic::Status::invalid_argument(format!("{host_port:?} is no address: {error}"));
        let endpoint = Endpoint::from_shared(format!("http://{host_port}"))
            .map_err(bad)?
            .connect_timeout(self.0.timing.scaled(CONNECT_TIMEOUT, 10))
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(self.0.timing.scaled(KEEP_ALIVE_TIMEOUT, 3))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024);
        let (net, trust) = (self.0.net.clone(), self.0.trust.clone());
        let target = host_port.to_owned();
        let _on_it = self.0.runtime.enter();
        Ok(endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (connecting, trust, target) = (net.connect(target.clone()), trust.clone(), target.clone());
            async move {
                let mut connection = connecting.await?;
                trust.introduce(&mut connection, &target).await?;
                Ok::<_, std::io::Error>(TokioIo::new(connection))
            }
        })))
    }

    /// Returns a raft client for `host:port`.
    pub fn raft(&self, host_port: &str, purpose: Purpose) -> Result<RaftClient<Channel>, tonic::Status> {
        Ok(RaftClient::new(self.channel(host_port, purpose)?)
            .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX))
    }

    /// Returns a client for the other requests between servers.
    pub fn server(&self, host_port: &str) -> Result<ServerClient<Channel>, tonic::Status> {
        Ok(ServerClient::new(self.channel(host_port, Purpose::Ask)?)
            .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX))
    }
}
