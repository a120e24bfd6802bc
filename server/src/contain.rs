//! Contains panics that should only fail one request or evaluation. A panic anywhere else ends the process;
//! the panic hook asks [`is_contained`] first.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;

use crate::low_priority;

tokio::task_local! {
    /// Set on every thread that runs contained work, while it runs.
    static CONTAINED: ();
}

/// Whether the code on this thread is contained, so that its panics are caught and reported.
pub fn is_contained() -> bool {
    CONTAINED.try_with(|()| ()).is_ok()
}

/// Runs `work`; a panic becomes an error with the panic's message.
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let work = AssertUnwindSafe(CONTAINED.scope((), work));
    work.catch_unwind().await.map_err(|panic| words_of(&*panic))
}

/// As [`contained`], for synchronous work.
pub(crate) fn contained_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let work = AssertUnwindSafe(|| CONTAINED.sync_scope((), work));
    catch_unwind(work).map_err(|panic| words_of(&*panic))
}

/// Runs work on a low-priority blocking thread, contained if the caller is; a panic resumes in the caller.
///
/// # Errors
/// Returned when the runtime shuts down before the work is done.
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

/// The runtime is shutting down.
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
