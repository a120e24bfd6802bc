//! One field of a cron expression: lists, ranges, steps and names become a set of numbers.

use std::collections::BTreeSet;

/// A field's name in messages and the numbers and words it takes.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: i16,
    pub(super) max: i16,
    /// What the numbers from `min` on are also called; the first three letters do.
    pub(super) names: &'static [&'static str],
    /// Whether the number after `max` is another name of `min`, and ranges may go round to it.
    pub(super) goes_round: bool,
}

/// An entry of a field's list.
enum Entry {
    /// `*` or `?`.
    Every,
    /// These numbers.
    Numbers(BTreeSet<i16>),
    /// A step that is zero or larger than any number of the field.
    BadInterval,
    /// None of the forms that all fields share.
    Unknown,
}

impl Field {
    /// The numbers that the field names, `None` for every one. An entry in none of the shared forms goes
    /// to `take_word` in lower case, which says whether it is one of the field's own.
    pub(super) fn read(
        &self,
        text: &str,
        mut take_word: impl FnMut(&str) -> bool,
    ) -> Result<Option<BTreeSet<i16>>, String> {
        let mut numbers = BTreeSet::new();
        let mut every = false;
        let mut empty = true;
        // A comma too many is forgiven, as Nomad forgives it.
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

    /// The number that a text stands for.
    pub(super) fn number(&self, text: &str) -> Option<i16> {
        self.written(text).map(|number| self.folded(number))
    }

    /// The number as it is written: it may be the one after `max`.
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
            // A single number with a step goes on to the field's end.
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

    /// First and last of a range. If the last is `min` again, one round later, it is the one after `max`.
    fn range(&self, first: &str, last: &str) -> Option<(i16, i16)> {
        let (first, last) = (self.written(first)?, self.written(last)?);
        if first == last {
            return Some((self.folded(first), self.folded(last)));
        }
        let first = self.folded(first);
        let ends_a_round_later = self.goes_round && last == self.min && first > self.min;
        Some((first, if ends_a_round_later { self.max + 1 } else { last }))
    }

    /// The number itself, or the one it is another name of.
    fn folded(&self, number: i16) -> i16 {
        if self.goes_round && number > self.max { self.min } else { number }
    }
}

/// A number of at most as many digits as the largest has, or two.
fn digits(text: &str, max: i16) -> Option<i16> {
    let digits_max = if max > 99 { 4 } else { 2 };
    let plain = (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
