//! All limits of the node agent: sizes, timeouts, intervals and retries.

use std::time::Duration;

/// The pause of the supervisor after a failed `accept`.
pub(crate) const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Updates of one allocation within this window are combined into one.
pub(crate) const UPDATE_WINDOW: Duration = Duration::from_millis(200);
/// Delay of an urgent update (a task started or ended) if none was sent within [`UPDATE_WINDOW`]. Too short to be
/// noticed, but long enough to save a message for a task that ends at once.
pub(crate) const UPDATE_LEAD: Duration = Duration::from_millis(20);
/// Most allocations in one update message.
pub(crate) const UPDATES_PER_MESSAGE_MAX: usize = 512;
/// Most bytes of allocations in one update message; a larger allocation is sent alone.
pub(crate) const UPDATES_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes in the update of one allocation; older events of its tasks are dropped to meet it. Far below the
/// message size that a server accepts.
pub(crate) const UPDATE_BYTES_MAX: usize = 1024 * 1024;
/// Longest text in an event, or of the reason why an allocation does not run.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;
/// How long to retry locking a data directory that is in use.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Interval of these retries.
pub(crate) const LOCK_POLL: Duration = Duration::from_millis(25);
/// Timeout for connecting to a server.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout for a server's welcome; a server without a known leader does not send one.
pub(crate) const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Lower bound for the heartbeat TTL, so that a node does not flood its server.
pub(crate) const HEARTBEAT_TTL_MIN: Duration = Duration::from_millis(150);
/// First pause between two attempts to reach a server.
pub(crate) const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two attempts to reach a server.
pub(crate) const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a node repeats its fingerprint, in case its address or hardware has changed.
pub(crate) const FINGERPRINT_INTERVAL: Duration = Duration::from_secs(60);
/// A session that lasts longer than this resets the reconnect pause.
pub(crate) const SESSION_GOOD: Duration = Duration::from_secs(5);
/// How long a node stays not ready before it accepts a quorum-confirmed state that is older than the state it has
/// acted on. Gives an operator who restored the wrong snapshot time to stop the servers before tasks are killed.
pub(crate) const RESTORED_SERVERS_PATIENCE: Duration = Duration::from_secs(10);
/// How long a node looks for a server whose state is not older than the state it has acted on, if no server reports
/// that a quorum has confirmed the older state.
pub(crate) const LAGGING_SERVER_PATIENCE: Duration = Duration::from_secs(60);
/// Pause after a server refused the session; an earlier retry would be refused too.
pub(crate) const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Capacity of the queues of outgoing messages and of commands between the agent's tasks.
pub(crate) const OUTBOUND_QUEUE_MAX: usize = 64;
/// Largest message from a server. Far above the size of one allocation with its specification, which is the
/// largest unit that cannot be split.
pub(crate) const SERVER_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Retry interval for state that could not be written to disk, unless it changes earlier.
pub(crate) const WRITE_AGAIN: Duration = Duration::from_secs(10);
/// Most events kept per task, as in Nomad.
pub(crate) const TASK_EVENTS_MAX: usize = 10;
/// Longest task name, which is used as a directory name and in file names.
pub(crate) const TASK_NAME_BYTES_MAX: usize = 128;
/// Longest file name for a payload; the longest path that Linux can open.
pub(crate) const PAYLOAD_FILE_BYTES_MAX: usize = 4095;
/// Largest frame between agent and supervisor.
pub(crate) const SUPERVISOR_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A supervisor with no connection and no living task ends after this time.
pub(crate) const SUPERVISOR_IDLE: Duration = Duration::from_secs(10);
/// How often a supervisor polls adopted processes, which it cannot wait for.
pub(crate) const ADOPTED_POLL: Duration = Duration::from_millis(250);
/// How long the announcement of a task's exit waits for the rest of its output.
pub(crate) const LOG_DRAIN: Duration = Duration::from_millis(250);
/// Timeout for executing a task's program (for example on a hanging file system).
pub(crate) const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for a started supervisor to listen on its socket.
pub(crate) const SUPERVISOR_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Capacity of the queues of task exits and answers to a connection.
pub(crate) const EXIT_QUEUE_MAX: usize = 1024;
/// Most requests of one connection that a supervisor handles at the same time; above it, the supervisor stops reading
/// from the connection.
pub(crate) const REQUESTS_IN_HAND_MAX: usize = 1024;
/// Most starts that an agent asks for at the same time. Far below [`REQUESTS_IN_HAND_MAX`], so that starts never delay
/// other requests.
pub(crate) const STARTS_IN_HAND_MAX: usize = 64;
/// Most tasks that a supervisor launches at the same time. More would only compete for the processors.
pub(crate) const LAUNCHES_MAX: usize = 16;
/// How long a start waits while the machine lacks processes or open files, before it fails.
pub(crate) const SHORTAGE_PATIENCE: Duration = Duration::from_secs(10);
/// Interval of the attempts in that time.
pub(crate) const SHORTAGE_POLL: Duration = Duration::from_millis(100);
/// How often an agent asks its supervisor for a sign of life.
pub(crate) const SUPERVISOR_PROBE: Duration = Duration::from_secs(5);
/// An agent reports a supervisor that has owed an answer for longer than this without sending anything.
pub(crate) const SUPERVISOR_SILENT: Duration = Duration::from_secs(10);
/// How often a supervisor checks that its directory still belongs to it.
pub(crate) const HOME_LOOK: Duration = Duration::from_secs(1);
/// How long the tasks of a lost directory may take to end after SIGTERM; as Nomad's default `kill_timeout`.
pub(crate) const LOST_HOME_GRACE: Duration = Duration::from_secs(5);
/// Bytes per read from a task's pipe.
pub(crate) const LOG_READ_BYTES: usize = 64 * 1024;
/// Upper bound for a task's kill timeout (Nomad's `max_kill_timeout`).
pub(crate) const KILL_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Largest random extension of a restart delay, as a fraction; it spreads restarts of tasks that fail together.
pub(crate) const RESTART_JITTER: f64 = 0.25;
