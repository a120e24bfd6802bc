//! Test support: a single server with everything in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ordu_store::identity::{Identity, IdentityMemory};
use ordu_store::log::{LogDb, MemoryLog};
use ordu_store::tables::MemoryDb;

use crate::limits::LimitsInForce;
use crate::net::Tcp;
use crate::options::{FEATURE_LEVEL_AFTER, LogBounds, RaftTiming, ServerOptions};
use crate::server::Server;
use crate::storage::Storage;
use crate::trust::Trust;

/// Starts a server that forms a cluster by itself. It may not lead yet.
pub(crate) async fn one_server() -> Server {
    one_server_on(Arc::new(MemoryLog::default())).await
}

/// As [`one_server`], with its raft log in `log`.
pub(crate) async fn one_server_on(log: Arc<dyn LogDb>) -> Server {
    start(1, log, MemoryDb::default()).await
}

/// Starts a server with the state `tables` that waits for `bootstrap_expect` servers, including itself, to
/// form a cluster.
pub(crate) async fn start(bootstrap_expect: u32, log: Arc<dyn LogDb>, tables: MemoryDb) -> Server {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = ServerOptions {
        data_dir: PathBuf::from("none"),
        name: "one".to_owned(),
        region: "global".to_owned(),
        datacenter: "dc1".to_owned(),
        http_bind: any,
        rpc_bind: any,
        serf_bind: None,
        http_advertise: "127.0.0.1:4646".to_owned(),
        http_allowed_hosts: Vec::new(),
        http_conns_per_client_max: 0,
        rpc_advertise: "127.0.0.1:4647".to_owned(),
        serf_advertise: "127.0.0.1:4648".to_owned(),
        own_address: None,
        trust: Trust::default(),
        bootstrap_expect,
        retry_join: Vec::new(),
        raft: RaftTiming::default(),
        log: LogBounds::default(),
        autopilot: ordu_core::autopilot::DEFAULT,
        feature_level_after: FEATURE_LEVEL_AFTER,
        heartbeat_ttl: Duration::from_secs(10),
        heartbeat_grace: Duration::from_secs(10),
        limits: LimitsInForce::default(),
        client: None,
        workers: 1,
    };
    let identity = Arc::new(IdentityMemory::new(Identity::draw()));
    let storage = Storage::simulated(log, Arc::new(tables), identity).unwrap();
    Server::start(options, storage, Arc::new(Tcp)).await.unwrap()
}
