//! One entry under way: writes rows with everything that hangs on them (secondary keys, table indexes,
//! counts, summaries, statuses), so that no command can forget a part.

use std::collections::BTreeMap;

use ordu_proto::state::{
    Allocation, AutopilotConfig, Deployment, EvalStatus, Evaluation, Job, JobSpec, JobSummary, Node,
    PeriodicLaunchRecord,
};
use sha2::{Digest, Sha256};

use super::job_state;
pub(super) use crate::scheduler::evaluations::is_open;
use crate::state::reader::ReaderExt;
use crate::state::{Change, Corrupt, Id, Reader, Table, Tx, key, read, readable};

/// The summary of a job as the entry found it and as it will leave it.
struct SummaryDraft {
    before: Option<JobSummary>,
    now: JobSummary,
}

/// An entry under way.
pub(super) struct Entry<'t, 'b> {
    tx: &'t mut Tx<'b>,
    /// The entry's log index.
    pub(super) index: u64,
    /// The cluster's time.
    pub(super) time_ns: i64,
    summaries: BTreeMap<(String, String), SummaryDraft>,
    /// How many allocations more, or fewer, run by a specification.
    spec_uses: BTreeMap<Spec, i64>,
}

/// Which specification: namespace, job id, the job's create index, version.
type Spec = (String, String, u64, u64);

impl<'t, 'b> Entry<'t, 'b> {
    pub(super) fn new(tx: &'t mut Tx<'b>, index: u64, time_ns: i64) -> Self {
        Self { tx, index, time_ns, summaries: BTreeMap::new(), spec_uses: BTreeMap::new() }
    }

    /// The tables as the entries before and this one have left them so far.
    pub(super) fn reader(&self) -> &dyn Reader {
        self.tx
    }

    /// Writes the live job.
    pub(super) fn put_job(&mut self, job: &Job) {
        self.tx.put(Table::Jobs, key::job(&job.namespace, &job.id), job);
        self.tx.touch(Table::Jobs, self.index);
        self.note_job(job);
    }

