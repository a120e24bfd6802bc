//! How writes gather on their way to a leader.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::*;

type Sent = Arc<Mutex<Vec<Vec<Waiting>>>>;

/// Gathers, and keeps what is sent; nothing is answered before `go`.
fn gathered(waiting: mpsc::Receiver<Waiting>, go: &Arc<Notify>) -> (Sent, impl Future<Output = ()> + use<>) {
    let sent = Sent::default();
    let (kept, go) = (sent.clone(), go.clone());
    let runs = gather(waiting, move |batch| {
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
    let (sender, waiting) = mpsc::channel(64);
    let half = FORWARD_BYTES_MAX / 2;
    let larger = FORWARD_BYTES_MAX + 1;
    let mut callers = Vec::new();
    for bytes in [half, half, 1, larger, 2, 3] {
        let (one, caller) = write(bytes);
        sender.send(one).await.unwrap();
        callers.push(caller);
    }
    let go = Arc::new(Notify::new());
    // One of the four is answered, so that the gatherer comes to see the queue's end.
    go.notify_one();
    let (sent, runs) = gathered(waiting, &go);
    let runs = tokio::spawn(runs);
    drop(sender);
    // The queue's end is the gatherer's.
    runs.await.unwrap();
    assert_eq!(vec![vec![half, half], vec![1], vec![larger], vec![2, 3]], sizes(&sent));
}

#[tokio::test(start_paused = true)]
async fn few_messages_are_under_way_and_who_has_gone_is_not_sent() {
    let (sender, waiting) = mpsc::channel(64);
    let go = Arc::new(Notify::new());
    let (sent, runs) = gathered(waiting, &go);
    let _runs = tokio::spawn(runs);
    let settle = || tokio::time::sleep(Duration::from_millis(1));
    let mut callers = Vec::new();
    for bytes in 1..=FORWARD_IN_FLIGHT_MAX + 3 {
        let (one, caller) = write(bytes);
        sender.send(one).await.unwrap();
        callers.push(caller);
        settle().await;
    }
    assert_eq!(vec![vec![1], vec![2], vec![3], vec![4]], sizes(&sent), "the rest waits for an answer");
    callers.remove(FORWARD_IN_FLIGHT_MAX);
    go.notify_one();
    settle().await;
    assert_eq!(Some(&vec![6, 7]), sizes(&sent).last(), "what nobody waits for is not proposed");
}

#[test]
fn a_write_that_no_message_could_carry_is_refused_in_words() {
    let spec_json = vec![b' '; LOG_ENTRY_BYTES_MAX + 1];
    let register = ordu_proto::command::JobRegister { spec_json, ..Default::default() };
    let refused = encoded(&envelope(None, 0, 0, Payload::JobRegister(register))).unwrap_err();
    assert!(matches!(refused, WriteError::Refused { status: 413, .. }), "{refused}");
}
