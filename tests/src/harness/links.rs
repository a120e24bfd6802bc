//! Links between members that tests can cut or delay. Each server advertises the address of a relay in front of it. The
//! relay finds in /proc which member opened a connection, and so which link it uses. A cut link behaves like a
//! pulled cable: no data arrives, nothing is refused, and connections stay open. A delay applies to all links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::wait::look_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// A member's number: its index in the cluster's list.
type MemberNumber = usize;

/// The sending and the receiving member.
type Direction = (MemberNumber, MemberNumber);

/// The local and the remote address of a connection, as seen by the member that opened it.
type Ends = (SocketAddr, SocketAddr);

/// All relays of a cluster. Clones share the same links; dropping the last clone ends the relays.
#[derive(Clone)]
pub struct Links {
    shared: Arc<Shared>,
}

struct Shared {
    members_by_pid: Mutex<BTreeMap<i32, MemberNumber>>,
    cut: watch::Sender<BTreeSet<Direction>>,
    delay: watch::Sender<Duration>,
    relays: Mutex<JoinSet<()>>,
}

impl Links {
    /// Creates a set without relays.
    pub fn new() -> Self {
        let shared = Shared {
            members_by_pid: Mutex::default(),
            cut: watch::Sender::new(BTreeSet::new()),
            delay: watch::Sender::new(Duration::ZERO),
            relays: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens a relay at `listen` in front of a member's `target`.
    pub async fn relay(
        &self,
        member: MemberNumber,
        listen: SocketAddr,
        target: SocketAddr,
    ) -> io::Result<()> {
        let listener = TcpListener::bind(listen).await?;
        // Use a weak reference, so that the relays do not keep themselves alive.
        let shared = Arc::downgrade(&self.shared);
        let relay = async move {
            let mut connections = JoinSet::new();
            while let Ok((incoming, from)) = listener.accept().await {
                let shared = shared.clone();
                connections.spawn(async move {
                    // A connection with unknown opener could not be cut. Close it, so that the opener tries again.
                    let Some((opener, link)) = told(&shared, (from, listen)).await else { return };
                    carry(incoming, target, opener, member, link).await;
                });
                while connections.try_join_next().is_some() {}
            }
        };
        lock(&self.shared.relays).spawn(relay);
        Ok(())
    }

    /// Sets the current pid of a member.
    pub fn set_pid(&self, member: MemberNumber, pid: i32) {
        let mut members = lock(&self.shared.members_by_pid);
        members.retain(|_, number| *number != member);
        members.insert(pid, member);
    }

    /// Cuts the link from one member to another in this direction only.
    pub fn cut_one_way(&self, from: MemberNumber, to: MemberNumber) {
        self.shared.cut.send_modify(|cut| {
            cut.insert((from, to));
        });
    }

    /// Cuts the link between two members in both directions.
    pub fn cut(&self, one: MemberNumber, other: MemberNumber) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Delays all data from now on, in both directions.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.delay.send_replace(delay);
    }

    /// Restores all links. Data held back so far arrives now, as if TCP had retransmitted it.
    pub fn heal(&self) {
        self.shared.cut.send_modify(BTreeSet::clear);
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// Returns the member whose process opened the connection.
    fn opener_of(&self, connection: Ends) -> Option<MemberNumber> {
        let inode = socket_inode(connection)?;
        let wanted = format!("socket:[{inode}]");
        let members = lock(&self.members_by_pid);
        members.iter().find_map(|(pid, member)| {
            let sockets = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            sockets
                .flatten()
                .any(|entry| {
                    fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str())
                })
                .then_some(*member)
        })
    }
}

/// How long to search for the opener of a connection. A read of the kernel's table may miss an entry if the table
/// changes meanwhile, which happens all the time while other tests run.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// A connection's view of the cuts and the delay.
#[derive(Clone)]
struct Link {
    cut: watch::Receiver<BTreeSet<Direction>>,
    delay: watch::Receiver<Duration>,
}

/// Finds the member that opened the connection; also returns the connection's link.
async fn told(shared: &Weak<Shared>, connection: Ends) -> Option<(MemberNumber, Link)> {
    let opener = || {
        let shared = shared.upgrade()?;
        let link = Link { cut: shared.cut.subscribe(), delay: shared.delay.subscribe() };
        Some((shared.opener_of(connection)?, link))
    };
    look_for(TOLD_WITHIN, || std::future::ready(opener().ok_or(()))).await.ok()
}

/// Returns the inode of the socket that opened a connection. Compares both addresses, because connections to
/// other addresses may use the same local port, and ended connections are still listed.
fn socket_inode((from, to): Ends) -> Option<u64> {
    let column = |address| {
        let SocketAddr::V4(address) = address else { return None };
        Some(format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port()))
    };
    let (from, to) = (column(from)?, column(to)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (*columns.get(1)? == from && *columns.get(2)? == to).then(|| columns.get(9)?.parse().ok())?
    })
}

