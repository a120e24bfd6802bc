//! Writes the rows of one log entry together with everything derived from them (secondary keys, table indexes, counts,
//! summaries, statuses), so that no command can forget a part.

use std::collections::BTreeMap;

use ordu_proto::state::{
    Allocation, AutopilotConfig, ClusterMeta, Deployment, EvalStatus, Evaluation, Job, JobSpec, JobSummary,
    Node, PeriodicLaunchRecord,
};
use sha2::{Digest, Sha256};

use super::job_state;
use super::level::{FIRST_LEVEL, SECOND_LEVEL};
use crate::scheduler::ClusterView;
pub(super) use crate::scheduler::evaluations::is_open;
use crate::state::id::marked_as_uuid;
use crate::state::reader::ReaderExt;
use crate::state::rows::{
    Allocs, Deployments, Evals, JobSummaries, JobVersions, Jobs, Nodes, PeriodicLaunches,
};
use crate::state::{Change, Corrupt, Id, JobKey, Reader, RowChange, Rows, Table, Tx, key, read, readable};

/// A job's summary before and after the entry.
struct SummaryDraft {
    before: Option<JobSummary>,
    now: JobSummary,
}

/// A log entry being applied.
pub struct Entry<'t, 'b> {
    tx: &'t mut Tx<'b>,
    /// Log index of the entry.
    pub(super) index: u64,
    /// The cluster's time.
    pub(super) time_ns: i64,
    /// Time on the leader's clock when it logged the entry; the cluster's time may be ahead of it.
    pub(super) stamp_ns: i64,
    /// The cluster's metadata.
    pub(super) cluster: &'t mut ClusterMeta,
    /// The scheduler's view after the preceding entries.
    pub(super) view: &'t ClusterView,
    summaries: BTreeMap<JobKey, SummaryDraft>,
    /// Change of the number of allocations that use each specification.
    spec_uses: BTreeMap<Spec, i64>,
}

/// Identifies a specification: job, the job's create index, job version.
type Spec = (JobKey, u64, u64);

impl<'t, 'b> Entry<'t, 'b> {
    pub(super) fn new(
        tx: &'t mut Tx<'b>,
        index: u64,
        stamp_ns: i64,
        cluster: &'t mut ClusterMeta,
        view: &'t ClusterView,
    ) -> Self {
        Self {
            tx,
            index,
            time_ns: cluster.time_ns,
            stamp_ns,
            cluster,
            view,
            summaries: BTreeMap::new(),
            spec_uses: BTreeMap::new(),
        }
    }

    /// Returns the tables including the writes of the preceding entries and of this one so far.
    pub(super) fn reader(&self) -> &dyn Reader {
        self.tx
    }

    /// Writes a row, which was `old` before, and records the change for subscribers.
    pub(super) fn put<T: Rows>(&mut self, key: Vec<u8>, old: Option<T::Row>, new: T::Row) {
        self.tx.put_row::<T>(&key, old.as_ref(), &new);
        self.tell::<T>(RowChange { key, old, new: Some(new) });
    }

    /// Removes a row and records the change for subscribers.
    pub(super) fn remove<T: Rows>(&mut self, key: Vec<u8>, old: T::Row) {
        self.tx.delete_row::<T>(&key, &old);
        self.tell::<T>(RowChange { key, old: Some(old), new: None });
    }

    fn tell<T: Rows>(&mut self, change: RowChange<T::Row>) {
        if T::INDEXED {
            self.tx.touch(T::TABLE, self.index);
        }
        self.tx.note(Change::new::<T>(change));
    }

    /// Writes the job's live row, which was `old` before.
    pub(super) fn put_job(&mut self, old: Option<Job>, job: &Job) {
        self.put::<Jobs>(Jobs::key((&job.namespace, &job.id)), old, job.clone());
    }

    /// Writes a version of a job with its specification, and drops versions beyond `kept_max`.
    pub(super) fn put_job_version(
        &mut self,
        job: &Job,
        spec: JobSpec,
        kept_max: usize,
    ) -> Result<(), Corrupt> {
        let before = read::job_version(self.reader(), &job.namespace, &job.id, job.version);
        self.put_job_version_row(readable(before)?.flatten(), job);
        let at = key::job_spec(&job.namespace, &job.id, job.create_index, job.version);
        self.tx.put(Table::JobSpecs, at, &spec);
        if job.version < kept_max as u64 {
            return Ok(());
        }
        let mut kept = read::job_versions(self.reader(), &job.namespace, &job.id)?;
        if kept.len() <= kept_max {
            return Ok(());
        }
        while kept.len() > kept_max {
            // Keep the newest stable version, because an automatic revert goes back to it. Also keep the version just
            // written: it is the job's current one even if its number is the lowest, since marking an older version
            // stable sets the job's version number back.
            let newest_stable = kept.iter().find(|version| version.stable).map(|version| version.version);
            let may_go = |kept: &Job| kept.version != job.version && Some(kept.version) != newest_stable;
            let Some(oldest) = kept.iter().rposition(may_go) else { break };
            let dropped = kept.remove(oldest);
            self.drop_job_version(&dropped)?;
        }
        Ok(())
    }

