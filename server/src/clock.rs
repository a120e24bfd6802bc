//! Wall clock access: the only module that reads the system time, so that simulations can replace it.

mod checked;
mod skew;

pub use checked::{ServerClock, Verdict};
pub(crate) use skew::keep;

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static SIMULATED: Cell<Option<fn() -> i64>> = const { Cell::new(None) };
}

/// Replaces this thread's wall clock by `clock` (nanoseconds since 1970). For simulations.
pub fn simulate(clock: fn() -> i64) {
    SIMULATED.with(|simulated| simulated.set(Some(clock)));
}

/// Returns the machine's wall clock in nanoseconds since 1970. Decisions of a server must use its
/// [`ServerClock`] instead.
pub fn now_ns() -> i64 {
    SIMULATED.with(Cell::get).map_or_else(system_ns, |clock| clock())
}

fn system_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    i64::try_from(since).unwrap_or(i64::MAX)
}
