//! The cluster's feature level: which level each server supports, which servers hold it back, and raising it
//! as the leader.
//!
//! Servers report the highest level they support in greetings. An absent server counts with its last report;
//! a server the leader has never heard from holds the level back. So every member can decode what is logged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ordu_core::command::{FEATURE_LEVEL, FIRST_LEVEL};
use ordu_proto::command::FeatureLevelRaise;
use ordu_proto::server::{FeatureLevelsReply, ServerLevel};
use ordu_store::state_machine::State;
use tokio::time::{Instant, sleep};
use tonic::Status;

use crate::cluster::Cluster;
use crate::context::Context;

/// The name of this program's release.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Interval between checks by the leader.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Since when every server supports a level, as seen by this leader. A cheap handle.
#[derive(Clone, Default)]
pub struct KnownLevels(Arc<Mutex<BTreeMap<u32, Instant>>>);

impl KnownLevels {
    /// Records that every server supports all levels up to `known`, in a cluster at `level`.
    fn note(&self, level: u32, known: u32, now: Instant) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|of, _| (level + 1..=known).contains(of));
        for of in level + 1..=known {
            since.entry(of).or_insert(now);
        }
    }

    /// Returns the highest level above the cluster's that every server has supported for at least `time`.
    fn known_for(&self, time: Duration, now: Instant) -> Option<u32> {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.iter().rev().find(|(_, since)| now.duration_since(**since) >= time).map(|(of, _)| *of)
    }

    /// Returns for how long every server has supported a level above the cluster's.
    fn longest(&self, now: Instant) -> Option<Duration> {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.values().next().map(|since| now.duration_since(*since))
    }
}

/// Returns the highest level that all `servers` support; 0 if one has reported none, or there are none.
fn known_by_all(servers: &[ServerLevel]) -> u32 {
    servers.iter().map(|server| server.level).min().unwrap_or(0)
}

/// Returns the initial level of a new cluster: what all its first voters support.
pub(crate) fn first_level(cluster: &Cluster) -> u32 {
    known_by_all(&cluster.levels()).max(FIRST_LEVEL)
}

