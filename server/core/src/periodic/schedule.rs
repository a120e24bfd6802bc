//! A cron expression in a time zone: which instants it names.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use super::cron::Cron;
use super::{ScheduleError, zone};

const NS_PER_SECOND: i64 = 1_000_000_000;
/// No zone is farther from UTC than this; it widens a year's bounds in wall time to bounds in real time.
const OFFSET_SECONDS_MAX: i64 = 26 * 60 * 60;

/// The launch times of a periodic job. They are whole seconds; times are nanoseconds since 1970.
///
/// Every answer is found by walking the stretches of constant offset, at most a few a year, and within
/// them the calendar's named years and months, at most 130 years: an expression that never matches is
/// known as such in well under a millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// The newest launch after `last_launch_ns` and not after `now_ns`, for a leader that was away meanwhile.
/// The time that it takes does not depend on how many launches were missed.
pub fn missed_launch(schedule: &Schedule, last_launch_ns: i64, now_ns: i64) -> Option<i64> {
    schedule.last_within(second_after(last_launch_ns), now_ns.div_euclid(NS_PER_SECOND))
}

impl Schedule {
    /// Reads a cron expression and the IANA name of a time zone, of which the empty one is UTC.
    pub fn parse(spec: &str, time_zone: &str) -> Result<Schedule, ScheduleError> {
        Ok(Schedule { cron: Cron::parse(spec)?, zone: zone::find(time_zone)? })
    }

    /// The first launch after that time, `None` if there is none any more.
    pub fn next_after(&self, after_ns: i64) -> Option<i64> {
        self.first_within(second_after(after_ns), i64::MAX)
    }

    /// The first launch in these seconds, both included.
    fn first_within(&self, from: i64, to: i64) -> Option<i64> {
        let (mut from, to) = self.within_years(from, to)?;
        while from <= to {
            let (start, offset) = self.offset_at(from)?;
            let change = self.zone.following(start).next().map(|change| change.timestamp().as_second());
            let end = change.map_or(to, |change| to.min(change - 1));
            if let Some(wall) = self.cron.first_in(offset.to_datetime(start), wall_time(end, offset)?) {
                return launch_ns(wall, offset);
            }
            from = end + 1;
        }
        None
    }

    /// The last launch in these seconds, both included.
    fn last_within(&self, from: i64, to: i64) -> Option<i64> {
        let (from, mut to) = self.within_years(from, to)?;
        while from <= to {
            let (end, offset) = self.offset_at(to)?;
            let next_second = Timestamp::from_second(to + 1).ok()?;
            let change = self.zone.preceding(next_second).next().map(|change| change.timestamp().as_second());
            let start = change.map_or(from, |change| from.max(change));
            if let Some(wall) = self.cron.last_in(wall_time(start, offset)?, offset.to_datetime(end)) {
                return launch_ns(wall, offset);
            }
            to = start - 1;
        }
        None
    }

    /// The part of these seconds in which it can be a year that the expression names.
    fn within_years(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        let first = Date::new(*self.cron.years.first()?, 1, 1).ok()?.to_datetime(Time::midnight());
        let last = Date::new(*self.cron.years.last()?, 12, 31).ok()?.to_datetime(Time::MAX);
        let earliest = Offset::UTC.to_timestamp(first).ok()?.as_second() - OFFSET_SECONDS_MAX;
        let latest = Offset::UTC.to_timestamp(last).ok()?.as_second() + OFFSET_SECONDS_MAX;
        Some((from.max(earliest), to.min(latest)))
    }

    fn offset_at(&self, second: i64) -> Option<(Timestamp, Offset)> {
        let at = Timestamp::from_second(second).ok()?;
        Some((at, self.zone.to_offset(at)))
    }
}

/// The first whole second after that time.
fn second_after(ns: i64) -> i64 {
    ns.div_euclid(NS_PER_SECOND) + 1
}

fn wall_time(second: i64, offset: Offset) -> Option<DateTime> {
    Some(offset.to_datetime(Timestamp::from_second(second).ok()?))
}

fn launch_ns(wall: DateTime, offset: Offset) -> Option<i64> {
    offset.to_timestamp(wall).ok()?.as_second().checked_mul(NS_PER_SECOND)
}