    /// Writes a version of a job with its specification, and drops versions beyond `kept_max`.
    pub(super) fn put_job_version(
        &mut self,
        job: &Job,
        spec: JobSpec,
        kept_max: usize,
    ) -> Result<(), Corrupt> {
        self.put_job_version_row(job);
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
            // The newest stable version is what an automatic revert goes back to: it outlives its turn. And
            // what is written here is the job, though its number may be the lowest: a mark on an older
            // version sets the numbers back.
            let newest_stable = kept.iter().find(|version| version.stable).map(|version| version.version);
            let may_go = |kept: &Job| kept.version != job.version && Some(kept.version) != newest_stable;
            let Some(oldest) = kept.iter().rposition(may_go) else { break };
            let dropped = kept.remove(oldest);
            self.drop_job_version(&dropped)?;
        }
        Ok(())
    }

    /// Writes a version's row; its specification is there.
    pub(super) fn put_job_version_row(&mut self, job: &Job) {
        self.tx.put(Table::JobVersions, key::job_version(&job.namespace, &job.id, job.version), job);
        self.tx.touch(Table::JobVersions, self.index);
    }

    /// Writes which of a job's launches have been decided on.
    pub(super) fn put_periodic_launch(
        &mut self,
        job: &Job,
        record: Option<PeriodicLaunchRecord>,
        launch_ns: i64,
    ) {
        let create_index = record.map_or(self.index, |record| record.create_index);
        let reset_index = record.map_or(0, |record| record.reset_index);
        let record = PeriodicLaunchRecord { launch_ns, create_index, modify_index: self.index, reset_index };
        self.tx.put(Table::PeriodicLaunches, key::job(&job.namespace, &job.id), &record);
        self.note_job(job);
    }

    /// Writes by which token a child is found.
    pub(super) fn put_child_token(&mut self, child: &Job) {
        let Job { namespace, id, parent_id, idempotency_token, .. } = child;
        let at = key::by_token(namespace, parent_id, idempotency_token);
        self.tx.put_bytes(Table::ChildrenByToken, at, id.clone().into_bytes());
    }

    /// Takes a child's change of status into its parent's counts, if the parent is there.
    pub(super) fn count_child(
        &mut self,
        child: &Job,
        before: Option<&str>,
        now: Option<&str>,
    ) -> Result<(), Corrupt> {
        let Job { namespace, parent_id, .. } = child;
        // A parent that cannot be decoded is no reason for its children to stand still.
        let has_parent = !parent_id.is_empty()
            && readable(read::job(self.reader(), namespace, parent_id))?.flatten().is_some();
        if has_parent && let Some(summary) = readable(self.summary(namespace, parent_id))? {
            job_state::count_child(summary, before, now);
        }
        Ok(())
    }

    /// Removes a job: the live row, its versions, and what shows of its summary.
    pub(super) fn remove_job(&mut self, job: &Job) -> Result<(), Corrupt> {
        for version in read::job_versions(self.reader(), &job.namespace, &job.id)? {
            self.drop_job_version(&version)?;
        }
        self.tx.delete(Table::Jobs, key::job(&job.namespace, &job.id));
        self.tx.touch(Table::Jobs, self.index);
        self.tx.touch(Table::JobVersions, self.index);
        self.tx.delete(Table::PeriodicLaunches, key::job(&job.namespace, &job.id));
        if !job.idempotency_token.is_empty() {
            let at = key::by_token(&job.namespace, &job.parent_id, &job.idempotency_token);
            self.tx.delete(Table::ChildrenByToken, at);
        }
        self.count_child(job, Some(&job.status), Some("dead"))?;
        self.summary(&job.namespace, &job.id)?.purged = true;
        self.note_job(job);
        Ok(())
    }

    /// A version goes; its specification stays for as long as an allocation runs by it.
    fn drop_job_version(&mut self, version: &Job) -> Result<(), Corrupt> {
        let Job { namespace, id, create_index, version, .. } = version;
        self.tx.delete(Table::JobVersions, key::job_version(namespace, id, *version));
        if !read::is_spec_used(self.reader(), namespace, id, *create_index, *version)? {
            self.tx.delete(Table::JobSpecs, key::job_spec(namespace, id, *create_index, *version));
        }
        Ok(())
    }

    /// Counts who runs by which specification, and removes those that no version and no allocation needs any
    /// more.
    fn count_spec_uses(&mut self) -> Result<(), Corrupt> {
        for ((namespace, id, create_index, version), change) in std::mem::take(&mut self.spec_uses) {
            let uses = read::spec_uses(self.reader(), &namespace, &id, create_index, version);
            // Of a count that cannot be decoded nothing is known, so the specification stays.
            let Some(before) = readable(uses)? else { continue };
            let now = before.saturating_add_signed(change);
            let at = key::job_spec(&namespace, &id, create_index, version);
            if now > 0 {
                self.tx.put_bytes(Table::SpecUses, at, now.to_be_bytes().to_vec());
                continue;
            }
            self.tx.delete(Table::SpecUses, at.clone());
            let kept = readable(read::job_version(self.reader(), &namespace, &id, version))?;
            if kept.is_some_and(|kept| kept.is_none_or(|kept| kept.create_index != create_index)) {
                self.tx.delete(Table::JobSpecs, at);
            }
        }
        Ok(())
    }

    /// Writes an evaluation; its indexes and times are set here. Where a row that it needs cannot be decoded,
    /// nothing of it is written.
    pub(super) fn put_eval(&mut self, mut eval: Evaluation) -> Result<(), Corrupt> {
        let old = read::eval(self.reader(), &eval.id)?;
        let of = old.as_ref().unwrap_or(&eval);
        let (namespace, job_id) = (of.namespace.clone(), of.job_id.clone());
        self.summary(&namespace, &job_id)?;
        match &old {
            Some(old) => {
                // Its place in the secondary table and in its job's counts is by them.
                (eval.namespace, eval.job_id) = (namespace, job_id);
                eval.create_index = old.create_index;
                eval.create_time_ns = old.create_time_ns;
            }
            None => {
                eval.create_index = self.index;
                eval.create_time_ns = self.time_ns;
                let by_job = key::by_job(&eval.namespace, &eval.job_id, &eval.id);
                self.tx.put_bytes(Table::EvalsByJob, by_job, Vec::new());
            }
        }
        eval.modify_index = self.index;
        eval.modify_time_ns = self.time_ns;
        let was_open = old.is_some_and(|old| is_open(old.status()));
        let change = i64::from(is_open(eval.status())) - i64::from(was_open);
        let summary = self.summary(&eval.namespace, &eval.job_id)?;
        summary.open_evaluations += change;
        job_state::count_queued(summary, &eval);
        self.tx.put(Table::Evals, eval.id.clone(), &eval);
        self.tx.touch(Table::Evals, self.index);
        self.tx.note(Change::Eval(Box::new(eval)));
        Ok(())
    }

    /// Writes an allocation that stood as `old` before (`None`: it is new). Where a row that it needs cannot be
    /// decoded, nothing of it is written.
    pub(super) fn put_alloc(&mut self, old: Option<Allocation>, mut new: Allocation) -> Result<(), Corrupt> {
        let summary = self.summary(&new.namespace, &new.job_id)?;
        job_state::count_alloc(summary, old.as_ref(), &new);
        new.modify_index = self.index;
        new.modify_time_ns = self.time_ns;
        if old.is_none() {
            new.create_index = self.index;
            new.create_time_ns = self.time_ns;
            let by_job = key::by_job(&new.namespace, &new.job_id, &new.id);
            self.tx.put_bytes(Table::AllocsByJob, by_job, Vec::new());
        }
        let of_node = read::node_alloc(&new);
        if old.as_ref().map(read::node_alloc) != Some(of_node) {
            self.tx.put(Table::AllocsByNode, key::by_id(&new.node_id, &new.id), &of_node);
        }
        if old.as_ref().is_none_or(|old| old.job_version != new.job_version) {
            *self.spec_uses.entry(spec_of(&new)).or_default() += 1;
            if let Some(old) = &old {
                *self.spec_uses.entry(spec_of(old)).or_default() -= 1;
            }
        }
        if old.as_ref().is_none_or(|old| old.eval_id != new.eval_id) {
            if let Some(old) = &old {
                self.tx.delete(Table::AllocsByEval, key::by_id(&old.eval_id, &old.id));
            }
            self.tx.put_bytes(Table::AllocsByEval, key::by_id(&new.eval_id, &new.id), Vec::new());
        }
        self.tx.put(Table::Allocs, new.id.clone(), &new);
        self.tx.touch(Table::Allocs, self.index);
        self.tx.note(Change::Alloc { old: old.map(Box::new), new: Some(Box::new(new)) });
        Ok(())
    }

    /// Writes a deployment; its indexes and times are set here. `is_new`: it was not there before.
    pub(super) fn put_deployment(&mut self, mut deployment: Deployment, is_new: bool) {
        deployment.modify_index = self.index;
        deployment.modify_time_ns = self.time_ns;
        if is_new {
            deployment.create_index = self.index;
            deployment.create_time_ns = self.time_ns;
            let Deployment { namespace, job_id, create_index, id, .. } = &deployment;
            let by_job = key::deployment_by_job(namespace, job_id, *create_index, id);
            self.tx.put_bytes(Table::DeploymentsByJob, by_job, Vec::new());
        }
        self.tx.put(Table::Deployments, deployment.id.clone(), &deployment);
        self.tx.touch(Table::Deployments, self.index);
        self.tx.note(Change::Deployment(Box::new(deployment)));
    }

    /// Writes a node that stood as `old` before.
    pub(super) fn put_node(&mut self, old: Option<Node>, mut new: Node) {
        new.create_index = old.as_ref().map_or(self.index, |old| old.create_index);
        new.modify_index = self.index;
        self.tx.put(Table::Nodes, new.id.clone(), &new);
        self.tx.touch(Table::Nodes, self.index);
        self.tx.note(Change::Node { old: old.map(Box::new), new: Some(Box::new(new)) });
    }

    /// Writes how the leader looks after the servers, which stood as `old` before; its indexes are set here.
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

    /// The summary of a job, to be changed; written when the entry ends.
    pub(super) fn summary(&mut self, namespace: &str, job_id: &str) -> Result<&mut JobSummary, Corrupt> {
        let at = (namespace.to_owned(), job_id.to_owned());
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

    /// Removes a summary that is to be made anew.
    pub(super) fn drop_summary(&mut self, namespace: &str, job_id: &str) {
        self.tx.delete(Table::JobSummaries, key::job(namespace, job_id));
    }

    /// Ends the entry: writes the summaries that changed and the statuses that follow from them.
    pub(super) fn finish(mut self) -> Result<(), Corrupt> {
        self.count_spec_uses()?;
        let touched: Vec<(String, String)> = self.summaries.keys().cloned().collect();
        for (namespace, job_id) in touched {
            // This may load the summaries of parents, whose status does not hang on their children.
            self.settle_status(&namespace, &job_id)?;
        }
        for ((namespace, job_id), mut draft) in std::mem::take(&mut self.summaries) {
            let at = key::job(&namespace, &job_id);
            let shown = job_state::shown(&draft.now);
            if draft.before.as_ref().and_then(job_state::shown) != shown {
                draft.now.modify_index = self.index;
                self.tx.touch(Table::JobSummaries, self.index);
                self.tx.note(Change::Job {
                    namespace,
                    id: job_id,
                    job: false,
                    summary: true,
                    schedule: false,
                });
            }
            if draft.now.purged && draft.now.live_allocations == 0 && draft.now.open_evaluations == 0 {
                self.tx.delete(Table::JobSummaries, at);
            } else if draft.before.as_ref() != Some(&draft.now) {
                self.tx.put(Table::JobSummaries, at, &draft.now);
            }
        }
        Ok(())
    }

    fn settle_status(&mut self, namespace: &str, job_id: &str) -> Result<(), Corrupt> {
        // What an entry says of many jobs is not refused for one of them that cannot be decoded.
        let job = readable(read::job(self.reader(), namespace, job_id))?.flatten();
        let Some(mut job) = job else { return Ok(()) };
        let summary = self.summary(namespace, job_id)?;
        if job.stop {
            // Nothing of it waits any more, whatever an evaluation says that looked before.
            summary.groups.values_mut().for_each(|group| group.queued = 0);
        }
        let status = job_state::status(&job, summary);
        if job.status != status {
            let before = std::mem::replace(&mut job.status, status.to_owned());
            self.count_child(&job, Some(&before), Some(status))?;
            job.modify_index = self.index;
            self.put_job(&job);
        }
        Ok(())
    }

    fn note_job(&mut self, job: &Job) {
        let (namespace, id) = (job.namespace.clone(), job.id.clone());
        self.tx.note(Change::Job { namespace, id, job: true, summary: false, schedule: job.periodic });
    }
}

/// By which specification an allocation runs or ran.
fn spec_of(alloc: &Allocation) -> Spec {
    (alloc.namespace.clone(), alloc.job_id.clone(), alloc.job_create_index, alloc.job_version)
}

/// Nomad's priority of an evaluation whose job is not known.
pub(super) const UNKNOWN_JOB_PRIORITY: i32 = 50;

/// A pending evaluation of a job. Indexes and times are set when it is written.
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

/// The id of the evaluation of a job that follows from an entry which carries only a seed.
pub(super) fn derived_id(seed: &[u8], namespace: &str, job_id: &str) -> Id {
    let mut hasher = Sha256::new();
    hasher.update(seed);
    hasher.update(key::job(namespace, job_id));
    let mut id = Id::default();
    id.copy_from_slice(&hasher.finalize()[..16]);
    // The marks of a random UUID, since clients may look at them.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    id
}
