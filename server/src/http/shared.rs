//! Shares one read and one encoded answer per change among all blocking queries that wait for the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answer::Encoded;

/// The blocking queries that requests wait for, by cache key.
#[derive(Default)]
pub(super) struct Waiting {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    held: AtomicUsize,
    /// Bytes of the answers in all slots.
    kept_bytes: Arc<AtomicUsize>,
}

/// Maximum bytes of the answers in all slots. Answers beyond it are not kept: the next query reads again.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The latest answer to one query.
#[derive(Default)]
pub(super) struct Slot {
    latest: Mutex<Option<Kept>>,
    turn: tokio::sync::Mutex<()>,
    kept_bytes: Arc<AtomicUsize>,
}

/// An answer that is kept for other requests with the same query.
struct Kept {
    /// Index that was applied before the read.
    at: u64,
    encoded: Arc<Encoded>,
    /// Shared by all slots.
    kept_bytes: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kept_bytes.fetch_sub(self.encoded.body.len(), Ordering::Relaxed);
    }
}

/// Membership among the requests that wait for one query; the last one removes the query.
pub(super) struct Ticket<'w> {
    waiting: &'w Waiting,
    key: String,
    slot: Arc<Slot>,
}

/// Counts a query as held open until it is dropped.
pub(super) struct Held<'w>(&'w AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Joins the requests that wait for the query of this key.
    pub(super) fn join(&self, key: String) -> Ticket<'_> {
        let slot = || Arc::new(Slot { kept_bytes: self.kept_bytes.clone(), ..Slot::default() });
        let slot = self.lock().entry(key.clone()).or_insert_with(slot).clone();
        Ticket { waiting: self, key, slot }
    }

    /// Counts a query as held open; `None` if `most` queries already are.
    pub(super) fn hold(&self, most: usize) -> Option<Held<'_>> {
        let held = Held(&self.held);
        (self.held.fetch_add(1, Ordering::Relaxed) < most).then_some(held)
    }

    /// Returns how many queries are held open.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut slots = self.waiting.lock();
        // Dropped under the lock, so that of two tickets that are dropped at once the second sees that it is the last.
        let slot = std::mem::take(&mut self.slot);
        // The two are this ticket's and the map's; others are cloned only under the lock.
        if Arc::strong_count(&slot) <= 2 {
            slots.remove(&self.key);
        }
        drop(slot);
    }
}

impl Slot {
    /// Returns an answer that includes at least what was applied at `asked`: one that another request has read,
    /// or else the result of `read`, one read at a time. `applied` returns the index applied now.
    pub(super) async fn answer<E>(
        &self,
        asked: u64,
        applied: impl Fn() -> u64,
        read: impl Future<Output = Result<Arc<Encoded>, E>>,
    ) -> Result<Arc<Encoded>, E> {
        if let Some(encoded) = self.at(asked) {
            return Ok(encoded);
        }
        let _turn = self.turn.lock().await;
        if let Some(encoded) = self.at(asked) {
            return Ok(encoded);
        }
        // Taken before the read, so that the answer is at least as new as its index.
        let applied = applied();
        let encoded = read.await?;
        self.put(applied, encoded.clone());
        Ok(encoded)
    }

    /// Returns the answer if it was read at `applied` or later.
    fn at(&self, applied: u64) -> Option<Arc<Encoded>> {
        let latest = self.lock();
        latest.as_ref().filter(|kept| kept.at >= applied).map(|kept| kept.encoded.clone())
    }

    /// Keeps an answer that was read at `applied` or later, if there is room for it.
    fn put(&self, applied: u64, encoded: Arc<Encoded>) {
        let mut latest = self.lock();
        // Dropped first: the new answer may need its room.
        *latest = None;
        let bytes = encoded.body.len();
        let kept_bytes = self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let kept = Kept { at: applied, encoded, kept_bytes: self.kept_bytes.clone() };
        *latest = (kept_bytes <= KEPT_BYTES_MAX).then_some(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicU64;

    use axum::http::StatusCode;
    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    fn encoded() -> Arc<Encoded> {
        Arc::new(Encoded::text(StatusCode::OK, Some(5), "x"))
    }

    #[test]
    fn an_answer_serves_until_more_is_applied_and_goes_with_the_last_who_waits() {
        let waiting = Waiting::default();
        let (first, second) = (waiting.join("a".to_owned()), waiting.join("a".to_owned()));
        let other = waiting.join("b".to_owned());
        first.slot().put(7, encoded());
        assert!(second.slot().at(7).is_some() && second.slot().at(6).is_some());
        assert!(second.slot().at(8).is_none() && other.slot().at(0).is_none());
        drop(first);
        assert!(waiting.join("a".to_owned()).slot().at(7).is_some());
        drop(second);
        drop(other);
        assert!(waiting.lock().is_empty());
    }

    #[test]
    fn answers_are_kept_while_there_is_room_for_all_of_them() {
        let waiting = Waiting::default();
        let large = || {
            let mut large = Encoded::text(StatusCode::OK, Some(5), "");
            large.body = vec![b'x'; KEPT_BYTES_MAX / 2].into();
            Arc::new(large)
        };
        let tickets = ["a", "b", "c"].map(|key| waiting.join(key.to_owned()));
        let [first, second, third] = &tickets;
        let is_kept = |ticket: &Ticket<'_>| ticket.slot().at(7).is_some();
        tickets.iter().for_each(|ticket| ticket.slot().put(7, large()));
        assert_eq!((true, true, false), (is_kept(first), is_kept(second), is_kept(third)));
        // A newer answer takes the room of the older one.
        first.slot().put(8, large());
        assert!(is_kept(first));
        second.slot().put(8, encoded());
        third.slot().put(8, large());
        assert_eq!((true, false), (is_kept(second), is_kept(third)), "some bytes too many");
        drop(tickets);
        assert_eq!(0, waiting.kept_bytes.load(Ordering::Relaxed));
    }

    #[test]
    fn no_more_queries_are_held_than_may_be() {
        let waiting = Waiting::default();
        let first = waiting.hold(2).unwrap();
        let _second = waiting.hold(2).unwrap();
        assert!(waiting.hold(2).is_none() && waiting.held() == 2);
        drop(first);
        assert!(waiting.hold(2).is_some() && waiting.held() == 1);
    }

    #[tokio::test]
    async fn one_read_serves_all_who_ask_for_one_state_while_more_and_more_is_applied() {
        let slot = Slot::default();
        let (applied, reads) = (AtomicU64::new(7), AtomicUsize::new(0));
        let ask = |asked| {
            let read = async {
                reads.fetch_add(1, Ordering::Relaxed);
                // Others write meanwhile, while the other requests wait for their turn.
                applied.fetch_add(3, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(encoded())
            };
            slot.answer(asked, || applied.load(Ordering::Relaxed), read)
        };
        join_all((0..100).map(|_| ask(7))).await;
        assert_eq!(1, reads.load(Ordering::Relaxed));
        // Changes applied after that read may be what the next requests wait for.
        join_all((0..100).map(|_| ask(8))).await;
        assert_eq!(2, reads.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_reader_that_fails_or_goes_leaves_its_turn_to_the_next() {
        let slot = Slot::default();
        let failed = slot.answer(1, || 1, async { Err("no") });
        assert_eq!("no", failed.await.map(|_| ()).unwrap_err());
        let mut gone = Box::pin(slot.answer(1, || 1, std::future::pending::<Result<_, Infallible>>()));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        let read = slot.answer(1, || 1, async { Ok::<_, Infallible>(encoded()) }).await.unwrap();
        assert_eq!(Some(5), read.index);
    }
}
