//! Tests of batching forwarded writes, and of writes pending when raft stops.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ordu_proto::command::EvalUpdate;
use ordu_proto::server::ProposeResult;
use ordu_store::log::{LogBatch, LogDb, Marker, MemoryLog, Syncing};
use tokio::sync::Notify;

use super::*;
use crate::server::Server;
use crate::testing::one_server_on;

type Sent = Arc<Mutex<Vec<Vec<Waiting>>>>;

/// Gathers batches and records them; each batch in flight completes only on a `go`.
fn gathered(waiting: Arrivals<Waiting>, go: &Arc<Notify>) -> (Sent, impl Future<Output = ()> + use<>) {
    let sent = Sent::default();
    let (kept, go) = (sent.clone(), go.clone());
    let runs = gather(FORWARD_BATCH, waiting, move |batch| {
        kept.lock().unwrap().push(batch);
        let go = go.clone();
        async move { go.notified().await }
    });
    (sent, runs)
}

fn write(bytes: usize) -> (Waiting, oneshot::Receiver<Attempt>) {
    let (reply, attempt) = oneshot::channel();
    ((vec![0; bytes].into(), reply), attempt)
}

fn sizes(sent: &Sent) -> Vec<Vec<usize>> {
    let sent = sent.lock().unwrap();
    sent.iter().map(|batch| batch.iter().map(|(command, _)| command.len()).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_holds_what_fits_and_a_larger_write_goes_alone() {
    let (sender, waiting) = Arrivals::channel(FORWARD_ARRIVALS);
    let half = FORWARD_BYTES_MAX / 2;
    let larger = FORWARD_BYTES_MAX + 1;
    let mut callers = Vec::new();
    for bytes in [half, half, 1, larger, 2, 3] {
        let (one, caller) = write(bytes);
        sender.send(one).await.unwrap();
        callers.push(caller);
    }
    let go = Arc::new(Notify::new());
    // Completes one of the four batches, so that the gatherer can see the end of the queue.
    go.notify_one();
    let (sent, runs) = gathered(waiting, &go);
    let runs = tokio::spawn(runs);
    drop(sender);
    // The gatherer ends with the queue.
    runs.await.unwrap();
    assert_eq!(vec![vec![half, half], vec![1], vec![larger], vec![2, 3]], sizes(&sent));
}

#[tokio::test(start_paused = true)]
async fn few_messages_are_under_way_and_who_has_gone_is_not_sent() {
    let (sender, waiting) = Arrivals::channel(FORWARD_ARRIVALS);
    let go = Arc::new(Notify::new());
    let (sent, runs) = gathered(waiting, &go);
    let _runs = tokio::spawn(runs);
    let settle = || tokio::time::sleep(Duration::from_millis(1));
    let mut callers = Vec::new();
    for bytes in 1..=FORWARD_BATCH.in_flight_max + 3 {
        let (one, caller) = write(bytes);
        sender.send(one).await.unwrap();
        callers.push(caller);
        settle().await;
    }
    assert_eq!(vec![vec![1], vec![2], vec![3], vec![4]], sizes(&sent), "the rest waits for an answer");
    callers.remove(FORWARD_BATCH.in_flight_max);
    go.notify_one();
    settle().await;
    assert_eq!(Some(&vec![6, 7]), sizes(&sent).last(), "what nobody waits for is not proposed");
}

#[test]
fn a_write_that_no_message_could_carry_is_refused_in_words() {
    let spec_json = vec![b' '; LOG_ENTRY_BYTES_MAX + 1];
    let register = ordu_proto::command::JobRegister { spec_json, ..Default::default() };
    let refused = encoded(&envelope(None, 0, 0, register)).unwrap_err();
    assert!(matches!(refused, WriteError::Refused { status: 413, .. }), "{refused}");
}

/// A log whose syncs start to fail, so that raft stops after it accepted a write and before it reports the
/// outcome.
#[derive(Default)]
struct Failing {
    log: MemoryLog,
    fails: AtomicBool,
}

impl LogDb for Failing {
    fn write(&self, batch: LogBatch) -> io::Result<u64> {
        self.log.write(batch)
    }

    fn sync(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.log.sync()
    }

    fn syncing(&self) -> Syncing {
        self.log.syncing()
    }

    fn record(&self) -> io::Result<Option<Vec<u8>>> {
        self.log.record()
    }

    fn write_record(&self, record: &[u8]) -> io::Result<()> {
        self.log.write_record(record)
    }

    fn place(&self) -> String {
        self.log.place()
    }

    fn marker(&self, marker: Marker) -> io::Result<Option<Vec<u8>>> {
        self.log.marker(marker)
    }

    fn entries(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.log.entries(start, end, visit)
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        self.log.last()
    }
}

fn command() -> EvalUpdate {
    EvalUpdate::default()
}

/// Starts a server that leads; returns it with its log and term.
async fn leading() -> (Server, Arc<Failing>, u64) {
    let log = Arc::new(Failing::default());
    let server = one_server_on(log.clone()).await;
    let context = server.context();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = context.writer.write(command()).await {
        assert!(Instant::now() < deadline, "{error}");
    }
    let term = context.cluster.metrics().current_term;
    (server, log, term)
}

#[tokio::test]
async fn what_raft_took_before_it_ended_is_unknown_and_what_comes_later_is_not_done() {
    for path in ["write", "write_as_leader", "propose_all"] {
        let (server, log, term) = leading().await;
        let (writer, raft) = (&server.context().writer, server.context().cluster.raft());
        log.fails.store(true, Ordering::SeqCst);
        let outcome = match path {
            "write" => writer.write(command()).await.map(|_| ()),
            "write_as_leader" => writer.write_as_leader(term, command()).await.map(|_| ()),
            _ => {
                let bytes = envelope(None, 0, 1, command()).encode_to_vec();
                match crate::rpc::server::propose_all(
                    raft,
                    &server.context().clock,
                    |_| None,
                    vec![bytes.clone().into(), bytes.into()],
                )
                .await
                {
                    results if results.len() == 2 && results.iter().all(is_unknown) => {
                        Err(WriteError::Unknown("both".to_owned()))
                    }
                    results => panic!("{results:?}"),
                }
            }
        };
        assert!(
            matches!(&outcome, Err(WriteError::Unknown(reason)) if !reason.is_empty()),
            "{path}: {outcome:?}"
        );
        // Raft stops after a while and accepts nothing from then on.
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.context().cluster.raft_runs() {
            assert!(Instant::now() < deadline, "raft goes on without its log");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let late = writer.write(command()).await.map(|_| ());
        assert!(matches!(late, Err(WriteError::Stopped)), "{path}: {late:?}");
        let late = writer.write_as_leader(term, command()).await.map(|_| ());
        assert!(matches!(late, Err(WriteError::Stopped)), "{path}: {late:?}");
        let bytes = envelope(None, 0, 1, command()).encode_to_vec();
        let late =
            crate::rpc::server::propose_all(raft, &server.context().clock, |_| None, vec![bytes.into()])
                .await;
        assert!(matches!(late[0].result, Some(propose_result::Result::NotProposed(_))), "{path}: {late:?}");
    }
}

fn is_unknown(result: &ProposeResult) -> bool {
    matches!(result.result, Some(propose_result::Result::Unknown(_)))
}
