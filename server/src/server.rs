//! A server's life from start to shutdown.

mod opening;
mod parts;
mod wiring;

use std::io;
use std::sync::Arc;

use ordu_store::tables::TablesDb;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::opening::{Data, Listeners, Peering, must_know_the_level};
use self::parts::Parts;
use self::wiring::Wiring;
use crate::context::Context;
use crate::leader::hand_over;
use crate::membership::{Former, Known};
use crate::net::SharedNet;
use crate::options::ServerOptions;
use crate::rpc::node_session::LiveSessions;
use crate::storage::Storage;

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
    /// Listening on a port failed.
    #[error("`ports.{key}`: {source}{}", what_helps(source))]
    Listen {
        /// The port's key in `ports`.
        key: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A disk operation failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// Raft refuses a setting.
    #[error("the raft settings cannot be used: {0}")]
    Config(String),
    /// A condition under which the server must not go on.
    #[error("{0}")]
    Fatal(String),
    /// This release is too old: the cluster's feature level is above what it supports.
    #[error("{0}")]
    TooOld(String),
    /// This server must not go on under its id. It may start anew with an empty data directory after its data
    /// were set aside (see [`crate::storage::Storage::set_aside`]).
    #[error("{reason}: this server has to start anew, with an empty data directory")]
    Anew {
        /// The reason.
        reason: String,
        /// The servers it knows, for its next life (see [`Former::knowing`]).
        known: Known,
    },
    /// This server must restart with its data.
    #[error("{reason}: this server has to start again")]
    Again {
        /// The reason.
        reason: String,
    },
}

/// Returns advice for a failure to listen.
fn what_helps(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            ". Another process listens there: stop it, or set another port in `ports`"
        }
        io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address, or not yet: see `bind_addr` and `addresses`"
        }
        io::ErrorKind::PermissionDenied => {
            ". The user of this process may not listen there: set ports from 1024 on in `ports`"
        }
        _ => "",
    }
}

pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::Io { what, source }
}

/// A running server.
pub struct Server {
    context: Context,
    parts: Parts,
    http: JoinHandle<()>,
    /// Stops client services and background tasks.
    stop: CancellationToken,
    /// Stops the services between servers.
    stop_rpc: CancellationToken,
    sessions: Arc<LiveSessions>,
    tables: Arc<dyn TablesDb>,
    // Dropped last: holds the lock on the data directory.
    _lock: Option<Arc<nix::fcntl::Flock<std::fs::File>>>,
}

impl Server {
    /// Starts a server: opens its state, listens, and looks for its cluster.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(
        options: ServerOptions,
        storage: Storage,
        net: SharedNet,
    ) -> Result<Self, ServerError> {
        Self::start_after(Former::default(), options, storage, net, Handle::current()).await
    }

    /// Starts a server whose previous data may have been set aside. Client requests and leader decisions run
    /// on `work`; raft, its log and node sessions run on the caller's runtime and must not wait for that
    /// work.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_after(
        former: Former,
        options: ServerOptions,
        storage: Storage,
        net: SharedNet,
        work: Handle,
    ) -> Result<Self, ServerError> {
        must_know_the_level(&options, &storage)?;
        let peering = Peering::load(options, &storage, &net, former)?;
        let mut data = Data::open(&storage, peering.identity.server_id()).await?;
        let has_followed = peering.introduce(&mut data).await?;
        let listeners = Listeners::bind(&peering.options, &net).await?;
        let wiring = Wiring::with_raft(peering, data, has_followed, storage, work).await?;
        let mut parts = Parts::new(wiring.context.cluster.clone());
        let http = wiring.serve(listeners, &mut parts);
        parts::start_all(&wiring, &mut parts);
        let Wiring { context, stop, stop_rpc, sessions, storage, .. } = wiring;
        let (tables, _lock) = (storage.tables, storage.lock);
        Ok(Self { context, parts, http, stop, stop_rpc, sessions, tables, _lock })
    }

    /// Returns the server's parts, for code in the same process.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Runs until `shutdown`, then hands over leadership and shuts down in order.
    ///
    /// # Errors
    /// The failure that ended the server.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => None,
            reason = self.parts.failure() => Some(reason),
            ended = &mut self.http => {
                Some(ServerError::Fatal(format!("the HTTP service has ended before its time: {ended:?}")))
            }
        };
        match ended {
            None => hand_over(&self.context.cluster, |_| true).await,
            Some(_) => self.stop_rpc.cancel(),
        }
        self.stop_serving().await;
        let raft = self.context.cluster.raft().clone();
        if let Err(error) = raft.shutdown().await {
            tracing::warn!(%error, "raft did not end in order");
        }
        self.parts.end().await;
        // If the disk reported a fault, return that: it is the root cause.
        let ended = ended.map(|reason| self.tables.faults().reported().map_or(reason, ServerError::Fatal));
        let flushed = flush(self.tables.clone()).await;
        match ended {
            None => flushed.map_err(failed("the state cannot be flushed")),
            Some(reason) => Err(reason),
        }
    }

    /// Stops client services, then the services between servers.
    async fn stop_serving(&mut self) {
        self.stop.cancel();
        // Open sessions would keep the RPC service from ending; their agents connect to another server.
        self.sessions.end_all();
        if !self.http.is_finished()
            && let Err(error) = (&mut self.http).await
        {
            tracing::warn!(%error, "the HTTP service did not end in order");
        }
        // The client requests, which may have needed the new leader, are answered by now.
        self.stop_rpc.cancel();
    }
}

/// Flushes the state, so that the next start has nothing to replay.
async fn flush(tables: Arc<dyn TablesDb>) -> io::Result<()> {
    if !tables.blocks() {
        return tables.flush();
    }
    tokio::task::spawn_blocking(move || tables.flush()).await.map_err(io::Error::other).flatten()
}
