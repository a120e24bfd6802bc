//! The leader's duties: the trait, the list, and the loop that feeds them the state and its changes during a
//! term.

use ordu_core::scheduler::ClusterView;
use ordu_core::state::reader::ReaderExt;
use ordu_core::state::{Change, Corrupt, Reader, Table, key};
use ordu_proto::raft::LogId;
use ordu_store::background::heavy;
use ordu_store::state_machine::State;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::liveness::NodeLiveness;
use super::periodic::PeriodicLaunches;
use super::scheduling::Scheduling;
use super::term::Term;
use crate::feed::FeedEvent;

/// A task that only the leader does. A duty is created when a term begins, and again after a snapshot
/// replaced the tables. It spawns its tasks, then loads the state, and then receives every change.
///
/// A duty skips rows that cannot be decoded. An error means a storage fault and stops the server.
pub(super) trait Duty: Send + Sync {
    /// Returns the duty's name in the log.
    fn name(&self) -> &'static str;

    /// Reads the pending work from the tables and the view, which are of the same state.
    fn load(&self, _tables: &dyn Reader, _view: &ClusterView) -> Result<(), Corrupt> {
        Ok(())
    }

    /// Receives later changes in log order, each with its entry's index. One call covers all entries applied
    /// together.
    fn follow(&self, _changes: &[(u64, Change)]) -> Result<(), Corrupt> {
        Ok(())
    }
}

/// Creates all duties; add new ones here. What a duty spawns in `tasks` ends with it.
pub(super) fn all(term: &Term, tasks: &mut JoinSet<()>) -> Vec<Box<dyn Duty>> {
    vec![
        Box::new(Scheduling::start(term, tasks)),
        Box::new(NodeLiveness::start(term, tasks)),
        Box::new(PeriodicLaunches::start(term, tasks)),
    ]
}

/// Runs the duties that `make` creates. `applied` must begin no later than the state's current index.
pub(super) async fn run(
    state: State,
    make: impl Fn(&mut JoinSet<()>) -> Vec<Box<dyn Duty>> + Send,
    mut applied: UnboundedReceiver<FeedEvent>,
) {
    loop {
        let mut tasks = JoinSet::new();
        let duties = make(&mut tasks);
        let kept_in_step = async {
            // A hundred thousand evaluations may be waiting.
            let loaded = heavy(true, || load(&state, &duties))?;
            follow(&duties, loaded, &mut applied).await
        };
        match kept_in_step.await {
            // A leader installs no snapshots, but if the tables are replaced, start over.
            Ok(Ended::Restored) => tasks.shutdown().await,
            Ok(Ended::WithTheServer) => return,
            // A leader that cannot read its pending work must not go on as if there were none.
            Err(reason) => {
                let text = format!(
                    "this server leads and cannot read what is to be done, so it leaves service: {reason}"
                );
                return state.db().faults().report(text);
            }
        }
    }
}

/// Loads one state into all duties. Returns its index.
fn load(state: &State, duties: &[Box<dyn Duty>]) -> Result<u64, String> {
    // Nothing is applied while the guard is held, so the view and the rows are of one state.
    let machine = state.machine();
    state.read(move |tables| {
        let view = machine.view.snapshot();
        drop(machine);
        for duty in duties {
            duty.load(tables, &view).map_err(|corrupt| format!("{}: {corrupt}", duty.name()))?;
        }
        let position: Result<Option<LogId>, Corrupt> = tables.row(Table::Meta, key::meta::APPLIED);
        position
            .map(|position| position.map_or(0, |position| position.index))
            .map_err(|corrupt| corrupt.to_string())
    })
}

/// Why the change feed ended.
enum Ended {
    /// All tables were replaced.
    Restored,
    /// The feed was closed.
    WithTheServer,
}

