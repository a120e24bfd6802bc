//! The broker's statistics.

/// Numbers of evaluations in the broker, by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Evaluations that a worker could get now.
    pub ready: usize,
    /// Evaluations delivered to workers and not yet acknowledged.
    pub outstanding: usize,
    /// Evaluations that wait for another one of the same job.
    pub waiting: usize,
    /// Evaluations that wait for a point in time.
    pub delayed: usize,
    /// Ready evaluations that have reached the delivery limit.
    pub failed: usize,
    /// Evaluations that were blocked before they were enqueued.
    pub woken: usize,
    /// Creation time of the oldest woken evaluation.
    pub oldest_woken_ns: Option<i64>,
    /// Time since which the longest waiting evaluation has been due. A nack does not reset this time.
    pub oldest_due_ns: Option<i64>,
}

impl BrokerStats {
    /// Returns the total number of evaluations.
    pub fn total(&self) -> usize {
        self.ready + self.outstanding + self.waiting + self.delayed
    }
}
