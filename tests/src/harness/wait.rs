//! Waits for conditions. Only this module of the tests sleeps.

use std::fmt::Display;
use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

/// Interval between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Checks a condition until it holds and returns its result. While the condition does not hold, its error says
/// what is missing; after `within` the test fails with the latest error.
pub async fn eventually<T, E, F, Looking>(what: &str, within: Duration, look: F) -> T
where
    E: Display,
    F: FnMut() -> Looking,
    Looking: Future<Output = Result<T, E>>,
{
    let found = look_for(within, look).await;
    found.unwrap_or_else(|missing| panic!("{what}: not within {} s: {missing}", within.as_secs_f32()))
}

/// Checks a condition until it holds and returns its result, or after `within` the latest error.
pub async fn look_for<T, E, F, Looking>(within: Duration, mut look: F) -> Result<T, E>
where
    F: FnMut() -> Looking,
    Looking: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            looked => return looked,
        }
    }
}

/// Like [`eventually`], for a condition that is checked synchronously.
pub async fn eventually_now<T, E, F>(what: &str, within: Duration, mut look: F) -> T
where
    E: Display,
    F: FnMut() -> Result<T, E>,
{
    eventually(what, within, || std::future::ready(look())).await
}

/// Like [`look_for`], for code that cannot await, such as `drop`. Returns whether the condition came to hold.
pub(super) fn eventually_blocking(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Returns `Ok` if the condition holds, otherwise the message.
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// Prints that the current test is skipped, and why.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    say(&format!("skipped: {name}: {why}"));
}

/// Prints to standard output past the test harness's capture, so that passing tests show it too.
pub fn say(text: &str) {
    // A failure here cannot be reported anywhere.
    let _ = writeln!(std::io::stdout(), "{text}");
}
