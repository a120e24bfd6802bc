//! A bound on everything, by name.

/// Versions of a job that are kept.
pub const JOB_VERSIONS_KEPT_MAX: usize = 6;

/// Events of a node that are kept.
pub const NODE_EVENTS_KEPT_MAX: usize = 10;

/// Answered requests that a retry can still find.
pub const ANSWERED_REQUESTS_MAX: usize = 65_536;

/// The body of a request that carries a job, bytes; also the bound of a log entry.
pub const JOB_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The body of any other request, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a blocking query may wait.
pub const BLOCKING_WAIT_MS_MAX: u64 = 300_000;

/// Blocking queries that a server holds open at one time.
pub const BLOCKING_QUERIES_MAX: usize = 100_000;

/// How long a write or a linearizable read waits for a leader to be known.
pub const LEADER_WAIT_MS_MAX: u64 = 5_000;

/// How long a write waits for its outcome before it is answered as unknown.
pub const WRITE_WAIT_MS_MAX: u64 = 30_000;

/// Writes that a follower sends to the leader in one message.
pub const FORWARD_BATCH_MAX: usize = 256;

/// Servers that a forwarded write may pass.
pub const FORWARD_HOPS_MAX: u32 = 3;

/// Entries that `apply` takes into one write batch.
pub const APPLY_BATCH_ENTRIES_MAX: usize = 512;

/// A gRPC message between servers, bytes.
pub const RPC_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of log entries in one append to a follower.
pub const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A piece of a snapshot on the wire, bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;
