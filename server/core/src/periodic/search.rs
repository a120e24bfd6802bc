//! Finds the first and the last wall time in an interval that a cron expression matches.

use jiff::civil::{Date, DateTime, Time};

use super::cron::Cron;

impl Cron {
    /// Returns the first matching wall time from `from` to `to`, inclusive.
    pub(super) fn first_in(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        let mut date = self.first_date(from.date(), to.date())?;
        let mut time = Time::midnight();
        if date == from.date() {
            match self.first_time(from.time()) {
                Some(first) => time = first,
                None => date = self.first_date(date.tomorrow().ok()?, to.date())?,
            }
        }
        if date > from.date() {
            time = self.first_time(time)?;
        }
        let wall = date.to_datetime(time);
        (wall <= to).then_some(wall)
    }

    /// Returns the last matching wall time from `from` to `to`, inclusive.
    pub(super) fn last_in(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        let mut date = self.last_date(from.date(), to.date())?;
        let mut time = Time::MAX;
        if date == to.date() {
            match self.last_time(to.time()) {
                Some(last) => time = last,
                None => date = self.last_date(from.date(), date.yesterday().ok()?)?,
            }
        }
        if date < to.date() {
            time = self.last_time(time)?;
        }
        let wall = date.to_datetime(time);
        (wall >= from).then_some(wall)
    }

    fn first_date(&self, from: Date, to: Date) -> Option<Date> {
        for year in self.years.range(from.year()..).copied().take_while(|year| *year <= to.year()) {
            let january = if year == from.year() { from.month() } else { 1 };
            for month in self.months.range(january..).copied() {
                let month_start = Date::new(year, month, 1).ok()?;
                if month_start > to {
                    return None;
                }
                let before = if from > month_start { from.day() - 1 } else { 0 };
                let days = self.days.in_month(year, month) & !days_up_to(before);
                if days != 0 {
                    let day = i8::try_from(days.trailing_zeros()).ok()?;
                    return Date::new(year, month, day).ok().filter(|date| *date <= to);
                }
            }
        }
        None
    }

    fn last_date(&self, from: Date, to: Date) -> Option<Date> {
        for year in self.years.range(..=to.year()).rev().copied().take_while(|year| *year >= from.year()) {
            let december = if year == to.year() { to.month() } else { 12 };
            for month in self.months.range(..=december).rev().copied() {
                let month_end = Date::new(year, month, 1).ok()?.last_of_month();
                if month_end < from {
                    return None;
                }
                let last = if to < month_end { to.day() } else { month_end.day() };
                let days = self.days.in_month(year, month) & days_up_to(last);
                if days != 0 {
                    let day = i8::try_from(days.ilog2()).ok()?;
                    return Date::new(year, month, day).ok().filter(|date| *date >= from);
                }
            }
        }
        None
    }

    fn first_time(&self, from: Time) -> Option<Time> {
        for hour in self.hours.range(from.hour()..).copied() {
            let first_minute = if hour == from.hour() { from.minute() } else { 0 };
            for minute in self.minutes.range(first_minute..).copied() {
                let first_second =
                    if (hour, minute) == (from.hour(), from.minute()) { from.second() } else { 0 };
                if let Some(second) = self.seconds.range(first_second..).next() {
                    return Time::new(hour, minute, *second, 0).ok();
                }
            }
        }
        None
    }

    fn last_time(&self, to: Time) -> Option<Time> {
        for hour in self.hours.range(..=to.hour()).rev().copied() {
            let last_minute = if hour == to.hour() { to.minute() } else { 59 };
            for minute in self.minutes.range(..=last_minute).rev().copied() {
                let last_second = if (hour, minute) == (to.hour(), to.minute()) { to.second() } else { 59 };
                if let Some(second) = self.seconds.range(..=last_second).next_back() {
                    return Time::new(hour, minute, *second, 0).ok();
                }
            }
        }
        None
    }
}

/// Returns the mask of the days from the first to `day`. It includes bit 0, which stands for no day.
fn days_up_to(day: i8) -> u32 {
    (1..=day).fold(1, |mask, day| mask | (1 << day))
}
