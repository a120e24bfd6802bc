//! What many who wait for the same share: one read and one encoding a change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answer::Encoded;

/// The queries that are waited for.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<String, Arc<Slot>>>);

/// The latest answer to one query.
#[derive(Default)]
pub(super) struct Slot {
    latest: Mutex<Option<(u64, Arc<Encoded>)>>,
    turn: tokio::sync::Mutex<()>,
}

/// A place among those who wait for one query; the query is forgotten with the last of them.
pub(super) struct Ticket<'w> {
    waiting: &'w Waiting,
    key: String,
    slot: Arc<Slot>,
}

impl Waiting {
    /// Joins those who wait for the query of this key.
    pub(super) fn join(&self, key: String) -> Ticket<'_> {
        let slot = self.lock().entry(key.clone()).or_default().clone();
        Ticket { waiting: self, key, slot }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        // This ticket's and the map's: all others join and leave under the lock.
        if Arc::strong_count(&self.slot) <= 2 {
            slots.remove(&self.key);
        }
    }
}

impl Slot {
    /// The answer, if it was read when at least `applied` was.
    pub(super) fn at(&self, applied: u64) -> Option<Arc<Encoded>> {
        let latest = self.lock();
        latest.as_ref().filter(|(at, _)| *at >= applied).map(|(_, encoded)| encoded.clone())
    }

    /// Waits for the turn to read: one reads, the others take what it found.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Keeps an answer that was read when at least `applied` was.
    pub(super) fn put(&self, applied: u64, encoded: Arc<Encoded>) {
        *self.lock() = Some((applied, encoded));
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Arc<Encoded>)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn an_answer_serves_until_more_is_applied_and_goes_with_the_last_who_waits() {
        let waiting = Waiting::default();
        let (first, second) = (waiting.join("a".to_owned()), waiting.join("a".to_owned()));
        let other = waiting.join("b".to_owned());
        first.slot().put(7, Arc::new(Encoded::text(StatusCode::OK, Some(5), "x")));
        assert!(second.slot().at(7).is_some() && second.slot().at(6).is_some());
        assert!(second.slot().at(8).is_none() && other.slot().at(0).is_none());
        drop(first);
        assert!(waiting.join("a".to_owned()).slot().at(7).is_some());
        drop(second);
        drop(other);
        assert!(waiting.lock().is_empty());
    }
}
