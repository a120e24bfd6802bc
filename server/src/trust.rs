//! Authenticates servers by the cluster's key, if one is configured.
//!
//! The key is proven once per connection (`trust/handshake.rs`), so requests cost nothing extra and all
//! requests between servers are covered. Nodes use the same port without a proof; only the node service
//! answers them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use ordu_core::limits::RPC_CONNECTIONS_MAX;
use tokio::time::{Instant, timeout};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::net::{Connection, Guarded};

mod handshake;
mod key;
mod received;

use handshake::{Begun, Shown};
pub use key::Key;
pub(crate) use received::Caller;
use received::Received;

/// Minimum time between equal log messages about one server.
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// Describes a server that proves another key.
const OTHER_KEY: &str = "has another key in `server { encrypt }` than this one";
/// Maximum number of servers and causes remembered for that; beyond it nothing is logged.
const TOLD_MAX: usize = 256;

/// What servers must prove to each other. A cheap handle.
#[derive(Clone, Default)]
pub struct Trust(Arc<Inner>);

#[derive(Default)]
struct Inner {
    key: Option<Key>,
    /// Whether servers without the key are accepted nevertheless.
    is_lax: bool,
    /// When which problem with which server was last logged.
    told: Mutex<BTreeMap<(String, &'static str), Instant>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { key, is_lax, .. } = &*self.0;
        formatter.debug_struct("Trust").field("key", key).field("is_lax", is_lax).finish()
    }
}

impl Trust {
    /// Requires `key`, if given. If `is_lax`, servers without it are logged and accepted.
    pub fn new(key: Option<Key>, is_lax: bool) -> Self {
        Self(Arc::new(Inner { key, is_lax, told: Mutex::default() }))
    }

    /// Logs at the start who can connect as a server.
    pub(crate) fn tell(&self) {
        match (&self.0.key, self.0.is_lax) {
            (None, _) => tracing::warn!(
                "whoever reaches the RPC port may join this cluster and change all that it holds: there is no key in \
                 `server {{ encrypt }}`, by which servers know one another"
            ),
            (Some(_), true) => tracing::warn!(
                "whoever reaches the RPC port may join this cluster and change all that it holds: `encrypt_verify` is \
                 false, so that servers without the key of `server {{ encrypt }}` are let in, too"
            ),
            (Some(_), false) => tracing::info!(
                "only servers that prove the key of `server {{ encrypt }}` are let in. This authenticates servers, and \
                 does not encrypt: what they say can be read, and their connections can be taken over, by whoever is \
                 on the way between them. Nodes prove nothing"
            ),
        }
    }

    /// Whether the key is required.
    fn is_strict(&self) -> bool {
        self.0.key.is_some() && !self.0.is_lax
    }

    /// Proves the key to the server at `address` on the new connection `io`, and checks that server's proof.
    ///
    /// # Errors
    /// Returned if the connection fails, or if the key is required and the other server has none or another
    /// one.
    pub(crate) async fn introduce(&self, io: &mut Connection, address: &str) -> io::Result<()> {
        let Some(key) = &self.0.key else { return Ok(()) };
        let cause = match handshake::come(io, key).await? {
            Shown::Same => return Ok(()),
            Shown::Other => "the server there has another key in `server { encrypt }` than this one",
            Shown::Nothing => "the server there has no key in `server { encrypt }`, and this one has",
        };
        if self.is_strict() {
            self.tell_refusal(address, cause);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, cause));
        }
        if self.is_due(address, cause) {
            tracing::warn!(address, "{cause}; this one goes on, since `encrypt_verify` is false");
        }
        Ok(())
    }

    /// Logs that this server and the one at `address` do not trust each other.
    pub(crate) fn tell_refusal(&self, address: &str, cause: &str) {
        if self.is_due(address, "") {
            tracing::error!(address, "a server cannot be spoken with: {cause}");
        }
    }

    /// Runs the handshake on accepted connections. Closes a connection whose peer takes too long.
    pub(crate) fn received(
        self,
        taken: impl Stream<Item = io::Result<Guarded>>,
    ) -> impl Stream<Item = io::Result<Received>> {
        let receive = move |taken: io::Result<Guarded>| {
            let trust = self.clone();
            async move { trust.receive(taken?).await }
        };
        // Handshakes run concurrently, and a failed one ends only its own connection.
        let received = taken.map(receive).buffer_unordered(RPC_CONNECTIONS_MAX);
        let tell = |error: &io::Error| tracing::debug!(%error, "a connection has ended before it began");
        received.filter_map(move |received| ready(received.inspect_err(tell).ok().map(Ok)))
    }

    async fn receive(&self, mut io: Guarded) -> io::Result<Received> {
        let from = io.from;
        let begun = timeout(io.silence, handshake::receive(&mut io, self.0.key.as_ref())).await;
        let begun =
            begun.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer proved nothing"))??;
        let shown = match begun {
            Begun::Otherwise(unread) => {
                return Ok(Received::new(io, from, Shown::Nothing, unread));
            }
            Begun::Unasked => {
                let why = "asks for the key of its cluster (`server { encrypt }`), and this one has none";
                if self.is_due(&from.ip().to_string(), why) {
                    tracing::warn!(%from, "a server that has come {why}");
                }
                Shown::Nothing
            }
            Begun::Shown(shown) => {
                if shown == Shown::Other {
                    self.tell_stranger(from, OTHER_KEY);
                }
                shown
            }
        };
        // Restart the time limit: HTTP/2 begins only now.
        Ok(Received::new(io.greeted_in_time(), from, shown, Vec::new()))
    }

    fn tell_stranger(&self, from: SocketAddr, why: &'static str) {
        if !self.is_due(&from.ip().to_string(), why) {
            return;
        }
        if self.is_strict() {
            tracing::warn!(%from, "a server that has come {why}, and is refused");
        } else {
            tracing::warn!(%from, "a server that has come {why}; it is let in, since `encrypt_verify` is false");
        }
    }

    /// Whether to log this problem with this server now; it may occur many times a second.
    fn is_due(&self, of: &str, what: &'static str) -> bool {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| at.elapsed() < TELL_INTERVAL);
        let of = (of.to_owned(), what);
        let is_due = told.len() < TOLD_MAX && !told.contains_key(&of);
        if is_due {
            told.insert(of, Instant::now());
        }
        is_due
    }
}

