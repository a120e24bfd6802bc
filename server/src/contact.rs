//! Tracks contact with the leader: when it was last heard from, whether a quorum answers it, and its commit
//! index.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Records of contact. "Last contact" is the last moment at which this server heard from a leader that a
/// quorum answers, or was elected itself.
pub struct Contact {
    start: Instant,
    /// Last contact, in milliseconds since `start` plus one; 0 for never.
    at_ms: AtomicU64,
    /// Last election of this server, in the same unit.
    elected_ms: AtomicU64,
    /// Whether this server's log may contain entries from another leader.
    follows: AtomicBool,
    /// For how long no quorum has answered the leader, by its last heartbeat.
    leader_unanswered_ms: AtomicU64,
    /// For how long no quorum has answered this server, if it leads.
    unanswered_ms: AtomicU64,
    /// The highest commit index heard from a leader; 0 if none.
    committed_index: AtomicU64,
    /// The first commit index heard from a leader since this server started; 0 if none.
    first_committed_index: AtomicU64,
}

impl Contact {
    /// Creates the records at server start. `follows`: whether the log may have entries from another leader.
    pub fn new(follows: bool) -> Self {
        Self {
            start: Instant::now(),
            at_ms: AtomicU64::new(0),
            elected_ms: AtomicU64::new(0),
            follows: AtomicBool::new(follows),
            leader_unanswered_ms: AtomicU64::new(0),
            unanswered_ms: AtomicU64::new(0),
            committed_index: AtomicU64::new(0),
            first_committed_index: AtomicU64::new(0),
        }
    }

    /// Records that entries from another leader may be in the log. Must be called before they are appended.
    pub fn follow(&self) {
        self.follows.store(true, Ordering::SeqCst);
    }

    /// Whether the log may contain entries from another leader.
    pub(crate) fn follows(&self) -> bool {
        self.follows.load(Ordering::SeqCst)
    }

    /// Records what a leader's heartbeat says: for how long no quorum has answered it, and its commit index.
    pub fn note_leader(&self, unanswered_ms: u64, committed_index: u64) {
        self.leader_unanswered_ms.store(unanswered_ms, Ordering::Relaxed);
        self.committed_index.fetch_max(committed_index, Ordering::Relaxed);
        // Keeps only the first value; a failed exchange is expected.
        let _ = self.first_committed_index.compare_exchange(
            0,
            committed_index,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Records that the leader was heard from. If no quorum answers the leader, the contact dates back to the
    /// quorum's last answer.
    pub fn stamp(&self) {
        let at_ms = self.now_ms().saturating_sub(self.leader_unanswered_ms.load(Ordering::Relaxed));
        self.at_ms.store(at_ms.max(1), Ordering::Relaxed);
    }

    /// Records that this server was elected.
    pub(crate) fn elected(&self) {
        let now_ms = self.now_ms();
        self.elected_ms.store(now_ms, Ordering::Relaxed);
        self.at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Records that a quorum answered this leader `ago`. If it is deposed, its last contact is then that
    /// answer, not its election.
    pub(crate) fn answered(&self, ago: Duration) {
        let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        self.at_ms.fetch_max(self.now_ms().saturating_sub(ago_ms), Ordering::Relaxed);
    }

    /// Returns the time since this server was last elected, if ever.
    pub(crate) fn elected_ago(&self) -> Option<Duration> {
        let elected_ms = self.elected_ms.load(Ordering::Relaxed);
        (elected_ms > 0).then(|| Duration::from_millis(self.now_ms().saturating_sub(elected_ms)))
    }

    /// Records for how long no quorum has answered this server as the leader.
    pub(crate) fn note_unanswered(&self, unanswered_ms: u64) {
        self.unanswered_ms.store(unanswered_ms, Ordering::Relaxed);
    }

    /// Returns the time, in milliseconds, that this server sends with its heartbeats.
    pub(crate) fn unanswered_ms(&self) -> u64 {
        self.unanswered_ms.load(Ordering::Relaxed)
    }

    /// Returns the highest commit index heard from a leader.
    pub(crate) fn committed_index(&self) -> u64 {
        self.committed_index.load(Ordering::Relaxed)
    }

    /// Returns the first commit index heard from a leader since this server started.
    pub(crate) fn first_committed_index(&self) -> u64 {
        self.first_committed_index.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Returns the milliseconds since the last contact, or since the start if there was none.
    pub(crate) fn age_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.at_ms.load(Ordering::Relaxed))
    }

    /// Returns the time since the last contact, if there was one since the start. (A vote found in the log at
    /// the start names a past leader, not the current one.)
    pub(crate) fn age(&self) -> Option<Duration> {
        (self.at_ms.load(Ordering::Relaxed) > 0).then(|| Duration::from_millis(self.age_ms()))
    }

    /// Whether the last contact was within `age`.
    pub(crate) fn is_within(&self, age: Duration) -> bool {
        self.age().is_some_and(|since| since < age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_deposed_has_not_been_without_one_since_it_was_elected() {
        let contact = Contact::new(false);
        contact.elected();
        tokio::time::advance(Duration::from_secs(60)).await;
        contact.answered(Duration::from_millis(80));
        assert_eq!(80, contact.age_ms());
        // An earlier answer changes nothing.
        contact.answered(Duration::from_secs(9));
        assert_eq!(80, contact.age_ms());
        assert_eq!(Some(Duration::from_secs(60)), contact.elected_ago());
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_no_quorum_answers_is_heard_of_no_more() {
        let contact = Contact::new(false);
        assert!(!contact.is_within(Duration::MAX), "there was none yet");
        tokio::time::advance(Duration::from_secs(10)).await;
        contact.note_leader(0, 7);
        contact.stamp();
        assert!(contact.is_within(Duration::from_millis(1)));
        // The leader goes on sending heartbeats.
        contact.note_leader(1_200, 7);
        contact.stamp();
        assert_eq!(1_200, contact.age_ms());
        contact.note_leader(0, 9);
        contact.stamp();
        assert_eq!(0, contact.age_ms());
        assert_eq!((7, 9), (contact.first_committed_index(), contact.committed_index()));
    }
}
