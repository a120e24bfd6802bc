//! When a periodic job launches its children: cron expressions, time zones, and the launch that was missed.
//!
//! # The language
//!
//! Five fields are `minute hour day-of-month month day-of-week`, six have a year after them, seven have
//! seconds before them too. Without seconds a launch is at second 0, without a year in every year from
//! [`FIRST_YEAR`] to [`LAST_YEAR`].
//!
//! | field | values | names | besides lists `a,b`, ranges `a-b`, steps `*/s` `a/s` `a-b/s`, `*` and `?` |
//! |---|---|---|---|
//! | second, minute | 0-59 | | |
//! | hour | 0-23 | | |
//! | day-of-month | 1-31 | | `L` the last day, `15W` the weekday (Monday to Friday) nearest to the 15th in the same month, `LW` the last weekday |
//! | month | 1-12 | `jan`, `january` … | |
//! | day-of-week | 0-7, Sunday is 0 and 7 | `sun`, `sunday` … | `5L` the month's last Friday, `5#3` its third |
//! | year | 1970-2099 | | |
//!
//! Instead of fields: `@hourly`, `@daily` and `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually`.
//! Letters may be of either case. If both day fields name days, a day that either of them names is a
//! launch day; a day field with `*` or `?` in it names none (`*/2` does name days). `31W` is nothing in a
//! month of 30 days, `5#5` nothing in a month of four Fridays.
//!
//! Nomad drops what comes after a seventh field and takes ranges that run backwards, which launch nothing;
//! here both are refused, since each is a mistake that its user wants to hear of.
//!
//! # Time zones and daylight saving
//!
//! One rule: **a job launches at every instant whose wall time in the job's zone is one the expression
//! names.** All of the following comes from it.
//!
//! | what happens | launches |
//! |---|---|
//! | the clocks go forward over a named wall time | none that day: the wall time does not exist (`30 2 * * *`) |
//! | the clocks go forward, minutes or hours are wild-cards | in real time, without a gap (`*/15 * * * *`: 01:45, 03:00) |
//! | the clocks go forward over midnight | a job of `0 0 * * *` skips that day |
//! | a wall time at which the clocks arrive after going forward | once (`0 3 * * *`) |
//! | the clocks go back over a named wall time | twice: once before and once after the change (`30 1 * * *`) |
//! | the clocks go back, minutes or hours are wild-cards | in real time, without a gap or a double (`*/15 * * * *`) |
//! | a whole day is left out of the calendar (Apia, 30 December 2011) | none on that day |
//! | the zone has no such changes, or it is UTC | at each named wall time, once |
//!
//! This is what Nomad does since 0.11.2. Who wants exactly one launch a day names a wall time that no
//! change touches, or UTC.
//!
//! # Why this is our own
//!
//! The cron crates differ in what users would notice: `cron` wants seconds in front and has neither `L`
//! nor `W` nor `#`, `croner` reads the sixth field as seconds and moves skipped wall times to after the
//! change, `cronexpr` has five fields and its time zone within the expression, `saffron` is no longer kept
//! up. The rule above needs no more than sets of numbers, a search by calendar, and from `jiff` the civil
//! calendar and the offsets of a zone. Zones come from the database that is bundled with `jiff`, never from
//! the machine: every server must come to the same launch times.

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

/// Why a schedule cannot be read, in the words that clients of the API know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression cannot be read.
    #[error("Invalid cron spec {spec:?}: {reason}")]
    Spec {
        /// The expression as it was given, shortened if it is too long to be read.
        spec: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The time zone is not known.
    #[error("Invalid time zone {name:?}: {reason}")]
    TimeZone {
        /// The name as it was given, shortened if it is too long to be one.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The ID of the child that is launched at that time.
pub fn child_id(parent: &str, launch_unix_seconds: i64) -> String {
    format!("{parent}/periodic-{launch_unix_seconds}")
}

/// The beginning of a text that is too long to be told in full.
fn shortened(text: &str) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    shown.push('…');
    shown
}
