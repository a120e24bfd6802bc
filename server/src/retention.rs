//! Purges the raft log: keeps a bounded number of entries, bytes and age, plus what followers still need.
//!
//! Raft's own purging is disabled. It goes by count alone, and under load drops the entries that a follower
//! needs after the snapshot being sent to it. The follower would then need the next snapshot, and so on for
//! as long as the load lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::metrics::RaftMetrics;
use ordu_store::log::Extent;
use ordu_store::types::TypeConfig;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::disk_space::DiskSpace;
use crate::options::LogBounds;

/// Interval between checks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long after the end of a transfer the receiver may take to acknowledge the snapshot.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// Interval of purges that free little.
const SMALL_PURGE_INTERVAL: Duration = Duration::from_secs(60);
/// The log is purged when at most this many bytes are waiting to be written …
const QUIET_BACKLOG_BYTES: usize = 256 * 1024;
/// … or when the purge has been pending for this long.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// A requested snapshot that does not appear is requested again after this time.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Snapshot transfers from this server, by receiver. A cheap handle.
#[derive(Clone, Default)]
pub struct Transfers(Arc<Mutex<BTreeMap<u64, Transfer>>>);

#[derive(Clone, Copy)]
struct Transfer {
    /// Tells this transfer from an earlier one that has not ended yet.
    number: u64,
    /// The last index in the snapshot.
    last: u64,
    ended: Option<Instant>,
}

/// Guard of a transfer; dropping it ends the transfer.
pub struct UnderWay {
    all: Transfers,
    target: u64,
    number: u64,
}

impl Transfers {
    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Transfer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the transfer of a snapshot with entries up to `last` to `target`.
    pub fn begin(&self, target: u64, last: u64) -> UnderWay {
        let mut all = self.all();
        let number = all.get(&target).map_or(0, |former| former.number + 1);
        all.insert(target, Transfer { number, last, ended: None });
        drop(all);
        UnderWay { all: self.clone(), target, number }
    }

    /// Returns the first entry that `target` needs after the snapshot that is being sent or was just sent to
    /// it.
    fn needed_by(&self, target: u64) -> Option<u64> {
        let transfer = self.all().get(&target).copied()?;
        let counts = transfer.ended.is_none_or(|ended| ended.elapsed() < ACKNOWLEDGED_WITHIN);
        counts.then_some(transfer.last + 1)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(transfer) = self.all.all().get_mut(&self.target)
            && transfer.number == self.number
        {
            transfer.ended = Some(Instant::now());
        }
    }
}

/// Boundaries of the log, as raft reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    /// The first entry that is not purged.
    first: u64,
    /// The first entry that is not in the newest snapshot.
    behind_snapshot: u64,
}

/// Returns the first entry to keep.
fn first_kept(extent: &Extent, bounds: &LogBounds, kept: Kept, needed: &[u64], space: &DiskSpace) -> u64 {
    let Kept { first, behind_snapshot } = kept;
    let held_bytes = space.held_bytes_max(bounds.held_bytes);
    let held = needed.iter().copied().filter(|needed| {
        // A follower that needs purged entries needs a snapshot anyway. Do not hold entries beyond the byte
        // limit.
        *needed >= first && extent.bytes_from(*needed) <= held_bytes
    });
    let unneeded = if space.is_enough() {
        let by_count = behind_snapshot.saturating_sub(bounds.kept_entries);
        by_count.max(extent.first_within(behind_snapshot, bounds.kept_bytes, bounds.kept_age))
    } else {
        behind_snapshot
    };
    held.chain([unneeded]).min().unwrap_or(first).max(first)
}

/// Triggers snapshots by bytes and age, and purges entries that need not be kept, for as long as raft runs.
///
/// `backlog` is the number of bytes not yet written to the log.
pub(crate) async fn keep(
    context: Context,
    transfers: Transfers,
    backlog: watch::Receiver<usize>,
) -> Result<(), String> {
    let Context { options, cluster, log: extent, space, .. } = &context;
    let bounds = &options.log;
    let batch_entries = (bounds.snapshot_entries / 4).max(1);
    let mut purged_at = Instant::now();
    let mut due_since: Option<Instant> = None;
    let mut asked: Option<(u64, Instant)> = None;
    loop {
        sleep(LOOK_INTERVAL).await;
        let metrics = cluster.metrics();
        let next = |log_id: &Option<_>| next_index(log_id.as_ref());
        let kept = Kept { first: next(&metrics.purged), behind_snapshot: next(&metrics.snapshot) };
        let is_short_of_room = !space.is_enough();
        let snapshot_bytes =
            if is_short_of_room { bounds.snapshot_bytes / 16 } else { bounds.snapshot_bytes };
        let is_due = next(&metrics.last_applied) > kept.behind_snapshot
            && (kept.behind_snapshot < kept.first
                || extent.bytes_from(kept.behind_snapshot) > snapshot_bytes
                || extent.age_of(kept.behind_snapshot) > bounds.kept_age);
        let was_asked =
            asked.is_some_and(|(of, at)| of == kept.behind_snapshot && at.elapsed() < ASK_AGAIN_AFTER);
        let raft = cluster.raft().trigger();
        if is_due && !was_asked {
            asked = Some((kept.behind_snapshot, Instant::now()));
            raft.snapshot().await.map_err(|fatal| fatal.to_string())?;
        }
        let needed = needed(&context, &metrics, &transfers, kept.first);
        let first = first_kept(extent, bounds, kept, &needed, space);
        let bytes = extent.bytes_between(kept.first, first);
        let is_worth_it = first - kept.first >= batch_entries
            || bytes >= bounds.kept_bytes / 4
            || is_short_of_room
            || purged_at.elapsed() > SMALL_PURGE_INTERVAL;
        if first == kept.first || !is_worth_it {
            due_since = None;
            continue;
        }
        // Raft's core waits for the purge and for all writes queued before it.
        let since = *due_since.get_or_insert_with(Instant::now);
        let is_quiet = *backlog.borrow() <= QUIET_BACKLOG_BYTES;
        if is_quiet || is_short_of_room || since.elapsed() > QUIET_WITHIN {
            (purged_at, due_since) = (Instant::now(), None);
            raft.purge_log(first - 1).await.map_err(|fatal| fatal.to_string())?;
        }
    }
}

