//! Panics that are contained: where one costs a request or an evaluation and nothing else. A panic anywhere
//! else ends the process, which asks [`is_contained`] before it does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;

use crate::low_priority;

tokio::task_local! {
    /// Set on whatever thread does contained work, for as long as it does.
    static CONTAINED: ();
}

/// Whether what runs on this thread is contained: a panic of it is caught and told.
pub fn is_contained() -> bool {
    CONTAINED.try_with(|()| ()).is_ok()
}

/// Does `work`; a panic of it becomes an error with its words.
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let work = AssertUnwindSafe(CONTAINED.scope((), work));
    work.catch_unwind().await.map_err(|panic| words_of(&*panic))
}

/// As [`contained`], for work that does not wait.
pub(crate) fn contained_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let work = AssertUnwindSafe(|| CONTAINED.sync_scope((), work));
    catch_unwind(work).map_err(|panic| words_of(&*panic))
}

/// Does contained work on a thread for large work; its panics come back to whoever waits.
///
/// # Errors
/// When the runtime ends before the work is done.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ShuttingDown> {
    let contained = is_contained();
    let work = move || if contained { CONTAINED.sync_scope((), work) } else { work() };
    match low_priority::spawn(work).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ShuttingDown),
    }
}

/// The runtime is ending.
#[derive(Debug)]
pub(crate) struct ShuttingDown;

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_its_words() {
        let nine = contained(async { panic!("at {}", 9) }).await.map(|(): ()| ());
        assert_eq!(Err("at 9".to_owned()), nine);
        assert_eq!(Err("plain".to_owned()), contained_now(|| panic!("plain")).map(|(): ()| ()));
        assert_eq!(Ok(3), contained(async { 3 }).await);
    }

    #[tokio::test]
    async fn contained_work_knows_it_on_every_thread_that_it_uses() {
        assert!(!is_contained());
        let here_and_there = contained(async {
            let here = is_contained();
            (here, on_blocking_thread(is_contained).await.expect("the runtime runs"))
        });
        assert_eq!(Ok((true, true)), here_and_there.await);
        let there = on_blocking_thread(is_contained).await.expect("the runtime runs");
        assert!(!there && !is_contained());
        let panicked = contained(on_blocking_thread(|| panic!("far away"))).await;
        assert_eq!("far away", panicked.map(|_: Result<(), _>| ()).expect_err("it panicked"));
    }
}
