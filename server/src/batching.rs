//! Batches items from many callers: items that arrive while batches are in flight go into the next batch.

use std::future::Future;
use std::time::Duration;

use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Limits on the size and number of batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchBounds {
    /// Maximum number of items in a batch.
    pub(crate) items_max: usize,
    /// Maximum number of bytes in a batch. A larger single item gets a batch of its own.
    pub(crate) bytes_max: usize,
    /// Maximum number of batches in flight.
    pub(crate) in_flight_max: usize,
}

/// Something that goes into a batch.
pub(crate) trait Batched {
    /// The number of items that it counts for.
    fn items(&self) -> usize {
        1
    }

    /// Its size in bytes.
    fn bytes(&self) -> usize;

    /// Whether a caller still waits for it. Unwanted items are dropped.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// A batch that is being filled.
pub(crate) struct Batch<T> {
    all: Vec<T>,
    items: usize,
    bytes: usize,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { all: Vec::new(), items: 0, bytes: 0 }
    }
}

impl<T: Batched> Batch<T> {
    /// Whether `next` fits into the batch. Anything fits into an empty batch.
    pub(crate) fn has_room_for(&self, next: &T, bounds: &BatchBounds) -> bool {
        self.all.is_empty()
            || (self.items + next.items() <= bounds.items_max
                && self.bytes + next.bytes() <= bounds.bytes_max)
    }

    /// Appends `next`.
    pub(crate) fn add(&mut self, next: T) {
        self.items += next.items();
        self.bytes += next.bytes();
        self.all.push(next);
    }

    /// Returns the items, or `None` if the batch is empty.
    pub(crate) fn filled(self) -> Option<Vec<T>> {
        (!self.all.is_empty()).then_some(self.all)
    }
}

/// A source of batches.
pub(crate) trait Queue {
    /// The queued item.
    type Item: Batched;

    /// Waits for the next batch; returns `None` when the queue has ended.
    fn next_batch(&mut self, bounds: &BatchBounds) -> impl Future<Output = Option<Vec<Self::Item>>> + Send;
}

/// Passes the batches of `queue` to `send` until the queue ends. Calls `send` in queue order; the returned
/// futures run concurrently, up to `in_flight_max`.
pub(crate) async fn gather<Q, S, F>(bounds: BatchBounds, mut queue: Q, mut send: S)
where
    Q: Queue,
    S: FnMut(Vec<Q::Item>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut in_flight = JoinSet::new();
    loop {
        while in_flight.len() >= bounds.in_flight_max {
            in_flight.join_next().await;
        }
        let Some(batch) = queue.next_batch(&bounds).await else { return };
        in_flight.spawn(send(batch));
    }
}

/// Limits on how an [`Arrivals`] queue accepts items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivalBounds {
    /// Minimum time between the starts of two batches, unless the earlier one left an item over. The first
    /// batch after an idle period goes at once.
    pub(crate) spacing: Duration,
    /// Maximum number of queued items; further senders wait.
    pub(crate) queue_max: usize,
}

/// A first-in, first-out queue.
pub(crate) struct Arrivals<T> {
    queue: mpsc::Receiver<T>,
    /// The item that did not fit into the previous batch.
    left_over: Option<T>,
    spacing: Duration,
    not_before: Instant,
}

impl<T> Arrivals<T> {
    /// Creates a queue and its sender. The queue ends when all senders are dropped.
    pub(crate) fn channel(bounds: ArrivalBounds) -> (mpsc::Sender<T>, Self) {
        let (sender, queue) = mpsc::channel(bounds.queue_max);
        (sender, Self { queue, left_over: None, spacing: bounds.spacing, not_before: Instant::now() })
    }
}

impl<T: Batched + Send> Queue for Arrivals<T> {
    type Item = T;

    async fn next_batch(&mut self, bounds: &BatchBounds) -> Option<Vec<T>> {
        loop {
            if self.left_over.is_none() {
                self.left_over = Some(self.queue.recv().await?);
                // Items that arrive during the pause join this batch.
                if Instant::now() < self.not_before {
                    sleep_until(self.not_before).await;
                }
            }
            self.not_before = Instant::now() + self.spacing;
            let mut batch = Batch::default();
            while let Some(next) = self.left_over.take().or_else(|| self.queue.try_recv().ok()) {
                if !next.is_wanted() {
                    continue;
                }
                if !batch.has_room_for(&next, bounds) {
                    self.left_over = Some(next);
                    break;
                }
                batch.add(next);
            }
            if let Some(filled) = batch.filled() {
                return Some(filled);
            }
        }
    }
}

/// Why a submission was not written, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotWritten(pub(crate) String);

/// Items that are written together, and the channel that reports the outcome.
struct Submission<T> {
    items: Vec<T>,
    bytes: usize,
    done: oneshot::Sender<Result<(), NotWritten>>,
}

