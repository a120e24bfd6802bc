//! Low-priority threads for heavy work that can wait.

use std::sync::LazyLock;

use ordu_store::urgency::Urgency;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Runtime of the process's low-priority threads. They are separate because a thread cannot get its priority
/// back: an unprivileged user may only lower it.
static THREADS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let lower = || {
        if let Err(error) = Urgency::Large.take() {
            tracing::warn!(%error, "large work has the priority of all other");
        }
    };
    // The single worker thread is idle; only the blocking threads are used.
    let threads = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("large-work")
        .on_thread_start(lower)
        .build();
    threads.inspect_err(|error| tracing::warn!(%error, "large work has the priority of all other")).ok()
});

/// Runs `work` on a low-priority thread, or on an ordinary blocking thread if there are none.
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
