//! A server's identity: its raft id, its cluster's id and its databases' formats, kept in its data directory.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::codec::{self, invalid};
use crate::damage::WAY_OUT;
use crate::format;
use crate::runtime::random_bytes;
use crate::snapshot::sync_directory;

/// A server's identity. The id is drawn at the first start and never changes; a server whose disk was wiped
/// gets a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The raft id; never 0.
    pub server_id: u64,
    /// The cluster's id; empty while the server belongs to no cluster.
    pub cluster_id: Vec<u8>,
    /// The voters of the first configuration on which the server has settled; empty before. Other voters replace
    /// them only if a cluster of these can never be formed, so that a cluster cannot be formed twice.
    pub settled: Vec<u64>,
    /// Whether log and tables have been created. If so, a missing one was lost and must not be created anew.
    pub is_prepared: bool,
    /// The format of the raft log ([`format::LOG`]).
    pub log_format: u32,
    /// The format of the tables ([`format::TABLES`]).
    pub tables_format: u32,
}

impl Identity {
    /// Returns the identity of a new server.
    pub fn draw() -> Self {
        Self {
            server_id: u64::from_be_bytes(random_bytes()).max(1),
            cluster_id: Vec::new(),
            settled: Vec::new(),
            is_prepared: false,
            log_format: format::LOG.number,
            tables_format: format::TABLES.number,
        }
    }
}

/// Storage for an identity; replaced in simulations.
pub trait IdentityStore: Send + Sync + 'static {
    /// Returns the identity. If the server has no data at all, draws and stores a new one.
    fn load(&self) -> io::Result<Identity>;
    /// Stores an identity durably.
    fn save(&self, identity: &Identity) -> io::Result<()>;
}

/// Stores the identity in a file of the data directory.
pub struct IdentityFile(PathBuf);

/// The name of the identity file.
pub const IDENTITY_FILE: &str = "identity";

impl IdentityFile {
    /// Uses the identity file in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self(directory.join(IDENTITY_FILE))
    }
}

impl IdentityStore for IdentityFile {
    fn load(&self) -> io::Result<Identity> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.check_empty()?;
                let identity = Identity::draw();
                self.save(&identity)?;
                return Ok(identity);
            }
            Err(error) => return Err(error),
        };
        std::str::from_utf8(&bytes).ok().and_then(parse).ok_or_else(|| {
            let (path, text) = (self.0.display(), String::from_utf8_lossy(&bytes));
            invalid(format!("{path}, which says who this server is, is damaged: {text:?}. {WAY_OUT}"))
        })
    }

    fn save(&self, identity: &Identity) -> io::Result<()> {
        let settled: Vec<String> = identity.settled.iter().map(u64::to_string).collect();
        let cluster: String = identity.cluster_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "server {}\ncluster {cluster}\nsettled {}\nstores {}\nlog-format {}\ntables-format {}\n",
            identity.server_id,
            settled.join(","),
            if identity.is_prepared { PREPARED } else { UNPREPARED },
            identity.log_format,
            identity.tables_format,
        );
        let text = format!("{text}checksum {:08x}\n", crc32fast::hash(text.as_bytes()));
        let next = self.0.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, &self.0)?;
        self.0.parent().map_or(Ok(()), sync_directory)
    }
}

impl IdentityFile {
    /// Returns an error if there are databases: they belong to a lost identity, and a new one must not vote by
    /// them.
    fn check_empty(&self) -> io::Result<()> {
        let Some(directory) = self.0.parent() else { return Ok(()) };
        for name in ["raft-log", "raft-log.record", "tables"] {
            if directory.join(name).exists() {
                let what = format!("{} is missing beside {name}. {WAY_OUT}", self.0.display());
                return Err(invalid(what));
            }
        }
        Ok(())
    }
}

/// Values of the field `stores`: whether log and tables have been created.
const PREPARED: &str = "made";
const UNPREPARED: &str = "new";

