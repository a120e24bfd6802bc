//! Threads for large work that can wait: the system gives them a processor where nothing more urgent wants it.

use std::sync::LazyLock;

use ordu_store::urgency::Urgency;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The process's. The urgency is a thread's for good, since an ordinary user cannot raise one again, so these are apart
/// from all other threads.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let lower = || {
        if let Err(error) = Urgency::Large.take() {
            tracing::warn!(%error, "large work has the priority of all other");
        }
    };
    // Its one worker has nothing to do; what counts are the threads that it has for blocking work.
    let threads = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("large-work")
        .on_thread_start(lower)
        .build();
    threads.inspect_err(|error| tracing::warn!(%error, "large work has the priority of all other")).ok()
});

/// Does `work` on such a thread.
pub(crate) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &*THREADS {
        Some(threads) => threads.spawn_blocking(work),
        None => tokio::task::spawn_blocking(work),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_work_is_less_urgent_than_the_thread_that_asks_for_it() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let here = niceness();
        assert!(here < spawn(niceness).await.unwrap());
        assert_eq!(here, niceness());
    }
}
