//! Connections of clients that are slow, silent, or too many.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::net::{Accept, Bounds, Boxed, Connection, Net, Tcp};

struct Served {
    fixture: Fixture,
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

impl Served {
    async fn start(connections_max: usize, silence_ms: u64) -> Self {
        let listener = Tcp.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let bounds = Bounds { connections_max, ..Bounds::of_http(DEADLINE, 0) };
        Self::start_on(listener, bounds, silence_ms).await
    }

    async fn start_on(listener: Box<dyn Accept>, bounds: Bounds, silence_ms: u64) -> Self {
        let fixture = Fixture::start().await;
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { silence: Duration::from_millis(silence_ms), ..bounds };
        let (context, shutdown) = (fixture.server.context().clone(), CancellationToken::new());
        let ended = tokio::spawn(crate::http::serve(listener, bounds, context, shutdown.clone()));
        Self { fixture, address, shutdown, ended }
    }

    /// Opens a connection, sends a request on it, and returns the answer.
    async fn ask(&self, request: &str) -> String {
        rest(&mut self.say(request).await).await
    }

    /// Opens a connection and sends `text` on it.
    async fn say(&self, text: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(text.as_bytes()).await.unwrap();
        connection
    }
}

/// A listener whose connections seem to come from another machine.
struct Far(Box<dyn Accept>);

impl Accept for Far {
    fn accept(&mut self) -> Boxed<'_, std::io::Result<(Connection, SocketAddr)>> {
        Box::pin(async {
            let (connection, _) = self.0.accept().await?;
            Ok((connection, SocketAddr::from(([192, 0, 2, 1], 1))))
        })
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: ordu\r\n\r\n")
}

/// Reads until the server closes the connection properly.
async fn rest(connection: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, connection.read_to_string(&mut text)).await.expect("it is closed in time").unwrap();
    text
}

/// Reads until a list or the connection ends.
async fn rest_or_first(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = async { while connection.read_buf(&mut text).await.unwrap() > 0 && !text.ends_with(b"]") {} };
    timeout(DEADLINE, read).await.expect("it is answered");
    String::from_utf8(text).unwrap()
}

/// Reads until `wanted` has arrived.
async fn until(connection: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    let found = async {
        while !String::from_utf8_lossy(&text).contains(wanted) {
            assert_ne!(0, connection.read_buf(&mut text).await.unwrap(), "closed before {wanted:?}");
        }
    };
    timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{wanted:?} does not come"));
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_ends_and_a_connection_without_a_next_one_are_closed() {
    let served = Served::start(10, 1_000).await;
    let served = &served;
    let begun = ["", "\r\n", "GET /v1/jobs HTT", "GET /v1/jobs HTTP/1.1\r\nHost: ordu\r\n"];
    let closed = begun.map(|begun| async move {
        let mut connection = served.say(begun).await;
        assert_eq!("", rest(&mut connection).await, "{begun:?}");
    });
    futures::future::join_all(closed).await;
    let mut connection = served.say(&get("/v1/jobs")).await;
    let answer = rest(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("[]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_wait_for_its_answer_longer_than_for_a_request() {
    let served = Served::start(10, 1_000).await;
    served.fixture.register("there", 50).await;
    served.fixture.settled("there").await;
    let index = served.fixture.get("/v1/job/there").await.index();
    let waiting = get(&format!("/v1/job/there?index={index}&wait=2s"));
    let mut connection = served.say(&waiting).await;
    assert!(rest(&mut connection).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_when_all_connections_are_open_is_told_so_and_operators_are_answered() {
    let served = Served::start(2, 60_000).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = served.say(&get("/v1/jobs")).await;
        until(&mut connection, "[]").await;
        open.push(connection);
    }
    let told = rest(&mut served.say(&get("/v1/jobs")).await).await;
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1\r\n"), "{told}");
    assert!(told.contains("all connections that this server holds open"), "{told}");
    let answered = rest(&mut served.say(&get("/v1/status/leader")).await).await;
    assert!(answered.starts_with("HTTP/1.1 200 "), "{answered}");
    // A silent surplus connection is closed after a moment.
    assert_eq!("", rest(&mut served.say("GET /v1/sta").await).await);
    // The open connections are served meanwhile.
    for connection in &mut open {
        connection.write_all(get("/v1/jobs").as_bytes()).await.unwrap();
        until(connection, "[]").await;
    }
    open.pop();
    let deadline = Instant::now() + DEADLINE;
    while !rest_or_first(&mut served.say(&get("/v1/regions")).await).await.contains(r#"["global"]"#) {
        assert!(Instant::now() < deadline, "a place that is free again is not given");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answers_what_is_asked_and_ends_though_a_client_does_not() {
    let served = Served::start(10, 60_000).await;
    served.fixture.register("there", 50).await;
    served.fixture.settled("there").await;
    let index = served.fixture.get("/v1/job/there").await.index();
    let mut idle = served.say(&get("/v1/regions")).await;
    until(&mut idle, r#"["global"]"#).await;
    let mut asking = served.say(&get(&format!("/v1/job/there?index={index}&wait=60s"))).await;
    // The body never arrives, so this request takes longer than the server waits when it stops.
    let mut stuck = served.say("PUT /v1/jobs HTTP/1.1\r\nHost: ordu\r\nContent-Length: 9\r\n\r\n").await;
    let deadline = Instant::now() + DEADLINE;
    while served.fixture.server.context().watches.watchers() == 0 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    served.shutdown.cancel();
    assert_eq!("", rest(&mut idle).await);
    assert!(rest(&mut asking).await.starts_with("HTTP/1.1 200 OK\r\n"));
    timeout(DEADLINE, served.ended).await.expect("it ends in time").unwrap();
    let mut bytes = Vec::new();
    // Closed or reset, but not left open.
    let _ = timeout(DEADLINE, stuck.read_to_end(&mut bytes)).await.expect("its connection is closed");
    assert!(TcpStream::connect(served.address).await.is_err(), "it still listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_too_many_connections_is_told_so_and_others_are_served() {
    let listener = Tcp.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let served = Served::start_on(Box::new(Far(listener)), Bounds::of_http(DEADLINE, 2), 60_000).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = served.say(&get("/v1/jobs")).await;
        until(&mut connection, "[]").await;
        open.push(connection);
    }
    for path in ["/v1/jobs", "/v1/status/leader"] {
        let told = served.ask(&get(path)).await;
        assert!(told.starts_with("HTTP/1.1 429 ") && told.contains("retry-after: 1\r\n"), "{told}");
        assert!(told.contains("x-content-type-options: nosniff\r\n"), "{told}");
        assert!(told.contains("`http_max_conns_per_client`"), "{told}");
    }
    assert_eq!(2, served.fixture.server.context().counts.http.refused());
    open[0].write_all(get("/v1/jobs").as_bytes()).await.unwrap();
    until(&mut open[0], "[]").await;
    open.pop();
    let deadline = Instant::now() + DEADLINE;
    while !rest_or_first(&mut served.say(&get("/v1/regions")).await).await.contains(r#"["global"]"#) {
        assert!(Instant::now() < deadline, "a connection that has ended still counts");
    }
}