fn next_index(log_id: Option<&ordu_store::types::LogId>) -> u64 {
    log_id.map_or(0, |id| id.index + 1)
}

/// Returns the first entry that each reachable follower needs, if this server leads; `first` is the first
/// entry in the log.
fn needed(
    context: &Context,
    metrics: &RaftMetrics<TypeConfig>,
    transfers: &Transfers,
    first: u64,
) -> Vec<u64> {
    let Some(replication) = &metrics.replication else { return Vec::new() };
    let heard_of =
        replication.iter().filter(|(id, _)| **id != metrics.id && context.cluster.is_heard_of(**id));
    let needed = heard_of.map(|(id, has)| match has {
        Some(_) => next_index(has.as_ref()).max(transfers.needed_by(*id).unwrap_or(0)),
        // A new leader does not know yet how far the follower's log matches.
        None => transfers.needed_by(*id).unwrap_or(first),
    });
    needed.collect()
}

#[cfg(test)]
mod tests {
    use ordu_proto::server::DiskRoom;

    use super::*;

    const BOUNDS: LogBounds = LogBounds {
        snapshot_entries: 1 << 40,
        kept_entries: 100,
        kept_bytes: 1 << 40,
        kept_age: Duration::from_secs(3_600),
        held_bytes: 1 << 40,
        snapshot_bytes: 1 << 40,
    };

    #[test]
    fn what_is_kept_is_bounded_in_entries_and_held_for_those_who_need_it() {
        let extent = Extent::default();
        let kept = Kept { first: 50, behind_snapshot: 1_000 };
        let (enough, low, full) = (
            DiskSpace::default(),
            DiskSpace::known(500 << 20, 1_000 << 20, DiskRoom::Low),
            DiskSpace::known(100 << 20, 1_000 << 20, DiskRoom::Full),
        );
        let first = |needed: &[u64]| first_kept(&extent, &BOUNDS, kept, needed, &enough);
        // The extent is empty, so byte and age limits do not apply.
        assert_eq!(1_000, first(&[]));
        assert_eq!(1_000, first(&[2_000]));
        assert_eq!(700, first(&[700, 800]));
        assert_eq!(50, first(&[50]));
        assert_eq!(1_000, first(&[49, 1]), "they lack what is gone already");
        assert_eq!(1_000, first_kept(&extent, &BOUNDS, kept, &[], &low), "no more than is needed");
        assert_eq!(700, first_kept(&extent, &BOUNDS, kept, &[700], &low));
        extent.append((700..1_200).map(|index| (index, 1 << 20)));
        assert_eq!(
            1_000,
            first_kept(&extent, &BOUNDS, kept, &[700], &low),
            "more than a quarter of the watermark"
        );
        assert_eq!(960, first_kept(&extent, &BOUNDS, kept, &[960], &low));
        assert_eq!(1_000, first_kept(&extent, &BOUNDS, kept, &[960], &full));
        assert_eq!(700, first(&[700]));
        // A log that begins after the snapshot, as after a failed write.
        let ahead = Kept { first: 1_200, behind_snapshot: 1_000 };
        for space in [enough, low, full] {
            assert_eq!(1_200, first_kept(&extent, &BOUNDS, ahead, &[], &space));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_transfer_needs_is_told_until_it_was_acknowledged_or_could_have_been() {
        let transfers = Transfers::default();
        assert_eq!(None, transfers.needed_by(2));
        let first = transfers.begin(2, 20);
        let second = transfers.begin(2, 20);
        drop(first);
        sleep(ACKNOWLEDGED_WITHIN * 2).await;
        assert_eq!((Some(21), None), (transfers.needed_by(2), transfers.needed_by(3)));
        drop(second);
        assert_eq!(Some(21), transfers.needed_by(2));
        sleep(ACKNOWLEDGED_WITHIN).await;
        assert_eq!(None, transfers.needed_by(2));
    }
}
