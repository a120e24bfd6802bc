//! The missed launch that a new leader catches up on.

use super::{ns, schedule};
use crate::periodic::missed_launch;

#[test]
fn the_newest_launch_since_the_last_one_is_named() {
    for (spec, zone, last, now, expected) in [
        ("@hourly", "UTC", "2026-01-01 00:00Z", "2026-01-01 05:30Z", Some("2026-01-01 05:00Z")),
        ("@hourly", "UTC", "2026-01-01 00:00Z", "2026-01-01 05:00Z", Some("2026-01-01 05:00Z")),
        ("@hourly", "UTC", "2026-01-01 05:00Z", "2026-01-01 05:59:59.9Z", None),
        ("@hourly", "UTC", "2026-01-01 05:00Z", "2026-01-01 05:00Z", None),
        // The last launch was forced, between two times of the schedule.
        ("@hourly", "UTC", "2026-01-01 04:59:59.5Z", "2026-01-01 05:10Z", Some("2026-01-01 05:00Z")),
        ("@hourly", "UTC", "2026-01-01 05:00:00.5Z", "2026-01-01 05:10Z", None),
        // The clock of this leader is behind that of the previous one.
        ("@hourly", "UTC", "2026-01-01 05:00Z", "2026-01-01 03:00Z", None),
        ("* * * * * * *", "UTC", "2026-01-01 00:00Z", "2026-02-01 00:00:00.25Z", Some("2026-02-01 00:00Z")),
        ("@yearly", "UTC", "1970-01-01 00:00Z", "2099-12-31 00:00Z", Some("2099-01-01 00:00Z")),
        ("0 0 30 2 *", "UTC", "1970-01-01 00:00Z", "2099-12-31 00:00Z", None),
        ("0 0 1 1 * 2020", "UTC", "2019-01-01 00:00Z", "2099-12-31 00:00Z", Some("2020-01-01 00:00Z")),
        // Of a wall time that occurs twice, the second is the latest.
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-30 12:00Z",
            "2026-11-01 12:00Z",
            Some("2026-11-01 06:30Z"),
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-30 12:00Z",
            "2026-11-01 06:29Z",
            Some("2026-11-01 05:30Z"),
        ),
        ("30 2 * * *", "America/New_York", "2026-03-07 12:00Z", "2026-03-09 06:00Z", None),
        ("0 12 * * *", "Pacific/Apia", "2011-12-28 00:00Z", "2011-12-30 21:00Z", Some("2011-12-29 22:00Z")),
    ] {
        let found = missed_launch(&schedule(spec, zone), ns(last), ns(now));
        assert_eq!(found, expected.map(ns), "{spec} in {zone} from {last} to {now}");
    }
}

#[test]
fn times_at_the_ends_of_what_can_be_written_are_answered() {
    let schedule = schedule("* * * * * * *", "Europe/Berlin");
    let (first, last) = (ns("1969-12-31 23:00:00Z"), ns("2099-12-31 22:59:59Z"));
    assert_eq!(missed_launch(&schedule, i64::MIN, i64::MAX), Some(last));
    assert_eq!(missed_launch(&schedule, i64::MAX, i64::MIN), None);
    assert_eq!(missed_launch(&schedule, first - 1, first), Some(first));
    assert_eq!(missed_launch(&schedule, last, i64::MAX), None);
}
