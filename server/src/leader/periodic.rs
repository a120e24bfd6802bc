//! Launches periodic jobs on schedule. The due times follow from the clock and from the last launch recorded
//! in the state, so that a new leader continues where the previous one stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ordu_core::command::UNREADABLE_STATUS;
use ordu_core::periodic::{Schedule, missed_launch};
use ordu_core::scheduler::ClusterView;
use ordu_core::state::{Change, Corrupt, JobKey, Reader, Table, key, read, readable, rows};
use ordu_proto::command::PeriodicLaunch;
use ordu_proto::state::Job;
use ordu_store::runtime::random_id;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::duties::Duty;
use super::term::Term;
use crate::context::Context;
use crate::error::WriteError;

/// Maximum number of concurrent launches; many jobs are due at midnight.
const LAUNCHES_IN_FLIGHT_MAX: usize = 256;
/// Maximum sleep, since the wall clock may be changed meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Pause before a launch is retried that could not be written.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Pause after a launch was refused because of a row that cannot be decoded. Each retry is a log entry.
const RETRY_UNREADABLE_AFTER: Duration = Duration::from_secs(10);

/// The duty that launches periodic jobs during a term.
pub(super) struct PeriodicLaunches {
    context: Context,
    news: UnboundedSender<News>,
}

/// Messages to the launcher.
enum News {
    /// All periodic jobs.
    Loaded(Agenda),
    /// A job was written or removed, or its next launch may have changed.
    Changed(JobKey),
}

impl PeriodicLaunches {
    /// Starts the launcher, with no jobs yet.
    pub(super) fn start(term: &Term, tasks: &mut JoinSet<()>) -> Self {
        let (news, told) = unbounded_channel();
        tasks.spawn(run(term.number, term.context.clone(), told));
        Self { context: term.context.clone(), news }
    }

    fn tell(&self, news: News) {
        // The launcher is gone only if the term is over.
        let _ = self.news.send(news);
    }
}

impl Duty for PeriodicLaunches {
    fn name(&self) -> &'static str {
        "launches of periodic jobs"
    }

    fn load(&self, tables: &dyn Reader, _view: &ClusterView) -> Result<(), Corrupt> {
        let mut agenda = Agenda::default();
        agenda.read(tables, self.context.clock.now_ns())?;
        self.tell(News::Loaded(agenda));
        Ok(())
    }

    fn follow(&self, changes: &[(u64, Change)]) -> Result<(), Corrupt> {
        for (_, change) in changes {
            if let Some(job) = rescheduled(change) {
                self.tell(News::Changed(job));
            }
        }
        Ok(())
    }
}

/// Returns the periodic job whose next launch this change may affect.
fn rescheduled(change: &Change) -> Option<JobKey> {
    if let Some(launch) = change.of::<rows::PeriodicLaunches>() {
        return key::job_names(&launch.key).map(|(namespace, id)| JobKey::new(namespace, id));
    }
    let job = change.of::<rows::Jobs>()?.latest()?;
    job.periodic.then(|| JobKey::from(job))
}

/// Due times of jobs. A job that is being launched is in neither map.
#[derive(Debug, Default, PartialEq)]
struct Agenda {
    by_time: BTreeSet<(i64, JobKey)>,
    by_job: BTreeMap<JobKey, i64>,
}

impl Agenda {
    /// Adds all periodic jobs.
    fn read(&mut self, reader: &dyn Reader, now_ns: i64) -> Result<(), Corrupt> {
        read::each(reader, Table::Jobs, &[], &mut |job: Job| {
            if job.periodic {
                // A job with undecodable rows is skipped; the others are launched.
                let due_ns = readable(due(reader, &job, now_ns))?.flatten();
                self.set(JobKey::from(&job), due_ns);
            }
            Ok(())
        })
    }

    fn set(&mut self, job: JobKey, due_ns: Option<i64>) {
        if let Some(before) = self.by_job.remove(&job) {
            self.by_time.remove(&(before, job.clone()));
        }
        if let Some(due_ns) = due_ns {
            self.by_job.insert(job.clone(), due_ns);
            self.by_time.insert((due_ns, job));
        }
    }

    /// Removes and returns the earliest job if it is due at `now_ns`.
    fn take_due(&mut self, now_ns: i64) -> Option<(JobKey, i64)> {
        let (due_ns, _) = self.by_time.first()?;
        if *due_ns > now_ns {
            return None;
        }
        let (due_ns, job) = self.by_time.pop_first()?;
        self.by_job.remove(&job);
        Some((job, due_ns))
    }

    fn wait(&self, now_ns: i64) -> Duration {
        let first = self.by_time.first().map_or(i64::MAX, |(due_ns, _)| *due_ns);
        let nanoseconds = u64::try_from(first.saturating_sub(now_ns)).unwrap_or(0);
        Duration::from_nanos(nanoseconds).min(LONGEST_WAIT)
    }
}

