//! A network inside the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::net::{Accept, Boxed, Connection, Net, SharedNet};

const BUFFER_BYTES: usize = 64 * 1024;

#[derive(Default)]
struct Inner {
    /// By port.
    listeners: BTreeMap<u16, UnboundedSender<DuplexStream>>,
    /// Places that are disconnected from all others.
    cut: BTreeSet<usize>,
    connections: Vec<([usize; 2], AbortHandle)>,
    /// Places whose connections stay open but are silent.
    frozen: watch::Sender<BTreeSet<usize>>,
}

/// The network. Ports end in the place of their server.
#[derive(Clone, Default)]
pub(super) struct Wires(Arc<Mutex<Inner>>);

fn place_of(port: u16) -> usize {
    usize::from(port % 1_000)
}

impl Wires {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Returns the network as the server at `place` sees it.
    pub(super) fn of(&self, place: usize) -> SharedNet {
        Arc::new(Wired { place, wires: self.clone() })
    }

    /// Cuts a server off; breaks its connections at once.
    pub(super) fn cut(&self, place: usize) {
        let mut inner = self.inner();
        inner.cut.insert(place);
        inner.connections.retain(|(places, connection)| {
            if places.contains(&place) {
                connection.abort();
            }
            !places.contains(&place)
        });
    }

    /// Freezes a server: its connections stay open, but are silent for good.
    pub(super) fn freeze(&self, place: usize) {
        self.inner().frozen.send_modify(|frozen| {
            frozen.insert(place);
        });
    }

    /// Reconnects all servers.
    pub(super) fn heal(&self) {
        self.inner().cut.clear();
    }

    fn connect(&self, from: usize, host_port: &str) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let address: SocketAddr = host_port.parse().map_err(io::Error::other)?;
        let to = place_of(address.port());
        let mut inner = self.inner();
        if inner.cut.contains(&from) || inner.cut.contains(&to) {
            return Err(refused());
        }
        let listener = inner.listeners.get(&address.port()).ok_or_else(refused)?;
        let (mine, mut near) = duplex(BUFFER_BYTES);
        let (mut far, theirs) = duplex(BUFFER_BYTES);
        listener.send(theirs).map_err(|_| refused())?;
        let mut frozen = inner.frozen.subscribe();
        let wire = tokio::spawn(async move {
            let freezes = async {
                // The sender lives as long as the wires.
                frozen.wait_for(|frozen| frozen.contains(&from) || frozen.contains(&to)).await.is_ok()
            };
            tokio::select! {
                biased;
                _ = freezes => std::future::pending().await,
                _ = copy_bidirectional(&mut near, &mut far) => {}
            }
        });
        inner.connections.push(([from, to], wire.abort_handle()));
        Ok(mine)
    }
}

struct Wired {
    place: usize,
    wires: Wires,
}

impl Net for Wired {
    fn listen(&self, addr: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Accept>>> {
        let (sender, arrivals) = unbounded_channel();
        self.wires.inner().listeners.insert(addr.port(), sender);
        Box::pin(async move { Ok(Box::new(Listening { addr, arrivals }) as Box<dyn Accept>) })
    }

    fn connect(&self, host_port: String) -> Boxed<'static, io::Result<Connection>> {
        let connected = self.wires.connect(self.place, &host_port);
        Box::pin(async move { Ok(Box::new(connected?) as Connection) })
    }
}

struct Listening {
    addr: SocketAddr,
    arrivals: UnboundedReceiver<DuplexStream>,
}

impl Accept for Listening {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Connection, SocketAddr)>> {
        Box::pin(async {
            match self.arrivals.recv().await {
                Some(stream) => Ok((Box::new(stream) as Connection, self.addr)),
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}
