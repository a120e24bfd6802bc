//! The client: sends requests to one address, bounds time and size of answers, and maps failures to [`Error`].

use crate::error::Error;
use crate::query::{Answer, Meta, Query};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Maximum size of an answer, bytes; a larger one is an error.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Maximum size of a refusal's text, bytes; the rest is dropped.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take beyond a blocking query's wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long servers wait for a blocking query that names no wait, with jitter.
const SERVER_WAIT: Duration = Duration::from_secs(300 + 300 / 16);

/// How to reach a cluster.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `http://host:port` of any server or node agent.
    pub address: String,
    /// The caller's token, sent as `X-Nomad-Token`.
    pub token: Option<String>,
    /// The region; if not set, that of the agent at `address`.
    pub region: Option<String>,
    /// The namespace; if not set, `default`.
    pub namespace: Option<String>,
}

impl Options {
    /// Returns the options for an address.
    pub fn at(address: impl Into<String>) -> Options {
        Options { address: address.into(), ..Options::default() }
    }
}

/// A client of the HTTP API. It is cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    options: Options,
}

impl Client {
    /// Returns a client of the agent at the options' address. It connects only when the first request is sent.
    ///
    /// # Errors
    /// The address is not a valid HTTP address.
    pub fn new(options: Options) -> Result<Client, Error> {
        let wrong =
            |cause: &str| Error::Address { address: options.address.clone(), cause: cause.to_owned() };
        let base = Url::parse(&options.address).map_err(|error| wrong(&error.to_string()))?;
        if base.scheme() != "http" || !base.has_host() {
            return Err(wrong("only http is spoken"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| wrong(&error.to_string()))?;
        Ok(Client { http, base, options })
    }

    /// Returns the address that requests are sent to.
    pub fn address(&self) -> &str {
        &self.options.address
    }

    /// Reads any path of the API (`/v1/…`, with ids encoded) as any type; `serde_json::Value` accepts every answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<Answer<T>, Error> {
        let (bytes, meta) = self.get_bytes(path, query, &[]).await?;
        Ok(Answer { value: decode(path, &bytes)?, meta })
    }

    /// Reads any path, with parameters beside those of `query`.
    pub(crate) async fn get_bytes(
        &self,
        path: &str,
        query: &Query,
        parameters: &[(&str, String)],
    ) -> Result<(Vec<u8>, Meta), Error> {
        let mut all = parameters.to_vec();
        if query.index > 0 {
            all.push(("index", query.index.to_string()));
        }
        if let Some(wait) = query.wait {
            all.push(("wait", format!("{}ms", wait.as_millis())));
        }
        if query.stale {
            all.push(("stale", "true".to_owned()));
        }
        if let Some(prefix) = &query.prefix {
            all.push(("prefix", prefix.clone()));
        }
        let wait = if query.index > 0 { query.wait.unwrap_or(SERVER_WAIT) } else { Duration::ZERO };
        let request = self
            .request(Method::GET, path, query.namespace.as_deref(), query.region.as_deref())?
            .query(&all)
            // The server adds up to a sixteenth to the wait.
            .timeout(wait + wait / 16 + ANSWER_TIMEOUT);
        let response = self.send(request).await?;
        let meta = meta_of(&response);
        Ok((self.body(path, response).await?, meta))
    }

    /// Sends a write, with a body if there is one, and decodes the answer.
    pub(crate) async fn write<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        namespace: Option<&str>,
        parameters: &[(&str, String)],
        body: Option<&B>,
    ) -> Result<T, Error> {
        let mut request =
            self.request(method, path, namespace, None)?.query(parameters).timeout(ANSWER_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request).await?;
        decode(path, &self.body(path, response).await?)
    }

    /// Sends a write and drops its answer.
    pub(crate) async fn act(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<(), Error> {
        let request = self.request(method, path, None, None)?.query(parameters).timeout(ANSWER_TIMEOUT);
        let response = self.send(request).await?;
        self.body(path, response).await.map(drop)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        namespace: Option<&str>,
        region: Option<&str>,
    ) -> Result<RequestBuilder, Error> {
        let url = self.base.join(path).map_err(|error| Error::Address {
            address: format!("{}{path}", self.options.address),
            cause: error.to_string(),
        })?;
        let mut request = self.http.request(method, url);
        if let Some(region) = region.or(self.options.region.as_deref()) {
            request = request.query(&[("region", region)]);
        }
        if let Some(namespace) = namespace.or(self.options.namespace.as_deref()) {
            request = request.query(&[("namespace", namespace)]);
        }
        if let Some(token) = &self.options.token {
            request = request.header("X-Nomad-Token", token);
        }
        Ok(request)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let mut text = self.read(response, REFUSAL_BYTES_MAX).await?.0;
        text.truncate(REFUSAL_BYTES_MAX);
        Err(Error::Refused { status, body: String::from_utf8_lossy(&text).trim().to_owned() })
    }

    async fn body(&self, path: &str, response: Response) -> Result<Vec<u8>, Error> {
        let (bytes, whole) = self.read(response, ANSWER_BYTES_MAX).await?;
        if whole {
            Ok(bytes)
        } else {
            Err(Error::TooLarge { path: path.to_owned(), bytes_max: ANSWER_BYTES_MAX })
        }
    }

    /// Reads the body up to a bound; also returns whether that was all of it.
    async fn read(&self, mut response: Response, bytes_max: usize) -> Result<(Vec<u8>, bool), Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > bytes_max {
                return Ok((bytes, false));
            }
        }
        Ok((bytes, true))
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable { address: self.options.address.clone(), source }
    }
}

fn decode<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, Error> {
    // Handlers without an answer send an empty body, which stands for null.
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|source| Error::Decode { path: path.to_owned(), source })
}

fn meta_of(response: &Response) -> Meta {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    Meta {
        index: header("X-Nomad-Index").and_then(|text| text.parse().ok()).unwrap_or(0),
        last_contact_ms: header("X-Nomad-LastContact").and_then(|text| text.parse().ok()).unwrap_or(0),
        known_leader: header("X-Nomad-KnownLeader") == Some("true"),
    }
}

/// Encodes an id as one path segment: slashes and all other reserved bytes are percent-encoded.
pub fn segment(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
