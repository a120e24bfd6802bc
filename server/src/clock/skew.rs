//! A server whose clock is wrong tells it, and does not lead while another can.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{ServerClock, Verdict};
use crate::alarms::Alarm;
use crate::context::Context;

/// How often it is looked whether another server can lead.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// After so long without a leader a server stands for election whatever its clock says: the others cannot
/// lead, and a cluster with a wrong clock is better than none.
const LEADERLESS_MAX: Duration = Duration::from_secs(3);
/// Pause before leadership that was not taken over is offered again.
const OFFER_PAUSE: Duration = Duration::from_secs(5);

/// Keeps a server with a wrong clock from leading, for as long as raft runs. Raft begins without elections: a
/// server that starts does not know yet whether its clock is right.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { clock, cluster, .. } = &context;
    let mut verdicts = clock.verdicts();
    let mut offered: Option<Instant> = None;
    loop {
        let verdict = *verdicts.borrow_and_update();
        tell(&context, verdict);
        let id = cluster.id();
        let voters = cluster.members().into_iter().filter(|member| member.voter && member.id != id);
        let voters: Vec<u64> = voters.map(|member| member.id).collect();
        let others = clock.right_among(&voters);
        let may_lead = match verdict {
            Verdict::Right { .. } => true,
            Verdict::Unknown => voters.is_empty(),
            Verdict::Wrong { .. } => others.is_empty(),
        };
        cluster.raft().runtime_config().elect(may_lead || cluster.leaderless_for() > LEADERLESS_MAX);
        if verdict.is_wrong()
            && !others.is_empty()
            && cluster.is_leader()
            && offered.is_none_or(|offered| offered.elapsed() > OFFER_PAUSE)
        {
            offered = Some(Instant::now());
            tracing::warn!("this server's clock is wrong; it hands leadership over");
            crate::leader::duties::hand_over(cluster, |voter| others.contains(&voter)).await;
        }
        // Either there is a new verdict, or it is time to look again.
        let _ = timeout(LOOK_INTERVAL, verdicts.changed()).await;
    }
}

fn tell(context: &Context, verdict: Verdict) {
    match verdict {
        Verdict::Unknown => {}
        Verdict::Right { .. } => context.alarms.clear(Alarm::ClockSkew),
        Verdict::Wrong { offset_ns, clocks, is_certain } => {
            let text = sentence(&context.clock, offset_ns, clocks, is_certain);
            context.alarms.raise(Alarm::ClockSkew, text);
        }
    }
}

fn sentence(clock: &ServerClock, offset_ns: i64, clocks: usize, is_certain: bool) -> String {
    let word = if offset_ns < 0 { "behind" } else { "ahead of" };
    let seconds = offset_ns.unsigned_abs() / 1_000_000_000;
    let consequence = if is_certain {
        "it does not lead while another server can. Mend the time service of this machine"
    } else {
        "too few clocks agree to say which one is right. Mend the time services of the servers"
    };
    format!(
        "this server's clock is {seconds} s {word} the median of the clocks of {clocks} servers, and {} s are the \
         most: {consequence}",
        clock.skew_max().as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_says_by_how_much_of_how_many_and_what_to_do() {
        let clock = ServerClock::new(Duration::from_millis(2_500));
        assert_eq!(
            "this server's clock is 3600 s ahead of the median of the clocks of 3 servers, and 2.5 s are the most: it \
             does not lead while another server can. Mend the time service of this machine",
            sentence(&clock, 3_600_900_000_000, 3, true)
        );
        let unsure = sentence(&clock, -7_000_000_000, 2, false);
        assert!(unsure.contains("7 s behind the median of the clocks of 2 servers"), "{unsure}");
        assert!(unsure.ends_with("Mend the time services of the servers"), "{unsure}");
    }
}
