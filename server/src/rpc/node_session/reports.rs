//! Writes agents' reports on their allocations, batching many sessions into one log entry.

use std::collections::BTreeMap;
use std::time::Duration;

use ordu_proto::command::{AllocClientState, AllocClientUpdate};
use tokio::task::JoinSet;

use super::WRITE_RETRY_PAUSE;
use crate::batching::{ArrivalBounds, BatchBounds, Batcher, NotWritten};
use crate::error::WriteError;
use crate::writer::Writer;

/// Accepts reports; a submission returns once its updates are applied here.
pub(super) type Reports = Batcher<AllocClientState>;

/// Batching of reports: at most fifty entries a second, unless entries are full.
const REPORT_ARRIVALS: ArrivalBounds = ArrivalBounds { spacing: Duration::from_millis(20), queue_max: 1024 };
const REPORT_BATCH: BatchBounds = BatchBounds { items_max: 2048, bytes_max: 1024 * 1024, in_flight_max: 1 };

/// Starts a server's single batcher.
pub(super) fn start(writer: Writer, tasks: &mut JoinSet<()>) -> Reports {
    let (reports, runs) = Batcher::new(REPORT_BATCH, REPORT_ARRIVALS, move |updates| {
        write_all(writer.clone(), latest(updates))
    });
    tasks.spawn(runs);
    reports
}

/// Keeps only the latest report of each allocation, since a report is complete. The latest has the highest
/// stamp: two sessions of a node (an old and a new one) may submit in any order.
fn latest(updates: Vec<AllocClientState>) -> Vec<AllocClientState> {
    // Grouped by node, too: a report on another node's allocation is ignored later, and must not displace the
    // valid one.
    let mut by_origin: BTreeMap<(Vec<u8>, Vec<u8>), AllocClientState> = BTreeMap::new();
    for update in updates {
        let origin = (update.node_id.clone(), update.alloc_id.clone());
        match by_origin.get_mut(&origin) {
            Some(known) if update.stamp < known.stamp => {}
            Some(known) => *known = update,
            None => {
                by_origin.insert(origin, update);
            }
        }
    }
    by_origin.into_values().collect()
}

/// Writes reports, in several entries if there are too many for one.
async fn write_all(writer: Writer, updates: Vec<AllocClientState>) -> Result<(), NotWritten> {
    for part in updates.chunks(REPORT_BATCH.items_max) {
        write(writer.clone(), part.to_vec()).await?;
    }
    Ok(())
}

/// Retries until the reports are written: agents forget acknowledged reports. Without a leader, the queue
/// holds back further reports.
async fn write(writer: Writer, updates: Vec<AllocClientState>) -> Result<(), NotWritten> {
    loop {
        let command = AllocClientUpdate { updates: updates.clone() };
        match writer.write(command).await {
            Ok(_) => return Ok(()),
            Err(error @ (WriteError::Refused { .. } | WriteError::Stopped)) => {
                tracing::warn!("{} reports of allocations are not taken: {error}", updates.len());
                return Err(NotWritten(error.to_string()));
            }
            // Writing a report twice is harmless, and the stamp keeps it from overwriting a newer one.
            Err(error @ (WriteError::NoRoom(_) | WriteError::NoLeader | WriteError::Unknown(_))) => {
                tracing::debug!("{} reports of allocations wait: {error}", updates.len());
                tokio::time::sleep(WRITE_RETRY_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_report_of_an_allocation_counts() {
        let report = |alloc: u8, stamp: i64, text: &str| AllocClientState {
            alloc_id: vec![alloc; 16],
            client_description: text.to_owned(),
            stamp,
            ..AllocClientState::default()
        };
        let kept = latest(vec![
            report(1, 5, "first"),
            report(2, 1, "only"),
            report(1, 7, "last"),
            report(1, 6, "older, of a former session"),
        ]);
        let texts: Vec<&str> = kept.iter().map(|update| update.client_description.as_str()).collect();
        assert_eq!(texts, ["last", "only"]);
    }

    #[test]
    fn what_a_node_says_of_another_ones_allocation_pushes_nothing_out() {
        let of = |node: u8, stamp: i64| AllocClientState {
            alloc_id: vec![1; 16],
            node_id: vec![node; 16],
            stamp,
            ..AllocClientState::default()
        };
        assert_eq!([of(1, 5), of(2, i64::MAX)].to_vec(), latest(vec![of(1, 5), of(2, i64::MAX)]));
    }
}