/// Returns when the job is to be launched next: at once if launches were missed since the last recorded one,
/// and then only the newest of them. Returns `None` if the job is not launched by the clock.
fn due(reader: &dyn Reader, job: &Job, now_ns: i64) -> Result<Option<i64>, Corrupt> {
    if !job.periodic || job.stop || job.parameterized {
        return Ok(None);
    }
    let spec = read::parsed_spec(reader, job, &read::spec_of(reader, job)?)?;
    let Some(config) = spec.periodic.filter(|config| config.enabled != Some(false)) else {
        return Ok(None);
    };
    let (spec, zone) = (config.spec.unwrap_or_default(), config.time_zone.unwrap_or_default());
    let Ok(schedule) = Schedule::parse(&spec, &zone) else {
        tracing::warn!("the schedule {spec:?} of job {:?} cannot be read; it is not launched", job.id);
        return Ok(None);
    };
    let decided_ns =
        read::periodic_launch(reader, &job.namespace, &job.id)?.map_or(now_ns, |record| record.launch_ns);
    let missed = missed_launch(&schedule, decided_ns, now_ns);
    // The clock may have been set back to before the last recorded launch.
    Ok(missed.or_else(|| schedule.next_after(now_ns.max(decided_ns))))
}

/// Runs the launcher.
async fn run(term: u64, context: Context, mut told: UnboundedReceiver<News>) {
    let mut agenda = Agenda::default();
    let mut launches = FuturesUnordered::new();
    let mut under_way = BTreeSet::new();
    loop {
        while under_way.len() < LAUNCHES_IN_FLIGHT_MAX
            && let Some((job, due_ns)) = agenda.take_due(context.clock.now_ns())
        {
            under_way.insert(job.clone());
            launches.push(launch(&context, term, job, due_ns));
        }
        let wait = agenda.wait(context.clock.now_ns());
        tokio::select! {
            news = told.recv() => match news {
                Some(News::Loaded(all)) => agenda = all,
                // A job that is being launched is rescheduled when its launch is decided.
                Some(News::Changed(job)) if under_way.contains(&job) => {}
                Some(News::Changed(job)) => look_at(&context, &mut agenda, job),
                None => return,
            },
            Some(job) = launches.next(), if !launches.is_empty() => {
                under_way.remove(&job);
                look_at(&context, &mut agenda, job);
            }
            () = tokio::time::sleep(wait), if under_way.len() < LAUNCHES_IN_FLIGHT_MAX => {}
        }
    }
}

fn look_at(context: &Context, agenda: &mut Agenda, job: JobKey) {
    let JobKey { namespace, id } = &job;
    let due_ns = context.state.read(|reader| match read::job(reader, namespace, id)? {
        Some(row) => due(reader, &row, context.clock.now_ns()),
        None => Ok(None),
    });
    match due_ns {
        Ok(due_ns) => agenda.set(job, due_ns),
        Err(corrupt) => tracing::error!("the leader cannot read when job {id:?} is due: {corrupt}"),
    }
}

