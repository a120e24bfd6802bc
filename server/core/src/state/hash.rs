//! Hashes that are equal on all servers that applied the same log: one of the whole state, and a chain over all writes.

use sha2::{Digest, Sha256};

use super::{Corrupt, Reader, Table, Tx, key};

/// A hash chain over all writes of all entries. If the chains of two servers that have applied the same entries
/// differ, then some entry has written different rows on them.
pub type Chain = [u8; 32];

/// Returns the chain after the current entry of `tx`: SHA-256 over the previous chain and the entry's writes and
/// removals, in the order of tables and keys.
pub fn chain_after(before: &Chain, tx: &Tx<'_>) -> Chain {
    let mut hasher = Sha256::new();
    hasher.update(before);
    for ((table, at), value) in tx.entry_rows() {
        hasher.update([*table as u8, u8::from(value.is_some())]);
        for part in [Some(at), value.as_ref()].into_iter().flatten() {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().into()
}

/// Returns the stored chain; all zeros for a new cluster.
pub fn chain(reader: &dyn Reader) -> Result<Chain, Corrupt> {
    let Some(bytes) = reader.get(Table::Meta, key::meta::CHAIN)? else { return Ok(Chain::default()) };
    let length = bytes.len();
    bytes.try_into().map_err(|_| Corrupt::row(Table::Meta, format!("a chained hash of {length} bytes")))
}

/// Computes SHA-256 over the rows of all tables in order, except the Raft positions (log ids and membership), which
/// each server keeps for itself and which change without the state changing. Skips empty tables of later feature
/// levels than the first, because servers of an older release do not have them.
pub fn state_hash(reader: &dyn Reader) -> Result<[u8; 32], Corrupt> {
    let mut hasher = Sha256::new();
    for table in Table::ALL {
        let mut is_begun = table.is_of_first_level();
        if is_begun {
            hasher.update([table as u8]);
        }
        reader.scan(table, &[], None, &mut |at, value| {
            if !std::mem::replace(&mut is_begun, true) {
                hasher.update([table as u8]);
            }
            let own = [key::meta::APPLIED, key::meta::MEMBERSHIP, key::meta::LOG_SYNCED];
            if table == Table::Meta && own.contains(&at) {
                return Ok(true);
            }
            for part in [at, value] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
            Ok(true)
        })?;
    }
    Ok(hasher.finalize().into())
}
