//! Background checks: scrubs the disk, and watches raft, undecodable rows, other servers and the speed of log
//! syncs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ordu_store::background::in_background;
use ordu_store::tables::TablesDb;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alarms::Alarm;
use crate::candidacy::Objection;
use crate::cluster::{HEARD_WITHIN, Member};
use crate::context::Context;

/// Maximum scrub rate for tables and snapshots, in bytes per second.
const SCRUB_BYTES_PER_SECOND: usize = 32 * 1024 * 1024;
/// Pause between two scrubs.
const SCRUB_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads all stored data at the start and then a day after each scrub; ends with an error at the first
/// corrupt block.
pub(crate) async fn scrub(tables: Arc<dyn TablesDb>, stop: CancellationToken) -> Result<(), String> {
    loop {
        let (tables, stopped) = (tables.clone(), stop.clone());
        let mut pace = move |bytes: usize| {
            let seconds = bytes as f64 / SCRUB_BYTES_PER_SECOND as f64;
            std::thread::sleep(Duration::from_secs_f64(seconds));
            !stopped.is_cancelled()
        };
        in_background(true, move || tables.scrub(&mut pace)).await.map_err(|error| error.to_string())?;
        tracing::debug!("the tables and the snapshot were read whole and are well");
        tokio::time::sleep(SCRUB_INTERVAL).await;
    }
}

/// Ends with an error when raft has stopped by itself: this server must stop before it serves wrong answers.
pub(crate) async fn watch_raft(context: Context) -> Result<(), String> {
    let mut metrics = context.cluster.raft().metrics();
    loop {
        if let Err(fatal) = metrics.borrow_watched().running_state.clone() {
            return Err(format!("raft has stopped, this server leaves service: {fatal}"));
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

/// Raises an alarm while there are rows that cannot be decoded.
pub(crate) async fn tell_of_rows_set_aside(context: Context) -> Result<(), String> {
    let set_aside = context.state.db().set_aside();
    let mut changes = set_aside.watch();
    loop {
        match set_aside.describe() {
            Some(text) => context.alarms.raise(Alarm::RowsSetAside, text),
            None => context.alarms.clear(Alarm::RowsSetAside),
        }
        if changes.changed().await.is_err() {
            return Err("the tables are closed, this server leaves service".to_owned());
        }
    }
}

/// Interval between checks of the other servers.
const PEERS_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Logs when a member is no longer heard from, and when it returns.
pub(crate) async fn watch_peers(context: Context) -> Result<(), String> {
    let start = Instant::now();
    let mut heard: BTreeSet<u64> = BTreeSet::new();
    let mut lost: BTreeMap<u64, Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(PEERS_LOOK_INTERVAL).await;
        let mut others = context.cluster.members();
        others.retain(|member| member.id != context.cluster.id());
        heard.retain(|id| others.iter().any(|member| member.id == *id));
        lost.retain(|id, _| others.iter().any(|member| member.id == *id));
        for Member { id, server, alive, .. } in others {
            let (name, address) = (server.name, server.rpc_addr);
            if alive {
                heard.insert(id);
                if let Some(since) = lost.remove(&id) {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(name, address, "a server is heard of again, after {seconds} s");
                }
            } else if !lost.contains_key(&id) && (heard.contains(&id) || start.elapsed() > HEARD_WITHIN) {
                lost.insert(id, Instant::now());
                tracing::warn!(name, address, "a server is not heard of any more");
            }
        }
    }
}

/// Interval between checks of the sync times.
const SYNC_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// A slow disk counts as recovered after this long without a slow sync.
const DISK_WELL_AFTER: Duration = Duration::from_secs(10);

/// Objects to this server's leading while its disk is slow and a quorum of other voters is fine: every write
/// waits for the leader's disk.
pub(crate) async fn watch_syncs(context: Context) -> Result<(), String> {
    let Context { options, cluster, candidacy, alarms, counts, .. } = &context;
    let mut slow: Option<Instant> = None;
    loop {
        let (longest, limit) = (counts.syncs.longest(), options.limits.get().sync_time_max);
        if longest > limit {
            slow = Some(Instant::now());
            alarms.raise(Alarm::SlowDisk, slow_disk(longest, limit));
        } else if slow.is_some_and(|slow| slow.elapsed() > DISK_WELL_AFTER) {
            slow = None;
            alarms.clear(Alarm::SlowDisk);
        }
        cluster.note_disk(slow.is_some());
        match cluster.well_without_this().filter(|_| slow.is_some()) {
            Some(others) => candidacy.object(Objection::Disk, others),
            None => candidacy.lift(Objection::Disk),
        }
        tokio::time::sleep(SYNC_LOOK_INTERVAL).await;
    }
}

fn slow_disk(longest: Duration, limit: Duration) -> String {
    format!(
        "a sync of the raft log took {:.1} s, and {:.1} s are the most: this server does not lead while enough others \
         can. Look at its disk, and at what else writes to it",
        longest.as_secs_f64(),
        limit.as_secs_f64()
    )
}
