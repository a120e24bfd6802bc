//! Raises an alarm when this server's clock is wrong, and objects to this server's leading while another
//! server can.

use std::time::Duration;

use tokio::time::timeout;

use super::{ServerClock, Verdict};
use crate::alarms::Alarm;
use crate::candidacy::Objection;
use crate::context::Context;

/// Interval between checks of the other servers' clocks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Objects to this server's candidacy while its clock is wrong and another voter's clock is right.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { clock, cluster, candidacy, .. } = &context;
    let mut verdicts = clock.verdicts();
    loop {
        let verdict = *verdicts.borrow_and_update();
        tell(&context, verdict);
        let voters = cluster.other_voters();
        let others = clock.right_among(&voters);
        match verdict {
            Verdict::Wrong { .. } if !others.is_empty() => candidacy.object(Objection::Clock, others),
            Verdict::Unknown if !voters.is_empty() => candidacy.object(Objection::Clock, Vec::new()),
            _ => candidacy.lift(Objection::Clock),
        }
        // Wakes at a new verdict or after the interval.
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
    use crate::limits::{Limits, LimitsInForce};

    #[test]
    fn what_is_told_says_by_how_much_of_how_many_and_what_to_do() {
        let limits = Limits { clock_skew_max: Duration::from_millis(2_500), ..Limits::default() };
        let clock = ServerClock::new(LimitsInForce::new(limits));
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
