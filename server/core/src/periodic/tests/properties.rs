//! Random expressions, zones and times, compared with a matcher that tests each second.

use std::fmt::{self, Display};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{ns, schedule, zone};
use crate::limits::CRON_SPEC_BYTES_MAX;
use crate::periodic::{Schedule, missed_launch};

const NS: i64 = 1_000_000_000;

/// Intended meaning of a list entry in a field.
#[derive(Debug, Clone)]
enum Entry {
    Every,
    One(i16),
    Span(i16, i16),
    Steps(i16, i16, i16),
    LastDay,
    LastWeekday,
    NearestWeekday(i16),
    Nth(i16, i16),
    LastOfWeekday(i16),
}
use Entry::*;

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every => f.write_str("*"),
            One(number) => write!(f, "{number}"),
            Span(first, last) => write!(f, "{first}-{last}"),
            Steps(first, last, step) => write!(f, "{first}-{last}/{step}"),
            LastDay => f.write_str("L"),
            LastWeekday => f.write_str("lw"),
            NearestWeekday(day) => write!(f, "{day}W"),
            Nth(day, week) => write!(f, "{day}#{week}"),
            LastOfWeekday(day) => write!(f, "{day}L"),
        }
    }
}

impl Entry {
    fn has(&self, number: i16) -> bool {
        match *self {
            Every => true,
            One(one) => one == number,
            Span(first, last) => (first..=last).contains(&number),
            Steps(first, last, step) => (first..=last).contains(&number) && (number - first) % step == 0,
            _ => false,
        }
    }

    fn has_day_of_month(&self, date: Date) -> bool {
        let weekdays: Vec<Date> = (1..=date.days_in_month())
            .map(|day| Date::new(date.year(), date.month(), day).unwrap())
            .filter(|day| !matches!(day_of_week(*day), 0 | 6))
            .collect();
        match *self {
            LastDay => date.day() == date.days_in_month(),
            LastWeekday => weekdays.last() == Some(&date),
            NearestWeekday(day) if day <= date.days_in_month().into() => {
                weekdays.iter().min_by_key(|weekday| (i16::from(weekday.day()) - day).abs()) == Some(&date)
            }
            _ => self.has(date.day().into()),
        }
    }

    fn has_day_of_week(&self, date: Date) -> bool {
        let is_same_day = |day: i16| day % 7 == day_of_week(date);
        match *self {
            Nth(day, week) => is_same_day(day) && i16::from((date.day() + 6) / 7) == week,
            LastOfWeekday(day) => is_same_day(day) && date.day() + 7 > date.days_in_month(),
            // Sunday is both 0 and 7.
            _ => self.has(day_of_week(date)) || day_of_week(date) == 0 && self.has(7),
        }
    }
}

fn day_of_week(date: Date) -> i16 {
    date.weekday().to_sunday_zero_offset().into()
}

/// Second, minute, hour, day of month, month, day of week, year.
#[derive(Debug, Clone)]
struct Meant([Vec<Entry>; 7]);

impl Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |entries: &Vec<Entry>| entries.iter().map(Entry::to_string).collect::<Vec<_>>().join(",");
        f.write_str(&self.0.iter().map(field).collect::<Vec<_>>().join(" "))
    }
}

impl Meant {
    fn names(&self, wall: DateTime) -> bool {
        let [second, minute, hour, day, month, weekday, year] = &self.0;
        let any = |field: &[Entry], number: i16| field.iter().any(|entry| entry.has(number));
        let is_wild = |field: &[Entry]| field.iter().any(|entry| matches!(entry, Every));
        let by_month = day.iter().any(|entry| entry.has_day_of_month(wall.date()));
        let by_week = weekday.iter().any(|entry| entry.has_day_of_week(wall.date()));
        let is_day = match (is_wild(day), is_wild(weekday)) {
            (false, false) => by_month || by_week,
            _ => by_month && by_week,
        };
        is_day
            && any(second, wall.second().into())
            && any(minute, wall.minute().into())
            && any(hour, wall.hour().into())
            && any(month, wall.month().into())
            && any(year, wall.year())
    }

    /// Returns the launches in the given seconds by testing every `step`-th second.
    fn launches(&self, zone_name: &str, seconds: std::ops::Range<i64>, step: usize) -> Vec<i64> {
        let zone = zone(zone_name);
        let wall = |second: &i64| zone.to_datetime(Timestamp::from_second(*second).unwrap());
        seconds.step_by(step).filter(|second| self.names(wall(second))).map(|second| second * NS).collect()
    }
}

fn number(min: i16, max: i16) -> BoxedStrategy<Entry> {
    let span = move |(a, b): (i16, i16)| (a.min(b), a.max(b));
    prop_oneof![
        3 => Just(Every),
        2 => (min..=max).prop_map(One),
        1 => (min..=max, min..=max).prop_map(span).prop_map(|(first, last)| Span(first, last)),
        1 => (min..=max, min..=max, 1..=(max - 1).min(20))
            .prop_map(move |(a, b, step)| { let (first, last) = span((a, b)); Steps(first, last, step) }),
    ]
    .boxed()
}

fn day_of_month_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        4 => number(1, 31),
        1 => Just(LastDay),
        1 => Just(LastWeekday),
        2 => (1..=31i16).prop_map(NearestWeekday),
    ]
}

fn day_of_week_entry() -> impl Strategy<Value = Entry> {
    let nth = (0..=7i16, 1..=5i16).prop_map(|(day, week)| Nth(day, week));
    prop_oneof![4 => number(0, 7), 1 => nth, 1 => (0..=7i16).prop_map(LastOfWeekday)]
}

