//! The RPC port: raft's gRPC service, other requests between servers, and node agents' sessions.

pub(crate) mod bounds;
pub mod node_session;
mod noted;
pub mod server;

use std::sync::Arc;
use std::time::Duration;

use ordu_core::limits::{NODE_MESSAGE_BYTES_MAX, RPC_MESSAGE_BYTES_MAX};
use ordu_proto::node::node_server::NodeServer;
use ordu_proto::raft::raft_server::RaftServer;
use ordu_proto::server::server_server::ServerServer;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tower::layer::layer_fn;

use self::node_session::NodeService;
use crate::counts::ConnectionCounts;
use crate::net::{Accept, Bounded, Bounds, incoming};
use crate::raft::service;
use crate::trust::Trust;

/// The services on the port, shared by all listeners. A cheap handle.
#[derive(Clone)]
pub(crate) struct Services {
    /// Raft.
    pub(crate) raft: Arc<service::Service>,
    /// Other requests between servers.
    pub(crate) server: Arc<server::Service>,
    /// Node agents' sessions.
    pub(crate) node: Arc<NodeService>,
}

/// Serves one listener until `stop`.
pub(crate) async fn serve(
    listener: Box<dyn Accept>,
    services: Services,
    connections: ConnectionCounts,
    trust: Trust,
    stop: CancellationToken,
) -> Result<(), String> {
    let listener = Bounded::new("RPC", listener, Bounds::of_rpc(), connections);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .layer(layer_fn(noted::Noted))
        .add_service(InterceptedService::new(
            RaftServer::from_arc(services.raft)
                .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
            trust.clone(),
        ))
        .add_service(InterceptedService::new(
            ServerServer::from_arc(services.server)
                .max_decoding_message_size(RPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
            trust.clone(),
        ))
        .add_service(
            NodeServer::from_arc(services.node)
                .max_decoding_message_size(NODE_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(RPC_MESSAGE_BYTES_MAX),
        )
        .serve_with_incoming_shutdown(trust.received(incoming(listener)), stop.cancelled())
        .await
        .map_err(|error| format!("the RPC service has ended: {error}"))
}
