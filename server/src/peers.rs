//! Channels to the other servers: one a peer and purpose, opened when first used and again after a
//! failure.

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

/// What a channel is for: heartbeats must not queue behind bulk, nor anything behind a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Log entries.
    Append,
    /// Heartbeats and votes.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// Everything else that servers ask of each other.
    Ask,
}

/// How long connecting may take, in a rack, as the times below.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// A connection on which nothing moves is probed at this interval …
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(1_000);
/// … and given up after this time without an answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// The channels, and where the servers are.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    net: SharedNet,
    /// What other servers have to prove, and this one to them.
    trust: Trust,
    /// Where channels are worked on, whoever opens them: clients' requests must not hold up what servers ask.
    runtime: Handle,
    /// How far they are.
    timing: RaftTiming,
    channels: Mutex<BTreeMap<(String, Purpose), Channel>>,
    /// Where servers say that they are, which is fresher than the membership when an address has changed.
    addresses: Mutex<BTreeMap<u64, Server>>,
}

impl Peers {
    /// No channels yet. To be called on the runtime that is to work on them.
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

    /// Runs what belongs to the channels where they are worked on.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.runtime.spawn(task);
    }

    /// What other servers have to prove.
    pub(crate) fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// A server has said where it is.
    pub fn met(&self, id: u64, server: Server) {
        self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner).insert(id, server);
    }

    /// Forgets all servers but those that are wanted, and closes the channels to all other addresses.
    pub fn keep(&self, is_wanted: impl Fn(u64) -> bool, addresses: &BTreeSet<&str>) {
        let mut known = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| is_wanted(*id));
        let is_used = |address: &str| {
            addresses.contains(address) || known.values().any(|server| server.rpc_addr == address)
        };
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|(address, _), _| is_used(address));
    }

    /// Where a server is: as it said last, else as the membership has it.
    pub fn address_of(&self, id: u64, membership: &Server) -> String {
        let addresses = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&id).unwrap_or(membership).rpc_addr.clone()
    }

    /// A channel to `host:port`. It connects when it is first used.
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

    /// Raft's client.
    pub fn raft(&self, host_port: &str, purpose: Purpose) -> Result<RaftClient<Channel>, tonic::Status> {
        Ok(RaftClient::new(self.channel(host_port, purpose)?)
            .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX))
    }

    /// The client of the servers' own questions.
    pub fn server(&self, host_port: &str) -> Result<ServerClient<Channel>, tonic::Status> {
        Ok(ServerClient::new(self.channel(host_port, Purpose::Ask)?)
            .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX))
    }
}
