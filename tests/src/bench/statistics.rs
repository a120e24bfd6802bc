//! Percentiles of measured times.

use std::time::Duration;

/// The times of one measurement, in any order.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    microseconds: Vec<u32>,
}

impl Samples {
    /// Adds a time.
    pub fn push(&mut self, time: Duration) {
        self.microseconds.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds all times of another measurement.
    pub fn append(&mut self, mut other: Self) {
        self.microseconds.append(&mut other.microseconds);
    }

    /// Returns the number of times.
    pub fn len(&self) -> usize {
        self.microseconds.len()
    }

    /// Returns whether there are no times.
    pub fn is_empty(&self) -> bool {
        self.microseconds.is_empty()
    }

    /// Returns the times at these quantiles (0 to 1). A quantile is the smallest time that is not exceeded by this
    /// share of the times. All are zero if there are no samples.
    pub fn at<const COUNT: usize>(&self, shares: [f64; COUNT]) -> [Duration; COUNT] {
        let mut sorted = self.microseconds.clone();
        sorted.sort_unstable();
        shares.map(|share| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            let microseconds = sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0);
            Duration::from_micros(microseconds.into())
        })
    }

    /// Returns the median.
    pub fn median(&self) -> Duration {
        self.at([0.5])[0]
    }

    /// Returns the largest time.
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