/// Proposes one launch, and returns the job.
async fn launch(context: &Context, term: u64, job: JobKey, launch_ns: i64) -> JobKey {
    let JobKey { namespace, id: job_id } = job.clone();
    let command =
        PeriodicLaunch { namespace, job_id, launch_ns, forced: false, eval_id: random_id().to_vec() };
    match context.writer.write_as_leader(term, command).await {
        Ok(written) => {
            context.state.wait_applied(written.index).await;
            if !written.answer.child_id.is_empty() {
                tracing::debug!("launched {:?}", written.answer.child_id);
            }
        }
        Err(WriteError::Refused { status, text }) if u32::from(status) == UNREADABLE_STATUS => {
            tracing::warn!("job {:?} is not launched: {text}", job.id);
            tokio::time::sleep(RETRY_UNREADABLE_AFTER).await;
        }
        // The job was stopped or removed meanwhile.
        Err(WriteError::Refused { text, .. }) => {
            tracing::debug!("job {:?} is not launched: {text}", job.id);
        }
        Err(error) => {
            tracing::warn!("a launch of job {:?} could not be written and is tried again: {error}", job.id);
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
    job
}

#[cfg(test)]
mod tests {
    use ordu_core::state::{MemoryTables, Write, key};
    use ordu_proto::state::{JobSpec, PeriodicLaunchRecord};
    use prost::Message;

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MINUTE: i64 = 60 * SECOND;

    fn due_of(
        edit: impl FnOnce(&mut Job),
        periodic: &str,
        decided_ns: Option<i64>,
        now_ns: i64,
    ) -> Option<i64> {
        let mut job = Job { id: "j".to_owned(), periodic: true, ..Job::default() };
        edit(&mut job);
        let json = format!(r#"{{"ID":"j","Periodic":{periodic}}}"#).into_bytes();
        let spec = JobSpec { json, payload: Vec::new() };
        let mut tables = MemoryTables::default();
        let row = |table, key, value| Write { table, key, value: Some(value) };
        tables.commit([row(Table::JobSpecs, key::job_spec("", "j", 0, 0), spec.encode_to_vec())]);
        if let Some(launch_ns) = decided_ns {
            let record = PeriodicLaunchRecord { launch_ns, ..PeriodicLaunchRecord::default() };
            tables.commit([row(Table::PeriodicLaunches, key::job("", "j"), record.encode_to_vec())]);
        }
        due(&tables, &job, now_ns).unwrap()
    }

    #[test]
    fn the_newest_missed_launch_is_due_at_once_and_else_the_next_one() {
        let minutely = r#"{"Enabled":true,"Spec":"* * * * *","TimeZone":"UTC"}"#;
        let now = 10 * MINUTE + SECOND;
        for (decided, expected) in [
            (Some(10 * MINUTE), 11 * MINUTE),
            (Some(9 * MINUTE), 10 * MINUTE),
            (Some(2 * MINUTE + SECOND), 10 * MINUTE),
            // The clock was set back: recorded launches are not repeated.
            (Some(20 * MINUTE), 21 * MINUTE),
            (None, 11 * MINUTE),
        ] {
            assert_eq!(Some(expected), due_of(|_| {}, minutely, decided, now), "{decided:?}");
        }
    }

    #[test]
    fn a_job_that_is_not_tracked_is_never_due() {
        let minutely = r#"{"Enabled":true,"Spec":"* * * * *","TimeZone":"UTC"}"#;
        assert_eq!(None, due_of(|job| job.stop = true, minutely, Some(0), MINUTE));
        assert_eq!(None, due_of(|job| job.parameterized = true, minutely, Some(0), MINUTE));
        assert_eq!(None, due_of(|job| job.periodic = false, minutely, Some(0), MINUTE));
        assert_eq!(None, due_of(|_| {}, r#"{"Enabled":false,"Spec":"* * * * *"}"#, Some(0), MINUTE));
        assert_eq!(None, due_of(|_| {}, r#"{"Enabled":true,"Spec":"nonsense"}"#, Some(0), MINUTE));
    }

    #[test]
    fn a_job_whose_rows_cannot_be_decoded_is_not_launched_and_the_others_are() {
        let row = |table, key, value| Write { table, key, value: Some(value) };
        let mut tables = MemoryTables::default();
        for id in ["bad-job", "bad-launch", "bad-row", "bad-spec", "good", "no-spec"] {
            let job = Job { id: id.to_owned(), periodic: true, ..Job::default() };
            let json = format!(r#"{{"ID":"{id}","Periodic":{{"Enabled":true,"Spec":"* * * * *"}}}}"#);
            let spec = JobSpec { json: json.into_bytes(), payload: Vec::new() };
            tables.commit([
                row(Table::Jobs, key::job("", id), job.encode_to_vec()),
                row(Table::JobSpecs, key::job_spec("", id, 0, 0), spec.encode_to_vec()),
            ]);
        }
        let unparsed = JobSpec { json: br#"{"ID":7}"#.to_vec(), payload: Vec::new() };
        tables.commit([
            row(Table::Jobs, key::job("", "bad-job"), vec![0xff]),
            row(Table::PeriodicLaunches, key::job("", "bad-launch"), vec![0xff]),
            row(Table::JobSpecs, key::job_spec("", "bad-row", 0, 0), vec![0xff]),
            row(Table::JobSpecs, key::job_spec("", "bad-spec", 0, 0), unparsed.encode_to_vec()),
            Write { table: Table::JobSpecs, key: key::job_spec("", "no-spec", 0, 0), value: None },
        ]);
        let mut agenda = Agenda::default();
        agenda.read(&tables, SECOND).unwrap();
        assert_eq!(Some((JobKey::new("", "good"), MINUTE)), agenda.take_due(MINUTE));
        assert_eq!(Agenda::default(), agenda);
    }

    #[test]
    fn the_agenda_hands_out_what_is_due_in_the_order_of_time() {
        let job = |id: &str| JobKey::new("default", id);
        let mut agenda = Agenda::default();
        agenda.set(job("late"), Some(30));
        agenda.set(job("early"), Some(10));
        agenda.set(job("moved"), Some(5));
        agenda.set(job("moved"), Some(20));
        agenda.set(job("gone"), Some(1));
        agenda.set(job("gone"), None);
        assert_eq!(Some((job("early"), 10)), agenda.take_due(20));
        assert_eq!(Some((job("moved"), 20)), agenda.take_due(20));
        assert_eq!(None, agenda.take_due(20));
        assert_eq!(Duration::from_nanos(10), agenda.wait(20));
        assert_eq!(Some((job("late"), 30)), agenda.take_due(40));
        assert_eq!(Agenda::default(), agenda);
        assert_eq!(LONGEST_WAIT, agenda.wait(40));
    }
}
