//! Named limits: sizes, counts and timeouts.

/// Versions kept of each job.
pub const JOB_VERSIONS_KEPT_MAX: usize = 6;

/// Payload of a dispatch, bytes after decoding; Nomad's limit.
pub const DISPATCH_PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// Idempotency token of a dispatch, bytes. Bounded because the token is part of a row key.
pub const IDEMPOTENCY_TOKEN_BYTES_MAX: usize = 1024;

/// Reschedule events kept in an allocation; the oldest are dropped.
pub const RESCHEDULE_EVENTS_KEPT_MAX: usize = 5;

/// Events kept of each node.
pub const NODE_EVENTS_KEPT_MAX: usize = 10;

/// Outcomes of requests that are kept, so that a retry finds the outcome of the first attempt.
pub const ANSWERED_REQUESTS_MAX: usize = 65_536;

/// Body of a request that carries a job, bytes.
pub const JOB_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Specification of a periodic or parameterized job with all defaults filled in, bytes. `apply` derives every child
/// from the parent's specification and stores a full copy with each.
pub const JOB_PARENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Memory for the diff of two versions of a job, bytes. The diff repeats the full path of each field, so deep nesting
/// could make the diff much larger than the request.
pub const JOB_DIFF_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Nesting depth of lists and objects in a body that carries a job. No job needs a third of this. The limit is below
/// the 128 levels that JSON readers accept, so that stored jobs, and answers that nest a job, can be read back.
pub const JOB_DEPTH_MAX: usize = 100;

/// Objects of a known kind (groups, tasks, checks, …) in a body that carries a job. In memory, with its defaults
/// filled in, an empty object takes hundreds of times the bytes that it takes in the body.
pub const JOB_PARTS_MAX: usize = 20_000;

/// Name of a job, group, task or service, bytes. Default names of services, checks and scaling policies repeat these
/// names.
pub const JOB_NAME_BYTES_MAX: usize = 1_024;

/// Allocations that one job may request in total: twice Nomad's limit (`job_max_count`), and a hundred times the
/// count of each job in Nomad's own tests with a million containers. Clusters with a million allocations spread them
/// over many jobs. One evaluation handles all allocations of a job at once, in memory, so a job with millions of
/// them could exhaust the memory of one leader after another.
pub const JOB_ALLOCATIONS_MAX: i64 = 100_000;

/// Name of a namespace, bytes; Nomad's limit.
pub const NAMESPACE_BYTES_MAX: usize = 128;

/// Regular expressions in the constraints and affinities of one job. Validating one may take milliseconds.
pub const JOB_REGEXES_MAX: usize = 64;

/// Compiled regular expression of a constraint, bytes. Limits its memory and, indirectly, its matching time.
pub const REGEX_COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// Cache that such an expression fills while it matches, bytes.
pub const REGEX_CACHE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// One operand of a constraint or affinity, bytes. A word list (`set_contains`) has tens of words.
pub const CONSTRAINT_SIDE_BYTES_MAX: usize = 64 * 1024;

/// All operands of all constraints and affinities of one job, bytes. They are evaluated for every node class.
pub const JOB_CONSTRAINTS_BYTES_MAX: usize = 512 * 1024;

/// Text of an unmet constraint as reported in the metrics of an evaluation, bytes. Each group that the constraint
/// filters nodes for repeats the text.
pub const CONSTRAINT_TOLD_BYTES_MAX: usize = 1024;

/// Rows that one log entry may read when its command scans whole tables; the scan continues in further entries. The
/// rows of one job are read together.
pub const ENTRY_ROWS_READ_MAX: usize = 8_192;

/// Validation errors reported for a rejected job, and for each of its parts, bytes; further errors are only counted.
pub const JOB_FAULTS_BYTES_MAX: usize = 1024 * 1024;

/// Body of any other request, bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Bodies and answers up to this size are decoded or compressed on the async threads, which also serve raft, bytes.
/// Larger ones are handled on a thread of their own.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Cron expression, bytes. One that lists every second, minute, hour and day takes about 500.
pub const CRON_SPEC_BYTES_MAX: usize = 1_024;

/// Name of a time zone, bytes. The longest name in the IANA database has 32.
pub const TIME_ZONE_NAME_BYTES_MAX: usize = 64;

/// Longest wait of a blocking query.
pub const BLOCKING_WAIT_MS_MAX: u64 = 300_000;

/// Concurrent blocking queries on one server.
pub const BLOCKING_QUERIES_MAX: usize = 100_000;

/// Concurrent connections to a server's HTTP API, and at most half of the process's file descriptor limit. Larger
/// than the limit of blocking queries, so that other requests still find a connection.
pub const HTTP_CONNECTIONS_MAX: usize = 131_072;

/// Concurrent HTTP connections beyond that limit. Each receives one answer and is closed: requests of operators are
/// served, all others are rejected.
pub const HTTP_SURPLUS_CONNECTIONS_MAX: usize = 256;

/// Timeout for the request head on a surplus HTTP connection.
pub const HTTP_SURPLUS_SILENCE_MS_MAX: u64 = 1_000;