/// Protects a service that only servers may use.
impl Interceptor for Trust {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.0.key.is_none() {
            return Ok(request);
        }
        let Some(caller) = request.extensions().get::<Caller>() else {
            return Err(Status::internal("it is not known who asks"));
        };
        let (of_caller, to_caller) = match caller.shown {
            Shown::Same => return Ok(request),
            Shown::Other => (OTHER_KEY, "this one has another one"),
            Shown::Nothing => ("proves no key of `server { encrypt }`", "this one has none"),
        };
        self.tell_stranger(caller.from, of_caller);
        if self.is_strict() {
            return Err(Status::unauthenticated(format!(
                "the server there asks for the key of its cluster (`server {{ encrypt }}`), and {to_caller}"
            )));
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tonic::Code;

    use super::*;
    use crate::counts::ConnectionCounts;
    use crate::net::{Bounded, Bounds, Net, Tcp, incoming};

    fn key() -> Key {
        Key::parse(&Key::generate()).unwrap()
    }

    fn asked_by(shown: Shown) -> Request<()> {
        let mut request = Request::new(());
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        request.extensions_mut().insert(Caller { shown, ..Caller::stranger(from) });
        request
    }

    #[test]
    fn only_who_has_shown_the_key_is_answered_where_it_is_asked_for() {
        let (none, lax, mut strict) =
            (Trust::default(), Trust::new(Some(key()), true), Trust::new(Some(key()), false));
        for (shown, words) in [
            (Shown::Same, None),
            (Shown::Other, Some("and this one has another one")),
            (Shown::Nothing, Some("and this one has none")),
        ] {
            assert!(none.clone().call(asked_by(shown)).is_ok() && lax.clone().call(asked_by(shown)).is_ok());
            let refused = strict.clone().call(asked_by(shown)).err();
            assert_eq!(words.is_some(), refused.is_some(), "{shown:?}");
            if let (Some(words), Some(refused)) = (words, refused) {
                assert!(
                    refused.code() == Code::Unauthenticated && refused.message().contains(words),
                    "{refused}"
                );
            }
        }
        assert_eq!(Code::Internal, strict.call(Request::new(())).unwrap_err().code());
    }

    #[test]
    fn the_same_is_told_of_the_same_server_once_in_a_while_and_of_many_at_most() {
        let trust = Trust::default();
        assert!(trust.is_due("a", "x") && !trust.is_due("a", "x"));
        assert!(trust.is_due("a", "y") && trust.is_due("b", "x"));
        let told = (0..10_000).filter(|number| trust.is_due(&number.to_string(), "x")).count();
        assert!(told < TOLD_MAX, "{told}");
    }

    #[tokio::test]
    async fn who_says_nothing_keeps_no_one_waiting_and_who_comes_is_told_from_others() {
        let listener = Tcp.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (key, taken) =
            (key(), incoming(Bounded::new("test", listener, Bounds::of_rpc(), ConnectionCounts::default())));
        let mut received = pin!(Trust::new(Some(key.clone()), false).received(taken));
        let _silent = Tcp.connect(address.clone()).await.unwrap();
        for (trust, wanted) in [
            (Trust::new(Some(key.clone()), false), Ok(Shown::Same)),
            (Trust::default(), Ok(Shown::Nothing)),
            (Trust::new(Some(self::key()), true), Ok(Shown::Other)),
            (Trust::new(Some(self::key()), false), Err("has another key")),
        ] {
            let coming = async {
                let mut io = Tcp.connect(address.clone()).await.unwrap();
                trust.introduce(&mut io, &address).await?;
                io.write_all(b"PRI *").await?;
                io.shutdown().await
            };
            let taking = async {
                let mut connection = received.next().await.unwrap().unwrap();
                let mut said = Vec::new();
                connection.read_to_end(&mut said).await.map(|_| (connection.caller.shown, said))
            };
            match (tokio::join!(coming, taking), wanted) {
                ((Ok(()), Ok((shown, said))), Ok(wanted)) => {
                    assert_eq!((wanted, &b"PRI *"[..]), (shown, &*said))
                }
                ((Err(error), _), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
                (ended, wanted) => panic!("{ended:?}, not {wanted:?}"),
            }
        }
    }
}
