//! Requests that only a broken or hostile peer sends are refused with a message and do not end a server.

use ordu_proto::raft::raft_client::RaftClient;
use ordu_proto::raft::{self as pb, snapshot_chunk};
use ordu_proto::server::server_client::ServerClient;
use ordu_proto::server::{GreetRequest, Peer, ProposeRequest};
use ordu_tests::harness::{Cluster, Shape};
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{register, wait_for_jobs};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// An id that no server has.
const STRANGER: u64 = 77;

/// A server as seen by a peer that knows its ids.
struct Target {
    raft: RaftClient<Channel>,
    server: ServerClient<Channel>,
    id: u64,
    cluster_id: Vec<u8>,
    term: u64,
}

impl Target {
    async fn greet(cluster: &Cluster, number: usize) -> Self {
        let address = format!("http://{}", cluster.rpc_address(number));
        let channel = Endpoint::from_shared(address).expect("an address").connect().await;
        let channel = channel.expect("a running server takes connections");
        let (mut raft, mut server) = (RaftClient::new(channel.clone()), ServerClient::new(channel));
        let reply = server.greet(GreetRequest::default()).await.expect("a greeting is answered").into_inner();
        let (id, cluster_id) = (reply.me.expect("a server says who it is").id, reply.cluster_id);
        // A pre-vote request reveals the server's term and changes nothing.
        let asked = pb::VoteRequest {
            cluster_id: cluster_id.clone(),
            target: id,
            vote: Some(pb::VoteState { term: 1, voted_for: Some(STRANGER), committed: false }),
            ..pb::VoteRequest::default()
        };
        let reply = raft.pre_vote(asked).await.expect("a question is answered").into_inner();
        let term = reply.vote.expect("a server has a vote").term;
        Self { raft, server, id, cluster_id, term }
    }

    fn vote(&self, term: u64, committed: bool) -> Option<pb::VoteState> {
        Some(pb::VoteState { term, voted_for: Some(STRANGER), committed })
    }

    fn append(&self, term: u64, entries: Vec<pb::Entry>) -> pb::AppendRequest {
        pb::AppendRequest {
            cluster_id: self.cluster_id.clone(),
            target: self.id,
            vote: self.vote(term, true),
            entries,
            ..pb::AppendRequest::default()
        }
    }

    /// Returns a valid append request, except that the last entry's command cannot be decoded.
    fn garbage(&self) -> pb::AppendRequest {
        let payload =
            |payload| pb::Entry { log_id: Some(pb::LogId { term: 0, index: 0 }), payload: Some(payload) };
        self.append(
            self.term + 1,
            vec![payload(pb::entry::Payload::Command(b"\xff\x00garbage".to_vec().into()))],
        )
    }

    fn vote_request(&self, term: u64) -> pb::VoteRequest {
        pb::VoteRequest {
            cluster_id: self.cluster_id.clone(),
            target: self.id,
            vote: self.vote(term, false),
            last_log_id: None,
            // Bypass the leader's lease.
            leadership_transfer: true,
        }
    }

    fn snapshot(&self, files: Vec<pb::SnapshotFile>, data: &[u8]) -> Vec<pb::SnapshotChunk> {
        let term = self.term + 1;
        let membership = pb::Membership {
            configs: vec![pb::VoterSet { ids: vec![STRANGER] }],
            servers: [(STRANGER, pb::Server::default())].into(),
        };
        let header = pb::SnapshotHeader {
            cluster_id: self.cluster_id.clone(),
            target: self.id,
            vote: self.vote(term, true),
            last_log_id: Some(pb::LogId { term, index: 1_000_000 }),
            membership: Some(pb::StoredMembership {
                log_id: Some(pb::LogId::default()),
                membership: Some(membership),
            }),
            files,
            format: 0,
        };
        let chunk = |chunk| pb::SnapshotChunk { chunk: Some(chunk) };
        vec![
            chunk(snapshot_chunk::Chunk::Header(header)),
            chunk(snapshot_chunk::Chunk::Data(data.to_vec().into())),
        ]
    }

