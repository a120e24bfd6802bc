//! Test support: a listener whose connections are given by a test, in memory and with any address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::{Accept, Bounded, Bounds, Boxed, Connection};
use crate::counts::ConnectionCounts;

/// Surplus connections that the listener takes.
pub(crate) const SURPLUS: usize = 3;

/// Gives connections to a listener.
pub(crate) type Sender = mpsc::UnboundedSender<io::Result<DuplexStream>>;

struct FromChannel(mpsc::UnboundedReceiver<io::Result<DuplexStream>>, SocketAddr);

impl Accept for FromChannel {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Connection, SocketAddr)>> {
        Box::pin(async {
            let stream = self.0.recv().await.expect("the test holds the sender")?;
            Ok((Box::new(stream) as Connection, self.1))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::other("none"))
    }
}

/// Returns a listener whose connections come from loopback.
pub(crate) fn listener(connections_max: usize) -> (Sender, Bounded) {
    listener_for(connections_max, usize::MAX, [127, 0, 0, 1])
}

/// Returns a listener whose connections come from one address.
pub(crate) fn listener_for(
    connections_max: usize,
    per_client_max: usize,
    from: [u8; 4],
) -> (Sender, Bounded) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (silence, stall) = (Duration::from_secs(10), Duration::from_secs(60));
    let bounds = Bounds { connections_max, surplus_max: SURPLUS, per_client_max, silence, stall };
    let listener = Box::new(FromChannel(receiver, SocketAddr::from((from, 1))));
    (sender, Bounded::new("test", listener, bounds, ConnectionCounts::default()))
}
