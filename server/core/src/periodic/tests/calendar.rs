//! Days, months and years, in a zone without clock changes.

use super::{launches, ns, schedule};
use crate::periodic::missed_launch;

/// Asserts the next launches in UTC after a time, without seconds and offset.
fn assert_next(spec: &str, after: &str, expected: &[&str]) {
    let shown = launches(spec, "UTC", &format!("{after}Z"), expected.len());
    let shown: Vec<&str> = shown.iter().map(|text| text.trim_end_matches(":00 +00")).collect();
    assert_eq!(shown, expected, "{spec} after {after}");
}

#[test]
fn fields_name_minutes_hours_days_months_and_years() {
    for (spec, after, expected) in [
        ("* * * * *", "2026-09-28 10:00:30", &["Mon 2026-09-28 10:01", "Mon 2026-09-28 10:02"][..]),
        ("* * * * *", "2016-02-28 23:59:59", &["Mon 2016-02-29 00:00"]),
        ("0 * * * *", "2026-09-28 10:00:00", &["Mon 2026-09-28 11:00"]),
        ("*/15 * * * * *", "2026-09-28 10:07:00", &["Mon 2026-09-28 10:15", "Mon 2026-09-28 10:30"]),
        ("15-30/4,55 * * * *", "2012-12-31 23:27:00", &["Mon 2012-12-31 23:55", "Tue 2013-01-01 00:15"]),
        ("5/20 9 * * *", "2026-09-28 09:05:00", &["Mon 2026-09-28 09:25", "Mon 2026-09-28 09:45"]),
        ("0 0 1 */3 *", "2026-09-28 10:00:00", &["Thu 2026-10-01 00:00", "Fri 2027-01-01 00:00"]),
        ("0 12 * JAN,JUL *", "2026-09-28 10:00:00", &["Fri 2027-01-01 12:00", "Sat 2027-01-02 12:00"]),
        ("0 0 * 04 * *", "2013-09-02 00:00:00", &["Tue 2014-04-01 00:00", "Wed 2014-04-02 00:00"]),
        ("0 0 1 1 * 2030", "2026-09-28 10:00:00", &["Tue 2030-01-01 00:00", "never"]),
        ("@hourly", "2026-09-28 10:00:00", &["Mon 2026-09-28 11:00"]),
        ("@daily", "2026-09-28 10:00:00", &["Tue 2026-09-29 00:00"]),
        ("@midnight", "2026-09-28 10:00:00", &["Tue 2026-09-29 00:00"]),
        ("@weekly", "2026-09-28 10:00:00", &["Sun 2026-10-04 00:00"]),
        ("@monthly", "2026-09-28 10:00:00", &["Thu 2026-10-01 00:00"]),
        ("@yearly", "2026-09-28 10:00:00", &["Fri 2027-01-01 00:00"]),
        ("@annually", "2026-09-28 10:00:00", &["Fri 2027-01-01 00:00"]),
    ] {
        assert_next(spec, after, expected);
    }
}

#[test]
fn seven_fields_begin_with_seconds() {
    let expected = ["Mon 2026-09-28 10:00:05 +00", "Mon 2026-09-28 10:00:10 +00"];
    assert_eq!(launches("*/5 * * * * * *", "UTC", "2026-09-28 10:00:00Z", 2), expected);
    assert_eq!(launches("*/5 * * * * * *", "UTC", "2026-09-28 10:00:04.999999999Z", 2), expected);
    // A launch at the given time itself does not count.
    assert_eq!(launches("*/5 * * * * * *", "UTC", "2026-09-28 10:00:05Z", 1), expected[1..]);
}

