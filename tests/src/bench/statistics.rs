//! Percentiles of measured times.

use std::time::Duration;

/// Times of one measure, in any order.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    microseconds: Vec<u32>,
}

impl Samples {
    /// Adds a time.
    pub fn push(&mut self, time: Duration) {
        self.microseconds.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds all times of another.
    pub fn append(&mut self, mut other: Self) {
        self.microseconds.append(&mut other.microseconds);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.microseconds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.microseconds.is_empty()
    }

    /// The times at these shares of the whole, 0 to 1, each the smallest that so many do not exceed. All zero
    /// where there are no samples.
    pub fn at<const COUNT: usize>(&self, shares: [f64; COUNT]) -> [Duration; COUNT] {
        let mut sorted = self.microseconds.clone();
        sorted.sort_unstable();
        shares.map(|share| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            let microseconds = sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0);
            Duration::from_micros(microseconds.into())
        })
    }

    /// The median.
    pub fn median(&self) -> Duration {
        self.at([0.5])[0]
    }

    /// The largest.
    pub fn last(&self) -> Duration {
        self.at([1.0])[0]
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut samples = Self::default();
        times.into_iter().for_each(|time| samples.push(time));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_themselves() {
        let samples: Samples = (1..=100).rev().map(Duration::from_millis).collect();
        let found = samples.at([0.0, 0.5, 0.99, 1.0]).map(|time| time.as_millis());
        assert_eq!(found, [1, 50, 99, 100]);
        assert_eq!(Samples::default().median(), Duration::ZERO);
    }
}
