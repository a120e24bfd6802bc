//! The duties of a leader: what a duty is, the list of them, and how all are kept in step with the state for as long
//! as the term lasts.

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

/// Something that only the leader does. It is made when a term begins, and anew when the tables were replaced: it
/// spawns what runs beside, then it is told what the state holds, and from then on every change.
///
/// A row that cannot be decoded is passed over; an error is a fault of the storage, and ends the server's service.
pub(super) trait Duty: Send + Sync {
    /// What it is called in the log.
    fn name(&self) -> &'static str;

    /// Takes in what is to be done by the tables, and by the view of them, which is of the same state.
    fn load(&self, _tables: &dyn Reader, _view: &ClusterView) -> Result<(), Corrupt> {
        Ok(())
    }

    /// Takes in what was applied since, each change with its entry's index, in the order of the log: the changes of all
    /// entries that were applied together.
    fn follow(&self, _changes: &[(u64, Change)]) -> Result<(), Corrupt> {
        Ok(())
    }
}

/// All duties. To add one: its file, and a line here. What a duty spawns in `tasks` ends with it.
pub(super) fn all(term: &Term, tasks: &mut JoinSet<()>) -> Vec<Box<dyn Duty>> {
    vec![
        Box::new(Scheduling::start(term, tasks)),
        Box::new(NodeLiveness::start(term, tasks)),
        Box::new(PeriodicLaunches::start(term, tasks)),
    ]
}

/// Does the duties that `make` makes for as long as it runs. `applied` begins no later than with the state's present
/// index.
pub(super) async fn run(
    state: State,
    make: impl Fn(&mut JoinSet<()>) -> Vec<Box<dyn Duty>> + Send,
    mut applied: UnboundedReceiver<FeedEvent>,
) {
    loop {
        let mut tasks = JoinSet::new();
        let duties = make(&mut tasks);
        let kept_in_step = async {
            // There may be a hundred thousand evaluations that wait.
            let loaded = heavy(true, || load(&state, &duties))?;
            follow(&duties, loaded, &mut applied).await
        };
        match kept_in_step.await {
            // A leader installs no snapshots, but what is void is void.
            Ok(Ended::Restored) => tasks.shutdown().await,
            Ok(Ended::WithTheServer) => return,
            // A leader that does not know what is to be done must not lead on as if there were nothing.
            Err(reason) => {
                let text = format!(
                    "this server leads and cannot read what is to be done, so it leaves service: {reason}"
                );
                return state.db().faults().report(text);
            }
        }
    }
}

/// Has all duties take in one state. Answers its index.
fn load(state: &State, duties: &[Box<dyn Duty>]) -> Result<u64, String> {
    // While the guard is held nothing is applied, so that the view and the rows are of one state.
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

/// Why duties are not kept in step any more.
enum Ended {
    /// All tables were replaced.
    Restored,
    /// Nothing is applied any more.
    WithTheServer,
}

/// Hands all duties what is applied behind the index `loaded`.
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

    /// A duty that tells what happens to it and to its task.
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
