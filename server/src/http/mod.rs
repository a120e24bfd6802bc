//! The HTTP API: a table of routes, what answers them, and how answers are put on the wire.
//!
//! The way of a request: [`routes`] says which route it is, [`dispatch`] bounds its body and catches what
//! goes wrong, a handler makes an [`answer`]. Reads go through [`blocking`], which confirms that they are
//! current, waits where the caller waits for news, and shares one encoding among all who wait for the same.

mod answer;
mod blocking;
mod body;
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
mod routes;
mod shared;
mod telemetry;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::serve::Listener;
use tokio_util::sync::CancellationToken;

use crate::context::Context;

pub use description::{Body, Contents, Description, Param, ParamKind, SchemaOf};
pub use routes::{Methods, RouteInfo, routes};

/// How long requests under way may still take once the server stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// What all requests of one listener share.
struct Api {
    context: Context,
    matcher: matcher::Matcher,
    waiting: shared::Waiting,
    telemetry: telemetry::Telemetry,
    shutdown: CancellationToken,
}

/// The API as a service that any listener can serve.
pub fn service(context: Context) -> Router {
    router(context, CancellationToken::new())
}

/// Serves the API until `shutdown`. Blocking queries are then answered with what there is.
pub async fn serve<L>(listener: L, context: Context, shutdown: CancellationToken)
where
    L: Listener,
    L::Addr: Debug,
{
    let serving = axum::serve(listener, router(context, shutdown.clone()))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        // A listener retries by itself: there is no other end than the shutdown.
        _ = serving.into_future() => {}
        // A client that reads nothing must not keep the process.
        () = overdue => {}
    }
}

fn router(context: Context, shutdown: CancellationToken) -> Router {
    let api = Arc::new(Api {
        context,
        matcher: matcher::Matcher::new(),
        waiting: shared::Waiting::default(),
        telemetry: telemetry::Telemetry::new(),
        shutdown,
    });
    Router::new()
        .fallback(async |State(api): State<Arc<Api>>, request: Request| {
            dispatch::dispatch(api, request).await
        })
        .with_state(api)
}
