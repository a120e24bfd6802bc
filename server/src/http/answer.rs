//! Handlers' answers, and how they become HTTP responses: headers, layout, compression.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::error::HttpError;
use super::pretty;
use super::request::Request;
use super::room::{AnswerRoom, Claim, Handed};
use crate::cluster::Cluster;

const NEXT_TOKEN: HeaderName = HeaderName::from_static("x-nomad-nexttoken");
const INDEX: HeaderName = HeaderName::from_static("x-nomad-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-nomad-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-nomad-lastcontact");

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of Prometheus's text format.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How current the state was that an answer was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freshness {
    pub(super) known_leader: bool,
    pub(super) last_contact_ms: u64,
}

impl Freshness {
    /// For a read that the leader has just confirmed: it includes every acknowledged write.
    pub(super) const CONFIRMED: Self = Self { known_leader: true, last_contact_ms: 0 };

    /// For an unconfirmed read: what this server knows about its own delay.
    pub(super) fn of(cluster: &Cluster) -> Self {
        Self { known_leader: cluster.known_leader(), last_contact_ms: cluster.last_contact_ms() }
    }

    /// Returns the time since the last contact as documents tell it: Go encodes durations in nanoseconds.
    pub(super) fn last_contact_ns(self) -> u64 {
        self.last_contact_ms.saturating_mul(1_000_000)
    }
}

/// An encoded body with its headers. It is the same for all requests with equal cache keys, which can share it.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) status: StatusCode,
    content_type: &'static str,
    /// The index of what was read or written; `None` if there is none.
    pub(super) index: Option<u64>,
    pub(super) body: Bytes,
    pub(super) gzipped: bool,
    /// The token by which a client requests the next page of a list.
    next_token: Option<HeaderValue>,
    handed: Handed,
}

impl Encoded {
    /// Encodes a JSON document, laid out and compressed as the request asks.
    pub(super) fn json(request: &Request, index: Option<u64>, json: Vec<u8>) -> Self {
        let json = if request.pretty { pretty::lay_out(&json) } else { json };
        Self::of(request, StatusCode::OK, JSON, index, json)
    }

    /// Encodes any body, compressed as the request asks.
    pub(super) fn of(
        request: &Request,
        status: StatusCode,
        content_type: &'static str,
        index: Option<u64>,
        body: Vec<u8>,
    ) -> Self {
        let compressed = Some(&body).filter(|_| request.gzip).and_then(|body| compress(body).ok());
        let gzipped = compressed.is_some();
        let mut body = compressed.unwrap_or(body);
        // Slow readers may hold the body for long, with its spare capacity.
        body.shrink_to_fit();
        Self { gzipped, ..Self::as_it_is(status, content_type, index, body.into()) }
    }

    fn as_it_is(status: StatusCode, content_type: &'static str, index: Option<u64>, body: Bytes) -> Self {
        Self {
            status,
            content_type,
            index,
            body,
            gzipped: false,
            next_token: None,
            handed: Handed::default(),
        }
    }

    /// Encodes a plain text for a read whose result is an error, such as a 404 with an index.
    pub(super) fn text(status: StatusCode, index: Option<u64>, text: &'static str) -> Self {
        Self::as_it_is(status, TEXT, index, Bytes::from_static(text.as_bytes()))
    }

    /// Sets the token of the next page, if there is one.
    pub(super) fn before(mut self, next_token: Option<String>) -> Self {
        // Tokens are written as valid header values.
        self.next_token = next_token.and_then(|token| HeaderValue::try_from(token).ok());
        self
    }
}

