//! Functions on timestamps such as `2026-01-31T08:00:00Z`.

use std::fmt::Write;

use jiff::civil::DateTime;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use crate::hcl::parse_duration_ns;

use super::super::Fault;
use super::super::call::Call;
use super::{Function, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("formatdate", 2, |call| {
        let (pattern, moment) = (call.text(0)?, moment(call, 1)?);
        // The longest part, the name of a month, is made from four letters.
        call.budget.bytes(pattern.len().saturating_mul(3))?;
        let text = format(&pattern, &moment).map_err(Fault::from)?;
        call.made(text)
    }),
    exactly("timeadd", 2, |call| {
        let (moment, added) = (moment(call, 0)?, call.text(1)?);
        let Some(added) = parse_duration_ns(&added) else {
            return call.refuse(1, "has to be a duration like \"30s\" or \"-1h30m\"");
        };
        let later = moment.instant().and_then(|at| at.checked_add(SignedDuration::from_nanos(added)).ok());
        let Some(later) = later else {
            return call.refuse(1, "leads beyond the years that a timestamp can name");
        };
        let wall = moment.offset.to_datetime(later);
        call.made(Moment { wall, offset: moment.offset }.to_rfc3339())
    }),
];

/// A wall time with its offset from UTC.
struct Moment {
    wall: DateTime,
    offset: Offset,
}

/// Reads an argument as a timestamp of RFC 3339.
fn moment(call: &mut Call<'_>, at: usize) -> Result<Moment, Fault> {
    let text = call.text(at)?;
    let read = |text: &str| {
        let pieces = Pieces::parse(text).ok()?;
        let offset = match pieces.offset()? {
            PiecesOffset::Zulu => Offset::UTC,
            PiecesOffset::Numeric(offset) => offset.offset(),
            _ => return None,
        };
        Some(Moment { wall: pieces.date().to_datetime(pieces.time()?), offset })
    };
    let is_plain = |text: &str| !text.contains('[') && text.get(10..11).is_some_and(|letter| letter == "T");
    match read(&text).filter(|_| is_plain(&text)) {
        Some(moment) => Ok(moment),
        None => call.refuse(at, "has to be a timestamp like \"2026-01-31T08:00:00Z\""),
    }
}

impl Moment {
    fn instant(&self) -> Option<Timestamp> {
        self.offset.to_timestamp(self.wall).ok()
    }

    /// Writes the moment without its fraction of a second.
    fn to_rfc3339(&self) -> String {
        let wall = self.wall;
        let mut text = format!("{:04}-{:02}-{:02}T", wall.year(), wall.month(), wall.day());
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{:02}:{:02}:{:02}", wall.hour(), wall.minute(), wall.second());
        text + &self.offset_text(":", "Z")
    }

    /// Writes the offset with a sign between hours and minutes, or what stands for UTC.
    fn offset_text(&self, between: &str, utc: &str) -> String {
        let minutes = self.offset.seconds() / 60;
        if minutes == 0 && !utc.is_empty() {
            return utc.to_owned();
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}{between}{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Formats a moment: runs of one letter stand for its parts, and text in single quotes for itself.
fn format(pattern: &str, moment: &Moment) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            rest = quoted(&rest[1..], &mut text)?;
            continue;
        }
        let end = rest.find(|letter| letter != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        if first.is_ascii_alphabetic() {
            text.push_str(&part(run, moment)?);
        } else {
            text.push_str(run);
        }
    }
    Ok(text)
}

/// Appends a quoted text whose opening quote was taken already, and returns what follows it. Two quotes stand for one.
fn quoted<'p>(mut rest: &'p str, text: &mut String) -> Result<&'p str, String> {
    loop {
        let Some((inside, after)) = rest.split_once('\'') else {
            return Err("a quoted text in the pattern of `formatdate` is never closed: `'` is missing".into());
        };
        text.push_str(inside);
        match after.strip_prefix('\'') {
            Some(after) => {
                text.push('\'');
                rest = after;
            }
            None => return Ok(after),
        }
    }
}

fn part(run: &str, moment: &Moment) -> Result<String, String> {
    let wall = moment.wall;
    let hour_of_twelve = (wall.hour() + 11) % 12 + 1;
    let month = MONTHS[usize::from(wall.month().unsigned_abs()) - 1];
    let day = DAYS[usize::from(wall.weekday().to_sunday_zero_offset().unsigned_abs())];
    let half = if wall.hour() < 12 { "AM" } else { "PM" };
    Ok(match run {
        "YYYY" => format!("{:04}", wall.year()),
        "YY" => format!("{:02}", wall.year() % 100),
        "MMMM" => month.to_owned(),
        "MMM" => month[..3].to_owned(),
        "MM" => format!("{:02}", wall.month()),
        "M" => wall.month().to_string(),
        "DD" => format!("{:02}", wall.day()),
        "D" => wall.day().to_string(),
        "EEEE" => day.to_owned(),
        "EEE" => day[..3].to_owned(),
        "hh" => format!("{:02}", wall.hour()),
        "h" => wall.hour().to_string(),
        "HH" => format!("{hour_of_twelve:02}"),
        "H" => hour_of_twelve.to_string(),
        "AA" => half.to_owned(),
        "aa" => half.to_lowercase(),
        "mm" => format!("{:02}", wall.minute()),
        "m" => wall.minute().to_string(),
        "ss" => format!("{:02}", wall.second()),
        "s" => wall.second().to_string(),
        "ZZZZZ" => moment.offset_text(":", ""),
        "ZZZZ" => moment.offset_text("", ""),
        "ZZZ" => moment.offset_text("", "UTC"),
        "Z" => moment.offset_text(":", "Z"),
        other => {
            let other = crate::hcl::shortened(other);
            return Err(format!(
                "`{other}` stands for no part of a date; letters of their own are written in '…'"
            ));
        }
    })
}
