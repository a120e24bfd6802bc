//! Network abstraction for listeners and connections, so that simulations can replace TCP.

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
mod heads;
mod shares;
#[cfg(test)]
pub(crate) mod testing;
mod usage;

pub(crate) use bounded::Standing;
pub use bounded::{Bounded, Bounds, Guarded, incoming};
pub(crate) use heads::Requests;
pub(crate) use shares::{Share, Shares};
pub(crate) use usage::{InUse, Usage};

/// A byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection.
pub type Connection = Box<dyn Io>;

/// A boxed future.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A listener.
pub trait Accept: Send + 'static {
    /// Waits for the next connection.
    fn accept(&mut self) -> Boxed<'_, io::Result<(Connection, SocketAddr)>>;
    /// Returns the listen address.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Creates listeners and connections.
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

/// Idle time before the system probes a peer.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Interval between probes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Sends small messages at once, and makes the system close connections to peers that vanished.
fn tune(stream: &tokio::net::TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let tuned = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let tuned = tuned
        .and_then(|()| socket.set_tcp_user_timeout(Some(Duration::from_millis(CONNECTION_STALL_MS_MAX))));
    if let Err(error) = tuned {
        // The peer is already gone; the user of the connection gets the error.
        tracing::debug!(%error, "a connection's options cannot be set");
    }
}

/// Maximum of unsent bytes that the kernel buffers for an accepted connection. Further output stays in this
/// process, which counts it and notices a peer that does not read.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Limits the kernel's send buffer; otherwise it would hold some megabytes for each client that does not
/// read.
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

/// A shared network.
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
        // The timeout is expected: writes stop once the buffers are full.
        let _ = tokio::time::timeout(Duration::from_secs(1), taking).await;
        assert!(taken < 1024 * 1024, "{taken} bytes");
    }
}
