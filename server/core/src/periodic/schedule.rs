//! Launch times of a cron expression in a time zone.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use super::cron::Cron;
use super::{ScheduleError, zone};

const NS_PER_SECOND: i64 = 1_000_000_000;
/// Upper bound of any zone's offset from UTC. Extends bounds in wall time to bounds in real time.
const OFFSET_SECONDS_MAX: i64 = 26 * 60 * 60;

/// Launch times of a periodic job. They are whole seconds; times are nanoseconds since 1970.
///
/// A search visits the periods of constant offset, at most a few a year, and in each of them the matching years and
/// months, at most 130 years. An expression that never matches is therefore detected in well under a millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Returns the latest launch in (`last_launch_ns`, `now_ns`], for a new leader to catch up on. The cost does not depend
/// on the number of missed launches.
pub fn missed_launch(schedule: &Schedule, last_launch_ns: i64, now_ns: i64) -> Option<i64> {
    schedule.last_within(second_after(last_launch_ns), now_ns.div_euclid(NS_PER_SECOND))
}

impl Schedule {
    /// Parses a cron expression and the IANA name of a time zone; an empty name means UTC.
    pub fn parse(spec: &str, time_zone: &str) -> Result<Schedule, ScheduleError> {
        Ok(Schedule { cron: Cron::parse(spec)?, zone: zone::find(time_zone)? })
    }

    /// Returns the first launch after `after_ns`, or `None` if there are no more.
    pub fn next_after(&self, after_ns: i64) -> Option<i64> {
        self.first_within(second_after(after_ns), i64::MAX)
    }

    /// Returns the first launch from second `from` to second `to`, inclusive.
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

    /// Returns the last launch from second `from` to second `to`, inclusive.
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

    /// Limits an interval of seconds to the years that the expression matches, with a margin for offsets.
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

/// Returns the first whole second after `ns`.
fn second_after(ns: i64) -> i64 {
    ns.div_euclid(NS_PER_SECOND) + 1
}

fn wall_time(second: i64, offset: Offset) -> Option<DateTime> {
    Some(offset.to_datetime(Timestamp::from_second(second).ok()?))
}

fn launch_ns(wall: DateTime, offset: Offset) -> Option<i64> {
    offset.to_timestamp(wall).ok()?.as_second().checked_mul(NS_PER_SECOND)
}