/// Passes all changes after index `loaded` to all duties.
async fn follow(
    duties: &[Box<dyn Duty>],
    loaded: u64,
    applied: &mut UnboundedReceiver<FeedEvent>,
) -> Result<Ended, String> {
    while let Some(event) = applied.recv().await {
        let FeedEvent::Applied { changes, .. } = event else { return Ok(Ended::Restored) };
        let new = &changes[changes.partition_point(|(index, _)| *index <= loaded)..];
        for duty in duties {
            duty.follow(new).map_err(|corrupt| format!("{}: {corrupt}", duty.name()))?;
        }
    }
    Ok(Ended::WithTheServer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ordu_core::state::RowChange;
    use ordu_core::state::rows::Evals;
    use ordu_proto::state::Evaluation;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;
    use crate::testing::one_server;

    /// A duty that reports the calls it gets and the end of its task.
    struct Telling(UnboundedSender<String>);

    struct Task(UnboundedSender<String>);

    impl Drop for Task {
        fn drop(&mut self) {
            let _ = self.0.send("ended".to_owned());
        }
    }

    impl Telling {
        fn start(told: UnboundedSender<String>, tasks: &mut JoinSet<()>) -> Self {
            let task = Task(told.clone());
            tasks.spawn(async move {
                let _task = task;
                std::future::pending::<()>().await;
            });
            Self(told)
        }
    }

    impl Duty for Telling {
        fn name(&self) -> &'static str {
            "telling"
        }

        fn load(&self, _tables: &dyn Reader, _view: &ClusterView) -> Result<(), Corrupt> {
            let _ = self.0.send("loaded".to_owned());
            Ok(())
        }

        fn follow(&self, changes: &[(u64, Change)]) -> Result<(), Corrupt> {
            let indexes: Vec<u64> = changes.iter().map(|(index, _)| *index).collect();
            if indexes == [7 << 40] {
                return Err(Corrupt::storage(Table::Evals, "the disk is gone"));
            }
            let _ = self.0.send(format!("{indexes:?}"));
            Ok(())
        }
    }

    fn applied(indexes: &[u64]) -> FeedEvent {
        let change = |index: &u64| {
            let eval = RowChange { key: Vec::new(), old: None, new: Some(Evaluation::default()) };
            (*index, Change::new::<Evals>(eval))
        };
        FeedEvent::Applied { index: 0, changes: Arc::new(indexes.iter().map(change).collect()) }
    }

    #[tokio::test]
    async fn duties_take_in_the_tables_and_then_what_is_later_and_begin_anew_with_other_tables() {
        const LATER: u64 = 1 << 40;
        let server = one_server().await;
        let state = server.context().state.clone();
        let faults = state.db().faults().clone();
        let (feed, events) = unbounded_channel();
        let (telling, mut told) = unbounded_channel();
        let make = move |tasks: &mut JoinSet<()>| -> Vec<Box<dyn Duty>> {
            vec![Box::new(Telling::start(telling.clone(), tasks))]
        };
        let mut running = JoinSet::new();
        running.spawn(run(state, make, events));
        let mut told = async || timeout(Duration::from_secs(20), told.recv()).await.expect("nothing is told");
        for (event, expected) in [
            (applied(&[0, LATER, LATER + 1]), vec!["loaded".to_owned(), format!("[{LATER}, {}]", LATER + 1)]),
            (FeedEvent::Restored, vec!["ended".to_owned(), "loaded".to_owned()]),
            (applied(&[LATER]), vec![format!("[{LATER}]")]),
            (applied(&[7 * LATER]), vec!["ended".to_owned()]),
        ] {
            feed.send(event).unwrap();
            for expected in expected {
                assert_eq!(Some(expected), told().await);
            }
        }
        assert_eq!(None, told().await, "nothing runs any more");
        let reported = timeout(Duration::from_secs(20), faults.wait()).await.unwrap();
        assert!(reported.ends_with("leaves service: telling: table evals: the disk is gone"), "{reported}");
    }
}
