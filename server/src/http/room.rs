//! Bounds the memory and processor time that requests use at one time, whatever the size of bodies and answers
//! and however slowly clients read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use ordu_core::limits::{
    ANSWERS_BYTES_MAX, BODIES_BYTES_MAX, BODY_ROOM_WAIT_MS_MAX, INLINE_BYTES_MAX, SMALL_ANSWER_BYTES_MAX,
    SMALL_BODIES_BYTES_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::HttpError;
use crate::contain::{ShuttingDown, on_blocking_thread};

/// Limits shared by all requests of one listener.
pub(super) struct Room {
    pub(super) bodies: BodyRoom,
    pub(super) answers: AnswerRoom,
    /// For reading and encoding lists.
    pub(super) reading: Places,
    /// For work on bodies. Separate from `reading`, so that neither waits for the other.
    pub(super) working: Places,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bodies: BodyRoom::new(SMALL_BODIES_BYTES_MAX, BODIES_BYTES_MAX),
            answers: AnswerRoom { held: Arc::default(), bytes_max: ANSWERS_BYTES_MAX },
            reading: Places::default(),
            working: Places::default(),
        }
    }
}

/// Slots for large work, each with its own thread: one per core, at least two. More would finish no sooner, use
/// more memory, and delay raft.
pub(super) struct Places(Semaphore);

impl Default for Places {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Semaphore::new(cores.max(2)))
    }
}

impl Places {
    /// Runs `work` on its own thread as soon as a slot is free.
    ///
    /// # Errors
    /// When the runtime ends before the work is done.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ShuttingDown> {
        // The semaphore is never closed; if it were, the work would only go uncounted.
        let _place = self.0.acquire().await.ok();
        on_blocking_thread(work).await
    }
}

/// Room for request bodies, held from before they are read until the requests are answered.
pub(super) struct BodyRoom {
    // Separate pools, so that small bodies do not wait behind large ones.
    small: Pool,
    large: Pool,
}

struct Pool {
    kilobytes: Arc<Semaphore>,
    kilobytes_max: u32,
}

impl Pool {
    fn new(bytes_max: usize) -> Self {
        let kilobytes_max = kilobytes(bytes_max);
        Self { kilobytes: Arc::new(Semaphore::new(kilobytes_max as usize)), kilobytes_max }
    }

    fn bytes_held(&self) -> usize {
        (self.kilobytes_max as usize).saturating_sub(self.kilobytes.available_permits()) * 1024
    }
}

fn kilobytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1)
}

impl BodyRoom {
    fn new(small_bytes_max: usize, large_bytes_max: usize) -> Self {
        Self { small: Pool::new(small_bytes_max), large: Pool::new(large_bytes_max) }
    }

    /// Waits briefly until there is room for a body of this size.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HttpError> {
        let pool = if bytes <= INLINE_BYTES_MAX { &self.small } else { &self.large };
        let wanted = kilobytes(bytes).min(pool.kilobytes_max);
        let place = pool.kilobytes.clone().acquire_many_owned(wanted);
        match timeout(Duration::from_millis(BODY_ROOM_WAIT_MS_MAX), place).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(HttpError::busy(format!(
                "this server works on requests with bodies of {} bytes in all, and takes no more at one time: \
                 try again, or ask another server",
                u64::from(pool.kilobytes_max) * 1024
            ))),
        }
    }

    /// Returns the bytes reserved for bodies.
    pub(super) fn bytes_held(&self) -> usize {
        self.small.bytes_held() + self.large.bytes_held()
    }
}

/// Room for answers, held until clients have received them.
pub(super) struct AnswerRoom {
    held: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// How much of the room an answer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// An answer to a read, which the client can repeat.
    Reader,
    /// An answer about the server itself. It may use an eighth more, so that operators can inspect a full server.
    Operator,
    /// The answer to a completed write. It is never refused, since clients must learn the outcome; such answers
    /// are small.
    Done,
}

/// An answer's bytes, counted until the last reader has received them.
struct Held {
    bytes: Bytes,
    held: Arc<AtomicUsize>,
}

