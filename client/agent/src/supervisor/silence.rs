//! Notices that the supervisor has stopped answering, although its connection stands.

use std::time::Duration;

use tokio::time::Instant;

/// Measures how long the supervisor has owed an answer without sending anything.
#[derive(Debug)]
pub(crate) struct Silence {
    patience: Duration,
    /// Since when the present silence lasts; none while no answer is owed.
    since: Option<Instant>,
    is_told: bool,
}

impl Silence {
    /// Starts without an owed answer. A silence longer than `patience` is to be told.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, since: None, is_told: false }
    }

    /// Records that a request was handed to the supervisor's connection.
    pub(crate) fn asked(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Records that something was received, after which answers are owed or not. Returns the length of the silence if
    /// it was told and now ends.
    pub(crate) fn heard(&mut self, is_owed: bool) -> Option<Duration> {
        let lasted = self.since.map(|since| since.elapsed());
        self.since = is_owed.then(Instant::now);
        lasted.filter(|_| std::mem::take(&mut self.is_told))
    }

    /// Returns the length of the silence, once, when it has become too long.
    pub(crate) fn news(&mut self) -> Option<Duration> {
        let lasts = self.since?.elapsed();
        (lasts > self.patience && !std::mem::replace(&mut self.is_told, true)).then_some(lasts)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silence_is_told_once_and_its_end_once() {
        let second = Duration::from_secs(1);
        let mut silence = Silence::new(10 * second);
        advance(60 * second).await;
        assert_eq!(silence.news(), None, "nothing is owed");
        silence.asked();
        advance(9 * second).await;
        silence.asked();
        assert_eq!((silence.heard(true), silence.news()), (None, None));
        advance(11 * second).await;
        assert_eq!((silence.news(), silence.news()), (Some(11 * second), None));
        advance(second).await;
        assert_eq!((silence.heard(false), silence.heard(false)), (Some(12 * second), None));
        advance(60 * second).await;
        assert_eq!(silence.news(), None);
    }
}
