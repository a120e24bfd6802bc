//! A large stack for what recurses deeply.

use std::io;
use std::panic::resume_unwind;
use std::thread;

/// Size of the stack, bytes. Only the part that is used takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs `inner` on a thread with a large stack and waits for it.
///
/// # Errors
/// The system has no room for another thread.
pub(super) fn on_large_stack<T: Send>(inner: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, inner)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
