//! Work that takes long enough to keep others of its thread from running.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`, and has another thread take over what this one had to do if it `is_heavy`. A simulation
/// has one thread only, on which everything waits its turn.
pub(super) fn heavy<T>(is_heavy: bool, work: impl FnOnce() -> T) -> T {
    let has_threads =
        || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_heavy && has_threads() { tokio::task::block_in_place(work) } else { work() }
}
