//! What a server was before it started anew: identities that it has given up, and the servers it had heard from.

use std::path::Path;

use ordu_store::identity::{Identity, IdentityFile, IdentityStore};

use super::known::Known;

/// Maximum number of previous ids that a server reports.
const FORMER_IDS_MAX: usize = 16;

/// A server's identities before it started anew.
#[derive(Clone, Debug, Default)]
pub struct Former {
    /// Its previous ids, the newest last.
    pub(super) ids: Vec<u64>,
    /// The first voters that it had settled on under the newest of them.
    pub(super) left: Vec<u64>,
    /// The servers it had heard from, if still in memory.
    known: Known,
}

impl Former {
    /// Adds the servers known to a previous server in this process.
    pub fn knowing(mut self, known: Known) -> Self {
        self.known = known;
        self
    }

    /// Returns the servers that this server knows at its start.
    pub fn known(&self) -> Known {
        self.known.note_former(&self.ids);
        self.known.clone()
    }

    /// Adds an identity that the server has given up.
    pub fn and(mut self, identity: &Identity) -> Self {
        self.ids.push(identity.server_id);
        if self.ids.len() > FORMER_IDS_MAX {
            self.ids.remove(0);
        }
        self.left.clone_from(&identity.settled);
        self
    }

    /// Reads the identities in `directories`, the newest last. Skips unreadable ones; then others notice only
    /// later that such an id is gone.
    pub fn read<'a>(directories: impl Iterator<Item = &'a Path>) -> Self {
        let readable = directories.filter(|directory| directory.join("identity").is_file());
        let identities = readable.filter_map(|directory| IdentityFile::new(directory).load().ok());
        identities.fold(Self::default(), |former, identity| former.and(&identity))
    }
}
