//! A bound on everything, by name.

/// Versions of a job that are kept.
pub const JOB_VERSIONS_KEPT_MAX: usize = 6;

/// What a dispatch may hand in, bytes after decoding; Nomad's bound.
pub const DISPATCH_PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// The token of a dispatch, bytes: it is part of a key.
pub const IDEMPOTENCY_TOKEN_BYTES_MAX: usize = 1024;

/// Of an allocation that was placed anew many times: times that are told.
pub const RESCHEDULE_EVENTS_KEPT_MAX: usize = 5;

/// Events of a node that are kept.
pub const NODE_EVENTS_KEPT_MAX: usize = 10;

/// Answered requests that a retry can still find.
pub const ANSWERED_REQUESTS_MAX: usize = 65_536;

/// The body of a request that carries a job, bytes; also the bound of a log entry.
pub const JOB_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The specification of a job that is run by its children (periodic or parameterized), with all defaults filled in,
/// bytes: `apply` makes each child of it, and stores it with each.
pub const JOB_PARENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a diff of two versions of a job may be written from, bytes: names are told with their whole
/// path, so deep nesting could make much more of a body than the body.
pub const JOB_DIFF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Levels of lists and objects that a body about a job may have. No job needs a third of them, and it is
/// less than the 128 that readers of JSON take, so that what is stored, and each answer that has a job
/// somewhere inside it, can be read back.
pub const JOB_DEPTH_MAX: usize = 100;

/// Objects of a known kind (groups, tasks, checks, …) that a body about a job may hold: in memory, and
/// with its defaults filled in, an empty one takes hundreds of times the bytes that it takes in the body.
pub const JOB_PARTS_MAX: usize = 20_000;

/// The name of a job, of a group, a task or a service, bytes: services, checks and scaling policies are
/// named by them, each anew.
pub const JOB_NAME_BYTES_MAX: usize = 1_024;

/// Allocations that one job may ask for in all. Twice what Nomad itself allows (`job_max_count`), and a
/// hundred times what the jobs of its own tests with a million containers had; a million allocations are
/// many jobs. One evaluation decides on all of a job's allocations at once, in memory, so a job of millions
/// could end one leader after the other.
pub const JOB_ALLOCATIONS_MAX: i64 = 100_000;

/// The name of a namespace, bytes; Nomad's bound.
pub const NAMESPACE_BYTES_MAX: usize = 128;

/// Regular expressions in the constraints and affinities of one job: each may take milliseconds to check.
pub const JOB_REGEXES_MAX: usize = 64;

/// A compiled regular expression of a constraint, bytes: what it takes, and by that how slow it can be.
pub const REGEX_COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// One side of a constraint or affinity, bytes. Lists of words there (`set_contains`) have tens of them.
pub const CONSTRAINT_SIDE_BYTES_MAX: usize = 64 * 1024;

/// All sides of all constraints and affinities of one job, bytes: they are asked of every class of nodes.
pub const JOB_CONSTRAINTS_BYTES_MAX: usize = 512 * 1024;

/// Of a constraint that no node meets, as metrics tell it, bytes: each group that it keeps back tells it.
pub const CONSTRAINT_TOLD_BYTES_MAX: usize = 1024;

/// Rows that one entry reads where a command goes through whole tables; it goes on in further entries. What there is
/// of one job is read together.
pub const ENTRY_ROWS_READ_MAX: usize = 8_192;

/// Texts of faults that a refused job, and each of its parts, is told, bytes; of the rest their count.
pub const JOB_FAULTS_BYTES_MAX: usize = 1024 * 1024;

/// The body of any other request, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What is decoded, or compressed for an answer, on a thread that serves raft and others, bytes; more of it
/// goes to a thread of its own.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// A cron expression, bytes. Every second, minute, hour and day by its number takes about 500.
pub const CRON_SPEC_BYTES_MAX: usize = 1_024;

/// The name of a time zone, bytes. The longest of the IANA database has 32.
pub const TIME_ZONE_NAME_BYTES_MAX: usize = 64;

/// How long a blocking query may wait.
pub const BLOCKING_WAIT_MS_MAX: u64 = 300_000;

/// Blocking queries that a server holds open at one time.
pub const BLOCKING_QUERIES_MAX: usize = 100_000;

