//! An accepted connection, with the result of its handshake. It ends when no request uses it for long.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ordu_core::limits::RPC_IDLE_MS_MAX;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::Connected;

use super::handshake::Shown;
use crate::net::{Guarded, Usage};

/// The peer's address, what it has proven, and how its connection is used. Attached to each request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(super) from: SocketAddr,
    pub(super) shown: Shown,
    pub(crate) usage: Usage,
}

impl Caller {
    /// Returns a peer at this address that has proven nothing.
    #[cfg(test)]
    pub(crate) fn stranger(from: SocketAddr) -> Self {
        Self { from, shown: Shown::Nothing, usage: Usage::default() }
    }
}

/// The connection. Bytes already read by the handshake are read again first.
pub(crate) struct Received {
    io: Guarded,
    pub(super) caller: Caller,
    unread: Vec<u8>,
    /// When to look whether the connection is still used.
    look: Pin<Box<Sleep>>,
}

const IDLE_MAX: Duration = Duration::from_millis(RPC_IDLE_MS_MAX);

impl Received {
    pub(super) fn new(io: Guarded, from: SocketAddr, shown: Shown, unread: Vec<u8>) -> Self {
        let caller = Caller { from, shown, usage: Usage::default() };
        Self { io, caller, unread, look: Box::pin(sleep_until(Instant::now() + IDLE_MAX)) }
    }

    /// Completes when the connection was not used for too long. A peer that only answers HTTP/2's pings does not use it.
    fn poll_unused(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let unused_since = self.caller.usage.unused_since();
            let by = unused_since.unwrap_or_else(Instant::now) + IDLE_MAX;
            if by <= Instant::now() {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(by);
        }
        Poll::Pending
    }
}

impl Connected for Received {
    type ConnectInfo = Caller;
    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Received {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            let read = Pin::new(&mut self.io).poll_read(context, buffer);
            return match read {
                // As if the peer had closed the connection: nothing is in progress on it.
                Poll::Pending if self.poll_unused(context).is_ready() => Poll::Ready(Ok(())),
                read => read,
            };
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Received {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::net::testing::listener;

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_no_request_used_it_for_long_whatever_the_peer_sends_meanwhile() {
        let (mut near, far) = duplex(64);
        let (sender, mut listener) = listener(1);
        sender.send(Ok(far)).unwrap();
        let guarded = listener.accept().await;
        let from = guarded.from;
        let mut received = Received::new(guarded, from, Shown::Nothing, b"unread".to_vec());
        let usage = received.connect_info().usage;
        let began = Instant::now();
        let (first, second) = (usage.begin(), usage.begin());
        let using = async {
            tokio::time::sleep(3 * IDLE_MAX).await;
            drop(first);
            tokio::time::sleep(IDLE_MAX).await;
            drop(second);
            for _ in 0..10 {
                tokio::time::sleep(IDLE_MAX / 20).await;
                near.write_all(b"ping").await.unwrap();
            }
            near.read_u8().await.unwrap_err();
        };
        let reading = async {
            let mut said = Vec::new();
            received.read_to_end(&mut said).await.unwrap();
            drop(received);
            (said, began.elapsed())
        };
        let ((), (said, ended)) = tokio::join!(using, reading);
        assert_eq!(b"unread".len() + 10 * b"ping".len(), said.len());
        assert!(ended >= 5 * IDLE_MAX && ended < 6 * IDLE_MAX, "{ended:?}");
    }
}
