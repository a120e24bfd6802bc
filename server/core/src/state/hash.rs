//! Hashes that equal logs make equal on every server: one of the whole state, and one that goes with `apply`.

use sha2::{Digest, Sha256};

use super::{Corrupt, Reader, Table, Tx, key};

/// A hash of all that entries have written so far, one hash upon the other. Two servers that have applied the same
/// entries and have different ones hold different states, and always will.
pub type Chain = [u8; 32];

/// The chain after what the entry under way in `tx` has written: SHA-256 over the chain before it and its rows in
/// the order of tables and keys, the removed ones too.
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

/// The chain as it is stored; that of a new cluster is all zeros.
pub fn chain(reader: &dyn Reader) -> Result<Chain, Corrupt> {
    let Some(bytes) = reader.get(Table::Meta, key::meta::CHAIN)? else { return Ok(Chain::default()) };
    let length = bytes.len();
    bytes.try_into().map_err(|_| Corrupt::row(Table::Meta, format!("a chained hash of {length} bytes")))
}

/// SHA-256 over every table's rows in order, but for the raft positions (log ids and membership): those
/// are the servers' own bookkeeping and move without the state moving. An empty table of a later feature level than the
/// first counts for nothing, since servers of an older release do not have it.
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
