//! A hash of the whole state that equal logs make equal on every server.

use sha2::{Digest, Sha256};

use super::{Corrupt, Reader, Table, key};

/// SHA-256 over every table's rows in order, but for the raft positions (log id and membership): those
/// are the servers' own bookkeeping and move without the state moving.
pub fn state_hash(reader: &dyn Reader) -> Result<[u8; 32], Corrupt> {
    let mut hasher = Sha256::new();
    for table in Table::ALL {
        hasher.update([table as u8]);
        reader.scan(table, &[], None, &mut |at, value| {
            if table == Table::Meta && (at == key::meta::APPLIED || at == key::meta::MEMBERSHIP) {
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
