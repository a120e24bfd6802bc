//! Bounds the memory and processor time that requests use at one time, whatever the size of bodies and answers
//! and however slowly clients read.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use ordu_core::limits::{
    ANSWERS_BYTES_MAX, BODIES_BYTES_MAX, BODY_ROOM_WAIT_MS_MAX, HASH_QUEUE_MAX, INLINE_BYTES_MAX,
    PARTS_PER_CLIENT, QUEUE_WAIT_MS_MAX, READ_QUEUE_MAX, SMALL_ANSWER_BYTES_MAX, SMALL_BODIES_BYTES_MAX,
    WORK_QUEUE_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::HttpError;
use crate::contain::on_blocking_thread;
use crate::net::{Share, Shares};

/// Limits shared by all requests of one listener.
pub(super) struct Room {
    pub(super) bodies: BodyRoom,
    pub(super) answers: AnswerRoom,
    /// For reading and encoding lists.
    pub(super) reading: Places,
    /// For work on bodies. Separate from `reading`, so that neither waits for the other.
    pub(super) working: Places,
    /// For hashes of the whole state.
    pub(super) hashing: Places,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bodies: BodyRoom::new(SMALL_BODIES_BYTES_MAX, BODIES_BYTES_MAX),
            answers: AnswerRoom::new(ANSWERS_BYTES_MAX),
            reading: Places::new("lists", one_per_core(), READ_QUEUE_MAX),
            working: Places::new("jobspecs, dry runs and large bodies", one_per_core(), WORK_QUEUE_MAX),
            hashing: Places::new("hashes of its state", 1, HASH_QUEUE_MAX),
        }
    }
}

/// Slots for large work, each with its own thread, and a queue for them.
pub(super) struct Places {
    /// What the work is about, for refusals.
    what: &'static str,
    free: Semaphore,
    queued: AtomicUsize,
    queue_max: usize,
}

/// One slot per core, at least two. More would finish no sooner, use more memory, and delay raft.
fn one_per_core() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).max(2)
}

/// Counts a request as waiting for a slot until it is dropped.
struct Queued<'p>(&'p AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    fn new(what: &'static str, slots: usize, queue_max: usize) -> Self {
        Self { what, free: Semaphore::new(slots), queued: AtomicUsize::default(), queue_max }
    }

    /// Runs `work` on its own thread as soon as a slot is free.
    ///
    /// # Errors
    /// 503 when too many wait already, when no slot becomes free in time, and when the server ends.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpError> {
        let _place = match self.free.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let before = self.queued.fetch_add(1, Ordering::Relaxed);
                let _queued = Queued(&self.queued);
                if before >= self.queue_max {
                    return Err(self.busy());
                }
                let waiting = timeout(Duration::from_millis(QUEUE_WAIT_MS_MAX), self.free.acquire());
                // The semaphore is never closed.
                waiting.await.ok().and_then(Result::ok).ok_or_else(|| self.busy())?
            }
        };
        Ok(on_blocking_thread(work).await?)
    }

    /// As [`Self::work`], but waits for a slot as long as it takes.
    ///
    /// # Errors
    /// 503 when the server ends.
    pub(super) async fn work_after_all<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HttpError> {
        // The semaphore is never closed; if it were, the work would only go uncounted.
        let _place = self.free.acquire().await.ok();
        Ok(on_blocking_thread(work).await?)
    }

    fn busy(&self) -> HttpError {
        HttpError::busy(format!(
            "this server works on as many {} as it can, and others wait already: try again, or ask another server",
            self.what
        ))
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
    /// Kilobytes by client.
    shares: Shares,
}

/// Reserved room for a body.
#[derive(Debug)]
pub(super) struct BodyPlace {
    _place: OwnedSemaphorePermit,
    _share: Share,
}

