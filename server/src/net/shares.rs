//! What each client address has under way: connections, bytes of bodies, bytes of answers. Loopback is not counted,
//! since it is the operator's own machine, or a proxy on it that speaks for many clients.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The amounts by address. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Shares(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<HashMap<IpAddr, usize>>,
    freed: Notify,
}

/// An amount that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Share(Option<(Arc<Inner>, IpAddr, usize)>);

impl Shares {
    /// Counts `amount` for the client at this address, unless it would then have more than `most`. A single larger
    /// amount is given to a client that has nothing else. `None` is no client in particular, and not counted.
    pub(crate) fn take(&self, client: Option<IpAddr>, amount: usize, most: usize) -> Option<Share> {
        let counted = client.map(|address| address.to_canonical()).filter(|address| !address.is_loopback());
        let Some(address) = counted else { return Some(Share(None)) };
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(address) {
            Entry::Occupied(mut has) => {
                let more = has.get().saturating_add(amount);
                if more > most {
                    return None;
                }
                has.insert(more);
            }
            Entry::Vacant(none) => {
                none.insert(amount);
            }
        }
        Some(Share(Some((self.0.clone(), address, amount))))
    }

    /// As [`Self::take`], but waits until the client has less.
    pub(crate) async fn wait(&self, client: Option<IpAddr>, amount: usize, most: usize) -> Share {
        loop {
            let mut freed = pin!(self.0.freed.notified());
            // Before the look, so that what is freed after it is not missed.
            freed.as_mut().enable();
            if let Some(share) = self.take(client, amount, most) {
                return share;
            }
            freed.await;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((shares, address, amount)) = self.0.take() else { return };
        let mut held = shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut has) = held.entry(address) {
            let left = has.get().saturating_sub(amount);
            if left == 0 {
                has.remove();
            } else {
                has.insert(left);
            }
        }
        drop(held);
        shares.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_address_has_its_own_share_and_loopback_has_no_bound() {
        let shares = Shares::default();
        let mut held = vec![shares.take(address("192.0.2.1"), 1, 2).unwrap()];
        // The same address, written as an IPv6 one.
        held.push(shares.take(address("::ffff:192.0.2.1"), 1, 2).unwrap());
        assert!(shares.take(address("192.0.2.1"), 1, 2).is_none());
        held.push(shares.take(address("2001:db8::1"), 2, 2).unwrap());
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            held.extend((0..9).map(|_| shares.take(address(own), 1, 2).unwrap()));
        }
        held.extend((0..9).map(|_| shares.take(None, 1, 2).unwrap()));
        held.remove(0);
        assert!(shares.take(address("192.0.2.1"), 1, 2).is_some());
        drop(held);
        assert!(shares.0.held.lock().unwrap().is_empty());
    }

    #[test]
    fn more_than_the_bound_is_given_to_a_client_that_has_nothing_else() {
        let shares = Shares::default();
        let large = shares.take(address("192.0.2.1"), 9, 2).unwrap();
        assert!(shares.take(address("192.0.2.1"), 1, 2).is_none());
        drop(large);
        assert!(shares.take(address("192.0.2.1"), 1, 2).is_some());
    }

    #[tokio::test]
    async fn a_share_is_waited_for_until_it_is_free() {
        let shares = Shares::default();
        let first = shares.take(address("192.0.2.1"), 2, 2).unwrap();
        let mut waiting = pin!(shares.wait(address("192.0.2.1"), 1, 2));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.now_or_never().is_some());
    }
}
