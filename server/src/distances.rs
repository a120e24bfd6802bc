//! Measures round trips between servers, and the multiplier of raft's timeouts that they require.

use std::time::Duration;

use tokio::time::sleep;

use crate::alarms::Alarm;
use crate::context::Context;
use crate::options::{RAFT_MULTIPLIER_MAX, RaftTiming};

/// Interval between checks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Round trips from this server to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distances {
    /// By server name.
    pub(crate) round_trips: Vec<(String, Duration)>,
}

impl Distances {
    fn longest(&self) -> Duration {
        self.round_trips.iter().map(|(_, took)| *took).max().unwrap_or_default()
    }

    /// Returns the multiplier that these round trips require, independent of the multiplier already in
    /// `timing`; 1 if none is measured.
    ///
    /// A follower must not stand for election because of one lost heartbeat. TCP retransmits after about two
    /// round trips, and the way there takes another half. So the minimum election timeout must exceed 2.5
    /// round trips plus the heartbeat interval.
    pub(crate) fn multiplier_needed(&self, timing: &RaftTiming) -> u32 {
        let in_force_ms = timing.election_timeout_min_ms.saturating_sub(timing.heartbeat_interval_ms);
        let in_a_rack_ms = in_force_ms as f64 / f64::from(timing.multiplier.max(1));
        let late_ms = self.longest().as_secs_f64() * 1_000.0 * 2.5;
        ((late_ms / in_a_rack_ms.max(1.0)).ceil() as u32).max(1)
    }
}

/// Raises an alarm while round trips are too long for raft's timeouts, for as long as raft runs.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { options, cluster, alarms, .. } = &context;
    loop {
        sleep(LOOK_INTERVAL).await;
        let distances = cluster.distances();
        let needed = distances.multiplier_needed(&options.raft);
        if needed > options.raft.multiplier {
            alarms.raise(Alarm::FarServers, sentence(distances.longest(), needed, options.raft.multiplier));
        } else {
            alarms.clear(Alarm::FarServers);
        }
    }
}

fn sentence(longest: Duration, needed: u32, multiplier: u32) -> String {
    let way_out = if needed <= RAFT_MULTIPLIER_MAX {
        format!("set `raft_multiplier = {needed}` on all servers")
    } else {
        format!("{RAFT_MULTIPLIER_MAX} is the most: bring the servers closer to each other")
    };
    format!(
        "another server is {} ms away and back, and raft's times with `raft_multiplier` {multiplier} are too short for \
         that, so that a lost message can make servers elect another leader: {way_out}",
        longest.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_server_says_which_multiplier_is_needed_whatever_is_in_force() {
        let of = |ms: &[u64]| Distances {
            round_trips: ms.iter().map(|ms| (format!("{ms}"), Duration::from_millis(*ms))).collect(),
        };
        for multiplier in [1, 5] {
            let default = RaftTiming::default();
            let timing = RaftTiming {
                heartbeat_interval_ms: default.heartbeat_interval_ms * u64::from(multiplier),
                election_timeout_min_ms: default.election_timeout_min_ms * u64::from(multiplier),
                multiplier,
                ..default
            };
            for (round_trips, needed) in [
                (vec![], 1),
                (vec![0], 1),
                (vec![1, 40], 1),
                (vec![41], 2),
                (vec![400, 1], 10),
                (vec![500], 13),
            ] {
                assert_eq!(needed, of(&round_trips).multiplier_needed(&timing), "{round_trips:?}");
            }
        }
    }

    #[test]
    fn what_is_told_names_the_setting() {
        let far = sentence(Duration::from_millis(90), 3, 1);
        assert!(
            far.contains("90 ms away") && far.ends_with("set `raft_multiplier = 3` on all servers"),
            "{far}"
        );
        assert!(sentence(Duration::from_millis(900), 23, 10).contains("10 is the most"));
    }
}
