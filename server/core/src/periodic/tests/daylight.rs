//! The table in the module's documentation: behaviour at clock changes.

use super::launches;

/// Zone, expression, start time, and the wall times of the next launches.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

fn assert_launches(cases: &[Case<'_>]) {
    for (zone, spec, after, expected) in cases {
        let shown = launches(spec, zone, after, expected.len());
        assert_eq!(shown, *expected, "{spec} in {zone} after {after}");
    }
}

#[test]
fn wall_times_that_the_clocks_go_forward_over_are_skipped() {
    assert_launches(&[
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07 12:00-05",
            &["Mon 2026-03-09 02:30:00 -04", "Tue 2026-03-10 02:30:00 -04"],
        ),
        ("America/New_York", "0 2 * * *", "2026-03-07 12:00-05", &["Mon 2026-03-09 02:00:00 -04"]),
        ("Europe/Berlin", "30 2 * * *", "2026-03-28 12:00+01", &["Mon 2026-03-30 02:30:00 +02"]),
        ("Europe/Berlin", "*/15 2 * * *", "2026-03-29 01:00+01", &["Mon 2026-03-30 02:00:00 +02"]),
        // Matches only on the day of the change in a single year: never launches.
        ("Europe/Berlin", "30 2 29 3 * 2026", "2026-01-01 00:00Z", &["never"]),
        // The half hour from 02:00 to 02:30 is skipped.
        (
            "Australia/Lord_Howe",
            "0,29,30 2 * * *",
            "2019-10-05 12:00+10:30",
            &["Sun 2019-10-06 02:30:00 +11", "Mon 2019-10-07 02:00:00 +11"],
        ),
        // Midnight is skipped.
        ("America/Sao_Paulo", "@daily", "2018-11-03 12:00-03", &["Mon 2018-11-05 00:00:00 -02"]),
        ("America/Santiago", "0 0 * * *", "2026-09-05 12:00-04", &["Mon 2026-09-07 00:00:00 -03"]),
    ]);
}

#[test]
fn the_wall_time_at_which_the_clocks_arrive_going_forward_runs_once() {
    assert_launches(&[
        (
            "America/New_York",
            "0 3 * * *",
            "2026-03-07 12:00-05",
            &["Sun 2026-03-08 03:00:00 -04", "Mon 2026-03-09 03:00:00 -04"],
        ),
        (
            "America/New_York",
            "59 1 * * *",
            "2026-03-07 12:00-05",
            &["Sun 2026-03-08 01:59:00 -05", "Mon 2026-03-09 01:59:00 -04"],
        ),
    ]);
}

#[test]
fn wild_cards_go_on_in_real_time_when_the_clocks_go_forward() {
    assert_launches(&[
        (
            "America/New_York",
            "*/15 * * * *",
            "2026-03-08 01:30-05",
            &["Sun 2026-03-08 01:45:00 -05", "Sun 2026-03-08 03:00:00 -04", "Sun 2026-03-08 03:15:00 -04"],
        ),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2026-03-29 00:00+01",
            &["Sun 2026-03-29 01:00:00 +01", "Sun 2026-03-29 03:00:00 +02"],
        ),
        (
            "America/New_York",
            "*/30 * * * * * *",
            "2026-03-08 01:59:00-05",
            &["Sun 2026-03-08 01:59:30 -05", "Sun 2026-03-08 03:00:00 -04"],
        ),
        (
            "Australia/Lord_Howe",
            "*/15 * * * *",
            "2019-10-06 01:30+10:30",
            &["Sun 2019-10-06 01:45:00 +10:30", "Sun 2019-10-06 02:30:00 +11"],
        ),
    ]);
}

