//! What a request handler works with.

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

/// A server's parts, as handlers share them. A cheap handle.
#[derive(Clone)]
pub struct Context {
    /// The server's options.
    pub options: Arc<ServerOptions>,
    /// The tables.
    pub state: State,
    /// Who waits for changes.
    pub watches: Arc<Watches>,
    /// Proposes commands, here or at the leader.
    pub writer: Writer,
    /// Confirms that a read here would see all that was acknowledged.
    pub reads: ReadIndex,
    /// Who leads and who belongs.
    pub cluster: Cluster,
    /// Changes who belongs, at the leader.
    pub changes: Changes,
    /// Since when servers are well, or are not, as the leader has seen it.
    pub health: HealthRecord,
    /// Since when every server knows a higher feature level than the cluster's, as the leader has seen it.
    pub known_levels: KnownLevels,
    /// Asks other servers.
    pub peers: Peers,
    /// Which cluster this is.
    pub identity: ClusterId,
    /// What is wrong here.
    pub alarms: Alarms,
    /// What speaks against this server as the leader.
    pub candidacy: Candidacy,
    /// How much its raft log has.
    pub log: Extent,
    /// What its disk has left.
    pub space: DiskSpace,
    /// What this server takes the time from.
    pub clock: ServerClock,
    /// What it counts of its own work.
    pub counts: Counts,
}
