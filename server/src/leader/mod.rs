//! What only the leader does: [`duties`] that begin and end with a [`term`]. Their proposals carry the term
//! and have no effect in another.

mod duties;
mod hand_over;
mod liveness;
mod periodic;
mod scheduling;
mod term;

pub(crate) use self::hand_over::hand_over;
pub use self::liveness::Liveness;
pub use self::scheduling::{LeaderStats, Leading};
pub(crate) use self::term::lead_when_elected;
