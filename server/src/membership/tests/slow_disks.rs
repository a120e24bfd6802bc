//! Tests of disks on which a sync takes longer than followers wait for a heartbeat.

use futures::future::join_all;
use ordu_proto::command::EvalUpdate;

use super::*;

/// Longer than an election timeout and a leader's lease.
const SLOWER_BY: Duration = Duration::from_millis(700);
const CLIENTS: usize = 8;
const WRITES: usize = 20;

#[tokio::test(start_paused = true)]
async fn a_leader_is_followed_while_entries_take_longer_than_an_election_timeout_to_be_written() {
    let servers = Servers::form(3).await;
    let leader = servers.leader().await;
    let term = || servers.running[leader].context().cluster.metrics().current_term;
    let before = term();
    servers.logs.iter().for_each(|log| log.slow_down(SLOWER_BY));
    let began = Instant::now();
    // Keep unsynced entries pending all the time.
    let clients = (0..CLIENTS).map(async |client| {
        let context = servers.running[client % servers.running.len()].context();
        for _ in 0..WRITES {
            context.writer.write(EvalUpdate::default()).await.unwrap();
            context.reads.confirm().await.unwrap();
        }
    });
    join_all(clients).await;
    assert!(began.elapsed() > 10 * SLOWER_BY, "{:?}: the disks were slow", began.elapsed());
    assert_eq!((leader, before), (servers.leader().await, term()));
}
