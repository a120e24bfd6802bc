//! Disk space: measures what is free in the data directory, refuses work when it runs low, and keeps a
//! reserve file whose removal lets a server with a full disk start again.
//!
//! Below the watermark a server is `Low`: it hands over leadership to a server with more space, and if no
//! voter has enough, the leader refuses new work. Below a quarter of the watermark a server is `Full`: it
//! accepts no log entries, so that votes can still be written. The disk fills up completely only if something
//! else writes to it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;
use ordu_core::command::Needs;
use ordu_proto::server::DiskRoom;
use ordu_store::background::in_background;
use tokio::time::sleep;

use crate::alarms::Alarm;
use crate::candidacy::Objection;
use crate::context::Context;

/// Default watermark: the lesser of this many bytes …
const FREE_BYTES_MIN: u64 = 1 << 30;
/// … and the file system's size divided by this.
const FREE_PART_MIN: u64 = 20;
/// The watermark divided by this is the limit for `Full`, and the size of the reserve.
const PARTS: u64 = 4;
/// Interval between measurements.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The reserve file.
pub(crate) const RESERVE_FILE: &str = "reserve";

/// Free space and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Free {
    /// Free bytes.
    pub(crate) bytes: u64,
    /// The watermark.
    pub(crate) bytes_min: u64,
    pub(crate) room: DiskRoom,
}

impl Free {
    /// `room` is the previous state. Leaving `Low` or `Full` takes more space than the limit (hysteresis): an
    /// eighth of the watermark above it for `Low`, a 32nd for `Full`.
    fn new(bytes: u64, bytes_min: u64, room: DiskRoom) -> Self {
        let enough = if room == DiskRoom::Enough { bytes_min } else { bytes_min + bytes_min / 8 };
        let full = bytes_min / PARTS + if room == DiskRoom::Full { bytes_min / 32 } else { 0 };
        let room = match bytes {
            bytes if bytes < full => DiskRoom::Full,
            bytes if bytes < enough => DiskRoom::Low,
            _ => DiskRoom::Enough,
        };
        Self { bytes, bytes_min, room }
    }
}

/// What a leader refuses for lack of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusing {
    Nothing,
    NewWork,
    Everything,
}

/// This server's disk space. A cheap handle; the default, before any measurement or without a disk, has room.
#[derive(Clone, Default)]
pub struct DiskSpace(Arc<Known>);

#[derive(Default)]
struct Known {
    free: Mutex<Option<Free>>,
    /// A [`Refusing`] as an atomic, since every write reads it.
    refusing: AtomicU8,
    /// Bytes that are promised to what arrives all at once.
    promised_bytes: AtomicU64,
}

