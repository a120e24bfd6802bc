//! A small HTTP/1.1 client for tests and load. The load shares two cores with three servers, so a request takes only
//! one write, one or two reads, and no allocation beyond the connection's buffers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer that a connection buffers, in bytes.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Size of one read from the socket, in bytes.
const READ_BYTES: usize = 16 << 10;

/// A keep-alive connection that handles one request at a time.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    unchunked: Vec<u8>,
}

/// An answer that borrows the connection's buffers.
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    head: &'a [u8],
    /// The body, unchunked.
    pub body: &'a [u8],
}

/// An answer that owns its memory.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    head: String,
    /// The body, unchunked.
    pub body: Vec<u8>,
}

/// How the length of a body is determined.
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Appends an encoded request to `buffer`.
pub fn encode(buffer: &mut Vec<u8>, method: &str, path: &str, body: Option<&[u8]>) {
    buffer.extend_from_slice(method.as_bytes());
    buffer.push(b' ');
    buffer.extend_from_slice(path.as_bytes());
    buffer.extend_from_slice(b" HTTP/1.1\r\nHost: ordu\r\n");
    if let Some(body) = body {
        buffer.extend_from_slice(
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
        );
        buffer.extend_from_slice(body);
    } else {
        buffer.extend_from_slice(b"\r\n");
    }
}

impl Connection {
    /// Connects, with TCP_NODELAY set.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(READ_BYTES), unchunked: Vec::new() })
    }

    /// Sends an encoded request and reads its answer. The connection cannot be used after an error.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.received.clear();
        self.unchunked.clear();
        let sent = self.stream.write_all(request).await;
        let head_end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            // A server that rejects a request early may have answered before it closed the connection.
            if let Err(unread) = self.read_more().await {
                return Err(sent.err().unwrap_or(unread));
            }
        };
        let status = status_of(&self.received)?;
        match framing_of(status, &self.received[..head_end])? {
            Framing::Length(length) => {
                while self.received.len() < head_end + length {
                    self.read_more().await?;
                }
                let (head, body) = self.received.split_at(head_end);
                Ok(Answer { status, head, body: &body[..length] })
            }
            Framing::Chunked => {
                self.read_chunks(head_end).await?;
                Ok(Answer { status, head: &self.received[..head_end], body: &self.unchunked })
            }
            Framing::UntilClose => {
                while self.read_some().await? > 0 {}
                let (head, body) = self.received.split_at(head_end);
                Ok(Answer { status, head, body })
            }
        }
    }

    async fn read_chunks(&mut self, mut at: usize) -> io::Result<()> {
        loop {
            let line_end = loop {
                if let Some(end) = find(&self.received[at..], b"\r\n") {
                    break at + end;
                }
                self.read_more().await?;
            };
            let line = String::from_utf8_lossy(&self.received[at..line_end]);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| io::Error::other(format!("the size of a chunk is not a number: {line:?}")))?;
            let (start, end) = (line_end + 2, line_end + 2 + size);
            while self.received.len() < end + 2 {
                self.read_more().await?;
            }
            if size == 0 {
                return Ok(());
            }
            self.unchunked.extend_from_slice(&self.received[start..end]);
            at = end + 2;
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.read_some().await? {
            0 => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed before its answer ended"))
            }
            _ => Ok(()),
        }
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        if self.received.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
        }
        self.received.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.received).await
    }
}

impl Answer<'_> {
    /// Returns the value of `X-Nomad-Index`, or 0 if there is none.
    pub fn index(&self) -> u64 {
        header_in(self.head, "x-nomad-index").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Copies the answer into its own memory.
    pub fn to_response(&self) -> Response {
        Response {
            status: self.status,
            head: String::from_utf8_lossy(self.head).into_owned(),
            body: self.body.to_vec(),
        }
    }
}

impl Response {
    /// Returns a header's value. The name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        header_in(self.head.as_bytes(), &name.to_ascii_lowercase())
    }

    /// Returns the value of `X-Nomad-Index`, or 0 if there is none.
    pub fn index(&self) -> u64 {
        self.header("x-nomad-index").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Returns the body as lossy text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON, or `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A client for one server that opens a connection per request and has a timeout per request.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    address: SocketAddr,
    timeout: Duration,
}

impl Client {
    /// Creates a client with a timeout of ten seconds.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, timeout: Duration::from_secs(10) }
    }

    /// Returns the same client with another timeout.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Returns the server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request. Returns an error of kind `TimedOut` if there is no answer in time.
    pub async fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> io::Result<Response> {
        let mut request = Vec::new();
        encode(&mut request, method, path, body);
        let exchange = async {
            let mut connection = Connection::open(self.address).await?;
            connection.exchange(&request).await.map(|answer| answer.to_response())
        };
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, format!("{method} {path}: no answer in time"))
        })?
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> io::Result<Response> {
        self.send("GET", path, None).await
    }

    /// Sends JSON in a POST request.
    pub async fn post(&self, path: &str, body: &Value) -> io::Result<Response> {
        self.send("POST", path, Some(body.to_string().as_bytes())).await
    }

    /// Sends a DELETE request.
    pub async fn delete(&self, path: &str) -> io::Result<Response> {
        self.send("DELETE", path, None).await
    }

    /// Sends a GET request and returns the JSON of a 200 answer; any other answer is an error with its text.
    pub async fn json(&self, path: &str) -> io::Result<Value> {
        let response = self.get(path).await?;
        if response.status != 200 {
            return Err(io::Error::other(format!("GET {path}: {} {}", response.status, response.text())));
        }
        Ok(response.json())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn status_of(received: &[u8]) -> io::Result<u16> {
    received
        .get(9..12)
        .filter(|_| received.starts_with(b"HTTP/1."))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other("the answer is not HTTP/1"))
}

fn framing_of(status: u16, head: &[u8]) -> io::Result<Framing> {
    if let Some(length) = header_in(head, "content-length") {
        let length: usize =
            length.parse().map_err(|_| io::Error::other(format!("Content-Length is {length:?}")))?;
        if length > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        return Ok(Framing::Length(length));
    }
    if header_in(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunked);
    }
    Ok(if matches!(status, 204 | 304) { Framing::Length(0) } else { Framing::UntilClose })
}

/// Finds a header's value. `name` must be lower case.
fn header_in<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(value).ok().map(str::trim))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answered_with(pieces: &'static [&'static str]) -> io::Result<Response> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let client = Client::new(address);
        let (answer, ()) = tokio::join!(client.get("/"), server);
        answer
    }

    #[tokio::test]
    async fn bodies_are_read_by_length_by_chunks_and_to_the_end() {
        for (pieces, body) in [
            (&["HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Nomad-Index: 7\r\n\r\nhe", "llo"][..], "hello"),
            (
                &[
                    "HTTP/1.1 200 OK\r\nX-Nomad-Index: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2",
                    "\r\nlo\r\n0\r\n\r\n",
                ],
                "hello",
            ),
            (&["HTTP/1.1 200 OK\r\nX-NOMAD-INDEX:7\r\n", "\r\n", "hello"], "hello"),
        ] {
            let response = answered_with(pieces).await.unwrap();
            assert_eq!((response.status, response.text().as_str(), response.index()), (200, body, 7));
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error() {
        for pieces in [&["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"][..], &["HTTP/1.1 20"], &[]] {
            let error = answered_with(pieces).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(answered_with(&["SSH-2.0 hello there\r\n\r\n"]).await.is_err());
    }
}