#[test]
fn wall_times_that_the_clocks_go_back_over_run_twice() {
    assert_launches(&[
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31 12:00-04",
            &["Sun 2026-11-01 01:30:00 -04", "Sun 2026-11-01 01:30:00 -05", "Mon 2026-11-02 01:30:00 -05"],
        ),
        (
            "America/New_York",
            "0 1 * * *",
            "2026-11-01 01:00-04",
            &["Sun 2026-11-01 01:00:00 -05", "Mon 2026-11-02 01:00:00 -05"],
        ),
        // The clocks go back at 02:00, so 02:00 occurs once.
        ("America/New_York", "0 2 * * *", "2026-11-01 00:00-04", &["Sun 2026-11-01 02:00:00 -05"]),
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24 12:00+02",
            &["Sun 2026-10-25 02:30:00 +02", "Sun 2026-10-25 02:30:00 +01", "Mon 2026-10-26 02:30:00 +01"],
        ),
        (
            "Europe/Berlin",
            "*/30 2 * * *",
            "2026-10-25 02:00+02",
            &["Sun 2026-10-25 02:30:00 +02", "Sun 2026-10-25 02:00:00 +01", "Sun 2026-10-25 02:30:00 +01"],
        ),
        // The half hour from 01:30 to 02:00 is repeated.
        (
            "Australia/Lord_Howe",
            "3,31 1 * * *",
            "2019-04-06 12:00+11",
            &[
                "Sun 2019-04-07 01:03:00 +11",
                "Sun 2019-04-07 01:31:00 +11",
                "Sun 2019-04-07 01:31:00 +10:30",
                "Mon 2019-04-08 01:03:00 +10:30",
            ],
        ),
        // The hour from 23:00 is repeated, so 23:30 occurs twice, but midnight only once.
        (
            "America/Sao_Paulo",
            "30 23 * * *",
            "2018-02-17 12:00-02",
            &["Sat 2018-02-17 23:30:00 -02", "Sat 2018-02-17 23:30:00 -03", "Sun 2018-02-18 23:30:00 -03"],
        ),
        ("America/Sao_Paulo", "@daily", "2018-02-17 12:00-02", &["Sun 2018-02-18 00:00:00 -03"]),
    ]);
}

#[test]
fn wild_cards_go_on_in_real_time_when_the_clocks_go_back() {
    assert_launches(&[
        (
            "America/New_York",
            "30 * * * *",
            "2026-11-01 00:30-04",
            &["Sun 2026-11-01 01:30:00 -04", "Sun 2026-11-01 01:30:00 -05", "Sun 2026-11-01 02:30:00 -05"],
        ),
        (
            "Europe/Berlin",
            "*/30 * * * *",
            "2026-10-25 02:00+02",
            &["Sun 2026-10-25 02:30:00 +02", "Sun 2026-10-25 02:00:00 +01", "Sun 2026-10-25 02:30:00 +01"],
        ),
    ]);
}

#[test]
fn a_day_that_is_left_out_of_the_calendar_has_no_launches() {
    assert_launches(&[
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-29 00:00-10",
            &["Thu 2011-12-29 12:00:00 -10", "Sat 2011-12-31 12:00:00 +14"],
        ),
        ("Pacific/Apia", "0 12 30 12 *", "2011-01-01 00:00Z", &["Sun 2012-12-30 12:00:00 +14"]),
        ("Pacific/Apia", "0 0 * * FRI", "2011-12-28 00:00-10", &["Fri 2012-01-06 00:00:00 +14"]),
    ]);
}

#[test]
fn changes_of_days_that_do_not_touch_the_named_wall_time_change_nothing_else() {
    assert_launches(&[
        (
            "Europe/Berlin",
            "0 12 * * *",
            "2026-03-28 13:00+01",
            &["Sun 2026-03-29 12:00:00 +02", "Mon 2026-03-30 12:00:00 +02"],
        ),
        (
            "America/New_York",
            "0 4 * * *",
            "2026-10-31 05:00-04",
            &["Sun 2026-11-01 04:00:00 -05", "Mon 2026-11-02 04:00:00 -05"],
        ),
        (
            "Asia/Kolkata",
            "30 2 * * *",
            "2026-03-28 12:00+05:30",
            &["Sun 2026-03-29 02:30:00 +05:30", "Mon 2026-03-30 02:30:00 +05:30"],
        ),
        (
            "UTC",
            "30 2 * * *",
            "2026-03-28 12:00Z",
            &["Sun 2026-03-29 02:30:00 +00", "Mon 2026-03-30 02:30:00 +00"],
        ),
        (
            "UTC",
            "30 1 * * *",
            "2026-11-01 00:00Z",
            &["Sun 2026-11-01 01:30:00 +00", "Mon 2026-11-02 01:30:00 +00"],
        ),
    ]);
}

#[test]
fn changes_far_ahead_follow_the_rules_of_today() {
    assert_launches(&[
        ("America/New_York", "30 2 8 3 *", "2093-01-01 00:00Z", &["Mon 2094-03-08 02:30:00 -05"]),
        ("Europe/Berlin", "30 2 29 3 * 2099", "2099-01-01 00:00Z", &["never"]),
    ]);
}