    /// Writes the row of a job version, which was `old` before; its specification is stored already.
    pub(super) fn put_job_version_row(&mut self, old: Option<Job>, job: &Job) {
        let at = JobVersions::key((&job.namespace, &job.id, job.version));
        self.put::<JobVersions>(at, old, job.clone());
    }

    /// Records that all launches of a periodic job up to `launch_ns` have been decided.
    pub(super) fn put_periodic_launch(
        &mut self,
        job: &Job,
        record: Option<PeriodicLaunchRecord>,
        launch_ns: i64,
    ) {
        let create_index = record.map_or(self.index, |record| record.create_index);
        let reset_index = record.map_or(0, |record| record.reset_index);
        let now = PeriodicLaunchRecord { launch_ns, create_index, modify_index: self.index, reset_index };
        self.put::<PeriodicLaunches>(PeriodicLaunches::key((&job.namespace, &job.id)), record, now);
    }

    /// Writes the row that finds a child by its idempotency token.
    pub(super) fn put_child_token(&mut self, child: &Job) {
        let Job { namespace, id, parent_id, idempotency_token, .. } = child;
        let at = key::by_token(namespace, parent_id, idempotency_token);
        self.tx.put_bytes(Table::ChildrenByToken, at, id.clone().into_bytes());
    }

    /// Whether the cluster has reached a feature level.
    pub(super) fn has_level(&self, level: u32) -> bool {
        self.cluster.feature_level.max(FIRST_LEVEL) >= level
    }

    /// Applies a child's change of status to its parent's counts (`None`: there is no such child).
    ///
    /// From level 2 on a parent's counts are those of the children that exist, even while the parent itself is purged.
    /// Below, only an existing parent counts, and a purged child counts as a dead one.
    pub(super) fn count_child(
        &mut self,
        child: &Job,
        before: Option<&str>,
        now: Option<&str>,
    ) -> Result<(), Corrupt> {
        let Job { namespace, parent_id, .. } = child;
        // An undecodable parent must not block its children.
        let counts = !parent_id.is_empty()
            && (self.has_level(SECOND_LEVEL)
                || readable(read::job(self.reader(), namespace, parent_id))?.flatten().is_some());
        if counts && let Some(summary) = readable(self.summary(namespace, parent_id))? {
            job_state::count_child(summary, before, now);
        }
        Ok(())
    }

    /// Removes a job: its live row, its versions, and the visible part of its summary.
    pub(super) fn remove_job(&mut self, job: &Job) -> Result<(), Corrupt> {
        for version in read::job_versions(self.reader(), &job.namespace, &job.id)? {
            self.drop_job_version(&version)?;
        }
        self.tx.touch(Table::JobVersions, self.index);
        let at = Jobs::key((&job.namespace, &job.id));
        self.tx.delete(Table::PeriodicLaunches, at.clone());
        self.remove::<Jobs>(at, job.clone());
        if !job.idempotency_token.is_empty() {
            let at = key::by_token(&job.namespace, &job.parent_id, &job.idempotency_token);
            self.tx.delete(Table::ChildrenByToken, at);
        }
        let now = if self.has_level(SECOND_LEVEL) { None } else { Some("dead") };
        self.count_child(job, Some(&job.status), now)?;
        self.summary(&job.namespace, &job.id)?.purged = true;
        Ok(())
    }

    /// Removes a version's row, and its specification unless an allocation uses it.
    fn drop_job_version(&mut self, dropped: &Job) -> Result<(), Corrupt> {
        let Job { namespace, id, create_index, version, .. } = dropped;
        self.remove::<JobVersions>(JobVersions::key((namespace, id, *version)), dropped.clone());
        if !read::is_spec_used(self.reader(), namespace, id, *create_index, *version)? {
            self.tx.delete(Table::JobSpecs, key::job_spec(namespace, id, *create_index, *version));
        }
        Ok(())
    }

