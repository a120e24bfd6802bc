//! The supervisor's main loop: listens on its socket, answers agents, and ends when idle or when its directory is lost.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::UnixListener;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::connected::serve;
use super::home::{Home, Lost};
use super::launch::Launcher;
use super::protocol;
use super::say;
use super::tasks::Tasks;
use crate::limits::{ACCEPT_RETRY_PAUSE, ADOPTED_POLL, HOME_LOOK, LOST_HOME_GRACE, SUPERVISOR_IDLE};

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

/// Why the main loop ends.
enum End {
    Idle,
    Quit,
    Lost(Lost),
}

/// Supervises until idle, until asked to quit, or until the directory is lost.
pub(crate) async fn run(socket: PathBuf, state: &Path, launcher: Launcher) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    let home = Home::claim(state)?;
    // Orphaned descendants of tasks are re-parented to this process, which reaps them.
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut child_ended = signal(SignalKind::child())?;
    let _handlers = HANDLED_SIGNALS.map(signal);
    let tasks = Tasks::open(state, launcher)?;
    let listener = listen(&socket)?;
    say(&format!("process {} supervises with {}", std::process::id(), state.display()));

    let connections = CancellationToken::new();
    let end = supervise(&tasks, &home, listener, &mut child_ended, &connections).await;
    // Remove the socket before releasing the lock, or the next supervisor's socket would be removed.
    if home.owns_files() {
        fs::remove_file(&socket)?;
    }
    match end {
        End::Idle => say("ends: it is idle"),
        End::Quit => say("ends: it was asked to"),
        End::Lost(lost) => {
            let why = match lost {
                Lost::Removed => "its directory was removed".to_owned(),
                Lost::OfNode(id) => format!("its directory belongs to node {id} now"),
            };
            say(&format!("ends with all its tasks: {why}"));
            connections.cancel();
            end_tasks(&tasks, &mut child_ended).await;
        }
    }
    // Let the answer to the Quit request go out.
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

async fn supervise(
    tasks: &Rc<Tasks>,
    home: &Home,
    listener: UnixListener,
    child_ended: &mut unix::Signal,
    connections: &CancellationToken,
) -> End {
    let (quit, mut asked_to_quit) = mpsc::channel::<()>(1);
    let (mut adopted, mut looks) = (interval(ADOPTED_POLL), interval(HOME_LOOK));
    let mut busy_at = Instant::now();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tasks, quit, connections) = (Rc::clone(tasks), quit.clone(), connections.clone());
                    tokio::task::spawn_local(async move {
                        connections.run_until_cancelled(serve(tasks, stream, quit)).await;
                    });
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
                    return End::Idle;
                }
            }
            _ = looks.tick() => {
                if let Some(lost) = home.lost() {
                    return End::Lost(lost);
                }
            }
            _ = asked_to_quit.recv() => return End::Quit,
        }
    }
}

/// Ends all tasks: SIGTERM, and after a while SIGKILL.
async fn end_tasks(tasks: &Rc<Tasks>, child_ended: &mut unix::Signal) {
    tasks.close();
    tasks.signal_all(Signal::SIGTERM);
    let kills_at = Instant::now() + LOST_HOME_GRACE;
    let mut adopted = interval(ADOPTED_POLL);
    while tasks.any_alive() {
        tokio::select! {
            _ = child_ended.recv() => tasks.reap(),
            _ = adopted.tick() => {
                tasks.poll_adopted();
                if Instant::now() > kills_at {
                    tasks.signal_all(Signal::SIGKILL);
                }
            }
        }
    }
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