/// Space that is kept for something that arrives all at once, such as a snapshot, until this is dropped.
pub(crate) struct Promise {
    space: DiskSpace,
    bytes: u64,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.space.0.promised_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl DiskSpace {
    pub(crate) fn free(&self) -> Option<Free> {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, free: Free, refusing: Refusing) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) = Some(free);
        self.0.refusing.store(refusing as u8, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn known(bytes: u64, bytes_min: u64, room: DiskRoom) -> Self {
        let space = Self::default();
        space.set(Free { bytes, bytes_min, room }, Refusing::Nothing);
        space
    }

    /// Returns the reason, for the sender, if this server as the leader refuses a command with these needs.
    pub(crate) fn refusal_of(&self, needs: Needs) -> Option<String> {
        let refusing = self.0.refusing.load(Ordering::Relaxed);
        if refusing == Refusing::Nothing as u8 {
            return None;
        }
        if refusing == Refusing::Everything as u8 {
            return Some(EVERYTHING_REFUSED.to_owned());
        }
        needs.room.then(|| NEW_WORK_REFUSED.to_owned())
    }

    /// Returns how many bytes of the log may be retained for followers; `most` while there is room.
    pub(crate) fn held_bytes_max(&self, most: u64) -> u64 {
        match self.free() {
            Some(Free { room: DiskRoom::Full, .. }) => 0,
            Some(Free { room: DiskRoom::Low, bytes_min, .. }) => most.min(bytes_min / PARTS),
            Some(_) | None => most,
        }
    }

    pub(crate) fn room(&self) -> DiskRoom {
        self.free().map_or(DiskRoom::Enough, |free| free.room)
    }

    /// Whether free space is above the watermark.
    pub(crate) fn is_enough(&self) -> bool {
        self.room() == DiskRoom::Enough
    }

    /// Promises space for `bytes` that arrive all at once, as with a snapshot; `None` if they do not fit beside what is
    /// promised already. While something arrives, it counts as promised and as used: then there is less space for
    /// more, not too much.
    pub(crate) fn promise(&self, bytes: u64) -> Option<Promise> {
        let before = self.0.promised_bytes.fetch_add(bytes, Ordering::Relaxed);
        let promise = Promise { space: self.clone(), bytes };
        let fits =
            |free: Free| free.bytes.saturating_sub(free.bytes_min / PARTS) >= before.saturating_add(bytes);
        self.free().is_none_or(fits).then_some(promise)
    }
}

/// Measures free space and updates refusals, alarm and candidacy, for as long as this server runs.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { options, cluster, candidacy, alarms, space, .. } = &context;
    loop {
        let least = options.limits.get().disk_free_bytes_min;
        let (data_dir, before) = (options.data_dir.clone(), space.room());
        let looked = in_background(true, move || look(&data_dir, least, before)).await;
        match looked {
            Ok(free) => {
                let others = cluster.room_of_others();
                space.set(free, refusing(free.room, &others, cluster.other_voters().len() + 1));
                match free.room {
                    DiskRoom::Enough => alarms.clear(Alarm::LowDisk),
                    DiskRoom::Low | DiskRoom::Full => {
                        alarms.raise(Alarm::LowDisk, sentence(&options.data_dir, free))
                    }
                }
                let roomier: Vec<u64> =
                    others.iter().filter(|(_, room)| *room < free.room).map(|(id, _)| *id).collect();
                match roomier.is_empty() {
                    false => candidacy.object(Objection::Room, roomier),
                    true => candidacy.lift(Objection::Room),
                }
            }
            Err(error) => tracing::warn!(%error, "it cannot be told what is free on the disk"),
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Decides what a leader with `own` disk state refuses, given the states of the other voters that are heard
/// from.
fn refusing(own: DiskRoom, others: &[(u64, DiskRoom)], voters: usize) -> Refusing {
    let is_full = |(_, room): &&(u64, DiskRoom)| *room == DiskRoom::Full;
    let full = others.iter().filter(is_full).count();
    // Without enough servers that accept entries, a proposed entry would wait indefinitely; refuse it
    // instead.
    let willing = others.len() - full + 1;
    let is_without_quorum = 2 * willing <= voters;
    match own {
        DiskRoom::Full => Refusing::Everything,
        _ if full > 0 && is_without_quorum => Refusing::Everything,
        DiskRoom::Low if others.iter().all(|(_, room)| *room != DiskRoom::Enough) => Refusing::NewWork,
        DiskRoom::Low | DiskRoom::Enough => Refusing::Nothing,
    }
}

fn sentence(data_dir: &Path, free: Free) -> String {
    let (bytes, least) = (free.bytes / MIB, free.bytes_min / MIB);
    let follows = match free.room {
        DiskRoom::Full => "it takes no entries of the raft log any more",
        DiskRoom::Low | DiskRoom::Enough => {
            "it does not lead while another server has more, and when none has, no new work is taken"
        }
    };
    format!(
        "{bytes} MiB are free in {}, and {least} MiB should be (`disk_free_min_mb`): {follows}. Make room there",
        data_dir.display()
    )
}

const MIB: u64 = 1024 * 1024;

/// Measures the free space in `data_dir`. Creates the reserve file if there is enough space.
fn look(data_dir: &Path, least: Option<u64>, before: DiskRoom) -> io::Result<Free> {
    let (bytes, bytes_in_all) = free_bytes(data_dir)?;
    let bytes_min = least.unwrap_or_else(|| FREE_BYTES_MIN.min(bytes_in_all / FREE_PART_MIN));
    let free = Free::new(bytes, bytes_min, before);
    let reserve = Reserve::of(data_dir);
    let wanted = bytes_min / PARTS;
    if free.room == DiskRoom::Enough && bytes >= bytes_min + 2 * wanted && reserve.bytes() < wanted {
        // The measurement is valid even if the reserve cannot be created.
        if let Err(error) = reserve.take(wanted) {
            tracing::debug!(%error, "no room can be set aside");
        }
    }
    Ok(free)
}

/// Returns the bytes that this process may use on the file system of `path`, and its total bytes.
fn free_bytes(path: &Path) -> io::Result<(u64, u64)> {
    let there = statvfs(path)?;
    let unit = there.fragment_size();
    Ok((there.blocks_available() * unit, there.blocks() * unit))
}

/// The reserve file in a data directory.
struct Reserve(PathBuf);

impl Reserve {
    fn of(data_dir: &Path) -> Self {
        Self(data_dir.join(RESERVE_FILE))
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.0).map_or(0, |file| file.len())
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.0)?;
        let length = i64::try_from(bytes).map_err(io::Error::other)?;
        let taken = posix_fallocate(&file, 0, length).map_err(io::Error::from).and_then(|()| file.sync_all());
        // A partial reserve is of no use.
        taken.inspect_err(|_| drop(std::fs::remove_file(&self.0)))
    }
}

/// Removes the reserve if less than its size is free otherwise. To be called before anything in `data_dir` is
/// opened, since opening takes some space.
pub(crate) fn make_room(data_dir: &Path) -> io::Result<()> {
    let reserve = Reserve::of(data_dir);
    let set_aside = reserve.bytes();
    let (free, _) = free_bytes(data_dir)?;
    if set_aside == 0 || free >= set_aside {
        return Ok(());
    }
    tracing::warn!(
        "{} MiB are free in {}: the {} MiB that are set aside there are given up, so that this server can start",
        free / MIB,
        data_dir.display(),
        set_aside / MIB
    );
    std::fs::remove_file(&reserve.0)?;
    File::open(data_dir)?.sync_all()
}

/// Why new work is refused; sent to the client.
const NEW_WORK_REFUSED: &str = "the disks of this cluster's servers are nearly full, and no new work is taken until \
                                there is room again. Reads, stops and removals go on; the servers' health and metrics \
                                tell what is free. Nothing was changed";
/// Why every change is refused.
const EVERYTHING_REFUSED: &str = "the disks of most of this cluster's servers, or of its leader, are full but for what \
                                  a server needs to go on, and no change is taken until there is room again. Reads go \
                                  on; the servers' health and metrics tell what is free. Nothing was changed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_gets_low_below_the_watermark_and_is_enough_only_with_some_more() {
        let room = |bytes, before| Free::new(bytes, 1_000, before).room;
        use DiskRoom::{Enough, Full, Low};
        for (bytes, before, expected) in [
            (1_000, Enough, Enough),
            (999, Enough, Low),
            (1_100, Low, Low),
            (1_125, Low, Enough),
            (249, Low, Full),
            (250, Low, Low),
            (280, Full, Full),
            (281, Full, Low),
            (1_124, Full, Low),
        ] {
            assert_eq!(expected, room(bytes, before), "{bytes} after {before:?}");
        }
    }

    #[test]
    fn what_arrives_all_at_once_fits_beside_what_is_promised_already() {
        let space = DiskSpace::known(1_000, 400, DiskRoom::Enough);
        assert!(space.promise(901).is_none(), "a quarter of the watermark stays free");
        let first = space.promise(500).unwrap();
        assert!(space.promise(401).is_none());
        let second = space.promise(400).unwrap();
        assert!(space.promise(1).is_none() && space.promise(u64::MAX).is_none());
        drop(first);
        assert!(space.promise(500).is_some());
        drop(second);
        assert!(space.promise(900).is_some());
        assert!(DiskSpace::default().promise(1 << 40).is_some(), "without a disk there is room");
    }

    #[test]
    fn new_work_is_refused_when_no_one_has_room_and_all_when_most_take_nothing() {
        use DiskRoom::{Enough, Full, Low};
        for (own, others, voters, expected) in [
            (Enough, vec![Low, Low], 3, Refusing::Nothing),
            (Low, vec![Enough, Low], 3, Refusing::Nothing),
            (Low, vec![Low, Low], 3, Refusing::NewWork),
            (Low, vec![Low], 3, Refusing::NewWork),
            (Low, vec![], 1, Refusing::NewWork),
            (Low, vec![Low, Full], 3, Refusing::NewWork),
            (Enough, vec![Full, Full], 3, Refusing::Everything),
            (Enough, vec![Full], 3, Refusing::Everything),
            (Enough, vec![Enough, Full], 3, Refusing::Nothing),
            (Enough, vec![], 3, Refusing::Nothing),
            (Full, vec![Low, Low], 3, Refusing::Everything),
        ] {
            let told: Vec<(u64, DiskRoom)> = (2..).zip(others.iter().copied()).collect();
            assert_eq!(expected, refusing(own, &told, voters), "{own:?} beside {others:?}");
        }
    }

    #[test]
    fn what_is_set_aside_takes_room_and_is_given_up_only_where_there_is_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let looked = look(dir.path(), Some(4 * MIB), DiskRoom::Enough).unwrap();
        assert_eq!((4 * MIB, DiskRoom::Enough), (looked.bytes_min, looked.room));
        let reserve = Reserve::of(dir.path());
        assert_eq!(MIB, reserve.bytes());
        make_room(dir.path()).unwrap();
        assert_eq!(MIB, reserve.bytes(), "there is room without it");
        let short = look(dir.path(), Some(u64::MAX / 2), DiskRoom::Enough).unwrap();
        assert_eq!(DiskRoom::Full, short.room);
        assert_eq!(MIB, reserve.bytes(), "no more is taken where there is little");
    }
}
