//! What the broker tells of itself.

/// How many evaluations the broker has, and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Those that a worker could have now.
    pub ready: usize,
    /// Those that workers have.
    pub outstanding: usize,
    /// Those that wait for another one of their job.
    pub waiting: usize,
    /// Those that wait for a time.
    pub delayed: usize,
    /// Those of the ready ones that were handed out as often as allowed.
    pub failed: usize,
    /// Those of all of them that were blocked before they came.
    pub woken: usize,
    /// When the oldest of those that were woken was made.
    pub oldest_woken_ns: Option<i64>,
    /// Since when the one is to be decided that is for longest. One that a worker gave back is so since it first was.
    pub oldest_due_ns: Option<i64>,
}

impl BrokerStats {
    /// All of them.
    pub fn total(&self) -> usize {
        self.ready + self.outstanding + self.waiting + self.delayed
    }
}
