//! Cache of parsed jobs, by version.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ordu_core::scheduler::ScheduledJob;
use ordu_core::state::{Corrupt, JobKey, Reader, read};
use ordu_proto::state::Job;
use rustc_hash::FxHashMap;

/// Maximum number of cached versions.
const PARSED_JOBS_MAX: usize = 1024;
/// Maximum total size of their specifications in bytes.
const PARSED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The job, its create index and its version.
type Version = (JobKey, u64, u64);

/// The cache.
#[derive(Default)]
pub(super) struct JobCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Each with the specification it was parsed from.
    parsed: FxHashMap<Version, (Arc<ScheduledJob>, Vec<u8>)>,
    order: VecDeque<Version>,
    bytes: usize,
}

impl JobCache {
    /// Returns the parsed job of `row`; `None` if its specification is no longer stored.
    ///
    /// A version number can be reused while nothing runs with it, so a cached job is valid only for the same
    /// specification bytes.
    pub(super) fn get(&self, reader: &dyn Reader, row: &Job) -> Result<Option<Arc<ScheduledJob>>, Corrupt> {
        let version = (JobKey::from(row), row.create_index, row.version);
        let Some(spec) = read::job_spec(reader, &row.namespace, &row.id, row.create_index, row.version)?
        else {
            return Ok(None);
        };
        if let Some((parsed, of)) = self.kept().parsed.get(&version)
            && *of == spec.json
        {
            return Ok(Some(parsed.clone()));
        }
        let parsed = read::parsed_spec(reader, row, &spec)?;
        let parsed = Arc::new(ScheduledJob::from_spec(row, &parsed));
        self.kept().keep(version, parsed.clone(), spec.json);
        Ok(Some(parsed))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, version: Version, parsed: Arc<ScheduledJob>, json: Vec<u8>) {
        self.bytes += json.len();
        match self.parsed.insert(version.clone(), (parsed, json)) {
            Some((_, replaced)) => self.bytes -= replaced.len(),
            None => self.order.push_back(version),
        }
        while self.order.len() > PARSED_JOBS_MAX || self.bytes > PARSED_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.parsed.remove(&oldest).map_or(0, |(_, json)| json.len());
        }
    }
}
