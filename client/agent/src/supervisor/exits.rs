//! The task exits that callers in the agent wait for. Each announced exit wakes only those who wait for that task.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::protocol::{Exit, TaskKey};

type Waiters = BTreeMap<TaskKey, Vec<oneshot::Sender<Exit>>>;

/// Who waits for the exit of which attempt.
#[derive(Default)]
pub(crate) struct Exits {
    waiters: Mutex<Waiters>,
}

/// A wait for the exit of one attempt. Dropping it ends the wait.
pub(crate) struct AwaitedExit<'a> {
    exits: &'a Exits,
    key: &'a TaskKey,
    announced: oneshot::Receiver<Exit>,
}

impl Exits {
    /// Waits for exits announced from now on.
    pub(crate) fn of<'a>(&'a self, key: &'a TaskKey) -> AwaitedExit<'a> {
        let (sender, announced) = oneshot::channel();
        self.lock().entry(key.clone()).or_default().push(sender);
        AwaitedExit { exits: self, key, announced }
    }

    /// Passes an announced exit to all who wait for it.
    pub(crate) fn announce(&self, key: &TaskKey, exit: &Exit) {
        for waiter in self.lock().remove(key).unwrap_or_default() {
            // The waiter may have been cancelled.
            let _ = waiter.send(exit.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Every holder leaves the map consistent, even if it panics.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AwaitedExit<'_> {
    /// Returns the exit once it is announced. Cancel-safe.
    pub(crate) async fn announced(&mut self) -> Exit {
        match (&mut self.announced).await {
            Ok(exit) => exit,
            // Unreachable: the sender is dropped only after it has sent.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for AwaitedExit<'_> {
    fn drop(&mut self) {
        self.announced.close();
        let mut waiters = self.exits.lock();
        if let Some(of_key) = waiters.get_mut(self.key) {
            of_key.retain(|waiter| !waiter.is_closed());
            if of_key.is_empty() {
                waiters.remove(self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(attempt: u32) -> TaskKey {
        TaskKey { alloc: "a".into(), task: "t".into(), attempt }
    }

    #[tokio::test]
    async fn an_exit_reaches_all_who_wait_for_it_and_nobody_else() {
        let exits = Exits::default();
        let (first, second) = (key(1), key(2));
        let (mut one, mut two, mut other) = (exits.of(&first), exits.of(&first), exits.of(&second));
        let exit = Exit { code: Some(3), signal: 0, at_ns: 1 };
        exits.announce(&first, &exit);
        assert_eq!((one.announced().await, two.announced().await), (exit.clone(), exit));
        assert!(other.announced.try_recv().is_err());
        drop((one, two, other));
        assert!(exits.lock().is_empty(), "an ended wait leaves nothing behind");
    }
}