/// Names the servers that do not support a level, for operators.
fn held_back_by(servers: &[ServerLevel], level: u32) -> Option<String> {
    let named = |it: &ServerLevel| match it.level {
        0 => format!("{} at {}, which this leader has not heard of", it.name, it.rpc_addr),
        known => format!("{} at {} (release {}, level {known})", it.name, it.rpc_addr, it.release),
    };
    let names: Vec<String> = servers.iter().filter(|it| it.level < level).map(named).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Describes how the cluster can rise to a level.
fn way_up(servers: &[ServerLevel], level: u32) -> String {
    match held_back_by(servers, level) {
        Some(names) => format!(
            "it is held back by {names}. Run a release that knows level {level} on every server, or remove those that \
             are gone for good (`ordu operator raft remove-peer`)"
        ),
        None => "every server knows it: the level rises by itself in a while, or at once by `ordu operator \
                 feature-level raise`"
            .to_owned(),
    }
}

/// Returns why the leader refuses a command that needs level `needed`, if the cluster has not reached it.
pub(crate) fn refusal_of(cluster: &Cluster, state: &State, needed: u32) -> Option<String> {
    let level = state.feature_level();
    (needed > level).then(|| {
        let way_up = way_up(&cluster.levels(), needed);
        format!("this needs feature level {needed}, and the cluster's is {level}; {way_up}")
    })
}

/// Whether the cluster has its first level. A new cluster's leader writes it before it takes up any duty; what needs a
/// level waits until then.
pub(crate) fn has_first_level(state: &State) -> bool {
    !state.machine().cluster().cluster_id.is_empty()
}

/// Returns the text that a server is too old for a cluster at `level`; used by that server and by those that
/// refuse it.
pub(crate) fn too_old(name: &str, release: &str, known: u32, level: u32) -> String {
    format!(
        "{name} cannot be in this cluster: the cluster is at feature level {level}, and its release ({release}) knows no \
         higher level than {known}. Run the release that the other servers run"
    )
}

/// As [`too_old`], for this server.
pub(super) fn is_too_old(name: &str, level: u32) -> Option<String> {
    (level > FEATURE_LEVEL).then(|| too_old(name, RELEASE, FEATURE_LEVEL, level))
}

/// Returns the cluster's level and what each server supports, as seen by this leader.
pub(crate) fn told(context: &Context) -> FeatureLevelsReply {
    let in_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (level, servers, now) = (context.state.feature_level(), context.cluster.levels(), Instant::now());
    // A level that every server here supports is known from now on at the latest.
    context.known_levels.note(level, known_by_all(&servers), now);
    FeatureLevelsReply {
        level,
        known_for_ms: context.known_levels.longest(now).map(in_ms),
        servers,
        raised_after_ms: in_ms(context.options.feature_level_after),
    }
}

/// Raises the cluster's level to the highest that every server supports, as the leader, and returns the
/// level.
///
/// # Errors
/// Returned if a server does not support a level that another supports, if this server does not lead, or if
/// the write fails.
pub(crate) async fn raise(context: &Context) -> Result<u32, Status> {
    // Hold the lock so that no server joins between the check and the write.
    let _turn = context.changes.turn().lock().await;
    let servers = context.cluster.levels();
    let (level, known) = (context.state.feature_level(), known_by_all(&servers));
    if known > level {
        return propose(context, known).await;
    }
    let highest = servers.iter().map(|server| server.level).max().unwrap_or(0);
    match held_back_by(&servers, highest) {
        Some(_) if highest > level => Err(Status::failed_precondition(format!(
            "the cluster stays at feature level {level}: level {highest} is known, and {}",
            way_up(&servers, highest)
        ))),
        _ => Ok(level),
    }
}

/// Proposes a level that every server supports. The caller must hold the membership lock.
async fn propose(context: &Context, level: u32) -> Result<u32, Status> {
    let term = context.cluster.metrics().current_term;
    let command = FeatureLevelRaise { level };
    let written = context.writer.write_as_leader(term, command).await;
    written.map_err(|error| {
        Status::unavailable(format!("the feature level is not raised to {level} now: {error}"))
    })?;
    tracing::info!(
        level,
        "the cluster's feature level is raised: servers of older releases cannot come back"
    );
    Ok(level)
}

/// As the leader, raises the cluster's level once every server has supported a higher one for long enough.
/// Until then an operator can go back to the previous release.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { cluster, state, known_levels, options, changes, .. } = &context;
    loop {
        sleep(LOOK_INTERVAL).await;
        if !cluster.is_leader() {
            // Another server leads and starts its own record.
            known_levels.note(0, 0, Instant::now());
            continue;
        }
        let now = Instant::now();
        known_levels.note(state.feature_level(), known_by_all(&cluster.levels()), now);
        let Some(level) = known_levels.known_for(options.feature_level_after, now) else { continue };
        let _turn = changes.turn().lock().await;
        if known_by_all(&cluster.levels()) >= level
            && let Err(status) = propose(&context, level).await
        {
            tracing::warn!("{}", status.message());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(levels: &[u32]) -> Vec<ServerLevel> {
        let server = |(place, level): (usize, &u32)| ServerLevel {
            id: place as u64 + 1,
            name: format!("s{place}"),
            rpc_addr: format!("10.0.0.{place}:4647"),
            level: *level,
            release: "0.1".to_owned(),
        };
        levels.iter().enumerate().map(server).collect()
    }

    #[test]
    fn the_level_that_all_know_is_the_least_and_none_where_one_was_not_heard_of() {
        for (levels, expected) in
            [(&[][..], 0), (&[1, 1, 1], 1), (&[2, 1, 2], 1), (&[2, 2, 3], 2), (&[2, 0, 2], 0)]
        {
            assert_eq!(expected, known_by_all(&servers(levels)), "{levels:?}");
        }
    }

    #[test]
    fn a_refusal_names_those_who_hold_the_level_back_and_no_others() {
        let text = way_up(&servers(&[2, 1, 0]), 2);
        assert!(text.contains("held back by s1 at 10.0.0.1:4647 (release 0.1, level 1), s2 at "), "{text}");
        assert!(text.contains("has not heard of") && !text.contains("s0"), "{text}");
        let text = way_up(&servers(&[2, 2, 3]), 2);
        assert!(text.contains("every server knows it") && text.contains("feature-level raise"), "{text}");
    }

    #[test]
    fn a_level_is_known_for_long_enough_only_without_a_break() {
        let levels = KnownLevels::default();
        let (start, wait) = (Instant::now(), Duration::from_secs(600));
        let at = |seconds| start + Duration::from_secs(seconds);
        levels.note(1, 1, at(0));
        assert_eq!((None, None), (levels.known_for(wait, at(9_000)), levels.longest(at(9_000))));
        levels.note(1, 2, at(0));
        levels.note(1, 3, at(300));
        assert_eq!(None, levels.known_for(wait, at(599)));
        assert_eq!(Some(2), levels.known_for(wait, at(600)), "3 is known for half of it");
        assert_eq!(Some(3), levels.known_for(wait, at(900)));
        assert_eq!(Some(Duration::from_secs(900)), levels.longest(at(900)));
        // A server goes back to the previous release, and is then upgraded again.
        levels.note(1, 1, at(901));
        levels.note(1, 3, at(902));
        assert_eq!(None, levels.known_for(wait, at(1_500)));
        // The cluster is at level 2 now.
        levels.note(2, 3, at(1_501));
        assert_eq!(Some(3), levels.known_for(wait, at(1_502)));
        levels.note(3, 3, at(1_503));
        assert_eq!(None, levels.longest(at(1_504)));
    }
}
