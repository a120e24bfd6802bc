//! Runs work that waits for a disk, or that would keep other tasks of its thread from running.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::urgency::at_most_usual;

/// Runs `work`; on a thread for blocking work if it `blocks`.
///
/// # Errors
/// Those of `work`; an error if its thread ends before it.
pub async fn in_background<T: Send + 'static>(
    blocks: bool,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match blocks {
        true => tokio::task::spawn_blocking(|| at_most_usual(work)).await.map_err(io::Error::other)?,
        false => work(),
    }
}

/// Runs `work`. If it `is_heavy`, another thread takes over the other tasks of this thread, except on a
/// single-threaded runtime (a simulation).
pub fn heavy<T>(is_heavy: bool, work: impl FnOnce() -> T) -> T {
    let has_threads =
        || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    match is_heavy && has_threads() {
        true => tokio::task::block_in_place(|| at_most_usual(work)),
        false => work(),
    }
}
