//! Serves one agent's connection: answers its requests in any order and forwards the exits of tasks.

use std::rc::Rc;
use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::net::UnixStream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Semaphore, mpsc};

use super::protocol::{
    self, Answer, Exit, FrameReader, FrameWriter, Request, RequestFrame, SupervisorFrame, TaskKey,
};
use super::say;
use super::tasks::Tasks;
use crate::limits::{EXIT_QUEUE_MAX, REQUESTS_IN_HAND_MAX};

/// Serves until the agent closes the connection.
///
/// Frames are written beside the loop that reads: if neither side read while it writes, both could wait for each other
/// forever, each with a full buffer.
pub(crate) async fn serve(tasks: Rc<Tasks>, stream: UnixStream, quit: mpsc::Sender<()>) {
    let _connected = Connected::new(&tasks);
    let (reader, writer) = protocol::frames(stream);
    let (answers, outbound) = mpsc::channel(EXIT_QUEUE_MAX);
    tokio::select! {
        () = read(&tasks, reader, answers, &quit) => {}
        () = write(&tasks, writer, outbound, tasks.subscribe()) => {}
    }
}

/// Counts a connection until it is dropped.
struct Connected<'a>(&'a Tasks);

impl<'a> Connected<'a> {
    fn new(tasks: &'a Tasks) -> Self {
        tasks.connections.set(tasks.connections.get() + 1);
        Self(tasks)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

/// Reads requests and handles a bounded number of them at the same time.
async fn read(
    tasks: &Rc<Tasks>,
    mut reader: FrameReader,
    answers: mpsc::Sender<SupervisorFrame>,
    quit: &mpsc::Sender<()>,
) {
    let places = Arc::new(Semaphore::new(REQUESTS_IN_HAND_MAX));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let request = match protocol::receive::<RequestFrame>(&mut reader).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                return say(&format!("a connection is closed, its request cannot be read: {error}"));
            }
        };
        let (tasks, answers, quit) = (Rc::clone(tasks), answers.clone(), quit.clone());
        tokio::task::spawn_local(async move {
            let answer = answer(&tasks, request.request, &quit).await;
            // If the connection is gone, the agent repeats the request on the next one.
            let _ = answers.send(SupervisorFrame::Answer { id: request.id, answer }).await;
            drop(place);
        });
    }
}

/// Writes answers and exits.
async fn write(
    tasks: &Tasks,
    mut writer: FrameWriter,
    mut answers: mpsc::Receiver<SupervisorFrame>,
    mut exits: broadcast::Receiver<(TaskKey, Exit)>,
) {
    loop {
        let frames = tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => vec![answer],
                None => return,
            },
            exit = exits.recv() => match exit {
                Ok((key, exit)) => vec![SupervisorFrame::Exited { key, exit }],
                // More tasks ended at once than the queue holds: repeat the exits of all.
                Err(RecvError::Lagged(_)) => tasks.list().into_iter().filter_map(|report| {
                    Some(SupervisorFrame::Exited { exit: report.exit?, key: report.key })
                }).collect(),
                Err(RecvError::Closed) => return,
            },
        };
        for frame in frames {
            if protocol::send(&mut writer, &frame).await.is_err() {
                return;
            }
        }
    }
}

async fn answer(tasks: &Rc<Tasks>, request: Request, quit: &mpsc::Sender<()>) -> Answer {
    match request {
        Request::Start(task) => tasks.start(*task).await,
        Request::Signal { key, signal, whole_group } => tasks.signal(&key, signal, whole_group),
        Request::Status { key } => Answer::Status(tasks.status(&key)),
        Request::Forget { key } => tasks.forget(&key),
        Request::List => Answer::Tasks(tasks.list()),
        Request::KillAll => {
            tasks.signal_all(Signal::SIGKILL);
            Answer::Done
        }
        Request::Quit if tasks.any_alive() => Answer::Refused { text: "tasks are running".into() },
        Request::Quit => {
            // The channel is full if a Quit request is already being handled.
            let _ = quit.try_send(());
            Answer::Done
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::launch::Launcher;
    use super::*;

    /// Requests and their answers are each more than the buffers of a socket hold.
    const REQUESTS: u64 = 800;
    const NAME_BYTES: usize = 4096;

    #[tokio::test]
    async fn requests_are_read_while_answers_wait_to_be_read() {
        let root = tempfile::tempdir().unwrap();
        let (agent, supervisor) = UnixStream::pair().unwrap();
        let (quit, _asked) = mpsc::channel(1);
        let local = tokio::task::LocalSet::new();
        let work = async {
            let tasks = Tasks::open(root.path(), Launcher { prefix: Vec::new() }).unwrap();
            let serving = tokio::task::spawn_local(serve(Rc::clone(&tasks), supervisor, quit));
            let (mut reader, mut writer) = protocol::frames(agent);
            for id in 0..REQUESTS {
                let key = TaskKey { alloc: "x".repeat(NAME_BYTES), task: "t".into(), attempt: 0 };
                let request = Request::Signal { key, signal: 15, whole_group: false };
                protocol::send(&mut writer, &RequestFrame { id, request }).await.unwrap();
            }
            let mut answered = std::collections::BTreeSet::new();
            while answered.len() < REQUESTS as usize {
                let frame = protocol::receive::<SupervisorFrame>(&mut reader).await.unwrap().unwrap();
                let SupervisorFrame::Answer { id, answer: Answer::Refused { .. } } = frame else {
                    panic!("{frame:?}")
                };
                answered.insert(id);
            }
            drop((reader, writer));
            serving.await.unwrap();
            assert_eq!(tasks.connections.get(), 0);
        };
        timeout(Duration::from_secs(20), local.run_until(work)).await.expect("both sides go on");
    }
}