impl<T> Batched for Submission<T> {
    fn items(&self) -> usize {
        self.items.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Writes messages of one kind, many submissions per log entry; all submissions in an entry get the same
/// result. A cheap handle; the batcher ends when all handles are dropped.
pub(crate) struct Batcher<T>(mpsc::Sender<Submission<T>>);

impl<T> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Message + 'static> Batcher<T> {
    /// Creates a batcher and the future that must be run for it to work. `commit` writes the items of one
    /// entry.
    pub(crate) fn new<C, F>(
        bounds: BatchBounds,
        arrivals: ArrivalBounds,
        mut commit: C,
    ) -> (Self, impl Future<Output = ()> + use<C, F, T>)
    where
        C: FnMut(Vec<T>) -> F,
        F: Future<Output = Result<(), NotWritten>> + Send + 'static,
    {
        let (sender, queue) = Arrivals::channel(arrivals);
        let write = move |submissions: Vec<Submission<T>>| {
            let (mut items, mut waiting) = (Vec::new(), Vec::with_capacity(submissions.len()));
            for submission in submissions {
                items.extend(submission.items);
                waiting.push(submission.done);
            }
            let writing = (!items.is_empty()).then(|| commit(items));
            async move {
                let written = match writing {
                    Some(writing) => writing.await,
                    None => Ok(()),
                };
                for done in waiting {
                    // The receiver may have been dropped.
                    let _ = done.send(written.clone());
                }
            }
        };
        (Self(sender), gather(bounds, queue, write))
    }

    /// Writes `items` together with other submissions; returns once they are written or known not to be.
    /// Submissions that are queued together keep their order.
    pub(crate) async fn submit(&self, items: Vec<T>) -> Result<(), NotWritten> {
        let ended = || NotWritten("this server has given up the task of writing it".to_owned());
        let bytes = items.iter().map(Message::encoded_len).sum();
        let (done, written) = oneshot::channel();
        self.0.send(Submission { items, bytes, done }).await.map_err(|_| ended())?;
        written.await.map_err(|_| ended())?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use ordu_proto::command::GroupCount;
    use tokio::task::JoinSet;

    use super::*;

    const BOUNDS: BatchBounds = BatchBounds { items_max: 4, bytes_max: 1000, in_flight_max: 1 };
    const ARRIVALS: ArrivalBounds = ArrivalBounds { spacing: Duration::from_millis(20), queue_max: 64 };

    fn item(count: i64) -> GroupCount {
        GroupCount { name: String::new(), count }
    }

    type Entries = Arc<Mutex<Vec<(Duration, Vec<i64>)>>>;

    /// A batcher whose entries take 1 ms to write and are recorded with their start times.
    fn batcher(tasks: &mut JoinSet<()>) -> (Batcher<GroupCount>, Entries) {
        let entries = Entries::default();
        let (start, noted) = (Instant::now(), entries.clone());
        let (batcher, runs) = Batcher::new(BOUNDS, ARRIVALS, move |items: Vec<GroupCount>| {
            noted.lock().unwrap().push((start.elapsed(), items.iter().map(|item| item.count).collect()));
            async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(())
            }
        });
        tasks.spawn(runs);
        (batcher, entries)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_at_once_and_what_follows_soon_goes_together() {
        let mut tasks = JoinSet::new();
        let (batcher, entries) = batcher(&mut tasks);
        batcher.submit(vec![item(1)]).await.unwrap();
        let both = tokio::join!(batcher.submit(vec![item(2)]), batcher.submit(vec![item(3)]));
        assert_eq!((Ok(()), Ok(())), both);
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(*entries.lock().unwrap(), [(at(0), vec![1]), (at(20), vec![2, 3])]);
    }

    #[tokio::test(start_paused = true)]
    async fn full_entries_follow_each_other_without_a_pause_and_in_order() {
        let mut tasks = JoinSet::new();
        let (batcher, entries) = batcher(&mut tasks);
        let submissions = (0..10).map(|number| batcher.submit(vec![item(number)]));
        let written = futures::future::join_all(submissions).await;
        assert!(written.iter().all(Result::is_ok));
        let entries = entries.lock().unwrap();
        let items: Vec<i64> = entries.iter().flat_map(|(_, items)| items.clone()).collect();
        assert_eq!(items, (0..10).collect::<Vec<_>>());
        assert!(entries.iter().all(|(_, items)| items.len() <= BOUNDS.items_max), "{entries:?}");
        assert!(entries.last().is_some_and(|(at, _)| *at < ARRIVALS.spacing), "{entries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_in_an_entry_hears_that_it_was_not_written() {
        let mut tasks = JoinSet::new();
        let (batcher, runs) =
            Batcher::new(BOUNDS, ARRIVALS, |_: Vec<GroupCount>| async { Err(NotWritten("no".to_owned())) });
        tasks.spawn(runs);
        let both = tokio::join!(batcher.submit(vec![item(2)]), batcher.submit(vec![item(3)]));
        let no = || Err(NotWritten("no".to_owned()));
        assert_eq!((no(), no()), both);
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        assert!(batcher.submit(vec![item(1)]).await.is_err(), "no one runs it any more");
    }
}
