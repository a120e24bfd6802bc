//! What an evaluation draws by chance, from a seed that the caller gives.

use sha2::{Digest, Sha256};

/// A generator of bytes. Equal seeds yield equal bytes.
pub(in crate::hcl) struct Chance {
    seed: u128,
    drawn: u64,
}

impl Chance {
    pub(super) fn new(seed: u128) -> Chance {
        Chance { seed, drawn: 0 }
    }

    /// Returns the next bytes: half of a digest of the seed and the number of earlier draws, so that one result tells
    /// nothing of another.
    pub(super) fn draw(&mut self) -> [u8; 16] {
        let digest =
            Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(self.drawn.to_be_bytes());
        self.drawn += 1;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        bytes
    }
}
