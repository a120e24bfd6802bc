//! Ids that this server draws for what it proposes.

use ordu_core::state::Id;
use ordu_store::runtime::random_bytes;

/// A fresh random UUID.
pub(crate) fn fresh_id() -> Id {
    let mut id: Id = random_bytes();
    // The marks of a random UUID (version 4, variant 1), since clients may look at them.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    id
}
