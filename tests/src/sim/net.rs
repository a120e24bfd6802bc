//! The servers' interface to the simulated network.

use std::io;
use std::net::SocketAddr;

use ordu_server::net::{Accept, Boxed, Connection, Net};
use turmoil::net::{TcpListener, TcpStream};

/// Simulated TCP.
pub(super) struct SimNet;

struct SimAccept(TcpListener);

impl Accept for SimAccept {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Connection, SocketAddr)>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(stream) as Connection, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Net for SimNet {
    fn listen(&self, addr: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Accept>>> {
        Box::pin(async move { Ok(Box::new(SimAccept(TcpListener::bind(addr).await?)) as Box<dyn Accept>) })
    }

    fn connect(&self, host_port: String) -> Boxed<'static, io::Result<Connection>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(host_port).await?) as Connection) })
    }
}