impl Pool {
    fn new(bytes_max: usize) -> Self {
        let kilobytes_max = kilobytes(bytes_max);
        let kilobytes = Arc::new(Semaphore::new(kilobytes_max as usize));
        Self { kilobytes, kilobytes_max, shares: Shares::default() }
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

    /// Waits briefly until there is room for a body of this size from the client at this address.
    ///
    /// # Errors
    /// 503 when there is none, 429 when the client uses its share of it.
    pub(super) async fn take(&self, bytes: usize, client: Option<IpAddr>) -> Result<BodyPlace, HttpError> {
        let pool = if bytes <= INLINE_BYTES_MAX { &self.small } else { &self.large };
        let wanted = kilobytes(bytes).min(pool.kilobytes_max);
        let by = Instant::now() + Duration::from_millis(BODY_ROOM_WAIT_MS_MAX);
        let share_max = pool.kilobytes_max as usize / PARTS_PER_CLIENT;
        let share =
            timeout_at(by, pool.shares.wait(client, wanted as usize, share_max)).await.map_err(|_| {
                HttpError::too_much(format!(
                    "bodies of {} bytes from your address are worked on, and no more at one time: try again",
                    share_max * 1024
                ))
            })?;
        match timeout_at(by, pool.kilobytes.clone().acquire_many_owned(wanted)).await {
            Ok(Ok(place)) => Ok(BodyPlace { _place: place, _share: share }),
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
    /// Bytes by client; of an answer that several receive, each has all.
    shares: Shares,
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

/// One reader's handle on an answer's bytes.
struct Shared {
    held: Arc<Held>,
    _share: Share,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.held.bytes
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
    fn new(bytes_max: usize) -> Self {
        Self { held: Arc::default(), bytes_max, shares: Shares::default() }
    }

    /// Returns the bytes of an answer for one more reader, the client at this address. Small answers are not counted:
    /// there is one per connection.
    ///
    /// # Errors
    /// 503 when answers would exceed the claim's share, 429 when the client's would exceed a client's. A single answer
    /// larger than all of the room is allowed while no other is held.
    pub(super) fn hand(
        &self,
        bytes: &Bytes,
        handed: &Handed,
        claim: Claim,
        client: Option<IpAddr>,
    ) -> Result<Bytes, HttpError> {
        if bytes.len() <= SMALL_ANSWER_BYTES_MAX {
            return Ok(bytes.clone());
        }
        let share_max = match claim {
            Claim::Reader | Claim::Operator => self.bytes_max / PARTS_PER_CLIENT,
            Claim::Done => usize::MAX,
        };
        let share = self.shares.take(client, bytes.len(), share_max).ok_or_else(|| {
            HttpError::too_much(format!(
                "answers of {share_max} bytes wait to be read at your address, and no more are held for it: read them, \
                 and try again"
            ))
        })?;
        let mut latest = handed.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = latest.upgrade() {
            return Ok(Bytes::from_owner(Shared { held, _share: share }));
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
        Ok(Bytes::from_owner(Shared { held, _share: share }))
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
    use futures::FutureExt;

    use super::*;

    fn answers(bytes_max: usize) -> AnswerRoom {
        AnswerRoom::new(bytes_max)
    }

    fn large() -> Bytes {
        vec![7; SMALL_ANSWER_BYTES_MAX + 1].into()
    }

    #[test]
    fn answers_count_once_whoever_reads_them_and_until_all_have() {
        let room = answers(usize::MAX);
        let (bytes, handed) = (large(), Handed::default());
        let mut first = room.hand(&bytes, &handed, Claim::Reader, None).unwrap();
        let second = room.hand(&bytes, &handed, Claim::Reader, None).unwrap();
        assert_eq!(bytes.len(), room.bytes_held());
        // An unsent part keeps the whole answer counted.
        let rest = first.split_off(10);
        drop((first, second));
        assert_eq!(bytes.len(), room.bytes_held());
        drop(rest);
        assert_eq!(0, room.bytes_held());
        let again = room.hand(&bytes, &handed, Claim::Reader, None).unwrap();
        assert_eq!((bytes.len(), &bytes), (room.bytes_held(), &again));
    }

    #[test]
    fn what_readers_hold_up_is_bounded_and_what_was_done_is_told_nevertheless() {
        let room = answers(2 * large().len());
        let hand = |claim| room.hand(&large(), &Handed::default(), claim, None);
        let held = [hand(Claim::Reader).unwrap(), hand(Claim::Reader).unwrap()];
        let refused = hand(Claim::Reader).unwrap_err();
        assert_eq!((StatusCode::SERVICE_UNAVAILABLE, true), (refused.status, refused.may_retry));
        assert_eq!(Err(refused), room.check());
        assert_eq!(2 * large().len(), room.bytes_held());
        // With room for two answers, the extra eighth is too small for another.
        assert!(hand(Claim::Operator).is_err());
        assert!(hand(Claim::Done).is_ok());
        let small = Bytes::from_static(b"[]");
        assert!(room.hand(&small, &Handed::default(), Claim::Reader, None).is_ok());
        drop(held);
        assert!(hand(Claim::Reader).is_ok() && room.check().is_ok());
    }

    #[test]
    fn operators_have_room_when_readers_have_none_but_not_without_a_bound() {
        let room = answers(8 * large().len());
        let hand = |claim| room.hand(&large(), &Handed::default(), claim, None);
        let mut held: Vec<Bytes> = (0..8).map(|_| hand(Claim::Reader).unwrap()).collect();
        assert!(hand(Claim::Reader).is_err());
        held.push(hand(Claim::Operator).unwrap());
        assert!(hand(Claim::Operator).is_err());
    }

    #[test]
    fn one_answer_that_is_larger_than_the_bound_is_given_alone() {
        let room = answers(10);
        let alone = room.hand(&large(), &Handed::default(), Claim::Reader, None).unwrap();
        assert!(room.hand(&large(), &Handed::default(), Claim::Reader, None).is_err());
        drop(alone);
        assert!(room.hand(&large(), &Handed::default(), Claim::Reader, None).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_for_room_and_are_refused_when_there_is_none() {
        let large_bytes = INLINE_BYTES_MAX + 1024;
        let room = BodyRoom::new(INLINE_BYTES_MAX, 2 * large_bytes);
        let first = room.take(large_bytes, None).await.unwrap();
        let _second = room.take(large_bytes, None).await.unwrap();
        let refused = room.take(large_bytes, None).await.map(drop).unwrap_err();
        assert_eq!((StatusCode::SERVICE_UNAVAILABLE, true), (refused.status, refused.may_retry));
        // Small bodies have a pool of their own.
        let _small = room.take(INLINE_BYTES_MAX, None).await.unwrap();
        assert!(room.take(1, None).await.is_err());
        let waiting = room.take(large_bytes, None);
        drop(first);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_uses_a_part_of_the_room_only_and_loopback_all_of_it() {
        let [far, other, own] =
            ["192.0.2.1", "192.0.2.2", "127.0.0.1"].map(|text| Some(text.parse::<IpAddr>().unwrap()));
        let answers = answers(4 * large().len());
        let hand = |client| answers.hand(&large(), &Handed::default(), Claim::Reader, client);
        let held = [hand(far).unwrap(), hand(far).unwrap()];
        let refused = hand(far).unwrap_err();
        assert_eq!((StatusCode::TOO_MANY_REQUESTS, true), (refused.status, refused.may_retry));
        // What was done is told nevertheless, and counts.
        let told = answers.hand(&large(), &Handed::default(), Claim::Done, far).unwrap();
        assert!(hand(other).is_ok());
        drop((held, told));
        assert!(hand(far).is_ok());
        let held: Vec<Bytes> = (0..4).map(|_| hand(own).unwrap()).collect();
        assert_eq!(StatusCode::SERVICE_UNAVAILABLE, hand(own).unwrap_err().status);
        drop(held);

        let large_bytes = INLINE_BYTES_MAX + 1024;
        let bodies = BodyRoom::new(INLINE_BYTES_MAX, 4 * large_bytes);
        let held =
            [bodies.take(large_bytes, far).await.unwrap(), bodies.take(large_bytes, far).await.unwrap()];
        let refused = bodies.take(large_bytes, far).await.map(drop).unwrap_err();
        assert_eq!((StatusCode::TOO_MANY_REQUESTS, true), (refused.status, refused.may_retry));
        assert!(bodies.take(large_bytes, other).await.is_ok());
        drop(held);
        assert!(bodies.take(large_bytes, far).await.is_ok());
    }

    #[tokio::test]
    async fn work_waits_for_a_slot_and_is_refused_with_words_when_too_many_wait() {
        let places = Places::new("tests", 1, 2);
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let mut running = Box::pin(places.work(move || gone.recv().is_ok()));
        assert!(running.as_mut().now_or_never().is_none());
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(places.work(|| ()))).collect();
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let refused = places.work(|| ()).await.unwrap_err();
        assert_eq!((StatusCode::SERVICE_UNAVAILABLE, true), (refused.status, refused.may_retry));
        assert!(refused.text.contains("as many tests as it can"), "{}", refused.text);
        // A client that has left gives up its place in the queue.
        waiting.pop();
        let mut next = Box::pin(places.work(|| ()));
        assert!(next.as_mut().now_or_never().is_none());
        let mut woken = Box::pin(places.work_after_all(|| ()));
        assert!(woken.as_mut().now_or_never().is_none());
        go.send(()).unwrap();
        assert!(running.await.unwrap());
        futures::future::try_join_all(waiting).await.unwrap();
        next.await.unwrap();
        woken.await.unwrap();
    }
}
