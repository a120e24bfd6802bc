//! Tests of schedules: tables, and comparisons with a naive matcher without calendar search.

mod calendar;
mod daylight;
mod grammar;
mod missed;
mod properties;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{Schedule, missed_launch};

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn schedule(spec: &str, zone: &str) -> Schedule {
    Schedule::parse(spec, zone).unwrap_or_else(|fault| panic!("{spec} in {zone}: {fault}"))
}

/// Parses a time such as `2026-03-08 01:30 -05` to nanoseconds.
fn ns(text: &str) -> i64 {
    let at: Timestamp = text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"));
    at.as_nanosecond().try_into().unwrap()
}

/// Formats the wall time with its offset, such as `2026-03-08 01:30:00 -05`.
fn wall(ns: i64, name: &str) -> String {
    let at = Timestamp::from_nanosecond(ns.into()).unwrap().to_zoned(zone(name));
    let offset = at.offset();
    format!("{} {offset}", at.strftime("%a %Y-%m-%d %H:%M:%S"))
}

/// Returns the next launches after a time, as wall times.
fn launches(spec: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = schedule(spec, zone);
    let mut at = ns(after);
    let mut shown = Vec::new();
    while shown.len() < count {
        let Some(next) = schedule.next_after(at) else {
            shown.push("never".to_owned());
            break;
        };
        assert_eq!(missed_launch(&schedule, i64::MIN, next), Some(next), "{spec} in {zone}");
        shown.push(wall(next, zone));
        at = next;
    }
    shown
}
