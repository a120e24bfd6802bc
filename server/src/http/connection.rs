//! Serves one client connection: request after request, until the connection ends, the client is silent for too
//! long, or the server stops.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ordu_core::limits::HTTP_SURPLUS_SILENCE_MS_MAX;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::answer::error_response;
use super::error::HttpError;
use super::{ClientAddress, body};
use crate::net::{Guarded, Requests, Standing};

/// Answers the requests of a connection. `silence` bounds the wait for a request's head, and for the next request. A
/// surplus connection (beyond the limit) has one request, which is refused unless it is an operator's; so has one of a
/// client that has too many, which is always refused.
pub(super) async fn serve(
    connection: Guarded,
    silence: Duration,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut http = http1::Builder::new();
    let (standing, counts, from) = (connection.standing, connection.counts.clone(), connection.from.ip());
    let is_within = standing == Standing::Within;
    let silence = if is_within { silence } else { Duration::from_millis(HTTP_SURPLUS_SILENCE_MS_MAX) };
    http.timer(TokioTimer::new()).header_read_timeout(silence).keep_alive(is_within);
    let requests = Requests::default();
    let connection = connection.with_heads_of(&requests);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let counts = counts.clone();
        let under_way = requests.begin();
        async move {
            let _under_way = under_way;
            let mut request = request.map(Body::new);
            let refusal = match standing {
                Standing::Surplus if !is_of_operators(request.uri().path()) => Some(all_taken()),
                Standing::Excess => Some(too_many()),
                Standing::Within | Standing::Surplus => None,
            };
            if let Some(refusal) = refusal {
                counts.refused_one();
                let told = request.headers().get(header::CONTENT_LENGTH).is_some();
                if told {
                    body::discard(request.into_body()).await;
                }
                return Ok(error_response(refusal));
            }
            request.extensions_mut().insert(ClientAddress(from));
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

fn all_taken() -> HttpError {
    HttpError::busy(
        "all connections that this server holds open at one time are taken: try again, or ask another server",
    )
}

fn too_many() -> HttpError {
    HttpError::too_much(
        "your address has as many connections open as one client may have (`http_max_conns_per_client` in the \
         configuration of this server): close some, or send several requests on one",
    )
}

#[cfg(test)]
mod tests {
    use ordu_core::limits::HTTP_HEAD_MS_MAX;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::net::testing::listener_for;

    /// Serves a connection with an API that reads the whole body and answers with its length.
    async fn served(silence: Duration) -> DuplexStream {
        let (near, far) = duplex(4096);
        let (sender, mut listener) = listener_for(9, 9, [192, 0, 2, 1]);
        sender.send(Ok(far)).unwrap();
        let router = Router::new().fallback(async |body: Body| {
            let bytes = axum::body::to_bytes(body, 1024).await.unwrap();
            bytes.len().to_string()
        });
        tokio::spawn(serve(listener.accept_surplus().await, silence, router, CancellationToken::new()));
        near
    }

    async fn until(connection: &mut DuplexStream, wanted: &str) {
        let mut text = String::new();
        while !text.ends_with(wanted) {
            let mut bytes = [0; 1024];
            let count = connection.read(&mut bytes).await.unwrap();
            assert_ne!(0, count, "{text:?} ends before {wanted:?}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_to_arrive_soon_after_its_first_byte_and_the_next_one_may_begin_much_later() {
        let head_max = Duration::from_millis(HTTP_HEAD_MS_MAX);
        let mut connection = served(10 * head_max).await;
        for _ in 0..3 {
            tokio::time::sleep(5 * head_max).await;
            connection.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            tokio::time::sleep(head_max / 2).await;
            connection.write_all(b"Host: ordu\r\n\r\n").await.unwrap();
            until(&mut connection, "\r\n\r\n0").await;
        }
        // One byte after the other, so that the client is never silent.
        let began = Instant::now();
        let mut closed = String::new();
        while connection.write_all(b"G").await.is_ok() {
            assert!(began.elapsed() < 2 * head_max, "the head may take forever");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(began.elapsed() >= head_max);
        connection.read_to_string(&mut closed).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_longer_than_a_head() {
        let mut connection = served(Duration::from_secs(180)).await;
        for _ in 0..2 {
            connection
                .write_all(b"PUT / HTTP/1.1\r\nHost: ordu\r\nContent-Length: 20\r\n\r\n")
                .await
                .unwrap();
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(HTTP_HEAD_MS_MAX / 4)).await;
                connection.write_all(b"x").await.unwrap();
            }
            until(&mut connection, "\r\n\r\n20").await;
        }
    }
}