/// Connections to the HTTP API that a server holds open at one time; no more than half of the files that
/// it may open. More than the blocking queries, so that others are answered beside them.
pub const HTTP_CONNECTIONS_MAX: usize = 131_072;

/// Connections to the HTTP API beyond those: each is told so and closed, after one request; what operators ask is
/// answered.
pub const HTTP_SURPLUS_CONNECTIONS_MAX: usize = 256;

/// How long the head of the request of such a connection may take to arrive.
pub const HTTP_SURPLUS_SILENCE_MS_MAX: u64 = 1_000;

/// Connections to one RPC port that a server holds open at one time; no more than an eighth of the files
/// that it may open. Each node takes one, each other server a few.
pub const RPC_CONNECTIONS_MAX: usize = 65_536;

/// How long the head of a request may take to arrive, and how long a connection may wait for its next
/// request. Go's and Rust's clients drop connections that are idle for half of it, so that none sends on
/// one that is just being closed here.
pub const HTTP_SILENCE_MS_MAX: u64 = 180_000;

/// How long a connection to an RPC port may take to begin with gRPC; what is silent later is asked by it.
pub const RPC_GREETING_MS_MAX: u64 = 10_000;

/// How long a client of the HTTP API may take nothing of what is sent to it, unless configured.
pub const HTTP_STALL_MS: u64 = 10_000;

/// Answers that wait for their readers, bytes in all; a larger one is given alone. Those of a connection are one.
pub const ANSWERS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// An answer that does not count among them, bytes.
pub const SMALL_ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Bodies of more than [`INLINE_BYTES_MAX`] that are read or worked on at one time, bytes in all. A job takes many
/// times its bytes while it is worked on.
pub const BODIES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Smaller bodies, bytes in all.
pub const SMALL_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a body waits for room before its request is refused.
pub const BODY_ROOM_WAIT_MS_MAX: u64 = 5_000;

/// How long a peer may take nothing of what is sent to it, and how long one that has gone is not noticed.
pub const CONNECTION_STALL_MS_MAX: u64 = 60_000;

/// How long a write or a linearizable read waits for a leader to be known.
pub const LEADER_WAIT_MS_MAX: u64 = 5_000;

/// How long a write waits for its outcome before it is answered as unknown.
pub const WRITE_WAIT_MS_MAX: u64 = 30_000;

/// Writes that a follower sends to the leader in one message.
pub const FORWARD_BATCH_MAX: usize = 256;

/// Bytes of such a message. A write that is larger by itself goes alone.
pub const FORWARD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A log entry, bytes: it has to fit into a message between servers. A job's specification is at most
/// about half of it, with all defaults filled in.
pub const LOG_ENTRY_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Other servers that a server remembers; beyond that it forgets those not heard of for the longest time.
pub const KNOWN_SERVERS_MAX: usize = 256;

/// Addresses on which others say that there is a server, and which are therefore greeted.
pub const HEARSAY_MAX: usize = 64;

/// Requests to join that a leader works on at one time.
pub const ADMISSIONS_MAX: usize = 16;

/// Log entries that a server may lack when it becomes a voter: what it gets in less than a second.
pub const VOTER_LAG_ENTRIES_MAX: u64 = 4_096;

/// Entries that `apply` takes into one write batch. Meanwhile whoever asks for the projections waits, on threads that
/// serve raft too: so it is to take milliseconds.
pub const APPLY_BATCH_ENTRIES_MAX: usize = 64;

/// A gRPC message between servers, bytes.
pub const RPC_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message of a node agent, bytes. Agents bound what they report far below it.
pub const NODE_MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of log entries in one append to a follower.
pub const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A plan that takes effect whole or not at all, bytes: it is one log entry, and has to go to the followers in
/// one message with room to spare. About 30,000 allocations.
pub const PLAN_WHOLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Changes of allocations in such a plan: to apply that many takes some tenths of a second.
pub const PLAN_WHOLE_CHANGES_MAX: usize = 32 * 1024;

/// A piece of a snapshot on the wire, bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;

/// Files of a snapshot that is sent to a server. RocksDB's are tens of megabytes each.
pub const SNAPSHOT_FILES_MAX: usize = 100_000;

/// Bytes of a snapshot that is sent to a server: more than any disk.
pub const SNAPSHOT_BYTES_MAX: u64 = 1 << 50;
