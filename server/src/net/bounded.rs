//! Limits on accepted connections: how many there are in all and of one client, how long a peer may take to send its first bytes, and
//! how long it may read nothing. However clients behave, file descriptors remain for the other servers and
//! the disk.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use ordu_core::limits::{
    CONNECTION_STALL_MS_MAX, HTTP_CONNECTIONS_MAX, HTTP_EXCESS_CONNECTIONS_MAX, HTTP_SILENCE_MS_MAX,
    HTTP_SURPLUS_CONNECTIONS_MAX, RPC_CONNECTIONS_MAX, RPC_GREETING_MS_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::heads::{Heads, Requests};
use super::{Accept, Connection, Share, Shares};
use crate::counts::{ConnectionCounts, Open};

/// Minimum time between warnings that all connection slots are taken.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Length of the HTTP/2 preface in bytes. After it, HTTP/2's own keep-alive checks the peer.
const HTTP2_PREFACE_BYTES: usize = 24;

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum number of connections; further ones wait, or get an error answer as surplus.
    pub connections_max: usize,
    /// Maximum number of surplus connections, which are accepted only to be answered with an error.
    pub surplus_max: usize,
    /// Maximum number of connections from one address, except from loopback. Further ones are accepted, a few at a
    /// time, only to be answered with an error.
    pub per_client_max: usize,
    /// How long to wait for the head of a request, and for the next request; for gRPC, for the first bytes.
    pub silence: Duration,
    /// How long a peer may read nothing of what is written to it.
    pub stall: Duration,
}

impl Bounds {
    /// Returns the limits of the HTTP API with this `stall` and `per_client_max` (0: no limit): half of this process's
    /// file descriptors.
    pub fn of_http(stall: Duration, per_client_max: usize) -> Self {
        let per_client_max = if per_client_max == 0 { usize::MAX } else { per_client_max };
        let bounds = Self::new(HTTP_CONNECTIONS_MAX, 2, HTTP_SILENCE_MS_MAX);
        let surplus_max = HTTP_SURPLUS_CONNECTIONS_MAX.min(bounds.connections_max / 4);
        let connections_max = bounds.connections_max - surplus_max;
        Self { connections_max, surplus_max, per_client_max, stall, ..bounds }
    }

    /// Returns the limits of a port for servers and nodes: an eighth of the file descriptors. There are two
    /// such ports.
    pub fn of_rpc() -> Self {
        Self::new(RPC_CONNECTIONS_MAX, 8, RPC_GREETING_MS_MAX)
    }

    fn new(connections_max: usize, part_of_files: u64, silence_ms: u64) -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let part = usize::try_from(files / part_of_files).unwrap_or(usize::MAX);
        Self {
            connections_max: connections_max.min(part).max(1),
            surplus_max: 0,
            per_client_max: usize::MAX,
            silence: Duration::from_millis(silence_ms),
            stall: Duration::from_millis(CONNECTION_STALL_MS_MAX),
        }
    }
}

/// A listener that enforces limits.
pub struct Bounded {
    name: &'static str,
    listener: Box<dyn Accept>,
    bounds: Bounds,
    counts: ConnectionCounts,
    places: Arc<Semaphore>,
    /// Slots for surplus connections.
    surplus: Arc<Semaphore>,
    /// Connections by client.
    shares: Shares,
    /// Slots for connections of clients that have too many.
    excess: Arc<Semaphore>,
    told: Option<Instant>,
}

/// Whether a connection is within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    Within,
    /// All slots are taken.
    Surplus,
    /// Its client has as many connections as it may.
    Excess,
}

impl Bounded {
    /// `name` is the service, for the log; `counts` counts the connections.
    pub fn new(
        name: &'static str,
        listener: Box<dyn Accept>,
        bounds: Bounds,
        counts: ConnectionCounts,
    ) -> Self {
        counts.allow(bounds.connections_max);
        let places = Arc::new(Semaphore::new(bounds.connections_max.min(Semaphore::MAX_PERMITS)));
        let surplus = Arc::new(Semaphore::new(bounds.surplus_max));
        let excess = Arc::new(Semaphore::new(HTTP_EXCESS_CONNECTIONS_MAX));
        Self {
            name,
            listener,
            bounds,
            counts,
            places,
            surplus,
            shares: Shares::default(),
            excess,
            told: None,
        }
    }