#[test]
fn days_of_the_week_begin_with_sunday_and_ranges_may_end_with_the_next_one() {
    for (spec, expected) in [
        ("0 0 * * MON", &["Mon 2013-01-07 00:00", "Mon 2013-01-14 00:00"][..]),
        ("0 0 * * friday", &["Fri 2013-01-04 00:00", "Fri 2013-01-11 00:00"]),
        ("0 0 * * 6,7", &["Sat 2013-01-05 00:00", "Sun 2013-01-06 00:00", "Sat 2013-01-12 00:00"]),
        ("0 0 * * 5-7/2", &["Fri 2013-01-04 00:00", "Sun 2013-01-06 00:00", "Fri 2013-01-11 00:00"]),
        ("0 0 * * fri-sun", &["Fri 2013-01-04 00:00", "Sat 2013-01-05 00:00", "Sun 2013-01-06 00:00"]),
        ("0 0 * * 7-1", &["Sun 2013-01-06 00:00", "Mon 2013-01-07 00:00", "Sun 2013-01-13 00:00"]),
        ("0 0 * * 0-7", &["Wed 2013-01-02 00:00", "Thu 2013-01-03 00:00"]),
        ("0 0 * * 7-7", &["Sun 2013-01-06 00:00", "Sun 2013-01-13 00:00"]),
        ("0 0 * * sun-sun", &["Sun 2013-01-06 00:00", "Sun 2013-01-13 00:00"]),
        ("0 0 * * 0-0", &["Sun 2013-01-06 00:00", "Sun 2013-01-13 00:00"]),
        ("0 0 * * 1-5/2", &["Wed 2013-01-02 00:00", "Fri 2013-01-04 00:00", "Mon 2013-01-07 00:00"]),
    ] {
        assert_next(spec, "2013-01-01 00:00:00", expected);
    }
}

#[test]
fn a_day_that_either_day_field_names_is_a_launch_day() {
    for (spec, expected) in [
        ("0 0 13 * 5", &["Fri 2026-10-02 00:00", "Fri 2026-10-09 00:00", "Tue 2026-10-13 00:00"][..]),
        ("0 0 29 2 1", &["Mon 2027-02-01 00:00", "Mon 2027-02-08 00:00"]),
        ("0 0 */2 * 1", &["Tue 2026-09-29 00:00", "Thu 2026-10-01 00:00"]),
        ("0 0 13 * */2", &["Tue 2026-09-29 00:00", "Thu 2026-10-01 00:00"]),
        ("0 0 L * 5#1", &["Wed 2026-09-30 00:00", "Fri 2026-10-02 00:00"]),
        ("0 0 13 * *", &["Tue 2026-10-13 00:00", "Fri 2026-11-13 00:00"]),
        ("0 0 13 * ?", &["Tue 2026-10-13 00:00", "Fri 2026-11-13 00:00"]),
        ("0 0 * * 5", &["Fri 2026-10-02 00:00", "Fri 2026-10-09 00:00"]),
        ("0 0 ? * MON", &["Mon 2026-10-05 00:00", "Mon 2026-10-12 00:00"]),
        ("0 0 1,* * MON", &["Mon 2026-10-05 00:00", "Mon 2026-10-12 00:00"]),
    ] {
        assert_next(spec, "2026-09-28 00:00:00", expected);
    }
}

#[test]
fn ends_of_months_and_leap_years() {
    for (spec, after, expected) in [
        ("0 0 29 2 *", "2026-09-28 00:00:00", &["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00"][..]),
        ("0 0 29 2 *", "2096-01-01 00:00:00", &["Wed 2096-02-29 00:00", "never"]),
        ("0 0 28-31 2 *", "2027-02-28 00:00:00", &["Mon 2028-02-28 00:00", "Tue 2028-02-29 00:00"]),
        ("0 0 L 2 *", "2027-01-01 00:00:00", &["Sun 2027-02-28 00:00", "Tue 2028-02-29 00:00"]),
        ("0 0 L * *", "2000-01-31 00:00:00", &["Tue 2000-02-29 00:00", "Fri 2000-03-31 00:00"]),
        ("0 0 31 * *", "2026-10-31 00:00:00", &["Thu 2026-12-31 00:00", "Sun 2027-01-31 00:00"]),
        ("0 0 30 * *", "2027-01-30 00:00:00", &["Tue 2027-03-30 00:00"]),
        ("59 23 31 12 *", "2026-12-31 23:59:00", &["Fri 2027-12-31 23:59"]),
    ] {
        assert_next(spec, after, expected);
    }
}

