//! Matches the days of a month by the two day fields of a cron expression.

use std::collections::BTreeSet;

use jiff::civil::Date;

/// Set of days of a month: bit 1 is the first day.
pub(super) type DaysMask = u32;

/// The day-of-month field; wildcards are represented by `None` in [`Days`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DaysOfMonth {
    days: DaysMask,
    /// Days with the suffix `W`, which stand for the nearest weekday.
    nearest_weekday: DaysMask,
    last: bool,
    last_weekday: bool,
}

/// The day-of-week field. Masks have a bit for each day of the week; bit 0 is Sunday.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DaysOfWeek {
    every: u8,
    /// Masks of `#1` to `#5`: the first to fifth such day of the month.
    nth: [u8; 5],
    last: u8,
}

/// Both day fields; `None` for a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) of_month: Option<DaysOfMonth>,
    pub(super) of_week: Option<DaysOfWeek>,
}

/// A month of the calendar.
#[derive(Clone, Copy)]
struct Month {
    days: u32,
    /// Day of the week of the first day; 0 is Sunday.
    starts_on: u32,
}

impl Days {
    /// Returns the matching days of the month. If neither field is a wildcard, a day that either matches counts.
    pub(super) fn in_month(&self, year: i16, month: i8) -> DaysMask {
        let Some(month) = Month::of(year, month) else { return 0 };
        match (&self.of_month, &self.of_week) {
            (None, None) => month.all(),
            (Some(of_month), None) => of_month.of(month),
            (None, Some(of_week)) => of_week.of(month),
            (Some(of_month), Some(of_week)) => of_month.of(month) | of_week.of(month),
        }
    }
}

impl DaysOfMonth {
    pub(super) fn add_numbers(&mut self, days: &BTreeSet<i16>) {
        self.days |= days.iter().fold(0, |mask, day| mask | day_bit(*day));
    }

    /// Parses `l`, `lw` or a day like `15w`. Returns whether the word is one of these.
    pub(super) fn take_word(&mut self, word: &str, number: impl Fn(&str) -> Option<i16>) -> bool {
        match (word, word.strip_suffix('w').and_then(number)) {
            ("l", _) => self.last = true,
            ("lw", _) => self.last_weekday = true,
            (_, Some(day)) => self.nearest_weekday |= day_bit(day),
            _ => return false,
        }
        true
    }

    fn of(&self, month: Month) -> DaysMask {
        let mut mask = self.days & month.all();
        for day in (1..=month.days).filter(|day| self.nearest_weekday & (1 << day) != 0) {
            mask |= 1 << month.weekday_nearest_to(day);
        }
        if self.last {
            mask |= 1 << month.days;
        }
        if self.last_weekday {
            mask |= 1 << month.weekday_nearest_to(month.days);
        }
        mask
    }
}

impl DaysOfWeek {
    pub(super) fn add_numbers(&mut self, days: &BTreeSet<i16>) {
        self.every |= days.iter().fold(0, |mask, day| mask | week_bit(*day));
    }

    /// Parses a word like `5l` or `5#3`. Returns whether the word is one of these.
    pub(super) fn take_word(&mut self, word: &str, number: impl Fn(&str) -> Option<i16>) -> bool {
        if let Some(day) = word.strip_suffix('l').and_then(&number) {
            self.last |= week_bit(day);
            return true;
        }
        let Some((day, week)) = word.split_once('#') else { return false };
        let Some(week) = ["1", "2", "3", "4", "5"].iter().position(|digit| *digit == week) else {
            return false;
        };
        match number(day) {
            Some(day) => self.nth[week] |= week_bit(day),
            None => return false,
        }
        true
    }

    fn of(&self, month: Month) -> DaysMask {
        let is_meant = |day: &u32| {
            let bit = 1u8 << month.day_of_week(*day);
            let nth = (0..).zip(self.nth).any(|(week, days)| (day - 1) / 7 == week && days & bit != 0);
            let last = day + 7 > month.days && self.last & bit != 0;
            self.every & bit != 0 || nth || last
        };
        (1..=month.days).filter(is_meant).fold(0, |mask, day| mask | (1 << day))
    }
}

impl Month {
    fn of(year: i16, month: i8) -> Option<Month> {
        let first = Date::new(year, month, 1).ok()?;
        let starts_on = first.weekday().to_sunday_zero_offset();
        Some(Month {
            days: first.days_in_month().unsigned_abs().into(),
            starts_on: starts_on.unsigned_abs().into(),
        })
    }

    fn all(self) -> DaysMask {
        (1..=self.days).fold(0, |mask, day| mask | (1 << day))
    }

    fn day_of_week(self, day: u32) -> u32 {
        (self.starts_on + day - 1) % 7
    }

    /// Returns the day from Monday to Friday in this month that is nearest to `day`.
    fn weekday_nearest_to(self, day: u32) -> u32 {
        match self.day_of_week(day) {
            0 if day < self.days => day + 1,
            0 => day - 2,
            6 if day > 1 => day - 1,
            6 => day + 2,
            _ => day,
        }
    }
}

fn day_bit(day: i16) -> DaysMask {
    u32::try_from(day).ok().and_then(|day| 1u32.checked_shl(day)).unwrap_or(0)
}

fn week_bit(day: i16) -> u8 {
    u32::try_from(day).ok().and_then(|day| 1u8.checked_shl(day)).unwrap_or(0)
}