    /// Sets how long a peer may read nothing, for connections accepted from now on.
    pub fn set_stall(&mut self, stall: Duration) {
        self.bounds.stall = stall;
    }

    /// Waits for a free slot, then for a connection. Cancel-safe.
    pub async fn accept(&mut self) -> Guarded {
        if self.places.available_permits() == 0 {
            self.tell_that_all_are_taken("whoever comes now waits for one to end");
        }
        // The semaphore is never closed; if it were, the connection would only be uncounted.
        let place = self.places.clone().acquire_owned().await.ok();
        let accepted = accept_always(&mut *self.listener).await;
        self.guarded(accepted, place, Standing::Within, None)
    }

    /// Accepts a connection even if all slots are taken or its client has too many; then it is a surplus or excess
    /// connection, of which there may be few. The caller should answer it with an error and close it. Cancel-safe.
    pub async fn accept_surplus(&mut self) -> Guarded {
        loop {
            if let Some(accepted) = self.accept_one().await {
                return accepted;
            }
        }
    }

    /// Accepts a connection; `None` if it was closed at once, since its client has too many.
    async fn accept_one(&mut self) -> Option<Guarded> {
        if self.places.available_permits() == 0 {
            self.tell_that_all_are_taken("whoever comes now is told so, and what operators ask is answered");
        }
        let (places, surplus) = (self.places.clone(), self.surplus.clone());
        let (place, is_surplus) = tokio::select! {
            biased;
            place = places.acquire_owned() => (place.ok(), false),
            place = surplus.acquire_owned() => (place.ok(), true),
        };
        let accepted = accept_always(&mut *self.listener).await;
        let Some(share) = self.shares.take(Some(accepted.1.ip()), 1, self.bounds.per_client_max) else {
            // It must not use a slot that another client could have.
            let excess = self.excess.clone().try_acquire_owned().ok();
            if excess.is_none() {
                self.counts.refused_one();
            }
            return excess.map(|excess| self.guarded(accepted, Some(excess), Standing::Excess, None));
        };
        // A slot may have become free while no connection arrived.
        Some(match is_surplus.then(|| self.places.clone().try_acquire_owned().ok()).flatten() {
            Some(freed) => self.guarded(accepted, Some(freed), Standing::Within, Some(share)),
            None if is_surplus => self.guarded(accepted, place, Standing::Surplus, Some(share)),
            None => self.guarded(accepted, place, Standing::Within, Some(share)),
        })
    }

    fn guarded(
        &self,
        (io, from): (Connection, SocketAddr),
        place: Option<OwnedSemaphorePermit>,
        standing: Standing,
        share: Option<Share>,
    ) -> Guarded {
        let Bounds { silence, stall, .. } = self.bounds;
        Guarded {
            io,
            from,
            silence,
            stall,
            stalled: None,
            greeting: None,
            heads: None,
            standing,
            counts: self.counts.clone(),
            _open: self.counts.opened(),
            _place: place,
            _share: share,
        }
    }

    fn tell_that_all_are_taken(&mut self, consequence: &str) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            service = self.name,
            connections_max = self.bounds.connections_max,
            "all connections that are taken at one time are open; {consequence}"
        );
    }
}

