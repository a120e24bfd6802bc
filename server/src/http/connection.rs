//! Serves one client connection: request after request, until the connection ends, the client is silent for too
//! long, or the server stops.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ordu_core::limits::HTTP_SURPLUS_SILENCE_MS_MAX;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::body;
use crate::net::Guarded;

/// Answers the requests of a connection. `silence` bounds the wait for a request's head, and for the next request. A
/// surplus connection (beyond the limit) has one request, which is refused unless it is an operator's.
pub(super) async fn serve(
    connection: Guarded,
    silence: Duration,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut http = http1::Builder::new();
    let (is_surplus, counts) = (connection.is_surplus, connection.counts.clone());
    let silence = if is_surplus { Duration::from_millis(HTTP_SURPLUS_SILENCE_MS_MAX) } else { silence };
    http.timer(TokioTimer::new()).header_read_timeout(silence).keep_alive(!is_surplus);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let counts = counts.clone();
        async move {
            let request = request.map(Body::new);
            if is_surplus && !is_of_operators(request.uri().path()) {
                counts.refused_one();
                let told = request.headers().get(header::CONTENT_LENGTH).is_some();
                if told {
                    body::discard(request.into_body()).await;
                }
                return Ok(all_taken());
            }
            router.call(request).await
        }
    });
    let mut conversation = pin!(http.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = shutdown.cancelled() => {
            // Requests in progress are answered; no further one is accepted.
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection did not end in order");
    }
}

/// Paths that are answered even when all connections are taken: operators must be able to inspect a full server.
const OF_OPERATORS: [&str; 4] = ["/v1/agent/", "/v1/metrics", "/v1/operator/", "/v1/status/"];

fn is_of_operators(path: &str) -> bool {
    OF_OPERATORS.iter().any(|prefix| path.starts_with(prefix))
}

fn all_taken() -> Response {
    let text =
        "all connections that this server holds open at one time are taken: try again, or ask another server";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response()
}
