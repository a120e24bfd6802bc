//! The network's seam: how listeners and connections are made. TCP in a server, turmoil in a simulation,
//! TLS in between one day.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ordu_core::limits::CONNECTION_STALL_MS_MAX;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};

mod bounded;

pub use bounded::{Bounded, Bounds, Guarded, incoming};

/// A byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection.
pub type Connection = Box<dyn Io>;

/// A future in a box.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes connections.
pub trait Accept: Send + 'static {
    /// The next connection.
    fn accept(&mut self) -> Boxed<'_, io::Result<(Connection, SocketAddr)>>;
    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Makes listeners and connections.
pub trait Net: Send + Sync + 'static {
    /// Listens on `addr`.
    fn listen(&self, addr: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Accept>>>;
    /// Connects to `host:port`.
    fn connect(&self, host_port: String) -> Boxed<'static, io::Result<Connection>>;
}

/// TCP.
pub struct Tcp;

struct TcpAccept(tokio::net::TcpListener);

impl Accept for TcpAccept {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Connection, SocketAddr)>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            tune(&stream);
            bound_unsent(&stream);
            Ok((Box::new(stream) as Connection, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// How long a silent peer is left alone before the system asks whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// How often it is then asked.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Small messages leave at once, and a peer that has gone without a word does not hold a descriptor for
/// ever.
fn tune(stream: &tokio::net::TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let tuned = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let tuned = tuned
        .and_then(|()| socket.set_tcp_user_timeout(Some(Duration::from_millis(CONNECTION_STALL_MS_MAX))));
    if let Err(error) = tuned {
        // The peer has gone already: whoever uses the connection will hear of it.
        tracing::debug!(%error, "a connection's options cannot be set");
    }
}

/// Bytes that the system takes of what is written to an accepted connection before its peer takes any. What more there
/// is stays here, where it is counted; a peer that takes nothing is noticed, too.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Else the system would hold some megabytes for each client that reads nothing.
fn bound_unsent(stream: &tokio::net::TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!(%error, "what is held for a connection cannot be bounded");
    }
}

impl Net for Tcp {
    fn listen(&self, addr: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Accept>>> {
        Box::pin(async move {
            let listener = tokio::net::TcpListener::bind(addr)
                .await
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
            Ok(Box::new(TcpAccept(listener)) as Box<dyn Accept>)
        })
    }

    fn connect(&self, host_port: String) -> Boxed<'static, io::Result<Connection>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(host_port).await?;
            tune(&stream);
            Ok(Box::new(stream) as Connection)
        })
    }
}

/// The network, shared.
pub type SharedNet = Arc<dyn Net>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_watches_over_accepted_and_made_connections() {
        let mut listener = Tcp.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let made = tokio::net::TcpStream::connect(address).await.unwrap();
        tune(&made);
        let socket = SockRef::from(&made);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(KEEPALIVE_AFTER, socket.tcp_keepalive_time().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(Some(Duration::from_millis(CONNECTION_STALL_MS_MAX)), socket.tcp_user_timeout().unwrap());
        assert_eq!(made.local_addr().unwrap(), listener.accept().await.unwrap().1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn little_is_taken_for_a_peer_that_reads_nothing() {
        use tokio::io::AsyncWriteExt;
        let mut listener = Tcp.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let _silent = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut taken = 0;
        let taking = async {
            while taken < 8 * 1024 * 1024 {
                taken += accepted.write(&[7; 65_536]).await.unwrap();
            }
        };
        // Nothing is waited for: it goes on for as long as there is room.
        let _ = tokio::time::timeout(Duration::from_secs(1), taking).await;
        assert!(taken < 1024 * 1024, "{taken} bytes");
    }
}
