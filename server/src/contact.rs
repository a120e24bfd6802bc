//! What this server hears of its leader: that it is there, whether a quorum answers it, how far it has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When a leader that a quorum answers was last heard of, or this server was made one.
pub struct Contact {
    start: Instant,
    /// Milliseconds since `start`, plus one; 0 for never.
    at_ms: AtomicU64,
    /// When this server was elected last, likewise.
    elected_ms: AtomicU64,
    /// Whether this server may have taken entries from another leader.
    follows: AtomicBool,
    /// For how long no quorum has answered the leader, by its last word.
    leader_unanswered_ms: AtomicU64,
    /// The same of this server, where it leads.
    unanswered_ms: AtomicU64,
    /// The highest index that a leader has told to be committed; 0 where none has.
    committed_index: AtomicU64,
    /// The first index that one has told since this server started.
    first_committed_index: AtomicU64,
}

impl Contact {
    /// At the start of a server, whose log may have entries from another leader.
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

    /// A leader's entries have come and may be taken. To be called before they are.
    pub fn follow(&self) {
        self.follows.store(true, Ordering::SeqCst);
    }

    /// Whether this server may have entries from another leader.
    pub(crate) fn follows(&self) -> bool {
        self.follows.load(Ordering::SeqCst)
    }

    /// What the leader says with a heartbeat: for how long no quorum has answered it, and what is committed.
    pub fn note_leader(&self, unanswered_ms: u64, committed_index: u64) {
        self.leader_unanswered_ms.store(unanswered_ms, Ordering::Relaxed);
        self.committed_index.fetch_max(committed_index, Ordering::Relaxed);
        // Only the first is kept; what was there before says nothing new.
        let _ = self.first_committed_index.compare_exchange(
            0,
            committed_index,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// The leader was heard of now; since a quorum has left it, it is none that anything can be asked of.
    pub fn stamp(&self) {
        let at_ms = self.now_ms().saturating_sub(self.leader_unanswered_ms.load(Ordering::Relaxed));
        self.at_ms.store(at_ms.max(1), Ordering::Relaxed);
    }

    /// This server was made the leader now.
    pub(crate) fn elected(&self) {
        let now_ms = self.now_ms();
        self.elected_ms.store(now_ms, Ordering::Relaxed);
        self.at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A quorum has answered this server as the leader so long ago. Should it be deposed, it has not been without one
    /// since it was elected.
    pub(crate) fn answered(&self, ago: Duration) {
        let ago_ms = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        self.at_ms.fetch_max(self.now_ms().saturating_sub(ago_ms), Ordering::Relaxed);
    }

    /// The time since this server was elected last, if it ever was.
    pub(crate) fn elected_ago(&self) -> Option<Duration> {
        let elected_ms = self.elected_ms.load(Ordering::Relaxed);
        (elected_ms > 0).then(|| Duration::from_millis(self.now_ms().saturating_sub(elected_ms)))
    }

    /// Notes for how long no quorum has answered this server as the leader.
    pub(crate) fn note_unanswered(&self, unanswered_ms: u64) {
        self.unanswered_ms.store(unanswered_ms, Ordering::Relaxed);
    }

    /// What this server tells with its heartbeats, in milliseconds.
    pub(crate) fn unanswered_ms(&self) -> u64 {
        self.unanswered_ms.load(Ordering::Relaxed)
    }

    /// The highest index that a leader has told to be committed.
    pub(crate) fn committed_index(&self) -> u64 {
        self.committed_index.load(Ordering::Relaxed)
    }

    /// The first index that one has told since this server started.
    pub(crate) fn first_committed_index(&self) -> u64 {
        self.first_committed_index.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Milliseconds since then; since the start where it never was.
    pub(crate) fn age_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.at_ms.load(Ordering::Relaxed))
    }

    /// The time since then, if there was such a moment. A vote that a server finds in its log at the start says
    /// who led then, not who leads.
    pub(crate) fn age(&self) -> Option<Duration> {
        (self.at_ms.load(Ordering::Relaxed) > 0).then(|| Duration::from_millis(self.age_ms()))
    }

    /// Whether there was such a moment within `age`.
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
        // What was heard earlier says nothing new.
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
        // It goes on with its heartbeats.
        contact.note_leader(1_200, 7);
        contact.stamp();
        assert_eq!(1_200, contact.age_ms());
        contact.note_leader(0, 9);
        contact.stamp();
        assert_eq!(0, contact.age_ms());
        assert_eq!((7, 9), (contact.first_committed_index(), contact.committed_index()));
    }
}
