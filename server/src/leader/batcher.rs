//! Gathers what many want written into few log entries, one entry after the other.

use std::future::Future;
use std::time::Duration;

use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// How much goes into one entry, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchBounds {
    /// Between the starts of two writes that are not full. The first after a rest goes at once.
    pub(crate) spacing: Duration,
    /// Items in one entry.
    pub(crate) items_max: usize,
    /// Bytes of items in one entry. A submission that is larger by itself goes alone.
    pub(crate) bytes_max: usize,
    /// Submissions that wait; who submits more waits too.
    pub(crate) queue_max: usize,
}

/// Why a submission was not written, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotWritten(pub(crate) String);

struct Submission<T> {
    items: Vec<T>,
    bytes: usize,
    done: oneshot::Sender<Result<(), NotWritten>>,
}

/// Takes submissions. A cheap handle; the batcher ends when all of them are dropped.
pub(crate) struct Batcher<T>(mpsc::Sender<Submission<T>>);

impl<T> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Message> Batcher<T> {
    /// A batcher, and what has to run for it to do anything. `commit` writes the items of one entry.
    pub(crate) fn new<C, F>(bounds: BatchBounds, commit: C) -> (Self, impl Future<Output = ()> + use<C, F, T>)
    where
        C: FnMut(Vec<T>) -> F,
        F: Future<Output = Result<(), NotWritten>>,
    {
        let (sender, queue) = mpsc::channel(bounds.queue_max);
        (Self(sender), run(bounds, queue, commit))
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

async fn run<T, C, F>(bounds: BatchBounds, mut queue: mpsc::Receiver<Submission<T>>, mut commit: C)
where
    C: FnMut(Vec<T>) -> F,
    F: Future<Output = Result<(), NotWritten>>,
{
    let mut left_over: Option<Submission<T>> = None;
    let mut not_before = Instant::now();
    loop {
        let first = match left_over.take() {
            Some(submission) => submission,
            None => {
                let Some(submission) = queue.recv().await else { return };
                // What comes in meanwhile joins this entry.
                sleep_until(not_before).await;
                submission
            }
        };
        not_before = Instant::now() + bounds.spacing;
        let Submission { mut items, mut bytes, done } = first;
        let mut waiting = vec![done];
        while let Ok(next) = queue.try_recv() {
            if items.len() + next.items.len() > bounds.items_max || bytes + next.bytes > bounds.bytes_max {
                left_over = Some(next);
                break;
            }
            bytes += next.bytes;
            items.extend(next.items);
            waiting.push(next.done);
        }
        let written = if items.is_empty() { Ok(()) } else { commit(items).await };
        for done in waiting {
            // Whoever waited may have gone.
            let _ = done.send(written.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use ordu_proto::command::GroupCount;
    use tokio::task::JoinSet;

    use super::*;

    const BOUNDS: BatchBounds =
        BatchBounds { spacing: Duration::from_millis(20), items_max: 4, bytes_max: 1000, queue_max: 64 };

    fn item(count: i64) -> GroupCount {
        GroupCount { name: String::new(), count }
    }

    type Entries = Arc<Mutex<Vec<(Duration, Vec<i64>)>>>;

    /// A batcher whose entries are written in 1 ms and noted with the time of their start.
    fn batcher(tasks: &mut JoinSet<()>) -> (Batcher<GroupCount>, Entries) {
        let entries = Entries::default();
        let (start, noted) = (Instant::now(), entries.clone());
        let (batcher, runs) = Batcher::new(BOUNDS, move |items: Vec<GroupCount>| {
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
        assert!(entries.last().is_some_and(|(at, _)| *at < BOUNDS.spacing), "{entries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_in_an_entry_hears_that_it_was_not_written() {
        let mut tasks = JoinSet::new();
        let (batcher, runs) =
            Batcher::new(BOUNDS, |_: Vec<GroupCount>| async { Err(NotWritten("no".to_owned())) });
        tasks.spawn(runs);
        let both = tokio::join!(batcher.submit(vec![item(2)]), batcher.submit(vec![item(3)]));
        let no = || Err(NotWritten("no".to_owned()));
        assert_eq!((no(), no()), both);
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        assert!(batcher.submit(vec![item(1)]).await.is_err(), "no one runs it any more");
    }
}
