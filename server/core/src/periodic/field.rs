//! Parses one field of a cron expression (lists, ranges, steps and names) to a set of numbers.

use std::collections::BTreeSet;

/// Name of a field in errors, and the numbers and words it accepts.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: i16,
    pub(super) max: i16,
    /// Names of the numbers from `min` on; the first three letters suffice.
    pub(super) names: &'static [&'static str],
    /// Whether `max + 1` is an alias of `min`, and ranges may wrap around to it.
    pub(super) goes_round: bool,
}

/// Parsed entry of a field's list.
enum Entry {
    /// `*` or `?`.
    Every,
    /// A set of numbers.
    Numbers(BTreeSet<i16>),
    /// The step is zero or exceeds every number of the field.
    BadInterval,
    /// No form that all fields share.
    Unknown,
}

impl Field {
    /// Parses the field to a set of numbers, or `None` for a wildcard. Entries in none of the shared forms are passed
    /// to `take_word` in lower case, which returns whether they are valid in this field.
    pub(super) fn read(
        &self,
        text: &str,
        mut take_word: impl FnMut(&str) -> bool,
    ) -> Result<Option<BTreeSet<i16>>, String> {
        let mut numbers = BTreeSet::new();
        let mut every = false;
        let mut empty = true;
        // Ignore empty entries, as Nomad does.
        for entry in text.split(',').filter(|entry| !entry.is_empty()) {
            empty = false;
            let word = entry.to_ascii_lowercase();
            match self.entry(&word) {
                Entry::Every => every = true,
                Entry::Numbers(more) => numbers.extend(more),
                Entry::BadInterval => return Err(format!("invalid interval {entry}")),
                Entry::Unknown if take_word(&word) => {}
                Entry::Unknown => return Err(format!("syntax error in {} field: '{entry}'", self.name)),
            }
        }
        if empty {
            return Err(format!("{} field: missing directive", self.name));
        }
        Ok((!every).then_some(numbers))
    }

    /// Parses a number or a name, and resolves the alias of `min`.
    pub(super) fn number(&self, text: &str) -> Option<i16> {
        self.written(text).map(|number| self.folded(number))
    }

    /// Parses a number or a name. The result may be the alias `max + 1`.
    fn written(&self, text: &str) -> Option<i16> {
        let named = |name: &&str| *name == text || (text.len() == 3 && name.starts_with(text));
        if let Some(position) = self.names.iter().position(named) {
            return i16::try_from(position).ok().map(|position| position + self.min);
        }
        let highest = self.max + i16::from(self.goes_round);
        digits(text, self.max).filter(|number| (self.min..=highest).contains(number))
    }

    fn entry(&self, word: &str) -> Entry {
        let (range, step) = match word.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (word, None),
        };
        let span = match (range, range.split_once('-')) {
            ("*" | "?", _) if step.is_none() => return Entry::Every,
            ("*", _) => Some((self.min, self.max)),
            (_, Some((first, last))) => self.range(first, last),
            // A single number with a step extends to the field's end.
            (_, None) => {
                self.number(range).map(|first| (first, if step.is_some() { self.max } else { first }))
            }
        };
        let Some((first, last)) = span.filter(|(first, last)| first <= last) else { return Entry::Unknown };
        let step = match step {
            None => 1,
            Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Entry::Unknown;
            }
            Some(text) => match text.parse::<i16>() {
                Ok(step) if (1..=self.max).contains(&step) => step,
                _ => return Entry::BadInterval,
            },
        };
        let step = usize::from(step.unsigned_abs());
        Entry::Numbers((first..=last).step_by(step).map(|number| self.folded(number)).collect())
    }

    /// Parses the ends of a range. If the range wraps around to `min`, its end is `max + 1`.
    fn range(&self, first: &str, last: &str) -> Option<(i16, i16)> {
        let (first, last) = (self.written(first)?, self.written(last)?);
        if first == last {
            return Some((self.folded(first), self.folded(last)));
        }
        let first = self.folded(first);
        let ends_a_round_later = self.goes_round && last == self.min && first > self.min;
        Some((first, if ends_a_round_later { self.max + 1 } else { last }))
    }

    /// Maps the alias `max + 1` to `min`.
    fn folded(&self, number: i16) -> i16 {
        if self.goes_round && number > self.max { self.min } else { number }
    }
}

/// Parses a number of at most two digits, or four for years.
fn digits(text: &str, max: i16) -> Option<i16> {
    let digits_max = if max > 99 { 4 } else { 2 };
    let plain = (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