prop_compose! {
    fn meant(seconds: BoxedStrategy<Entry>)(
        second in seconds,
        minute in vec(number(0, 59), 1..3),
        hour in vec(number(0, 23), 1..3),
        day in vec(day_of_month_entry(), 1..3),
        month in number(1, 12),
        weekday in vec(day_of_week_entry(), 1..3),
        year in prop_oneof![3 => Just(Every), 1 => (2010..2030i16).prop_map(|year| Span(year, year + 8))],
    ) -> Meant {
        Meant([vec![second], minute, hour, day, vec![month], weekday, vec![year]])
    }
}

/// Zones, each with the time of a clock change.
const CHANGES: [(&str, &str); 12] = [
    ("UTC", "2026-03-29 01:00Z"),
    ("America/New_York", "2026-03-08 07:00Z"),
    ("America/New_York", "2026-11-01 06:00Z"),
    ("Europe/Berlin", "2026-03-29 01:00Z"),
    ("Europe/Berlin", "2026-10-25 01:00Z"),
    ("Australia/Lord_Howe", "2019-10-05 15:30Z"),
    ("Australia/Lord_Howe", "2019-04-06 15:00Z"),
    ("Asia/Kolkata", "2026-10-25 01:00Z"),
    ("Pacific/Apia", "2011-12-30 10:00Z"),
    ("America/Sao_Paulo", "2018-11-04 03:00Z"),
    ("America/Sao_Paulo", "2018-02-18 02:00Z"),
    ("Antarctica/Troll", "2026-03-29 01:00Z"),
];

fn zone_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&CHANGES[..]).prop_map(|(zone, _)| zone)
}

/// Generates a zone, and a second within `hours_before` a clock change or anywhere in several years.
fn place(hours_before: i64) -> impl Strategy<Value = (&'static str, i64)> {
    let near = (prop::sample::select(&CHANGES[..]), 0..=hours_before * 3_600)
        .prop_map(|((zone, change), before)| (zone, ns(change) / NS - before));
    prop_oneof![2 => near, 1 => (zone_name(), 1_262_304_000..1_893_456_000i64)]
}

/// Asserts that forward and backward searches over a range of seconds find the launches of the naive matcher.
fn assert_same(meant: &Meant, zone: &str, seconds: std::ops::Range<i64>, step: usize) {
    let schedule = schedule(&meant.to_string(), zone);
    let expected = meant.launches(zone, seconds.clone(), step);
    let (first, end) = (seconds.start * NS, seconds.end * NS);
    let mut forward = Vec::new();
    let mut at = first - 1;
    while let Some(next) = schedule.next_after(at).filter(|next| *next < end) {
        assert!(next > at, "{meant} in {zone}: {next} after {at}");
        forward.push(next);
        at = next;
    }
    assert_eq!(forward, expected, "{meant} in {zone}, forward");
    let mut backward = Vec::new();
    let mut at = end - 1;
    while let Some(latest) = missed_launch(&schedule, i64::MIN, at).filter(|latest| *latest >= first) {
        backward.push(latest);
        at = latest - 1;
    }
    backward.reverse();
    assert_eq!(backward, expected, "{meant} in {zone}, backward");
    assert_eq!(missed_launch(&schedule, first - 1, end - 1), expected.last().copied(), "{meant} in {zone}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn days_are_those_of_a_matcher_that_looks_at_every_minute(
        meant in meant(Just(One(0)).boxed()), (zone, from) in place(40),
    ) {
        let from = from - from.rem_euclid(60);
        assert_same(&meant, zone, from..from + 2 * 86_400, 60);
    }

    #[test]
    fn seconds_are_those_of_a_matcher_that_looks_at_every_second(
        meant in meant(number(0, 59)), (zone, from) in place(1),
    ) {
        assert_same(&meant, zone, from..from + 3_600, 1);
    }

    #[test]
    fn a_launch_is_after_its_time_and_the_latest_at_its_own(
        meant in meant(number(0, 59)), zone in zone_name(), at in any::<i64>(),
    ) {
        let schedule = schedule(&meant.to_string(), zone);
        if let Some(next) = schedule.next_after(at) {
            prop_assert!(next > at);
            prop_assert_eq!(missed_launch(&schedule, i64::MIN, next), Some(next));
            prop_assert_eq!(missed_launch(&schedule, at, next), Some(next));
            prop_assert_eq!(missed_launch(&schedule, at, next - 1), None);
        }
        if let Some(latest) = missed_launch(&schedule, i64::MIN, at) {
            prop_assert!(latest <= at);
            prop_assert_eq!(schedule.next_after(latest - 1), Some(latest));
        }
    }

    #[test]
    fn no_text_is_too_strange(text in strange_text(), zone in ".{0,20}", at in any::<i64>()) {
        let schedule = Schedule::parse(&text, "UTC");
        if let Ok(schedule) = &schedule {
            prop_assert!(schedule.next_after(at).is_none_or(|next| next > at));
            prop_assert!(missed_launch(schedule, i64::MIN, at).is_none_or(|latest| latest <= at));
        }
        // The zone is arbitrary text too.
        prop_assert!(Schedule::parse("@daily", &zone).map(|daily| daily.next_after(0)) != Ok(None));
    }
}

/// Generates arbitrary text, and text that is nearly an expression.
fn strange_text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "*", "?", "/", "-", ",", "#", "L", "w", "0", "1", "7", "15", "31", "59", "2099", "1970", "mon",
        "Feb", "99999", "@daily", " ", " ", " ", "\t", "ß",
    ]);
    prop_oneof![
        any::<String>(),
        vec(word, 0..40).prop_map(|words| words.concat()),
        vec("[0-9*/,LW#-]{1,6}", 5..8).prop_map(|fields| fields.join(" ")),
        Just("*/1,".repeat(CRON_SPEC_BYTES_MAX / 4)),
    ]
}
