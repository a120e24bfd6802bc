//! Work that waits for a disk, or takes long enough to keep others of its thread from running.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::urgency::at_most_usual;

/// Runs `work` on a thread for blocking work where it blocks.
///
/// # Errors
/// Those of `work`, and when its thread ends before it.
pub async fn in_background<T: Send + 'static>(
    blocks: bool,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match blocks {
        true => tokio::task::spawn_blocking(|| at_most_usual(work)).await.map_err(io::Error::other)?,
        false => work(),
    }
}

/// Runs `work`, and has another thread take over what this one had to do if it `is_heavy`. A simulation
/// has one thread only, on which everything waits its turn.
pub fn heavy<T>(is_heavy: bool, work: impl FnOnce() -> T) -> T {
    let has_threads =
        || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    match is_heavy && has_threads() {
        true => tokio::task::block_in_place(|| at_most_usual(work)),
        false => work(),
    }
}
