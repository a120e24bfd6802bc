//! Membership: how a server finds its cluster, forms it once, joins it, and keeps its address up to date.

pub(crate) mod autopilot;
pub(crate) mod changes;
mod discovery;
mod former;
mod forming;
mod greetings;
mod health;
mod known;
pub(crate) mod levels;
#[cfg(test)]
mod tests;

pub use changes::{Changes, Force};
pub use discovery::Discovery;
pub use former::Former;
pub use greetings::{Greetings, Has, Loss, Telling};
pub use health::HealthRecord;
pub use known::{Known, Said};
pub use levels::KnownLevels;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordu_store::identity::{Identity, IdentityStore};
use tonic::Status;

/// This server's identity, shared. Changes are durable before they are visible.
#[derive(Clone)]
pub struct ClusterId(Arc<Inner>);

struct Inner {
    store: Arc<dyn IdentityStore>,
    identity: Mutex<Identity>,
}

impl ClusterId {
    /// Loads the identity.
    pub fn load(store: Arc<dyn IdentityStore>) -> std::io::Result<Self> {
        let identity = Mutex::new(store.load()?);
        Ok(Self(Arc::new(Inner { store, identity })))
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.0.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cluster's id; empty while the server belongs to none.
    pub fn get(&self) -> Vec<u8> {
        self.identity().cluster_id.clone()
    }

    /// Returns the server's raft id.
    pub fn server_id(&self) -> u64 {
        self.identity().server_id
    }

    /// Returns the first voters that this server has settled on; empty if it has not settled.
    pub fn settled(&self) -> Vec<u64> {
        self.identity().settled.clone()
    }

    /// Stores the cluster's id and the first voters.
    pub fn adopt(&self, cluster_id: Vec<u8>, settled: Vec<u64>) -> std::io::Result<()> {
        let mut identity = self.identity();
        let next = Identity { cluster_id, settled, ..identity.clone() };
        self.0.store.save(&next)?;
        *identity = next;
        Ok(())
    }

    /// Refuses a message of another cluster. A server without a cluster accepts any.
    pub fn check(&self, theirs: &[u8]) -> Result<(), Status> {
        let ours = self.get();
        if ours.is_empty() || ours == theirs {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "this server belongs to cluster {}, the message comes from cluster {}",
            hex(&ours),
            hex(theirs)
        )))
    }
}

/// Returns bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