fn parse(text: &str) -> Option<Identity> {
    let (said, checksum) = text.trim_end().rsplit_once("\nchecksum ")?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(format!("{said}\n").as_bytes()) {
        return None;
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let cluster = field("cluster")?;
    let byte = |at: usize| cluster.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let settled = field("settled")?;
    let format = |name: &str| field(name).map_or(Some(format::FIRST), |number| number.parse().ok());
    Some(Identity {
        server_id: field("server")?.parse().ok()?,
        cluster_id: (0..cluster.len()).step_by(2).map(byte).collect::<Option<_>>()?,
        settled: settled
            .split(',')
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().ok())
            .collect::<Option<_>>()?,
        is_prepared: match field("stores")? {
            PREPARED => true,
            UNPREPARED => false,
            _ => return None,
        },
        log_format: format("log-format")?,
        tables_format: format("tables-format")?,
    })
}

/// Returns the cluster id for a set of first voters; the same on all of them.
pub fn cluster_id_of(voters: &[u64]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut sorted = voters.to_vec();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for id in sorted {
        hasher.update(id.to_be_bytes());
    }
    hasher.finalize()[..16].to_vec()
}

/// An identity in memory, for simulations.
pub struct IdentityMemory(std::sync::Mutex<Identity>);

impl IdentityMemory {
    /// Creates a store that contains `identity`.
    pub fn new(identity: Identity) -> Self {
        Self(std::sync::Mutex::new(identity))
    }
}

impl IdentityStore for IdentityMemory {
    fn load(&self) -> io::Result<Identity> {
        Ok(self.0.lock().map_err(|_| codec::invalid("poisoned"))?.clone())
    }

    fn save(&self, identity: &Identity) -> io::Result<()> {
        *self.0.lock().map_err(|_| codec::invalid("poisoned"))? = identity.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_drawn_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = IdentityFile::new(directory.path());
        let mut identity = file.load().unwrap();
        assert_eq!(identity, file.load().unwrap());
        identity.cluster_id = cluster_id_of(&[3, 1, 2]);
        identity.settled = vec![1, 2, 3];
        file.save(&identity).unwrap();
        assert_eq!(identity, IdentityFile::new(directory.path()).load().unwrap());
    }

    #[test]
    fn an_identity_without_formats_is_of_a_release_that_wrote_the_first_ones() {
        let directory = tempfile::tempdir().unwrap();
        let text = "server 7\ncluster 0a0b\nsettled 7,8\nstores made\n";
        let sum = crc32fast::hash(text.as_bytes());
        std::fs::write(directory.path().join("identity"), format!("{text}checksum {sum:08x}\n")).unwrap();
        let expected = Identity {
            server_id: 7,
            cluster_id: vec![10, 11],
            settled: vec![7, 8],
            is_prepared: true,
            log_format: 1,
            tables_format: 1,
        };
        assert_eq!(expected, IdentityFile::new(directory.path()).load().unwrap());
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity");
        let file = IdentityFile::new(directory.path());
        file.load().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x04;
            for damaged in [flipped, whole[..at].to_vec()] {
                std::fs::write(&path, &damaged).unwrap();
                // A changed newline after the checksum does not matter.
                let is_whole = damaged.trim_ascii_end() == whole.trim_ascii_end();
                assert!(is_whole || file.load().is_err(), "{:?}", String::from_utf8_lossy(&damaged));
            }
        }
    }

    #[test]
    fn an_identity_is_drawn_in_an_empty_directory_only() {
        for name in ["raft-log", "raft-log.record", "tables"] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join(name)).unwrap();
            let error = IdentityFile::new(directory.path()).load().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("identity"), "{error}");
        }
    }

    #[test]
    fn the_order_of_voters_does_not_change_a_cluster_s_id() {
        assert_eq!(cluster_id_of(&[1, 2, 3]), cluster_id_of(&[3, 1, 2]));
        assert_ne!(cluster_id_of(&[1, 2, 3]), cluster_id_of(&[1, 2, 4]));
    }
}
