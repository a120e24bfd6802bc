//! The path of a plan: it waits by priority, is checked together with others, goes into one log entry with
//! those that fit, and its worker gets the outcome.

mod applier;
mod entry;
mod in_flight;
mod queue;

pub(super) use applier::Applier;
pub(super) use in_flight::InFlight;
pub(super) use queue::PlanQueue;

/// Outcome of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlanOutcome {
    /// The log index at which it was decided; 0 if nothing could be proposed.
    pub(super) index: u64,
    /// Number of nodes whose part was refused.
    pub(super) refused: usize,
    /// Whether any of it took effect.
    pub(super) progress: bool,
}
