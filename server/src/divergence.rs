//! Compares this server's state with the other voters' by a chained hash at the same log index. Equal logs
//! must give equal states; a server whose state differs gives clients wrong answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use ordu_proto::server::DigestRequest;
use ordu_store::damage::WAY_OUT;
use tokio::time::{sleep, timeout};

use crate::alarms::Alarm;
use crate::cluster::Member;
use crate::context::Context;
use crate::membership::ClusterId;
use crate::peers::Peers;

/// Time between comparisons, plus the time that the others get to apply the index.
const INTERVAL: Duration = Duration::from_secs(8);
const CATCH_UP: Duration = Duration::from_secs(2);
/// Timeout for another server's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The result of a comparison.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// No other voter answered.
    Unknown,
    /// All that answered have the same hash.
    Agrees,
    /// A majority of the voters has another hash.
    IsWrong,
    /// A majority has this server's hash; the voters at these positions differ.
    OthersAreWrong(Vec<usize>),
    /// Some differ, and no majority is known.
    Undecided,
}

/// Compares this server's hash with those of the other voters; `None` where unknown.
fn judge(own: u64, others: &[Option<u64>]) -> Verdict {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::from([(own, 1)]);
    others.iter().flatten().for_each(|hash| *counts.entry(*hash).or_default() += 1);
    if counts.len() == 1 {
        return if counts[&own] > 1 { Verdict::Agrees } else { Verdict::Unknown };
    }
    let is_most = |count: usize| count * 2 > others.len() + 1;
    match counts.iter().find(|(_, count)| is_most(**count)) {
        Some((hash, _)) if *hash == own => {
            let differs = |place: &usize| others[*place].is_some_and(|hash| hash != own);
            Verdict::OthersAreWrong((0..others.len()).filter(differs).collect())
        }
        Some(_) => Verdict::IsWrong,
        None => Verdict::Undecided,
    }
}

/// Compares periodically, for as long as it runs.
///
/// # Errors
/// Returned when a majority of the voters has another state; the text is a sentence for the operator.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { identity, peers, .. } = &context;
    loop {
        sleep(INTERVAL).await;
        let index = context.state.applied_index();
        let Some(own) = context.state.chain_at(index) else { continue };
        let me = context.cluster.id();
        let members = context.cluster.members();
        if !members.iter().any(|member| member.id == me && member.voter) {
            continue;
        }
        sleep(CATCH_UP).await;
        let others: Vec<&Member> = members.iter().filter(|it| it.voter && it.id != me).collect();
        let hashes = join_all(others.iter().map(|other| ask(peers, identity, other, index))).await;
        let names = |places: &[usize]| {
            places.iter().map(|place| others[*place].server.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        match judge(own, &hashes) {
            Verdict::Unknown => {}
            Verdict::Agrees => context.alarms.clear(Alarm::Diverged),
            Verdict::OthersAreWrong(places) => {
                context.alarms.clear(Alarm::Diverged);
                tracing::error!("{} hold another state than most servers at log entry {index}", names(&places));
            }
            Verdict::IsWrong => {
                return Err(format!(
                    "this server's state at log entry {index} is not what most servers have; it leaves service, since \
                     it would tell clients what is not so. {WAY_OUT}"
                ));
            }
            Verdict::Undecided => context.alarms.raise(
                Alarm::Diverged,
                format!(
                    "servers hold different states at log entry {index}, and no majority says which is right: compare \
                     them by /v1/operator/ordu/state-hash?stale, keep copies of their data directories, and let go on \
                     those that you trust"
                ),
            ),
        }
    }
}

/// Returns another server's hash at `index`, if it answers and has it.
async fn ask(peers: &Peers, identity: &ClusterId, other: &Member, index: u64) -> Option<u64> {
    let address = peers.address_of(other.id, &other.server);
    let request = DigestRequest { cluster_id: identity.get(), index };
    let asked = async { peers.server(&address)?.digest(request).await };
    timeout(ANSWER_WITHIN, asked).await.ok()?.ok()?.into_inner().hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_all_voters_decides_who_is_wrong() {
        for (own, others, expected) in [
            (1, vec![], Verdict::Unknown),
            (1, vec![None, None], Verdict::Unknown),
            (1, vec![Some(1), None], Verdict::Agrees),
            (1, vec![Some(2), None], Verdict::Undecided),
            (1, vec![Some(2)], Verdict::Undecided),
            (1, vec![Some(2), Some(3)], Verdict::Undecided),
            (1, vec![Some(2), Some(2)], Verdict::IsWrong),
            (1, vec![Some(2), Some(1)], Verdict::OthersAreWrong(vec![0])),
            (1, vec![Some(2), Some(2), None, None], Verdict::Undecided),
            (1, vec![Some(2), Some(2), Some(2), None], Verdict::IsWrong),
            (1, vec![Some(1), Some(2), Some(1), Some(3)], Verdict::OthersAreWrong(vec![1, 3])),
        ] {
            assert_eq!(expected, judge(own, &others), "{own} among {others:?}");
        }
    }
}
