//! The HTTP API: a table of routes, what answers them, and how answers are put on the wire.
//!
//! The way of a request: [`routes`] says which route it is, [`scope`] what it is for, [`access`] whether the
//! caller may do it; [`dispatch`] bounds its body and catches what goes wrong, a handler makes an [`answer`].
//! Reads go through [`blocking`], which confirms that they are current, waits where the caller waits for news,
//! and shares one encoding among all who wait for the same.

mod access;
mod answer;
mod blocking;
mod body;
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

/// How long requests under way may still take once the server stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// What all requests of one listener share.
struct Api {
    context: Context,
    matcher: matcher::Matcher,
    /// What every caller may do.
    rights: access::Rights,
    waiting: shared::Waiting,
    room: room::Room,
    telemetry: telemetry::Telemetry,
    shutdown: CancellationToken,
}

/// The API as a service that any listener can serve.
pub fn service(context: Context) -> Router {
    router(context, CancellationToken::new(), access::Rights::All)
}

/// Serves the API until `shutdown`. Blocking queries are then answered with what there is.
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
    // Whoever comes now is to find another server.
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_WITHIN, drained).await.is_err() {
        // A client that reads nothing must not keep the process: what is left ends here.
        tracing::debug!("requests were still under way when their time was over");
    }
}

fn router(context: Context, shutdown: CancellationToken, rights: access::Rights) -> Router {
    let api = Arc::new(Api {
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
