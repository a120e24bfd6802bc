//! The HTTP API: a table of routes, their handlers, and the encoding of answers.
//!
//! The path of a request: [`browsers`] refuses what a foreign page sends, [`matcher`] finds its entry in [`routes`],
//! [`scope`] resolves its region, namespace and consistency, [`access`] authorizes the caller. [`dispatch`] reads the body, calls the handler and contains its
//! failures; the handler makes an [`answer`]. Reads go through [`blocking`], which confirms that the state is current,
//! waits for a change if the caller asks for that, and shares one encoded answer among equal queries.

mod access;
mod answer;
mod blocking;
mod body;
mod browsers;
mod connection;
mod description;
mod dispatch;
mod documents;
mod duration;
mod error;
mod handlers;
mod ids;
mod matcher;
mod openapi;
mod paging;
mod pretty;
mod request;
mod room;
mod routes;
mod scope;
mod shared;
mod telemetry;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::net::{Accept, Bounded, Bounds};

pub use access::{Access, Capability, Level, NamespaceOf, RowsOf};
pub use description::{Body, Contents, Description, Param, ParamKind, SchemaOf};
pub use routes::{Methods, RouteInfo, routes};

/// How long requests in progress may still take after the server begins to stop.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// The address of a request's client, attached to requests that come from a socket.
#[derive(Clone, Copy, Debug)]
struct ClientAddress(IpAddr);

/// State shared by all requests of one listener.
struct Api {
    context: Context,
    matcher: matcher::Matcher,
    /// The names under which browsers may use this server.
    names: browsers::Names,
    /// The rights of every caller.
    rights: access::Rights,
    waiting: shared::Waiting,
    room: room::Room,
    telemetry: telemetry::Telemetry,
    shutdown: CancellationToken,
}

/// Returns the API as a service that any listener can serve.
pub fn service(context: Context) -> Router {
    router(context, CancellationToken::new(), access::Rights::All)
}

/// Serves the API until `shutdown`. Blocking queries are then answered with the current state.
pub async fn serve(listener: Box<dyn Accept>, bounds: Bounds, context: Context, shutdown: CancellationToken) {
    let mut limits = context.options.limits.watch();
    let connections = context.counts.http.clone();
    let router = router(context, shutdown.clone(), access::Rights::All);
    let mut listener = Bounded::new("HTTP", listener, bounds, connections);
    let mut open = JoinSet::new();
    loop {
        let connection = tokio::select! {
            connection = listener.accept_surplus() => connection,
            Ok(()) = limits.changed() => {
                listener.set_stall(limits.borrow_and_update().http_stall_max);
                continue;
            }
            () = shutdown.cancelled() => break,
        };
        while open.try_join_next().is_some() {}
        open.spawn(connection::serve(connection, bounds.silence, router.clone(), shutdown.clone()));
    }
    // Close the listener, so that new clients find another server.
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_WITHIN, drained).await.is_err() {
        // A client that does not read must not keep the process alive: the remaining connections are dropped.
        tracing::debug!("requests were still under way when their time was over");
    }
}

fn router(context: Context, shutdown: CancellationToken, rights: access::Rights) -> Router {
    let api = Arc::new(Api {
        names: browsers::Names::of(&context.options),
        context,
        matcher: matcher::Matcher::new(),
        rights,
        waiting: shared::Waiting::default(),
        room: room::Room::default(),
        telemetry: telemetry::Telemetry::new(),
        shutdown,
    });
    Router::new()
        .fallback(async |State(api): State<Arc<Api>>, request: Request| {
            dispatch::dispatch(api, request).await
        })
        .with_state(api)
}
