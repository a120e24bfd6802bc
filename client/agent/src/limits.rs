//! Every bound of the node agent, by name: sizes, waits, windows and retries.

use std::time::Duration;

/// Updates of one allocation that follow each other within this window go out as one.
pub(crate) const UPDATE_WINDOW: Duration = Duration::from_millis(200);
/// News of a task that runs or ended waits this long for more, if none went out within the window: short
/// enough not to be noticed, long enough to spare a message to a task that ends at once.
pub(crate) const UPDATE_LEAD: Duration = Duration::from_millis(20);
/// Allocations in one update message.
pub(crate) const UPDATES_PER_MESSAGE_MAX: usize = 512;
/// Bytes of allocations in one update message; one that is larger by itself goes alone.
pub(crate) const UPDATES_BYTES_MAX: usize = 1024 * 1024;
/// What is told of one allocation: beyond this its tasks' older events are left out. Far below what a server
/// takes in one message.
pub(crate) const UPDATE_BYTES_MAX: usize = 1024 * 1024;
/// A text of an event, or of why an allocation does not run.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;
/// How long, and how often, a locked data directory is tried.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// See [`LOCK_PATIENCE`].
pub(crate) const LOCK_POLL: Duration = Duration::from_millis(25);
/// A server is given up if it is not connected within this time.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A server that has not welcomed the node within this time is given up: it may have no leader.
pub(crate) const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// A time to live below this is taken as this: a node must not flood its server.
pub(crate) const HEARTBEAT_TTL_MIN: Duration = Duration::from_millis(150);
/// First and longest pause between two tries to reach a server.
pub(crate) const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(100);
/// See [`RECONNECT_PAUSE_MIN`].
pub(crate) const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a node looks at itself again, in case its address or hardware has changed.
pub(crate) const FINGERPRINT_INTERVAL: Duration = Duration::from_secs(60);
/// A session that lasted this long was a good one: the pauses begin anew.
pub(crate) const SESSION_GOOD: Duration = Duration::from_secs(5);
/// How long a node is not ready before it takes a state that is older than what it has acted on and that a quorum
/// of the servers has confirmed: whoever restored the wrong copy can stop the servers before tasks end.
pub(crate) const RESTORED_SERVERS_PATIENCE: Duration = Duration::from_secs(10);
/// How long the node looks for a server whose state is not older than what it has acted on, where no server says
/// that a quorum has confirmed it.
pub(crate) const LAGGING_SERVER_PATIENCE: Duration = Duration::from_secs(60);
/// Pause after a server refused the session: asking again soon would not change its mind.
pub(crate) const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Messages that wait for the stream to take them.
pub(crate) const OUTBOUND_QUEUE_MAX: usize = 64;
/// Largest message from a server: far more than one allocation with its specification, the most that cannot
/// be told in several.
pub(crate) const SERVER_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A state that the disk did not take is written again after this time, if nothing has changed before.
pub(crate) const WRITE_AGAIN: Duration = Duration::from_secs(10);
/// Events kept of a task, as Nomad does.
pub(crate) const TASK_EVENTS_MAX: usize = 10;
/// Longest task name: it becomes a directory and part of file names.
pub(crate) const TASK_NAME_BYTES_MAX: usize = 128;
/// Longest name of a payload's file: programs can open no longer one.
pub(crate) const PAYLOAD_FILE_BYTES_MAX: usize = 4095;
/// Largest frame between agent and supervisor.
pub(crate) const SUPERVISOR_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A supervisor with no connection and no living task ends itself after this time.
pub(crate) const SUPERVISOR_IDLE: Duration = Duration::from_secs(10);
/// How often a supervisor looks after processes that it inherited and so cannot wait for.
pub(crate) const ADOPTED_POLL: Duration = Duration::from_millis(250);
/// How long the end of a task waits for the rest of its output.
pub(crate) const LOG_DRAIN: Duration = Duration::from_millis(250);
/// A program that is not executed within this time (a file system that hangs) has failed.
pub(crate) const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A supervisor that was started has to listen within this time.
pub(crate) const SUPERVISOR_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Announcements of ended tasks that wait for a connection to take them.
pub(crate) const EXIT_QUEUE_MAX: usize = 1024;
/// Bytes read from a task's pipe at once.
pub(crate) const LOG_READ_BYTES: usize = 64 * 1024;
/// Longest kill time-out that is honoured (Nomad's `max_kill_timeout`).
pub(crate) const KILL_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// A restart waits up to this share longer, so that tasks that fail together do not return together.
pub(crate) const RESTART_JITTER: f64 = 0.25;