fn compress(body: &[u8]) -> std::io::Result<Vec<u8>> {
    // Speed matters more than size: most bodies are small.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2 + 64), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// A handler's answer.
#[derive(Debug)]
pub(super) struct Answer {
    encoded: Arc<Encoded>,
    freshness: Option<Freshness>,
    claim: Claim,
}

impl Answer {
    /// Answers a read, with how current it is.
    pub(super) fn read(encoded: Arc<Encoded>, freshness: Freshness) -> Self {
        Self { encoded, freshness: Some(freshness), claim: Claim::Reader }
    }

    /// Answers a write that was applied at `index`.
    pub(super) fn written(request: &Request, index: u64, document: &impl Serialize) -> Self {
        Self { claim: Claim::Done, ..Self::found(request, index, document) }
    }

    /// Answers with what was found as of `index`; nothing was written.
    pub(super) fn found(request: &Request, index: u64, document: &impl Serialize) -> Self {
        Self::plain(Encoded::json(request, Some(index), encode(document)))
    }

    /// Adds the headers of a read.
    pub(super) fn with(mut self, freshness: Freshness) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// Answers a write with its index and an empty body.
    pub(super) fn done(index: Option<u64>) -> Self {
        let encoded = Encoded::as_it_is(StatusCode::OK, JSON, index, Bytes::new());
        Self { claim: Claim::Done, ..Self::plain(encoded) }
    }

    /// Answers with a document that has no index.
    pub(super) fn local(request: &Request, document: &impl Serialize) -> Self {
        Self::plain(Encoded::json(request, None, encode(document)))
    }

    /// Answers with an encoded body, without the headers of a read.
    pub(super) fn plain(encoded: Encoded) -> Self {
        Self { encoded: Arc::new(encoded), freshness: None, claim: Claim::Reader }
    }

    /// Marks the answer as one about this server itself, see [`Claim::Operator`].
    pub(super) fn for_operators(self) -> Self {
        Self { claim: Claim::Operator, ..self }
    }

    /// Builds the response to the client at this address, if there is room for its body.
    ///
    /// # Errors
    /// 503 when slow readers hold too many bytes of answers, 429 when the client itself does.
    pub(super) fn into_response(
        self,
        room: &AnswerRoom,
        client: Option<IpAddr>,
    ) -> Result<Response, HttpError> {
        let Encoded { status, content_type, index, body, gzipped, next_token, handed } = &*self.encoded;
        let body = room.hand(body, handed, self.claim, client)?;
        let mut response = response(*status, content_type, body);
        let headers = response.headers_mut();
        if let Some(index) = index {
            headers.insert(INDEX, HeaderValue::from(*index));
        }
        if let Some(freshness) = self.freshness {
            let known = if freshness.known_leader { "true" } else { "false" };
            headers.insert(KNOWN_LEADER, HeaderValue::from_static(known));
            headers.insert(LAST_CONTACT, HeaderValue::from(freshness.last_contact_ms));
        }
        if let Some(next_token) = next_token {
            headers.insert(NEXT_TOKEN, next_token.clone());
        }
        if *gzipped {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        Ok(response)
    }
}

/// Builds the response to a request that failed.
pub(super) fn error_response(error: HttpError) -> Response {
    let mut response = response(error.status, TEXT, error.text);
    if error.may_retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Builds a response with the headers that every response has.
fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Browsers must not take an answer for a page or a script, whatever it contains.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Encodes a document as JSON.
pub(super) fn encode(document: &impl Serialize) -> Vec<u8> {
    // Documents hold only strings, numbers, lists and maps by string, and a vector accepts every byte.
    serde_json::to_vec(document).expect("the API's documents are JSON by their types")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::http::HeaderMap;
    use axum::http::header::ACCEPT_ENCODING;
    use flate2::read::GzDecoder;

    use super::*;
    use crate::http::room::Room;

    fn request(query: &str, gzip: bool) -> Request {
        let mut headers = HeaderMap::new();
        if gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Request::read(String::new(), query, &headers).unwrap()
    }

    fn sent(answer: Answer) -> Response {
        answer.into_response(&Room::default().answers, None).unwrap()
    }

    #[test]
    fn answers_are_compressed_and_laid_out_for_those_who_ask_only() {
        let plain = Encoded::json(&request("", false), None, b"[1]".to_vec());
        assert_eq!((&b"[1]"[..], false), (&*plain.body, plain.gzipped));
        let pretty = Encoded::json(&request("pretty", false), None, b"[1]".to_vec());
        assert_eq!(&b"[\n    1\n]\n"[..], &*pretty.body);
        let both = Encoded::json(&request("pretty=1", true), Some(3), b"[1]".to_vec());
        let mut decoded = String::new();
        GzDecoder::new(&*both.body).read_to_string(&mut decoded).unwrap();
        assert_eq!("[\n    1\n]\n", decoded);
        let headers = sent(Answer::plain(both)).headers().clone();
        assert_eq!("gzip", headers["content-encoding"]);
        assert_eq!("application/json", headers["content-type"]);
        assert_eq!("3", headers["x-nomad-index"]);
        assert_eq!("nosniff", headers["x-content-type-options"]);
        let refused = error_response(HttpError::bad_request("x"));
        assert_eq!("nosniff", refused.headers()["x-content-type-options"]);
    }

    #[test]
    fn reads_say_how_current_they_are_and_writes_do_not() {
        let freshness = Freshness { known_leader: false, last_contact_ms: 1_234 };
        let missing = Encoded::text(StatusCode::NOT_FOUND, Some(9), "job not found");
        let response = sent(Answer::read(Arc::new(missing), freshness));
        assert_eq!(404, response.status().as_u16());
        let headers = response.headers();
        assert_eq!("false", headers["X-Nomad-KnownLeader"]);
        assert_eq!("1234", headers["X-Nomad-LastContact"]);
        assert_eq!("9", headers["X-Nomad-Index"]);
        assert_eq!("text/plain; charset=utf-8", headers["Content-Type"]);
        let written = sent(Answer::written(&request("", false), 5, &()));
        assert!(written.headers().get("X-Nomad-KnownLeader").is_none());
        assert_eq!("5", written.headers()["X-Nomad-Index"]);
    }
}
