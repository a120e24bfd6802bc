//! Sessions of node agents. On a stream, a node describes itself and reports on its allocations, and the
//! server tells it what to run.

mod admission;
mod assignments;
mod hello;
mod live;
mod reports;
mod session;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use ordu_proto::node::{FromNode, Hello, ToNode, node_server};
use prost::Message;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub use self::live::LiveSessions;
pub(crate) use self::live::tell_leader_of_live_nodes;
use self::reports::Reports;
use self::session::Session;
use crate::context::Context;
use crate::net::Bounds;

/// Maximum number of sessions per server.
const SESSIONS_MAX: usize = 20_000;
/// Maximum number of queued messages per agent. An agent that reads none for a while loses its session.
const OUTBOUND_QUEUE_MAX: usize = 4;
/// Pause between write attempts while there is no leader.
const WRITE_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The gRPC service for node agents.
pub struct NodeService {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    sessions_max: usize,
    /// Aborted when the service is dropped.
    _tasks: JoinSet<()>,
}

/// Shared by the sessions of a server.
struct Shared {
    context: Context,
    live: Arc<LiveSessions>,
    reports: Reports,
}

impl NodeService {
    /// Creates the service. Must be called within a tokio runtime.
    pub fn new(context: Context, live: Arc<LiveSessions>) -> Self {
        let mut tasks = JoinSet::new();
        let reports = reports::start(context.writer.clone(), &mut tasks);
        let sessions_max = sessions_beside_peers(Bounds::of_rpc().connections_max);
        Self {
            shared: Arc::new(Shared { context, live, reports }),
            places: Arc::new(Semaphore::new(sessions_max)),
            sessions_max,
            _tasks: tasks,
        }
    }
}

/// Returns the maximum number of sessions: leaves a quarter of the port's connections to other servers, so
/// that refused agents cannot crowd them out.
fn sessions_beside_peers(connections_max: usize) -> usize {
    SESSIONS_MAX.min(connections_max - connections_max / 4)
}

/// Decodes and checks a node's description of itself (`ordu.node.Hello`), up to the row to propose. Entry
/// point for fuzzing.
///
/// # Errors
/// The sentence for the node.
pub fn check_hello(bytes: &[u8]) -> Result<(), String> {
    let hello = Hello::decode(bytes).map_err(|error| error.to_string())?;
    let introduction = hello::check(hello)?;
    let is_known = hello::is_registered(&introduction.node, &introduction.node);
    assert!(!is_known, "a node does not say of itself that it is ready");
    Ok(())
}

impl Drop for NodeService {
    fn drop(&mut self) {
        self.shared.live.end_all();
    }
}

#[tonic::async_trait]
impl node_server::Node for NodeService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ToNode, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<FromNode>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let from = request.remote_addr().map_or_else(|| "an agent".to_owned(), |addr| addr.to_string());
        let full = || {
            Status::resource_exhausted(format!("this server holds {} sessions already", self.sessions_max))
        };
        let place = self.places.clone().try_acquire_owned().map_err(|_| full())?;
        let (outbound, queued) = mpsc::channel(OUTBOUND_QUEUE_MAX);
        let session = Session::new(self.shared.clone(), request.into_inner(), outbound, from);
        // The session ends when either side closes the stream, or with all sessions.
        tokio::spawn(async move {
            session.run().await;
            drop(place);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queued))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_connections_to_the_other_servers() {
        for (connections_max, sessions) in [(1, 1), (8, 6), (512, 384), (65_536, SESSIONS_MAX)] {
            assert_eq!(sessions, sessions_beside_peers(connections_max), "{connections_max}");
        }
    }
}
