//! Gathers what many want done into few batches: whatever waits while batches are under way goes with the next one.

use std::future::Future;
use std::time::Duration;

use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How much goes into one batch, and how many there are at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchBounds {
    /// Items in one batch.
    pub(crate) items_max: usize,
    /// Bytes of items in one batch. What is larger by itself goes alone.
    pub(crate) bytes_max: usize,
    /// Batches under way at one time.
    pub(crate) in_flight_max: usize,
}

/// Something that goes into a batch.
pub(crate) trait Batched {
    /// As how many items it counts.
    fn items(&self) -> usize {
        1
    }

    /// What it weighs.
    fn bytes(&self) -> usize;

    /// Whether anybody still waits for it. What nobody waits for is left out.
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
    /// Whether `next` may go with what is in it. Nothing is too large for an empty one.
    pub(crate) fn has_room_for(&self, next: &T, bounds: &BatchBounds) -> bool {
        self.all.is_empty()
            || (self.items + next.items() <= bounds.items_max
                && self.bytes + next.bytes() <= bounds.bytes_max)
    }

    /// Puts `next` behind what is in it.
    pub(crate) fn add(&mut self, next: T) {
        self.items += next.items();
        self.bytes += next.bytes();
        self.all.push(next);
    }

    /// All that is in it; `None` if it is empty.
    pub(crate) fn filled(self) -> Option<Vec<T>> {
        (!self.all.is_empty()).then_some(self.all)
    }
}

/// What waits, in the order in which it is to go.
pub(crate) trait Queue {
    /// What waits here.
    type Item: Batched;

    /// The next batch, once anything waits; `None` once nothing will come any more.
    fn next_batch(&mut self, bounds: &BatchBounds) -> impl Future<Output = Option<Vec<Self::Item>>> + Send;
}

/// Has `send` see to one batch of `queue` after the other, until the queue ends. It is called in their order; what it
/// gives runs beside, as many at one time as the bounds say.
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

/// How a queue takes in what arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrivalBounds {
    /// Between the starts of two batches that are not full. The first after a rest goes at once.
    pub(crate) spacing: Duration,
    /// How many wait; whoever brings more waits too.
    pub(crate) queue_max: usize,
}

/// A queue that keeps the order of arrival.
pub(crate) struct Arrivals<T> {
    queue: mpsc::Receiver<T>,
    /// What did not fit into the batch before.
    left_over: Option<T>,
    spacing: Duration,
    not_before: Instant,
}

impl<T> Arrivals<T> {
    /// A queue, and what takes things to it. It ends with the last sender.
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
                // What comes in meanwhile joins this batch.
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

/// Items that are written together, and who waits for that.
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

/// Writes messages of one kind, many submissions in one log entry, all of which hear the same of it. A cheap handle;
/// the batcher ends when all of them are dropped.
pub(crate) struct Batcher<T>(mpsc::Sender<Submission<T>>);

impl<T> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Message + 'static> Batcher<T> {
    /// A batcher, and what has to run for it to do anything. `commit` writes the items of one entry.
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
                    // Whoever waited may have gone.
                    let _ = done.send(written.clone());
                }
            }
        };
        (Self(sender), gather(bounds, queue, write))
    }

    /// Writes `items` together with those of others; returns once they are written or known not to be.
    /// Submissions that wait for one another keep their order.
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

    /// A batcher whose entries are written in 1 ms and noted with the time of their start.
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