    /// Updates the use counts of specifications, and removes specifications that no version and
    /// no allocation uses any more.
    fn count_spec_uses(&mut self) -> Result<(), Corrupt> {
        for ((job, create_index, version), change) in std::mem::take(&mut self.spec_uses) {
            let JobKey { namespace, id } = &job;
            let uses = read::spec_uses(self.reader(), namespace, id, create_index, version);
            // An undecodable count may still be positive, so keep the specification.
            let Some(before) = readable(uses)? else { continue };
            let now = before.saturating_add_signed(change);
            let at = key::job_spec(namespace, id, create_index, version);
            if now > 0 {
                self.tx.put_bytes(Table::SpecUses, at, now.to_be_bytes().to_vec());
                continue;
            }
            self.tx.delete(Table::SpecUses, at.clone());
            let kept = readable(read::job_version(self.reader(), namespace, id, version))?;
            if kept.is_some_and(|kept| kept.is_none_or(|kept| kept.create_index != create_index)) {
                self.tx.delete(Table::JobSpecs, at);
            }
        }
        Ok(())
    }

    /// Writes an evaluation and sets its indexes and times. Writes nothing if a row that it needs cannot be decoded.
    pub(super) fn put_eval(&mut self, mut eval: Evaluation) -> Result<(), Corrupt> {
        let old = read::eval(self.reader(), &eval.id)?;
        let of = old.as_ref().unwrap_or(&eval);
        let (namespace, job_id) = (of.namespace.clone(), of.job_id.clone());
        self.summary(&namespace, &job_id)?;
        match &old {
            Some(old) => {
                // Keep namespace and job: the secondary key and the job's counts depend on them.
                (eval.namespace, eval.job_id) = (namespace, job_id);
                eval.create_index = old.create_index;
                eval.create_time_ns = old.create_time_ns;
            }
            None => {
                eval.create_index = self.index;
                eval.create_time_ns = self.time_ns;
            }
        }
        eval.modify_index = self.index;
        eval.modify_time_ns = self.time_ns;
        let was_open = old.as_ref().is_some_and(|old| is_open(old.status()));
        let change = i64::from(is_open(eval.status())) - i64::from(was_open);
        let summary = self.summary(&eval.namespace, &eval.job_id)?;
        summary.open_evaluations += change;
        job_state::count_queued(summary, &eval);
        self.put::<Evals>(Evals::key(&eval.id), old, eval);
        Ok(())
    }

    /// Writes an allocation, which was `old` before (`None` if new). Writes nothing if a row
    /// that it needs cannot be decoded.
    pub(super) fn put_alloc(&mut self, old: Option<Allocation>, mut new: Allocation) -> Result<(), Corrupt> {
        let summary = self.summary(&new.namespace, &new.job_id)?;
        job_state::count_alloc(summary, old.as_ref(), &new);
        new.modify_index = self.index;
        new.modify_time_ns = self.time_ns;
        if old.is_none() {
            new.create_index = self.index;
            new.create_time_ns = self.time_ns;
        }
        if old.as_ref().is_none_or(|old| old.job_version != new.job_version) {
            *self.spec_uses.entry(spec_of(&new)).or_default() += 1;
            if let Some(old) = &old {
                *self.spec_uses.entry(spec_of(old)).or_default() -= 1;
            }
        }
        self.put::<Allocs>(Allocs::key(&new.id), old, new);
        Ok(())
    }

    /// Writes a deployment, which was `old` before, and sets its indexes and times.
    pub(super) fn put_deployment(&mut self, old: Option<Deployment>, mut new: Deployment) {
        new.modify_index = self.index;
        new.modify_time_ns = self.time_ns;
        if old.is_none() {
            new.create_index = self.index;
            new.create_time_ns = self.time_ns;
        }
        self.put::<Deployments>(Deployments::key(&new.id), old, new);
    }

    /// Writes a node, which was `old` before.
    pub(super) fn put_node(&mut self, old: Option<Node>, mut new: Node) {
        new.create_index = old.as_ref().map_or(self.index, |old| old.create_index);
        new.modify_index = self.index;
        self.put::<Nodes>(Nodes::key(&new.id), old, new);
    }

    /// Writes the autopilot configuration, which was `old` before, and sets its indexes.
    pub(super) fn put_autopilot(&mut self, old: Option<AutopilotConfig>, mut new: AutopilotConfig) {
        new.create_index = old.map_or(self.index, |old| old.create_index);
        new.modify_index = self.index;
        self.tx.put(Table::Meta, key::meta::AUTOPILOT.to_vec(), &new);
    }