/// Accepts a connection, and retries after errors.
async fn accept_always(listener: &mut dyn Accept) -> (Connection, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_connection(&error) => {
                tracing::debug!(%error, "a connection was over before it was taken");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                // Without a pause, a lack of file descriptors would make this a busy loop.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A connection that holds a slot, and fails when its peer exceeds the time limits.
pub struct Guarded {
    io: Connection,
    /// The peer's address.
    pub(crate) from: SocketAddr,
    /// How long to wait for its first bytes.
    pub(crate) silence: Duration,
    stall: Duration,
    /// Timer that runs while the peer reads nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Until the peer has sent its first bytes: the deadline, and how many bytes are still missing.
    greeting: Option<(Pin<Box<Sleep>>, usize)>,
    /// For HTTP/1: the time limit of heads.
    heads: Option<Heads>,
    /// Whether it is within the limits.
    pub(crate) standing: Standing,
    /// The listener's counters.
    pub(crate) counts: ConnectionCounts,
    _open: Open,
    _place: Option<OwnedSemaphorePermit>,
    _share: Option<Share>,
}

impl Guarded {
    /// Starts the time limit for receiving the HTTP/2 preface.
    pub(crate) fn greeted_in_time(mut self) -> Self {
        self.greeting = Some((Box::pin(sleep_until(Instant::now() + self.silence)), HTTP2_PREFACE_BYTES));
        self
    }

    /// Starts to limit the time that the heads of these requests take to arrive.
    pub(crate) fn with_heads_of(self, requests: &Requests) -> Self {
        Self { heads: Some(Heads::of(requests)), ..self }
    }

    /// Passes on the result of a write; a pending write fails when the peer has stalled for too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(timed_out("the peer takes nothing of what is sent to it")))
    }
}

fn timed_out(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut *self.io).poll_read(context, buffer);
        let bytes = buffer.filled().len() - filled;
        if let Some(heads) = &mut self.heads
            && heads.poll_late(context, bytes).is_ready()
            && read.is_pending()
        {
            return Poll::Ready(Err(timed_out("the head of a request did not arrive in time")));
        }
        let Some((by, bytes_left)) = &mut self.greeting else { return read };
        if read.is_pending() {
            ready!(by.as_mut().poll(context));
            return Poll::Ready(Err(timed_out("the peer said nothing")));
        }
        *bytes_left = bytes_left.saturating_sub(bytes);
        if *bytes_left == 0 {
            self.greeting = None;
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io).poll_write(context, buffer);
        self.bounded(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.io).poll_flush(context);
        self.bounded(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut *self.io).poll_shutdown(context);
        self.bounded(context, shut_down)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io).poll_write_vectored(context, buffers);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Returns the connections of a gRPC listener.
