//! Valid and invalid expressions and zones, with the errors of the latter.

use crate::limits::CRON_SPEC_BYTES_MAX;
use crate::periodic::{Schedule, check_spec, check_time_zone, child_id};

#[test]
fn expressions_that_can_be_read() {
    for spec in [
        "* * * * *",
        "*/15 * * * *",
        "*/15 * * * * *",
        "0 9-17/2 * JAN,mar-jun MON-FRI",
        "0 0 1 January sunday",
        "0 0 L * ?",
        "0 0 15W,LW * *",
        "0 0 * * 5#3,fri#1,2L",
        "30 0 0 1 1 * 2030",
        "0 0 1 1 * 2030-2040/5,2099",
        "  0\t0  1 1\n * ",
        "01 04 1 1 1",
        "0 0 * * fri-sun",
        "0 9 * * MON-FRI,",
        "5/15 ? ? ? ? ?",
        "@hourly",
        " @Daily ",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
    ] {
        assert_eq!(check_spec(spec), Ok(()), "{spec}");
    }
}

#[test]
fn expressions_that_cannot_are_refused_with_the_known_words() {
    for (spec, reason) in [
        ("nope", "missing field(s)"),
        ("", "missing field(s)"),
        ("* * * *", "missing field(s)"),
        ("@reboot", "missing field(s)"),
        ("@every 1m", "missing field(s)"),
        ("* * * * * * * *", "too many fields"),
        ("60 * * * *", "syntax error in minute field: '60'"),
        ("-1 * * * *", "syntax error in minute field: '-1'"),
        ("+1 * * * *", "syntax error in minute field: '+1'"),
        ("001 * * * *", "syntax error in minute field: '001'"),
        ("* 24 * * *", "syntax error in hour field: '24'"),
        ("0 30 2 * * *", "syntax error in hour field: '30'"),
        ("* * 0 * *", "syntax error in day-of-month field: '0'"),
        ("* * 32 * *", "syntax error in day-of-month field: '32'"),
        ("* * 32W * *", "syntax error in day-of-month field: '32W'"),
        ("* * W * *", "syntax error in day-of-month field: 'W'"),
        ("* * L-3 * *", "syntax error in day-of-month field: 'L-3'"),
        ("* * * 13 *", "syntax error in month field: '13'"),
        ("* * * janu *", "syntax error in month field: 'janu'"),
        ("* * * * 8", "syntax error in day-of-week field: '8'"),
        ("* * * * L", "syntax error in day-of-week field: 'L'"),
        ("* * * * 5W", "syntax error in day-of-week field: '5W'"),
        ("* * * * 5#6", "syntax error in day-of-week field: '5#6'"),
        ("* * * * 5#0", "syntax error in day-of-week field: '5#0'"),
        ("* * * * 5-1", "syntax error in day-of-week field: '5-1'"),
        ("* 22-2 * * *", "syntax error in hour field: '22-2'"),
        ("0 0 2 ? * MON-SAT", "syntax error in year field: 'MON-SAT'"),
        ("0 0 1 1 * 1969", "syntax error in year field: '1969'"),
        ("0 0 1 1 * 2100", "syntax error in year field: '2100'"),
        ("60 0 0 1 1 * 2030", "syntax error in second field: '60'"),
        ("5L * * * *", "syntax error in minute field: '5L'"),
        ("*/5x * * * *", "syntax error in minute field: '*/5x'"),
        ("*/ * * * *", "syntax error in minute field: '*/'"),
        ("1-2-3 * * * *", "syntax error in minute field: '1-2-3'"),
        ("*-5 * * * *", "syntax error in minute field: '*-5'"),
        ("*/0 * * * *", "invalid interval */0"),
        ("*/60 * * * *", "invalid interval */60"),
        ("2-20/61 * * * *", "invalid interval 2-20/61"),
        ("*/99999999999999999999 * * * *", "invalid interval */99999999999999999999"),
        (", * * * *", "minute field: missing directive"),
        ("CRON_TZ=UTC 0 9 * * *", "syntax error in minute field: 'CRON_TZ=UTC'"),
        ("ä * * * *", "syntax error in minute field: 'ä'"),
    ] {
        let told = check_spec(spec).map_err(|fault| fault.to_string());
        assert_eq!(told, Err(format!("Invalid cron spec {spec:?}: {reason}")), "{spec}");
    }
}

#[test]
fn a_spec_of_more_bytes_than_are_read_is_refused_without_repeating_it() {
    let long = format!("{} * * * *", "0,".repeat(CRON_SPEC_BYTES_MAX / 2));
    let told = check_spec(&long).unwrap_err().to_string();
    assert_eq!(
        told,
        format!("Invalid cron spec \"{}…\": it has 1032 bytes, of which 1024 are read", "0,".repeat(32))
    );
    assert_eq!(check_spec(&format!("{} * * * *", "0,".repeat(500))), Ok(()));
}

#[test]
fn time_zones_are_those_of_the_iana_database_by_their_exact_names() {
    for name in ["", "UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "US/Eastern", "Etc/GMT-5"] {
        assert_eq!(check_time_zone(name), Ok(()), "{name}");
    }
    // Nomad's machines hold each zone under these names too.
    for name in ["posix/Europe/Berlin", "right/UTC"] {
        assert_eq!(check_time_zone(name), Ok(()), "{name}");
    }
    let long = "x".repeat(65);
    let shown = format!("{}…", "x".repeat(64));
    let unknown = format!("unknown time zone {shown}");
    for (name, shown, reason) in [
        ("Mars/Olympus", "Mars/Olympus", "unknown time zone Mars/Olympus"),
        ("Etc/Unknown", "Etc/Unknown", "unknown time zone Etc/Unknown"),
        ("europe/berlin", "europe/berlin", "unknown time zone europe/berlin (did you mean Europe/Berlin?)"),
        ("utc", "utc", "unknown time zone utc (did you mean UTC?)"),
        ("Asia/Calcuta", "Asia/Calcuta", "unknown time zone Asia/Calcuta (did you mean Asia/Calcutta?)"),
        ("Local", "Local", "the servers have no local time zone in common, name one of the IANA database"),
        ("../etc/passwd", "../etc/passwd", "time: invalid location name"),
        ("/etc/localtime", "/etc/localtime", "time: invalid location name"),
        (&long, &shown, &unknown),
    ] {
        let told = check_time_zone(name).map_err(|fault| fault.to_string());
        assert_eq!(told, Err(format!("Invalid time zone {shown:?}: {reason}")), "{name}");
    }
}

#[test]
fn a_schedule_is_refused_for_its_spec_or_its_zone() {
    let told = |spec, zone| Schedule::parse(spec, zone).map(|_| ()).map_err(|fault| fault.to_string());
    assert_eq!(told("nope", "UTC"), Err("Invalid cron spec \"nope\": missing field(s)".to_owned()));
    assert_eq!(
        told("@daily", "Mars/Olympus"),
        Err("Invalid time zone \"Mars/Olympus\": unknown time zone Mars/Olympus".to_owned())
    );
    assert_eq!(told("@daily", ""), Ok(()));
}

#[test]
fn a_child_is_named_by_its_parent_and_the_second_of_its_launch() {
    assert_eq!(child_id("a/b", 1_700_000_000), "a/b/periodic-1700000000");
}