#[test]
fn the_nearest_weekday_does_not_leave_its_month() {
    for (spec, after, expected) in [
        // The 14th is a Sunday: the Monday after. The 14th is a Saturday: the Friday before.
        ("0 0 14W * *", "2013-03-31 00:00:00", &["Mon 2013-04-15 00:00", "Tue 2013-05-14 00:00"][..]),
        ("0 0 14W * *", "2013-08-31 00:00:00", &["Fri 2013-09-13 00:00"]),
        // The 1st is a Saturday: not the Friday of the previous month. The 31st is a Sunday: not the Monday after.
        ("0 0 1W * *", "2026-07-15 00:00:00", &["Mon 2026-08-03 00:00", "Tue 2026-09-01 00:00"]),
        ("0 0 31W * *", "2026-05-01 00:00:00", &["Fri 2026-05-29 00:00", "Fri 2026-07-31 00:00"]),
        ("0 0 30W * *", "2013-06-02 00:00:00", &["Fri 2013-06-28 00:00"]),
        ("0 0 29W 2 *", "2026-01-01 00:00:00", &["Tue 2028-02-29 00:00"]),
        ("0 0 LW * *", "2013-11-02 00:00:00", &["Fri 2013-11-29 00:00", "Tue 2013-12-31 00:00"]),
        ("0 0 LW 2 *", "2026-01-01 00:00:00", &["Fri 2026-02-27 00:00", "Fri 2027-02-26 00:00"]),
        ("0 0 1W,15W * *", "2026-08-01 00:00:00", &["Mon 2026-08-03 00:00", "Fri 2026-08-14 00:00"]),
    ] {
        assert_next(spec, after, expected);
    }
}

#[test]
fn the_nth_and_the_last_day_of_the_week_in_a_month() {
    for (spec, after, expected) in [
        ("0 0 * * 6#5", "2013-09-02 00:00:00", &["Sat 2013-11-30 00:00", "Sat 2014-03-29 00:00"][..]),
        ("0 0 * * thu#3", "2026-09-28 00:00:00", &["Thu 2026-10-15 00:00", "Thu 2026-11-19 00:00"]),
        ("0 0 * * 7#1", "2026-09-28 00:00:00", &["Sun 2026-10-04 00:00", "Sun 2026-11-01 00:00"]),
        ("0 0 * * 5L", "2026-09-28 00:00:00", &["Fri 2026-10-30 00:00", "Fri 2026-11-27 00:00"]),
        ("0 0 * 2 monL", "2026-09-28 00:00:00", &["Mon 2027-02-22 00:00", "Mon 2028-02-28 00:00"]),
        ("0 0 * * 1#1,1L", "2026-09-28 00:00:00", &["Mon 2026-10-05 00:00", "Mon 2026-10-26 00:00"]),
    ] {
        assert_next(spec, after, expected);
    }
}

#[test]
fn the_years_that_can_be_named_bound_every_search() {
    for spec in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * * * 1980", "0 0 * 2 5#5 2027", "0 0 31W 2 *"] {
        assert_next(spec, "2026-09-28 10:00:00", &["never"]);
    }
    for spec in ["0 0 30 2 *", "* * * * * * 2030"] {
        assert_eq!(
            missed_launch(&schedule(spec, "America/New_York"), i64::MIN, ns("2026-09-28 10:00Z")),
            None
        );
    }
    let every_second = schedule("* * * * * * *", "UTC");
    let (first, last) = (ns("1970-01-01 00:00:00Z"), ns("2099-12-31 23:59:59Z"));
    assert_eq!(every_second.next_after(i64::MIN), Some(first));
    assert_eq!(missed_launch(&every_second, i64::MIN, i64::MAX), Some(last));
    assert_eq!(every_second.next_after(last - 1), Some(last));
    assert_eq!(every_second.next_after(last), None);
    assert_eq!(every_second.next_after(i64::MAX), None);
    assert_eq!(missed_launch(&every_second, i64::MIN, first), Some(first));
    assert_eq!(missed_launch(&every_second, i64::MIN, first - 1), None);
    assert_eq!(missed_launch(&every_second, i64::MIN, i64::MIN), None);
}

#[test]
fn the_bounding_years_are_those_of_the_wall_clock() {
    assert_eq!(launches("@yearly", "Asia/Tokyo", "1960-01-01 00:00Z", 1), ["Thu 1970-01-01 00:00:00 +09"]);
    assert_eq!(
        launches("0 0 31 12 * 2099", "Pacific/Kiritimati", "2099-12-30 09:59Z", 2),
        ["Thu 2099-12-31 00:00:00 +14", "never"]
    );
    assert_eq!(
        launches("59 23 31 12 * 2099", "Pacific/Niue", "2099-12-31 23:59Z", 2),
        ["Thu 2099-12-31 23:59:00 -11", "never"]
    );
}