pub fn incoming(listener: Bounded) -> impl futures::Stream<Item = io::Result<Guarded>> {
    futures::stream::unfold(listener, |mut listener| async move {
        let connection = listener.accept().await.greeted_in_time();
        Some((Ok(connection), listener))
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::net::testing::{SURPLUS, listener, listener_for};

    #[tokio::test(start_paused = true)]
    async fn no_more_connections_are_taken_than_there_are_places_and_an_ended_one_gives_its_back() {
        let (sender, mut listener) = listener(2);
        let mut ours = Vec::new();
        for _ in 0..3 {
            let (near, far) = duplex(64);
            ours.push(near);
            sender.send(Ok(far)).unwrap();
        }
        let first = listener.accept().await;
        let _second = listener.accept().await;
        assert!(pin!(listener.accept()).now_or_never().is_none());
        drop(first);
        assert!(pin!(listener.accept()).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_places_few_are_taken_to_be_told_and_a_place_that_is_free_again_is_given() {
        let (sender, mut listener) = listener(1);
        let mut ours = Vec::new();
        let mut next = async || {
            let (near, far) = duplex(64);
            ours.push(near);
            sender.send(Ok(far)).unwrap();
        };
        next().await;
        let first = listener.accept_surplus().await;
        assert_eq!(Standing::Within, first.standing);
        let mut surplus = Vec::new();
        for _ in 0..SURPLUS {
            next().await;
            surplus.push(listener.accept_surplus().await);
        }
        assert!(surplus.iter().all(|connection| connection.standing == Standing::Surplus));
        next().await;
        assert!(pin!(listener.accept_surplus()).now_or_never().is_none(), "even of these there are no more");
        surplus.pop();
        {
            let mut accepting = pin!(listener.accept_surplus());
            assert!(accepting.as_mut().now_or_never().is_some());
        }
        drop(first);
        next().await;
        assert_eq!(Standing::Within, listener.accept_surplus().await.standing);
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_has_so_many_connections_and_further_ones_take_no_one_else_s_place() {
        for (from, is_bounded) in [([192, 0, 2, 1], true), ([127, 0, 0, 1], false)] {
            let (sender, mut listener) = listener_for(1_000, 2, from);
            let mut ours = Vec::new();
            let mut taken = Vec::new();
            for number in 0..4 {
                let (near, far) = duplex(64);
                ours.push(near);
                sender.send(Ok(far)).unwrap();
                let connection = listener.accept_surplus().await;
                let expected = if is_bounded && number >= 2 { Standing::Excess } else { Standing::Within };
                assert_eq!(expected, connection.standing, "{from:?} {number}");
                taken.push(connection);
            }
            if !is_bounded {
                continue;
            }
            assert_eq!(998, listener.places.available_permits());
            // Beyond a few that are told so, connections are closed at once.
            for _ in 0..2 * HTTP_EXCESS_CONNECTIONS_MAX {
                // Or tokio's budget for one poll would be used up.
                tokio::task::yield_now().await;
                let (near, far) = duplex(64);
                ours.push(near);
                sender.send(Ok(far)).unwrap();
                if let Some(connection) = pin!(listener.accept_surplus()).now_or_never() {
                    taken.push(connection);
                }
            }
            assert_eq!(2 + HTTP_EXCESS_CONNECTIONS_MAX, taken.len());
            assert!(ours.last_mut().unwrap().read_u8().await.is_err(), "it is not closed");
            taken.drain(..2);
            let (_near, far) = duplex(64);
            sender.send(Ok(far)).unwrap();
            assert_eq!(Standing::Within, listener.accept_surplus().await.standing);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_accepted_costs_no_later_connection() {
        let (sender, mut listener) = listener(1);
        let (_near, far) = duplex(64);
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::Other] {
            sender.send(Err(io::Error::from(kind))).unwrap();
        }
        sender.send(Ok(far)).unwrap();
        let _taken = listener.accept().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_left_and_one_that_takes_little_is_not() {
        let (sender, mut listener) = listener(2);
        let (mut slow, far) = duplex(64);
        sender.send(Ok(far)).unwrap();
        let mut writer = listener.accept().await;
        let reading = async {
            let mut bytes = [0; 64];
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                slow.read_exact(&mut bytes).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(writer.write_all(&[7; 640]), reading);
        written.unwrap();
        let began = Instant::now();
        let stalled = writer.write_all(&[7; 640]).await.unwrap_err();
        assert_eq!(io::ErrorKind::TimedOut, stalled.kind());
        assert!(began.elapsed() >= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_that_is_set_bounds_the_connections_that_are_taken_from_then_on() {
        let (sender, mut listener) = listener(2);
        let mut ours = Vec::new();
        for stall in [20, 2] {
            listener.set_stall(Duration::from_secs(stall));
            let (near, far) = duplex(64);
            ours.push(near);
            sender.send(Ok(far)).unwrap();
            let mut writer = listener.accept().await;
            let began = Instant::now();
            writer.write_all(&[7; 640]).await.unwrap_err();
            assert_eq!(stall, began.elapsed().as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_of_grpc_has_to_begin_and_may_then_be_silent() {
        let (sender, listener) = listener(2);
        let mut incoming = pin!(incoming(listener));
        let (mut silent, far) = duplex(64);
        sender.send(Ok(far)).unwrap();
        silent.write_all(b"PRI").await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        let mut bytes = Vec::new();
        let ended = connection.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!((io::ErrorKind::TimedOut, &b"PRI"[..]), (ended.kind(), &*bytes));

        let (mut peer, far) = duplex(64);
        sender.send(Ok(far)).unwrap();
        peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        let mut preface = [0; HTTP2_PREFACE_BYTES];
        connection.read_exact(&mut preface).await.unwrap();
        let speaking = async {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            peer.write_all(b"x").await.unwrap();
        };
        let (read, ()) = tokio::join!(connection.read_u8(), speaking);
        assert_eq!(b'x', read.unwrap());
    }

    #[test]
    fn connections_leave_files_for_everything_else() {
        let (http, rpc) = (Bounds::of_http(Duration::from_secs(10), 100), Bounds::of_rpc());
        let files = getrlimit(Resource::RLIMIT_NOFILE).unwrap().0;
        let all = http.connections_max + http.surplus_max + 2 * rpc.connections_max;
        assert!(all as u64 <= files / 4 * 3 + 3);
        assert!(http.connections_max <= HTTP_CONNECTIONS_MAX && rpc.connections_max <= RPC_CONNECTIONS_MAX);
    }
}