async fn carry(
    incoming: TcpStream,
    target: SocketAddr,
    opener: MemberNumber,
    member: MemberNumber,
    link: Link,
) {
    // Connecting takes one round trip.
    let one_way = *link.delay.borrow();
    sleep(one_way * 2).await;
    let Ok(outgoing) = TcpStream::connect(target).await else { return };
    let _ = (incoming.set_nodelay(true), outgoing.set_nodelay(true));
    let (from_opener, to_opener) = incoming.into_split();
    let (from_member, to_member) = outgoing.into_split();
    let (there, back) = ((opener, member), (member, opener));
    tokio::join!(
        pump(from_opener, to_member, there, link.clone()),
        pump(from_member, to_opener, back, link.clone())
    );
}

/// Most chunks in flight on a link: more than a TCP window, so that a delay does not reduce the throughput.
const ON_THE_WAY_MAX: usize = 256;

/// Copies bytes in one direction until either side closes. Copies nothing while the direction is cut.
async fn pump(mut from: OwnedReadHalf, to: OwnedWriteHalf, direction: Direction, link: Link) {
    let (sender, arriving) = mpsc::channel(ON_THE_WAY_MAX);
    let delay = link.delay.clone();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            let arrives = Instant::now() + *delay.borrow();
            if sender.send((arrives, buffer[..read].to_vec())).await.is_err() || read == 0 {
                return;
            }
        }
    };
    // Stop reading when the receiver has closed.
    tokio::select! {
        ((), ()) = async { tokio::join!(read, std::future::pending()) } => {}
        () = deliver(arriving, to, direction, link) => {}
    }
}

async fn deliver(
    mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut link: Link,
) {
    while let Some((arrives, bytes)) = arriving.recv().await {
        sleep_until(arrives).await;
        // A cut also holds back the end of the stream.
        if link.cut.wait_for(|cut| !cut.contains(&direction)).await.is_err()
            || bytes.is_empty()
            || to.write_all(&bytes).await.is_err()
        {
            break;
        }
    }
    let _ = to.shutdown().await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The tables stay consistent even if a test panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts an echo server behind a relay. This process is member 0, the echo server member 1.
    async fn echo_behind_relay() -> (Links, TcpStream) {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = echo.accept().await.unwrap();
            let (mut from, mut to) = stream.into_split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let links = Links::new();
        links.set_pid(0, std::process::id() as i32);
        let listen = SocketAddr::from(([127, 0, 0, 1], crate::harness::free_port()));
        links.relay(1, listen, target).await.unwrap();
        (links, TcpStream::connect(listen).await.unwrap())
    }

    #[tokio::test]
    async fn a_cut_link_holds_bytes_back_until_it_is_healed() {
        for way in [(0, 1), (1, 0)] {
            let (links, mut stream) = echo_behind_relay().await;
            let mut received = [0; 4];
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"ping");

            links.cut_one_way(way.0, way.1);
            stream.write_all(b"pong").await.unwrap();
            let answer =
                tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut received)).await;
            assert!(answer.is_err(), "bytes passed the cut {way:?}");

            links.heal();
            // The cancelled read cannot have consumed bytes, because none had arrived.
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, b"pong");
        }
    }

    #[tokio::test]
    async fn what_is_sent_over_a_long_link_arrives_later_and_all_of_it() {
        let (links, mut stream) = echo_behind_relay().await;
        let mut received = [0; 4];
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut received).await.unwrap();
        let one_way = Duration::from_millis(60);
        links.set_delay(one_way);
        let start = Instant::now();
        stream.write_all(b"pong").await.unwrap();
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"pong");
        assert!(start.elapsed() >= one_way * 2, "there and back in {:?}", start.elapsed());
    }
}
