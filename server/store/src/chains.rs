//! The chained hashes of the latest applied entries, so that servers can compare them at an index that all have
//! applied.

use std::collections::VecDeque;

use ordu_core::state::hash::Chain;

/// Number of entries whose hashes are kept. Only the first eight bytes of a hash are kept, which suffice to
/// detect a difference.
const ENTRIES_MAX: usize = 65_536;

/// The kept hashes by log index.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    /// The log index of the first hash.
    first: u64,
    hashes: VecDeque<u64>,
}

impl Chains {
    /// Stores the hash after the entry at `index`. If the index does not follow the previous one, drops all others.
    pub(crate) fn note(&mut self, index: u64, chain: &Chain) {
        if index != self.first + self.hashes.len() as u64 {
            self.hashes.clear();
        }
        if self.hashes.is_empty() {
            self.first = index;
        }
        self.hashes.push_back(short(chain));
        if self.hashes.len() > ENTRIES_MAX {
            self.hashes.pop_front();
            self.first += 1;
        }
    }

    /// Returns the hash after the entry at `index`, if it is still kept.
    pub(crate) fn at(&self, index: u64) -> Option<u64> {
        let place = index.checked_sub(self.first)?;
        self.hashes.get(usize::try_from(place).ok()?).copied()
    }
}

fn short(chain: &Chain) -> u64 {
    chain.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_hashes_are_known_by_their_indexes() {
        let mut chains = Chains::default();
        for index in 10..10 + ENTRIES_MAX as u64 + 3 {
            chains.note(index, &[index as u8; 32]);
        }
        assert_eq!(None, chains.at(12));
        assert_eq!(Some(u64::from_be_bytes([13; 8])), chains.at(13));
        assert_eq!(None, chains.at(ENTRIES_MAX as u64 + 13));
        chains.note(1_000_000, &[7; 32]);
        assert_eq!((None, Some(u64::from_be_bytes([7; 8]))), (chains.at(13), chains.at(1_000_000)));
        chains.note(5, &[9; 32]);
        assert_eq!((None, Some(u64::from_be_bytes([9; 8]))), (chains.at(1_000_000), chains.at(5)));
    }
}