/// Concurrent connections to one RPC port of a server, and at most an eighth of the process's file descriptor limit.
/// Each node uses one, each other server a few.
pub const RPC_CONNECTIONS_MAX: usize = 65_536;

/// Timeout for a request head to arrive, and for the next request on a kept-alive connection. Twice the idle timeout
/// of the Go and Rust clients, so that the client closes first and never sends on a connection that is being closed.
pub const HTTP_SILENCE_MS_MAX: u64 = 180_000;

/// Timeout for the rest of a request head after its first bytes.
pub const HTTP_HEAD_MS_MAX: u64 = 10_000;

/// Connections of clients that have too many, which are kept open at one time to tell them so. Further ones are closed
/// without a word.
pub const HTTP_EXCESS_CONNECTIONS_MAX: usize = 64;

/// Requests that wait to read and encode a list.
pub const READ_QUEUE_MAX: usize = 4_096;

/// Dry runs, jobspecs and large bodies that wait to be processed.
pub const WORK_QUEUE_MAX: usize = 512;

/// Requests that wait for the hash of the whole state, which is computed once at a time.
pub const HASH_QUEUE_MAX: usize = 8;

/// How long such a request waits before it is rejected.
pub const QUEUE_WAIT_MS_MAX: u64 = 30_000;

/// Part of the room for bodies and for answers that one client address may use: one divided by this.
pub const PARTS_PER_CLIENT: usize = 2;

/// Timeout for a connection to an RPC port without any request or stream in progress.
pub const RPC_IDLE_MS_MAX: u64 = 600_000;

/// Timeout for the first gRPC bytes on an RPC connection. Later silence is detected by HTTP/2 pings.
pub const RPC_GREETING_MS_MAX: u64 = 10_000;

/// Default time for which a client of the HTTP API may stall without reading its answer.
pub const HTTP_STALL_MS: u64 = 10_000;

/// Answers that wait for their clients to read them, bytes in total. A larger answer is sent only while no other
/// waits. One that several requests share counts once.
pub const ANSWERS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Answers up to this size do not count towards [`ANSWERS_BYTES_MAX`], bytes.
pub const SMALL_ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Request bodies above [`INLINE_BYTES_MAX`] that are read or processed at one time, bytes in total. Processing a job
/// takes many times its size in memory.
pub const BODIES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Smaller request bodies that are read or processed at one time, bytes in total.
pub const SMALL_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a request waits for room for its body before it is rejected.
pub const BODY_ROOM_WAIT_MS_MAX: u64 = 5_000;

/// How long a peer may accept no data before its connection is closed; also how long a vanished peer goes unnoticed.
pub const CONNECTION_STALL_MS_MAX: u64 = 60_000;

/// How long a write or a linearizable read waits for a leader to become known.
pub const LEADER_WAIT_MS_MAX: u64 = 5_000;

/// How long a write waits for its outcome before it is answered with "outcome unknown".
pub const WRITE_WAIT_MS_MAX: u64 = 30_000;

/// Writes that a follower forwards to the leader in one message.
pub const FORWARD_BATCH_MAX: usize = 256;

/// Size of such a message, bytes. A larger write is forwarded alone.
pub const FORWARD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Log entry, bytes; it must fit into a message between servers. A job's specification with all defaults filled in is
/// at most about half of this.
pub const LOG_ENTRY_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Other servers that a server remembers. Beyond this it forgets those not heard from for the longest time.
pub const KNOWN_SERVERS_MAX: usize = 256;

/// Addresses of possible servers that are learned from other servers, and therefore contacted.
pub const HEARSAY_MAX: usize = 64;

/// Join requests that a leader handles at one time.
pub const ADMISSIONS_MAX: usize = 16;

/// Log entries by which a server may lag when it becomes a voter; it catches up on as many in less than a second.
pub const VOTER_LAG_ENTRIES_MAX: u64 = 4_096;

/// Entries that `apply` writes in one batch. Readers of the projections wait for the batch, also on threads that serve
/// raft, so a batch should take only milliseconds.
pub const APPLY_BATCH_ENTRIES_MAX: usize = 64;

/// gRPC message between servers, bytes.
pub const RPC_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Message of a node agent, bytes. Agents limit their reports to far less.
pub const NODE_MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Log entries in one append to a follower, bytes.
pub const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Plan that is applied all or nothing, bytes. It is one log entry and must fit into one message to the followers with
/// room to spare. Enough for about 30,000 allocations.
pub const PLAN_WHOLE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Allocation changes in such a plan. Applying this many takes some tenths of a second.
pub const PLAN_WHOLE_CHANGES_MAX: usize = 32 * 1024;

/// Chunk of a snapshot on the wire, bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1024 * 1024;

/// Files of a snapshot that a server receives. RocksDB files are tens of megabytes each.
pub const SNAPSHOT_FILES_MAX: usize = 100_000;

/// Size of a snapshot that a server receives, bytes; more than any disk holds.
pub const SNAPSHOT_BYTES_MAX: u64 = 1 << 50;
