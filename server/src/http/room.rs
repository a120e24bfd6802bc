//! What requests may hold of memory and processors at one time, however large the bodies that clients send, however
//! much they ask for and however slowly they read.

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

/// What all requests of one listener share.
pub(super) struct Room {
    pub(super) bodies: BodyRoom,
    pub(super) answers: AnswerRoom,
    /// Reading lists and encoding them.
    pub(super) reading: Places,
    /// Work on what a body says. Apart from reading, so that neither waits behind the other.
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

/// Places of large work, each a thread of its own: one a core, at least two. More of them would be done no sooner, would
/// hold more memory, and would keep raft waiting for a processor.
pub(super) struct Places(Semaphore);

impl Default for Places {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Semaphore::new(cores.max(2)))
    }
}

impl Places {
    /// Does `work` on a thread of its own once there is a place.
    ///
    /// # Errors
    /// When the runtime ends before the work is done.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ShuttingDown> {
        // Never closed, and it would only mean that no place is counted.
        let _place = self.0.acquire().await.ok();
        on_blocking_thread(work).await
    }
}

/// Room for the bodies of requests, from before they are read until they are answered.
pub(super) struct BodyRoom {
    // Apart, so that nothing small waits behind something large.
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

    /// Waits, but not for long, until there is room for a body of so many bytes.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HttpError> {
        let pool = if bytes <= INLINE_BYTES_MAX { &self.small } else { &self.large };
        let wanted = kilobytes(bytes).min(pool.kilobytes_max);
        let place = pool.kilobytes.clone().acquire_many_owned(wanted);
        match timeout(Duration::from_millis(BODY_ROOM_WAIT_MS_MAX), place).await {
            Ok(Ok(place)) => Ok(place),
            // Never closed.
            Ok(Err(_)) | Err(_) => Err(HttpError::busy(format!(
                "this server works on requests with bodies of {} bytes in all, and takes no more at one time: \
                 try again, or ask another server",
                u64::from(pool.kilobytes_max) * 1024
            ))),
        }
    }

    /// Bytes of bodies that are read or worked on.
    pub(super) fn bytes_held(&self) -> usize {
        self.small.bytes_held() + self.large.bytes_held()
    }
}

/// Room for answers, until their readers have taken them.
pub(super) struct AnswerRoom {
    held: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// How much an answer may claim of the room that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// What anyone may read, and can ask for again.
    Reader,
    /// What a server is asked about itself: it has an eighth more, for whoever looks after a full server.
    Operator,
    /// It tells of something that was done, which no refusal may hide. These are small.
    Done,
}

/// An answer's bytes that count for as long as someone has not taken all of them.
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

/// The bytes of an answer as they are handed to readers, so that those that many read count once.
#[derive(Default)]
pub(super) struct Handed(Mutex<Weak<Held>>);

impl std::fmt::Debug for Handed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Handed")
    }
}

impl AnswerRoom {
    /// The bytes of an answer for one more reader. Small ones do not count: there is one a connection.
    ///
    /// # Errors
    /// 503 when readers hold up more than it may claim of. A single answer that is larger than all that may be held is
    /// given when none is.
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

    /// Whether anything that may be large can be answered: else the work for it would be in vain.
    ///
    /// # Errors
    /// 503 when it cannot.
    pub(super) fn check(&self) -> Result<(), HttpError> {
        if self.bytes_held() < self.bytes_max { Ok(()) } else { Err(self.full()) }
    }

    /// Bytes of answers that wait for their readers.
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
        // A part that was not sent yet holds all of it.
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
        // There are no more than two, so that an eighth is room for none.
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
        // Small ones have room of their own.
        let _small = room.take(INLINE_BYTES_MAX).await.unwrap();
        assert!(room.take(1).await.is_err());
        let waiting = room.take(large_bytes);
        drop(first);
        assert!(waiting.await.is_ok());
    }
}
