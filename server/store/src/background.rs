//! Work that waits for a disk, on threads of its own.

use std::io;

/// Runs `work` on a thread for blocking work where it blocks.
///
/// # Errors
/// Those of `work`, and when its thread ends before it.
pub async fn in_background<T: Send + 'static>(
    blocks: bool,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    if blocks { tokio::task::spawn_blocking(work).await.map_err(io::Error::other)? } else { work() }
}
