//! Tests of a leader that falls silent: requests to it are sent to its successor.

use ordu_proto::command::EvalUpdate;

use super::*;

/// In the tests' time: less than it takes to detect a dead connection; an election takes half a second.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn what_is_under_way_to_a_leader_that_freezes_is_asked_of_its_successor() {
    let servers = Servers::form(3).await;
    let (leader, follower) = (servers.leader().await, servers.follower().await);
    let context = servers.running[follower].context();
    // Open a connection to the leader.
    let write = || context.writer.write(EvalUpdate::default());
    write().await.unwrap();
    context.reads.confirm().await.unwrap();

    servers.wires.freeze(leader);
    let began = Instant::now();
    let (written, read) = tokio::join!(write(), context.reads.confirm());
    written.unwrap();
    read.unwrap();
    assert_ne!(Some(servers.running[leader].id()), context.cluster.leader_id());
    assert!(began.elapsed() < SOON, "answered after {:?}", began.elapsed());
}