impl Held {
    fn new(bytes: Bytes, held: &Arc<AtomicUsize>) -> Self {
        held.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { bytes, held: held.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

struct Shared(Arc<Held>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// The counted bytes of an answer while anyone holds them, so that several readers count once.
#[derive(Default)]
pub(super) struct Handed(Mutex<Weak<Held>>);

impl std::fmt::Debug for Handed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Handed")
    }
}

impl AnswerRoom {
    /// Returns the bytes of an answer for one more reader. Small answers are not counted: there is one per connection.
    ///
    /// # Errors
    /// 503 when answers would exceed the claim's share. A single answer larger than all of the room is allowed
    /// while no other is held.
    pub(super) fn hand(&self, bytes: &Bytes, handed: &Handed, claim: Claim) -> Result<Bytes, HttpError> {
        if bytes.len() <= SMALL_ANSWER_BYTES_MAX {
            return Ok(bytes.clone());
        }
        let mut latest = handed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = latest.upgrade() {
            return Ok(Bytes::from_owner(Shared(held)));
        }
        let held = Arc::new(Held::new(bytes.clone(), &self.held));
        let in_all = self.bytes_held();
        let most = match claim {
            Claim::Reader => self.bytes_max,
            Claim::Operator => self.bytes_max + self.bytes_max / 8,
            Claim::Done => usize::MAX,
        };
        if in_all > most && in_all > bytes.len() {
            return Err(self.full());
        }
        *latest = Arc::downgrade(&held);
        Ok(Bytes::from_owner(Shared(held)))
    }

    /// Checks that there is room for a large answer, before work is done for it in vain.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) fn check(&self) -> Result<(), HttpError> {
        if self.bytes_held() < self.bytes_max { Ok(()) } else { Err(self.full()) }
    }

    /// Returns the bytes of answers that clients have not received yet.
    pub(super) fn bytes_held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn full(&self) -> HttpError {
        HttpError::busy(format!(
            "answers of {} bytes wait for their readers, and this server holds no more at one time: try again, or \
             ask another server",
            self.bytes_max
        ))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn answers(bytes_max: usize) -> AnswerRoom {
        AnswerRoom { held: Arc::default(), bytes_max }
    }

    fn large() -> Bytes {
        vec![7; SMALL_ANSWER_BYTES_MAX + 1].into()
    }

    #[test]
    fn answers_count_once_whoever_reads_them_and_until_all_have() {
        let room = answers(usize::MAX);
        let (bytes, handed) = (large(), Handed::default());
        let mut first = room.hand(&bytes, &handed, Claim::Reader).unwrap();
        let second = room.hand(&bytes, &handed, Claim::Reader).unwrap();
        assert_eq!(bytes.len(), room.bytes_held());
        // An unsent part keeps the whole answer counted.
        let rest = first.split_off(10);
        drop((first, second));
        assert_eq!(bytes.len(), room.bytes_held());
        drop(rest);
        assert_eq!(0, room.bytes_held());
        let again = room.hand(&bytes, &handed, Claim::Reader).unwrap();
        assert_eq!((bytes.len(), &bytes), (room.bytes_held(), &again));
    }

    #[test]
    fn what_readers_hold_up_is_bounded_and_what_was_done_is_told_nevertheless() {
        let room = answers(2 * large().len());
        let hand = |claim| room.hand(&large(), &Handed::default(), claim);
        let held = [hand(Claim::Reader).unwrap(), hand(Claim::Reader).unwrap()];
        let refused = hand(Claim::Reader).unwrap_err();
        assert_eq!((StatusCode::SERVICE_UNAVAILABLE, true), (refused.status, refused.may_retry));
        assert_eq!(Err(refused), room.check());
        assert_eq!(2 * large().len(), room.bytes_held());
        // With room for two answers, the extra eighth is too small for another.
        assert!(hand(Claim::Operator).is_err());
        assert!(hand(Claim::Done).is_ok());
        let small = Bytes::from_static(b"[]");
        assert!(room.hand(&small, &Handed::default(), Claim::Reader).is_ok());
        drop(held);
        assert!(hand(Claim::Reader).is_ok() && room.check().is_ok());
    }

    #[test]
    fn operators_have_room_when_readers_have_none_but_not_without_a_bound() {
        let room = answers(8 * large().len());
        let hand = |claim| room.hand(&large(), &Handed::default(), claim);
        let mut held: Vec<Bytes> = (0..8).map(|_| hand(Claim::Reader).unwrap()).collect();
        assert!(hand(Claim::Reader).is_err());
        held.push(hand(Claim::Operator).unwrap());
        assert!(hand(Claim::Operator).is_err());
    }

    #[test]
    fn one_answer_that_is_larger_than_the_bound_is_given_alone() {
        let room = answers(10);
        let alone = room.hand(&large(), &Handed::default(), Claim::Reader).unwrap();
        assert!(room.hand(&large(), &Handed::default(), Claim::Reader).is_err());
        drop(alone);
        assert!(room.hand(&large(), &Handed::default(), Claim::Reader).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_for_room_and_are_refused_when_there_is_none() {
        let large_bytes = INLINE_BYTES_MAX + 1024;
        let room = BodyRoom::new(INLINE_BYTES_MAX, 2 * large_bytes);
        let first = room.take(large_bytes).await.unwrap();
        let _second = room.take(large_bytes).await.unwrap();
        let refused = room.take(large_bytes).await.unwrap_err();
        assert_eq!((StatusCode::SERVICE_UNAVAILABLE, true), (refused.status, refused.may_retry));
        // Small bodies have a pool of their own.
        let _small = room.take(INLINE_BYTES_MAX).await.unwrap();
        assert!(room.take(1).await.is_err());
        let waiting = room.take(large_bytes);
        drop(first);
        assert!(waiting.await.is_ok());
    }
}
