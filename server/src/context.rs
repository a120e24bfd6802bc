//! The server parts that request handlers and background tasks use.

use std::sync::Arc;

use ordu_store::log::Extent;
use ordu_store::state_machine::State;

use crate::alarms::Alarms;
use crate::candidacy::Candidacy;
use crate::clock::ServerClock;
use crate::cluster::Cluster;
use crate::counts::Counts;
use crate::disk_space::DiskSpace;
use crate::membership::{Changes, ClusterId, HealthRecord, KnownLevels};
use crate::options::ServerOptions;
use crate::peers::Peers;
use crate::read_index::ReadIndex;
use crate::watch::Watches;
use crate::writer::Writer;

/// Shared handles on a server's parts. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The server's options.
    pub options: Arc<ServerOptions>,
    /// The state machine's tables.
    pub state: State,
    /// Subscriptions to changes.
    pub watches: Arc<Watches>,
    /// Proposes commands, here or through the leader.
    pub writer: Writer,
    /// Confirms that a local read sees every acknowledged write.
    pub reads: ReadIndex,
    /// Leader and members.
    pub cluster: Cluster,
    /// Changes the membership, at the leader.
    pub changes: Changes,
    /// Since when servers are healthy or unhealthy, as seen by the leader.
    pub health: HealthRecord,
    /// Since when every server supports a feature level above the cluster's, as seen by the leader.
    pub known_levels: KnownLevels,
    /// Clients for other servers.
    pub peers: Peers,
    /// The cluster's identity.
    pub identity: ClusterId,
    /// Raised alarms.
    pub alarms: Alarms,
    /// Reasons why this server should not lead.
    pub candidacy: Candidacy,
    /// Extent of the raft log.
    pub log: Extent,
    /// Free disk space.
    pub space: DiskSpace,
    /// The clock that this server uses.
    pub clock: ServerClock,
    /// Counters of this server's work.
    pub counts: Counts,
}
