//! What watches the ground that a server stands on: its disk's content, its raft, its rows.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ordu_store::background::in_background;
use ordu_store::tables::TablesDb;
use tokio_util::sync::CancellationToken;

use crate::alarms::Alarm;
use crate::cluster::Raft;
use crate::context::Context;

/// Bytes of tables and snapshots that are scrubbed in a second at most.
const SCRUB_BYTES_PER_SECOND: usize = 32 * 1024 * 1024;
/// From the end of one scrub to the next.
const SCRUB_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads all that is stored, at the start and then once a day; ends with an error at the first bad block.
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

/// Ends with an error when raft has stopped by itself: this server must leave service before it can lie.
pub(crate) async fn watch_raft(raft: Raft) -> Result<(), String> {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = metrics.borrow_watched().running_state.clone() {
            return Err(format!("raft has stopped, this server leaves service: {fatal}"));
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

/// Tells the operator of rows that cannot be decoded, for as long as there are any.
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
