//! The supervisor's main loop: listens on its socket, answers agents, and ends when idle.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::launch::Launcher;
use super::protocol::{self, Answer, Request, RequestFrame, SupervisorFrame};
use super::say;
use super::tasks::Tasks;
use crate::limits::{ACCEPT_RETRY_PAUSE, ADOPTED_POLL, EXIT_QUEUE_MAX, SUPERVISOR_IDLE};

/// Signals that the starter of this process may have set to be ignored. Each gets a handler that does nothing. On exec
/// the kernel resets handled signals to their defaults, but ignored signals would stay ignored in every task.
const HANDLED_SIGNALS: [SignalKind; 10] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
    SignalKind::alarm(),
    SignalKind::io(),
    SignalKind::window_change(),
    SignalKind::pipe(),
];

/// Supervises until idle, or until asked to quit.
pub(crate) async fn run(socket: PathBuf, state: &Path, launcher: Launcher) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(state.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(io::Error::other(format!("another supervisor holds {}", state.display())));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Orphaned descendants of tasks are re-parented to this process, which reaps them.
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut child_ended = signal(SignalKind::child())?;
    let _handlers = HANDLED_SIGNALS.map(signal);
    let tasks = Tasks::open(state, launcher)?;
    let listener = listen(&socket)?;
    say(&format!("process {} supervises with {}", std::process::id(), state.display()));

    let (quit, mut asked_to_quit) = mpsc::channel::<()>(1);
    let mut adopted = tokio::time::interval(ADOPTED_POLL);
    let mut busy_at = Instant::now();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::task::spawn_local(serve(Rc::clone(&tasks), stream, quit.clone()));
                }
                // Such as too many open files: the connection remains pending, so retrying at once would spin.
                Err(_) => tokio::time::sleep(ACCEPT_RETRY_PAUSE).await,
            },
            _ = child_ended.recv() => tasks.reap(),
            _ = adopted.tick() => {
                tasks.poll_adopted();
                if tasks.any_alive() || tasks.connections.get() > 0 {
                    busy_at = Instant::now();
                } else if busy_at.elapsed() > SUPERVISOR_IDLE {
                    break;
                }
            }
            _ = asked_to_quit.recv() => break,
        }
    }
    // Remove the socket before releasing the lock, or the next supervisor's socket would be removed.
    fs::remove_file(&socket)?;
    say("ends: it is idle or was asked to");
    // Let the answer to the Quit request go out.
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = socket.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    if let Err(error) = fs::remove_file(socket)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let (address, _directory) = protocol::socket_address(socket)?;
    UnixListener::bind(address)
}

/// Serves one connection: answers requests in any order and forwards the exits of tasks.
async fn serve(tasks: Rc<Tasks>, stream: UnixStream, quit: mpsc::Sender<()>) {
    tasks.connections.set(tasks.connections.get() + 1);
    let (mut reader, mut writer) = protocol::frames(stream);
    let mut exits = tasks.subscribe();
    let (answers, mut outbound) = mpsc::channel(EXIT_QUEUE_MAX);
    loop {
        let frame = tokio::select! {
            request = protocol::receive::<RequestFrame>(&mut reader) => {
                let request = match request {
                    Ok(Some(request)) => request,
                    Ok(None) => break,
                    Err(error) => {
                        say(&format!("a connection is closed, its request cannot be read: {error}"));
                        break;
                    }
                };
                let (tasks, answers, quit) = (Rc::clone(&tasks), answers.clone(), quit.clone());
                tokio::task::spawn_local(async move {
                    let answer = answer(&tasks, request.request, &quit).await;
                    // If the connection is gone, the agent repeats the request on the next one.
                    let _ = answers.send(SupervisorFrame::Answer { id: request.id, answer }).await;
                });
                continue;
            }
            answer = outbound.recv() => match answer {
                Some(answer) => answer,
                None => break,
            },
            // Close a connection that lags behind: the agent reconnects and asks for all statuses again.
            exit = exits.recv() => match exit {
                Ok((key, exit)) => SupervisorFrame::Exited { key, exit },
                Err(_) => break,
            },
        };
        if protocol::send(&mut writer, &frame).await.is_err() {
            break;
        }
    }
    tasks.connections.set(tasks.connections.get() - 1);
}

async fn answer(tasks: &Rc<Tasks>, request: Request, quit: &mpsc::Sender<()>) -> Answer {
    match request {
        Request::Start(task) => tasks.start(*task).await,
        Request::Signal { key, signal, whole_group } => tasks.signal(&key, signal, whole_group),
        Request::Status { key } => Answer::Status(tasks.status(&key)),
        Request::Forget { key } => tasks.forget(&key),
        Request::List => Answer::Tasks(tasks.list()),
        Request::KillAll => {
            tasks.kill_all();
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