    /// Writes a note.
    #[cfg(feature = "next-level")]
    pub(super) fn put_note(&mut self, name: String, text: String) {
        self.tx.put_bytes(Table::Notes, name.into_bytes(), text.into_bytes());
    }

    /// Returns a job's summary for modification. `finish` writes it.
    pub(super) fn summary(&mut self, namespace: &str, job_id: &str) -> Result<&mut JobSummary, Corrupt> {
        let at = JobKey::new(namespace, job_id);
        if !self.summaries.contains_key(&at) {
            let before: Option<JobSummary> =
                self.tx.row(Table::JobSummaries, &key::job(namespace, job_id))?;
            let now = before.clone().unwrap_or_else(|| JobSummary {
                namespace: namespace.to_owned(),
                job_id: job_id.to_owned(),
                purged: true,
                ..JobSummary::default()
            });
            self.summaries.insert(at.clone(), SummaryDraft { before, now });
        }
        Ok(&mut self.summaries.get_mut(&at).expect("inserted above").now)
    }

    /// Removes a summary that is about to be recomputed.
    pub(super) fn drop_summary(&mut self, namespace: &str, job_id: &str) {
        self.tx.delete(Table::JobSummaries, key::job(namespace, job_id));
    }

    /// Ends the entry: writes the changed summaries and the job statuses that follow from them.
    pub(super) fn finish(mut self) -> Result<(), Corrupt> {
        self.count_spec_uses()?;
        let touched: Vec<JobKey> = self.summaries.keys().cloned().collect();
        for job in touched {
            // This may load the summaries of parents; a parent's status does not depend on its children.
            self.settle_status(&job)?;
        }
        let counts_orphans = self.has_level(SECOND_LEVEL);
        for (job, mut draft) in std::mem::take(&mut self.summaries) {
            let at = JobSummaries::key((&job.namespace, &job.id));
            let shown = job_state::shown(&draft.now);
            let shows_news = draft.before.as_ref().and_then(job_state::shown) != shown;
            if shows_news {
                draft.now.modify_index = self.index;
            }
            let is_over = job_state::is_over(&draft.now, counts_orphans);
            if is_over {
                self.tx.delete(Table::JobSummaries, at.clone());
            } else if draft.before.as_ref() != Some(&draft.now) {
                self.tx.put(Table::JobSummaries, at.clone(), &draft.now);
            }
            if shows_news {
                let new = (!is_over).then_some(draft.now);
                self.tell::<JobSummaries>(RowChange { key: at, old: draft.before, new });
            }
        }
        Ok(())
    }

    fn settle_status(&mut self, job: &JobKey) -> Result<(), Corrupt> {
        let JobKey { namespace, id: job_id } = job;
        // An undecodable job must not block an entry that concerns many jobs.
        let job = readable(read::job(self.reader(), namespace, job_id))?.flatten();
        let Some(mut job) = job else { return Ok(()) };
        let summary = self.summary(namespace, job_id)?;
        if job.stop {
            // A stopped job has no queued allocations, even if an evaluation of its former state reports some.
            summary.groups.values_mut().for_each(|group| group.queued = 0);
        }
        let status = job_state::status(&job, summary);
        if job.status != status {
            let before = job.clone();
            status.clone_into(&mut job.status);
            self.count_child(&job, Some(&before.status), Some(status))?;
            job.modify_index = self.index;
            self.put_job(Some(before), &job);
        }
        Ok(())
    }
}

/// Returns the specification that an allocation uses.
fn spec_of(alloc: &Allocation) -> Spec {
    (JobKey::from(alloc), alloc.job_create_index, alloc.job_version)
}

/// Priority that Nomad gives to an evaluation of an unknown job.
pub(super) const UNKNOWN_JOB_PRIORITY: i32 = 50;

/// Builds a pending evaluation of a job. Indexes and times are set when it is written.
pub fn new_eval(id: Id, job: &Job, triggered_by: &str) -> Evaluation {
    Evaluation {
        id: id.to_vec(),
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        priority: job.priority,
        r#type: job.r#type.clone(),
        triggered_by: triggered_by.to_owned(),
        status: EvalStatus::Pending.into(),
        job_modify_index: job.job_modify_index,
        ..Evaluation::default()
    }
}

/// Derives the id of a job's evaluation from the seed that the entry carries.
pub(super) fn derived_id(seed: &[u8], namespace: &str, job_id: &str) -> Id {
    let mut hasher = Sha256::new();
    hasher.update(seed);
    hasher.update(key::job(namespace, job_id));
    let mut id = Id::default();
    id.copy_from_slice(&hasher.finalize()[..16]);
    marked_as_uuid(id)
}
