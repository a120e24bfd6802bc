//! Launch times of periodic jobs: cron expressions, time zones, and launches missed while no leader was active.
//!
//! # The language
//!
//! Five fields are `minute hour day-of-month month day-of-week`; a sixth is the year; with seven fields, the
//! first is the second. The default of the second is 0, that of the year every year from [`FIRST_YEAR`] to
//! [`LAST_YEAR`].
//!
//! | field | values | names | besides lists `a,b`, ranges `a-b`, steps `*/s` `a/s` `a-b/s`, `*` and `?` |
//! |---|---|---|---|
//! | second, minute | 0-59 | | |
//! | hour | 0-23 | | |
//! | day-of-month | 1-31 | | `L` last day, `LW` last weekday (Monday to Friday), `15W` the one nearest to the 15th |
//! | month | 1-12 | `jan`, `january` … | |
//! | day-of-week | 0-7, Sunday is 0 and 7 | `sun`, `sunday` … | `5L` the month's last Friday, `5#3` its third |
//! | year | 1970-2099 | | |
//!
//! Instead of fields: `@hourly`, `@daily` and `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually`.
//! Letters may be of either case. A day field that contains `*` or `?` is a wildcard (`*/2` is not). If
//! neither day field is a wildcard, a day that either of them matches is a launch day. `W` stays within the month.
//! `31W` matches nothing in a month of 30 days, `5#5` nothing in a month of four Fridays.
//!
//! Nomad ignores everything after a seventh field and accepts descending ranges, which never launch; both are
//! rejected here, because they are probably mistakes.
//!
//! # Time zones and daylight saving
//!
//! One rule: **a job launches at every instant whose wall time in the job's zone matches the expression.** The
//! cases below follow from it.
//!
//! | event | launches |
//! |---|---|
//! | the clocks go forward over a matching wall time | none that day: the wall time does not exist (`30 2 * * *`) |
//! | the clocks go forward, minutes or hours are wildcards | in real time, no gap (`*/15 * * * *`: 01:45, 03:00) |
//! | the clocks go forward over midnight | a job of `0 0 * * *` skips that day |
//! | the clocks go forward to a matching wall time | once (`0 3 * * *`) |
//! | the clocks go back over a matching wall time | twice: once before and once after the change (`30 1 * * *`) |
//! | the clocks go back, minutes or hours are wildcards | in real time, without a gap or a double (`*/15 * * * *`) |
//! | the calendar skips a day (Apia, 30 December 2011) | none on that day |
//! | the zone has no such changes, or it is UTC | at each matching wall time, once |
//!
//! This is what Nomad does since 0.11.2. For exactly one launch a day, choose UTC or a wall time that no change
//! affects.
//!
//! # Why no cron crate is used
//!
//! The cron crates differ in ways that users would notice: `cron` requires seconds and lacks `L`, `W` and `#`;
//! `croner` reads the sixth field as seconds and moves skipped wall times to after the change; `cronexpr` has
//! five fields and the time zone within the expression; `saffron` is no longer maintained. The rule above only
//! needs sets of numbers, a calendar search, and from `jiff` the civil calendar and the offsets of zones. Zones
//! come from the database bundled with `jiff`, not from the machine, so that all servers compute the same launch
//! times.

mod cron;
mod days;
mod field;
mod schedule;
mod search;
mod zone;

#[cfg(test)]
mod tests;

pub use cron::{FIRST_YEAR, LAST_YEAR, check_spec};
pub use schedule::{Schedule, missed_launch};
pub use zone::check_time_zone;

/// Why a schedule is invalid, in Nomad's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression is invalid.
    #[error("Invalid cron spec {spec:?}: {reason}")]
    Spec {
        /// The expression as given, shortened if it exceeds the limit.
        spec: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The time zone is unknown.
    #[error("Invalid time zone {name:?}: {reason}")]
    TimeZone {
        /// The name as given, shortened if it exceeds the limit.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Returns the ID of the child launched at the given time.
pub fn child_id(parent: &str, launch_unix_seconds: i64) -> String {
    format!("{parent}/periodic-{launch_unix_seconds}")
}

/// Returns the start of a text that is too long for an error.
fn shortened(text: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    shown.push('…');
    shown
}
