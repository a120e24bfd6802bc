//! The network's seam: how listeners and connections are made. TCP in a server, turmoil in a simulation,
//! TLS in between one day.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

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
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Connection, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
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
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Connection)
        })
    }
}

/// A listener for axum.
pub struct HttpListener(pub Box<dyn Accept>);

impl axum::serve::Listener for HttpListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        accept_always(&mut *self.0).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Accepts until it works: a connection that was reset before it was taken, or a lack of file
/// descriptors, passes.
pub async fn accept_always(listener: &mut dyn Accept) -> (Connection, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                // Without a pause, a lack of descriptors would be a busy loop.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection as tonic takes it.
pub struct GrpcIo(Connection);

impl tonic::transport::server::Connected for GrpcIo {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for GrpcIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for GrpcIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, buffer)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// The connections of a listener as a stream for tonic.
pub fn grpc_incoming(listener: Box<dyn Accept>) -> impl futures::Stream<Item = io::Result<GrpcIo>> {
    futures::stream::unfold(listener, |mut listener| async move {
        let (connection, _) = accept_always(&mut *listener).await;
        Some((Ok(GrpcIo(connection)), listener))
    })
}

/// The network, shared.
pub type SharedNet = Arc<dyn Net>;