    async fn install(&mut self, files: Vec<pb::SnapshotFile>, data: &[u8]) -> Status {
        let chunks = tokio_stream::iter(self.snapshot(files, data));
        self.raft.install_snapshot(chunks).await.expect_err("such a snapshot is refused")
    }
}

fn file(name: &str, size_bytes: u64) -> pb::SnapshotFile {
    pb::SnapshotFile { name: name.to_owned(), size_bytes, crc32: 0 }
}

/// Checks that a request was refused as an invalid argument, with these words.
fn refused(status: &Status, words: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains(words), "{:?} does not say {words:?}", status.message());
}

async fn attack(cluster: &Cluster, number: usize) {
    let mut target = Target::greet(cluster, number).await;
    let last = "terms end at";
    refused(&target.raft.append(target.append(u64::MAX, Vec::new())).await.expect_err("taken"), last);
    refused(&target.raft.vote(target.vote_request(u64::MAX)).await.expect_err("taken"), last);
    refused(&target.raft.pre_vote(target.vote_request(u64::MAX)).await.expect_err("taken"), last);
    let far = target.term + (1 << 40);
    refused(
        &target.raft.vote(target.vote_request(far)).await.expect_err("taken"),
        "no cluster holds so many elections",
    );
    refused(&target.raft.append(target.garbage()).await.expect_err("taken"), "the command of entry 0");
    let mut replies = target
        .raft
        .append_stream(tokio_stream::iter([target.garbage()]))
        .await
        .expect("a stream")
        .into_inner();
    refused(&replies.message().await.expect_err("taken"), "the command of entry 0");

    let overflowing = vec![file("a", u64::MAX), file("b", u64::MAX)];
    refused(&target.install(overflowing, b"x").await, "a snapshot of more than");
    refused(&target.install(vec![file("a", 1), file("a", 1)], b"x").await, "two files named");
    let larger_than_the_disk = target.install(vec![file("a", 1 << 49)], b"x").await;
    assert_eq!(Code::ResourceExhausted, larger_than_the_disk.code(), "{larger_than_the_disk}");
    assert!(
        larger_than_the_disk.message().contains("does not fit on this server's disk"),
        "{larger_than_the_disk}"
    );
    // With the correct checksum of one zero byte, the snapshot arrives completely but cannot be opened.
    let zero = pb::SnapshotFile { crc32: 0xd202_ef8d, ..file("CURRENT", 1) };
    refused(&target.install(vec![zero], &[0]).await, "a snapshot that cannot be opened");

    let me = Peer {
        id: STRANGER,
        server: Some(pb::Server { name: "n".repeat(5_000), ..Default::default() }),
        ..Default::default()
    };
    let greeting = GreetRequest { me: Some(me), ..GreetRequest::default() };
    refused(&target.server.greet(greeting).await.expect_err("taken"), "name or address");
    let many =
        ProposeRequest { cluster_id: target.cluster_id.clone(), commands: vec![Default::default(); 5_000] };
    refused(&target.server.propose(many).await.expect_err("taken"), "commands in one message");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_honest_server_sends_is_refused_in_words_and_ends_no_server() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    let servers = cluster.servers.len();
    register(cluster.client(leader), &unplaceable("before")).await;
    for number in 0..servers {
        attack(&cluster, number).await;
    }
    assert_eq!(cluster.leader().await, leader, "no election came of it");
    for number in 0..servers {
        register(cluster.client(number), &unplaceable(&format!("at-{number}"))).await;
        let left: Vec<_> = std::fs::read_dir(cluster.root().path().join(&cluster.servers[number].name))
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten())
            .flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten())
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("incoming-"))
            .collect();
        assert!(left.is_empty(), "what was received is gone: {left:?}");
    }
    cluster.wait_for_equal_states().await;

    // Nor do the servers end when they replay their logs.
    for number in 0..servers {
        cluster.servers[number].kill();
        cluster.start_server(number);
        cluster.leader().await;
    }
    register(cluster.client(leader), &unplaceable("after")).await;
    let wanted = ["before", "at-0", "at-1", "at-2", "after"].map(str::to_owned);
    for number in 0..servers {
        wait_for_jobs(cluster.client(number), "", &wanted.clone().into()).await;
    }
    cluster.wait_for_equal_states().await;
}
