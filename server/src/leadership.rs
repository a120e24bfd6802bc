//! Logs which server leads, and when no server can lead.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Reach};
use crate::context::Context;

/// Interval between checks, at rack-scale timing.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// An election that takes longer than this (at rack-scale timing) is logged even if a quorum is reached.
const ELECTION_TIME_MAX: Duration = Duration::from_secs(3);

/// What was logged last.
enum Told {
    Nothing,
    /// The leader's id and term.
    Leader(u64, u64),
    /// That there is no leader; holds the ids of the unreached voters.
    Nobody(Vec<u64>),
}

/// Runs for as long as this server runs.
pub(crate) async fn watch(context: Context) -> Result<(), String> {
    let Context { cluster, options, .. } = &context;
    let election_time_max = options.raft.scaled(ELECTION_TIME_MAX, 10);
    let mut told = Told::Nothing;
    let mut leaderless_since = None;
    loop {
        sleep(options.raft.scaled(LOOK_INTERVAL, 10)).await;
        cluster.note_unanswered();
        let Some(leader) = cluster.leader() else {
            let since = leaderless_since.get_or_insert_with(|| Instant::now() - cluster.leaderless_for());
            if let Some(unreached) = tell_of_none(cluster, &told, since.elapsed() > election_time_max) {
                told = Told::Nobody(unreached);
            }
            continue;
        };
        let leaderless_since = leaderless_since.take();
        let term = cluster.metrics().current_term;
        if matches!(told, Told::Leader(id, of) if (id, of) == (leader.id, term)) {
            continue;
        }
        let name = leader.server.name;
        let who = if leader.id == cluster.id() { "this server leads" } else { "another server leads" };
        match (&told, leaderless_since) {
            (Told::Nobody(_), Some(since)) => {
                let seconds = since.elapsed().as_secs_f64();
                tracing::info!(name, term, "{who}, after {seconds:.1} s without a leader");
            }
            _ => tracing::info!(name, term, "{who}"),
        }
        told = Told::Leader(leader.id, term);
    }
}

/// Logs that no leader is known, if this server has voters and the text is new; returns the ids of the
/// unreached voters.
fn tell_of_none(cluster: &Cluster, told: &Told, is_late: bool) -> Option<Vec<u64>> {
    let reach = cluster.reach();
    if reach.voters == 0 || reach.has_quorum && !is_late {
        return None;
    }
    let unreached: Vec<u64> = reach.unreached.iter().map(|it| it.id).collect();
    if matches!(told, Told::Nobody(ids) if *ids == unreached) {
        return None;
    }
    tracing::warn!("{}", no_leader(&reach));
    Some(unreached)
}

/// Describes that no leader is known, and why as far as is known.
pub(crate) fn no_leader(reach: &Reach) -> String {
    let (missing, voters) = (reach.unreached.len(), reach.voters);
    let unreached = reach.unreached_text();
    match (reach.has_quorum, missing) {
        (_, 0) => format!("no leader is known, though all {voters} voters are reached: they elect one"),
        (true, _) => format!(
            "no leader is known, though a quorum of the {voters} voters is reached: they elect one. Not reached: {unreached}"
        ),
        (false, _) => format!(
            "the quorum is lost: {missing} of {voters} voters are not reached: {unreached}. Nothing is written until \
             enough of them are back"
        ),
    }
}

#[cfg(test)]
mod tests {
    use ordu_store::types::Server;

    use super::*;
    use crate::cluster::Member;

    #[test]
    fn it_is_told_whether_enough_voters_are_reached_and_which_are_not() {
        let member = |id: u64| {
            let (name, rpc_addr) = (format!("server-{id}"), format!("10.0.0.{id}:4647"));
            let server = Server { name, rpc_addr, ..Server::default() };
            Member { id, server, voter: true, leader: false, alive: false }
        };
        for (unreached, has_quorum, words) in [
            (vec![], true, "all 3 voters are reached"),
            (
                vec![2],
                true,
                "a quorum of the 3 voters is reached: they elect one. Not reached: server-2 at 10.0.0.2:4647",
            ),
            (
                vec![2, 3],
                false,
                "2 of 3 voters are not reached: server-2 at 10.0.0.2:4647, server-3 at 10.0.0.3:4647.",
            ),
        ] {
            let unreached = unreached.into_iter().map(member).collect();
            let said = no_leader(&Reach { voters: 3, unreached, has_quorum });
            assert!(said.contains(words), "{said}");
        }
    }
}
