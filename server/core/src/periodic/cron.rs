//! Parses cron expressions.

use std::collections::BTreeSet;

use super::days::{Days, DaysOfMonth, DaysOfWeek};
use super::field::Field;
use super::{ScheduleError, shortened};
use crate::limits::CRON_SPEC_BYTES_MAX;

/// First year that a cron expression can match.
pub const FIRST_YEAR: i16 = 1970;
/// Last year that a cron expression can match. With [`FIRST_YEAR`] it bounds every search.
pub const LAST_YEAR: i16 = 2099;

const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const fn field(name: &'static str, min: i16, max: i16) -> Field {
    Field { name, min, max, names: &[], goes_round: false }
}
const SECOND: Field = field("second", 0, 59);
const MINUTE: Field = field("minute", 0, 59);
const HOUR: Field = field("hour", 0, 23);
const DAY_OF_MONTH: Field = field("day-of-month", 1, 31);
const MONTH: Field = Field { names: &MONTHS, ..field("month", 1, 12) };
const DAY_OF_WEEK: Field = Field { names: &DAYS, goes_round: true, ..field("day-of-week", 0, 6) };
const YEAR: Field = field("year", FIRST_YEAR, LAST_YEAR);

/// Set of wall times that a cron expression matches. No set of numbers is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    pub(super) seconds: BTreeSet<i8>,
    pub(super) minutes: BTreeSet<i8>,
    pub(super) hours: BTreeSet<i8>,
    pub(super) days: Days,
    pub(super) months: BTreeSet<i8>,
    pub(super) years: BTreeSet<i16>,
}

/// Checks the syntax of a cron expression.
pub fn check_spec(spec: &str) -> Result<(), ScheduleError> {
    Cron::parse(spec).map(|_| ())
}

impl Cron {
    pub(super) fn parse(spec: &str) -> Result<Cron, ScheduleError> {
        if spec.len() > CRON_SPEC_BYTES_MAX {
            let reason = format!("it has {} bytes, of which {CRON_SPEC_BYTES_MAX} are read", spec.len());
            return Err(ScheduleError::Spec { spec: shortened(spec), reason });
        }
        read(spec).map_err(|reason| ScheduleError::Spec { spec: spec.to_owned(), reason })
    }
}

fn read(spec: &str) -> Result<Cron, String> {
    let word = spec.trim_ascii();
    let known = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    let fields: Vec<&str> = known.map_or(spec, |(_, fields)| fields).split_ascii_whitespace().collect();
    let [second, minute, hour, day_of_month, month, day_of_week, year] = match fields[..] {
        [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday, "*"],
        [minute, hour, day, month, weekday, year] => ["0", minute, hour, day, month, weekday, year],
        [second, minute, hour, day, month, weekday, year] => {
            [second, minute, hour, day, month, weekday, year]
        }
        _ if fields.len() < 5 => return Err("missing field(s)".to_owned()),
        _ => return Err("too many fields".to_owned()),
    };
    let seconds = small_numbers(&SECOND, second)?;
    let minutes = small_numbers(&MINUTE, minute)?;
    let hours = small_numbers(&HOUR, hour)?;
    let of_month = days_of_month(day_of_month)?;
    let months = small_numbers(&MONTH, month)?;
    let of_week = days_of_week(day_of_week)?;
    let years = numbers(&YEAR, year)?;
    Ok(Cron { seconds, minutes, hours, days: Days { of_month, of_week }, months, years })
}

fn days_of_month(text: &str) -> Result<Option<DaysOfMonth>, String> {
    let mut days = DaysOfMonth::default();
    let numbers = DAY_OF_MONTH.read(text, |word| days.take_word(word, |text| DAY_OF_MONTH.number(text)))?;
    Ok(numbers.map(|numbers| {
        days.add_numbers(&numbers);
        days
    }))
}

fn days_of_week(text: &str) -> Result<Option<DaysOfWeek>, String> {
    let mut days = DaysOfWeek::default();
    let numbers = DAY_OF_WEEK.read(text, |word| days.take_word(word, |text| DAY_OF_WEEK.number(text)))?;
    Ok(numbers.map(|numbers| {
        days.add_numbers(&numbers);
        days
    }))
}

fn numbers(field: &Field, text: &str) -> Result<BTreeSet<i16>, String> {
    Ok(field.read(text, |_| false)?.unwrap_or_else(|| (field.min..=field.max).collect()))
}

fn small_numbers(field: &Field, text: &str) -> Result<BTreeSet<i8>, String> {
    Ok(numbers(field, text)?.into_iter().filter_map(|number| i8::try_from(number).ok()).collect())
}
