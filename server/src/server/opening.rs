//! Opens what a server needs before raft starts: identity, log, tables and ports. Also asks the other servers
//! whether this one may vote.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use openraft::storage::{RaftLogReader, RaftLogStorage};
use ordu_proto::server::Standing;
use ordu_store::background::in_background;
use ordu_store::log::LogStore;
use ordu_store::state_machine::{self, State, StateMachine};
use ordu_store::tables;
use ordu_store::types::Server as Address;

use super::{ServerError, failed};
use crate::clock::ServerClock;
use crate::feed::{Fanout, Feed};
use crate::membership::{ClusterId, Former, Greetings, Has, Known, Telling};
use crate::net::{Accept, SharedNet};
use crate::options::ServerOptions;
use crate::peers::Peers;
use crate::storage::Storage;
use crate::watch::Watches;

/// Refuses tables whose feature level is above what this release supports.
pub(super) fn must_know_the_level(options: &ServerOptions, storage: &Storage) -> Result<(), ServerError> {
    match tables::read(&*storage.tables, tables::must_be_known) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            Err(ServerError::TooOld(format!("{}: {error}", options.data_dir.display())))
        }
        // Other read errors are reported by the code that opens the tables.
        _ => Ok(()),
    }
}

/// This server's identity, and what it needs to contact the other servers.
pub(super) struct Peering {
    pub(super) options: Arc<ServerOptions>,
    pub(super) identity: ClusterId,
    pub(super) peers: Peers,
    pub(super) known: Known,
    pub(super) clock: ServerClock,
    pub(super) greetings: Greetings,
}

impl Peering {
    /// Loads this server's identity.
    pub(super) fn load(
        options: ServerOptions,
        storage: &Storage,
        net: &SharedNet,
        former: Former,
    ) -> Result<Self, ServerError> {
        let options = Arc::new(options);
        let identity = ClusterId::load(storage.identity.clone());
        let identity = identity.map_err(failed("cannot read who this server is"))?;
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
        Ok(Self { options, identity, peers, known, clock, greetings })
    }

    /// Greets the other servers of the cluster before this one may vote: this data directory may be a copy,
    /// or its log may have lost entries. Returns whether the log may contain entries from other leaders.
    pub(super) async fn introduce(&self, data: &mut Data) -> Result<bool, ServerError> {
        let Data { log, state, .. } = data;
        let position = state.read(state_machine::position).map_err(failed("cannot read the state"))?;
        let read = failed("cannot read the raft log");
        let (vote, last) = match (log.read_vote().await, log.get_log_state().await) {
            (Ok(vote), Ok(state)) => (vote, state.last_log_id),
            (Err(error), _) | (_, Err(error)) => return Err(read(error)),
        };
        let follows = position.last_log_id.is_some() || last.is_some_and(|last| last.index > 0);
        if self.identity.get().is_empty() {
            return Ok(follows);
        }
        if follows || self.identity.settled().is_empty() {
            self.known.belong_to(self.identity.get());
        }
        let term = vote.map_or(0, |vote| vote.leader_id.term);
        let last = last.max(position.last_log_id).map(|last| (last.leader_id.term, last.index));
        let nodes = position.last_membership.membership().nodes();
        let members: Vec<(u64, Address)> = nodes.map(|(id, server)| (*id, server.clone())).collect();
        let telling =
            Telling { formed: follows, standing: Standing { term, committed: None }, ..Telling::default() };
        let introduced = self.greetings.introduce(&members, telling, Has { term, last }).await;
        match introduced? {
            Some(loss) => {
                tracing::error!("{}", loss.sentence());
                Err(self.greetings.end_of(&loss).await)
            }
            None => Ok(follows),
        }
    }
}

/// A server's raft log and state, and the subscribers to its changes.
pub(super) struct Data {
    pub(super) log: LogStore,
    pub(super) machine: StateMachine,
    pub(super) state: State,
    pub(super) watches: Arc<Watches>,
    pub(super) feed: Feed,
}

impl Data {
    /// Opens the log and state of server `server_id` in `storage`.
    pub(super) async fn open(storage: &Storage, server_id: u64) -> Result<Self, ServerError> {
        let (tables, log) = (storage.tables.clone(), storage.log.clone());
        let log = in_background(tables.blocks(), move || {
            LogStore::open(log, server_id, &state_machine::seen(&*tables, server_id)?)
        });
        let log = log.await.map_err(failed("this server must not vote"))?;
        let (watches, feed) = (Arc::new(Watches::default()), Feed::default());
        let observer = Arc::new(Fanout { watches: watches.clone(), feed: feed.clone() });
        let own = state_machine::Own { server_id, progress: log.progress() };
        let opened = state_machine::open(storage.tables.clone(), own, observer);
        let (machine, state) = opened.map_err(|error| {
            let reported = storage.tables.faults().reported();
            reported.map_or_else(|| failed("cannot read the state")(error), ServerError::Fatal)
        })?;
        Ok(Self { log, machine, state, watches, feed })
    }
}

/// A server's listeners.
pub(super) struct Listeners {
    pub(super) http: Box<dyn Accept>,
    /// For servers and nodes: the RPC port, and the Serf port if configured.
    pub(super) rpc: Vec<Box<dyn Accept>>,
}

impl Listeners {
    /// Listens on all ports, without accepting connections yet.
    pub(super) async fn bind(options: &ServerOptions, net: &SharedNet) -> Result<Self, ServerError> {
        let listen = async |key: &'static str, addr: SocketAddr| {
            net.listen(addr).await.map_err(|source| ServerError::Listen { key, source })
        };
        let http = listen("http", options.http_bind).await?;
        let mut rpc = vec![listen("rpc", options.rpc_bind).await?];
        if let Some(addr) = options.serf_bind {
            rpc.push(listen("serf", addr).await?);
        }
        Ok(Self { http, rpc })
    }
}
