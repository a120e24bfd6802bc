//! Waiting for a condition: the one place of the tests that sleeps.

use std::fmt::Display;
use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at a condition until it holds and gives what it found. A condition that does not hold says what is
/// missing; after `within` the last such sentence ends the test.
pub async fn eventually<T, E, F, Looking>(what: &str, within: Duration, look: F) -> T
where
    E: Display,
    F: FnMut() -> Looking,
    Looking: Future<Output = Result<T, E>>,
{
    let found = look_for(within, look).await;
    found.unwrap_or_else(|missing| panic!("{what}: not within {} s: {missing}", within.as_secs_f32()))
}

/// Looks at a condition until it holds and gives what it found, or, when the time is over, what is missing.
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

/// The same for a condition that is looked at without waiting.
pub async fn eventually_now<T, E, F>(what: &str, within: Duration, mut look: F) -> T
where
    E: Display,
    F: FnMut() -> Result<T, E>,
{
    eventually(what, within, || std::future::ready(look())).await
}

/// The same where nothing can be awaited, as in `drop`; false if the condition did not come to hold.
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

/// `Ok` if it holds, the sentence otherwise.
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

/// Says that a test cannot run here and why.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    say(&format!("skipped: {name}: {why}"));
}

/// Prints past the capture of tests' output, so that it is seen when the test passes, too.
pub fn say(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(std::io::stdout(), "{text}");
}
