//! Command 30, since 0.1: sets the cluster's time to the entry's time, even backwards. Launches
//! and evaluations that a wrong clock dated in the future are moved to that time: first
//! launches, then evaluations, a bounded number of rows per entry.

use ordu_proto::command::{TimeReset, TimeWasReset};
use ordu_proto::state::{Evaluation, Job, PeriodicLaunchRecord};

use super::declared::Command;
use super::entry::{Entry, is_open};
use super::level::FIRST_LEVEL;
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::limits::ENTRY_ROWS_READ_MAX;
use crate::state::reader::ReaderExt;
use crate::state::{Corrupt, Reader, Table, key, readable};

impl Command for TimeReset {
    type Answer = TimeWasReset;
    const NUMBER: u32 = 30;
    const LEVEL: u32 = FIRST_LEVEL;
    const READS_WHOLE_TABLES: bool = true;

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<TimeWasReset> {
        // Use the leader's stamp: the cluster's time is what is being reset.
        entry.time_ns = entry.stamp_ns;
        let now_ns = entry.time_ns;
        // Do not replace the time of one wrong clock by that of another.
        if now_ns.abs_diff(self.time_ns) > self.tolerance_ns.max(0).unsigned_abs() {
            let (ahead, word) = (now_ns.saturating_sub(self.time_ns), "ahead of");
            let (apart, word) = if ahead < 0 { (ahead.saturating_neg(), "behind") } else { (ahead, word) };
            let text = format!(
                "the time is not reset: the leader's clock is {} s {word} the clock of the server that was asked; mend \
             the clock that is wrong and ask again some seconds later",
                apart / 1_000_000_000
            );
            return Ok(Err(refuse(409, text)));
        }
        let mut ahead = Ahead::default();
        ahead.find(entry.reader(), now_ns, &self.after)?;
        let mut launches = Vec::new();
        for (job, record) in ahead.launches {
            if let Some(job) = readable(entry.reader().row::<Job>(Table::Jobs, &job))?.flatten() {
                launches.push((job, record));
            }
        }
        let answer = TimeWasReset {
            index: entry.index,
            before_ns: entry.cluster.time_ns,
            time_ns: now_ns,
            launches: launches.len() as u64,
            evaluations: ahead.evals.len() as u64,
            after: ahead.after,
        };
        for (job, record) in launches {
            let record = PeriodicLaunchRecord { reset_index: entry.index, ..record };
            entry.put_periodic_launch(&job, Some(record), now_ns);
        }
        for eval in ahead.evals {
            // An evaluation whose job's summary cannot be decoded does not hold up the reset.
            readable(entry.put_eval(Evaluation { wait_until_ns: 0, ..eval }))?;
        }
        entry.cluster.time_ns = now_ns;
        Ok(Ok(answer))
    }
}

impl AnswerMessage for TimeWasReset {
    const NUMBER: u32 = 11;
}

/// The tables to search, in this order. The position at which a following command continues is encoded as a table's
/// index in this list (one byte) and a key.
const TABLES: [Table; 2] = [Table::PeriodicLaunches, Table::Evals];

/// Rows dated later than the new time.
#[derive(Default)]
struct Ahead {
    /// Keys of periodic jobs, with their launch records.
    launches: Vec<(Vec<u8>, PeriodicLaunchRecord)>,
    evals: Vec<Evaluation>,
    /// Position at which to continue; empty when all rows have been searched.
    after: Vec<u8>,
}

impl Ahead {
    fn find(&mut self, reader: &dyn Reader, now_ns: i64, after: &[u8]) -> Result<(), Corrupt> {
        let (first, mut start) = match after.split_first() {
            Some((place, last)) => (usize::from(*place), key::after(last)),
            None => (0, Vec::new()),
        };
        let mut rows = 0;
        for (place, table) in (0..).zip(TABLES).skip(first) {
            reader.scan(table, &start, None, &mut |key, bytes| {
                if rows >= ENTRY_ROWS_READ_MAX {
                    return Ok(false);
                }
                rows += 1;
                if rows == ENTRY_ROWS_READ_MAX {
                    self.after = [&[place], key].concat();
                }
                self.take(reader, table, key, bytes, now_ns);
                Ok(true)
            })?;
            if rows >= ENTRY_ROWS_READ_MAX {
                break;
            }
            start = Vec::new();
        }
        Ok(())
    }

    fn take(&mut self, reader: &dyn Reader, table: Table, key: &[u8], bytes: &[u8], now_ns: i64) {
        if table == Table::PeriodicLaunches {
            let record: Option<PeriodicLaunchRecord> = reader.decoded(table, key, bytes);
            let ahead = record.filter(|record| record.launch_ns > now_ns);
            self.launches.extend(ahead.map(|record| (key.to_vec(), record)));
        } else {
            let eval: Option<Evaluation> = reader.decoded(table, key, bytes);
            self.evals.extend(eval.filter(|eval| {
                is_open(eval.status()) && eval.create_time_ns > now_ns && eval.wait_until_ns > now_ns
            }));
        }
    }
}
