//! Metrics of raft, its log and the applied state.

use std::sync::atomic::Ordering;

use ordu_core::command::FEATURE_LEVEL;
use ordu_store::types::LogId;

use super::figure::{Figure, Read, Sources, flag};

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "ordu_raft_leader_known",
        is: "1 where this server knows a leader that it has heard of lately.",
        act: "0 on every server: the cluster takes no writes; see that a majority of the servers runs and that they \
              reach each other. 0 on one: look at its network.",
        read: Read::Gauge(|it| Some(flag(it.context.cluster.known_leader()))),
    },
    Figure {
        name: "ordu_raft_leads",
        is: "1 where this server leads.",
        act: "Tells where to look for what the leader alone tells; nothing is to be done.",
        read: Read::Gauge(|it| Some(flag(it.raft.current_leader == Some(it.raft.id)))),
    },
    Figure {
        name: "ordu_raft_leader_changes_total",
        is: "Elected leaders that this server has heard of, the one at its start among them.",
        act: "Where there are several in ten minutes and no server was restarted, look at the network between the \
              servers, at ordu_raft_sync_seconds and at how busy their processors are.",
        read: Read::Counter(|it| it.context.counts.leader_changes.load(Ordering::Relaxed)),
    },
    Figure {
        name: "ordu_raft_last_contact_ms",
        is: "Milliseconds since the leader was heard of; at the leader 0 while a quorum answers it.",
        act: "Where it grows, this server is cut off or the leader is gone: look at ordu_raft_leader_known.",
        read: Read::Gauge(|it| Some(it.context.cluster.last_contact_ms() as f64)),
    },
    Figure {
        name: "ordu_raft_term",
        is: "Raft's term, which rises with each election.",
        act: "Where it rises again and again, do as ordu_raft_leader_changes_total says.",
        read: Read::Gauge(|it| Some(it.raft.current_term as f64)),
    },
    Figure {
        name: "ordu_raft_voters",
        is: "Servers that vote.",
        act: "Where it is not what you mean to run, see `ordu operator raft list-peers`.",
        read: Read::Gauge(|it| Some(voters(it) as f64)),
    },
    Figure {
        name: "ordu_raft_voters_alive",
        is: "Voters that this server has heard of in the last seven seconds, itself among them.",
        act: "Where it is less than ordu_raft_voters, start those that are missing, or replace them.",
        read: Read::Gauge(|it| {
            Some(it.members.iter().filter(|member| member.voter && member.alive).count() as f64)
        }),
    },
    Figure {
        name: "ordu_raft_voters_needed",
        is: "Voters that have to be alive for anything to be written: a majority.",
        act: "Where no more than these are alive, the next that fails stops all writes: bring the others back first \
              of all.",
        read: Read::Gauge(|it| (voters(it) > 0).then(|| (voters(it) / 2 + 1) as f64)),
    },
    Figure {
        name: "ordu_raft_last_log_index",
        is: "The index of the last entry in this server's log.",
        act: "Where it stands still at one server only, that one is not sent entries: look at its network and its disk.",
        read: Read::Gauge(|it| Some(it.raft.last_log_index.unwrap_or(0) as f64)),
    },
    Figure {
        name: "ordu_raft_commit_index",
        is: "The index of the last entry of which this server knows that a quorum has it.",
        act: "Where it stands still and ordu_raft_last_log_index rises, no quorum takes entries: look at \
              ordu_raft_voters_alive.",
        read: Read::Gauge(|it| Some(committed(it) as f64)),
    },
    Figure {
        name: "ordu_raft_applied_index",
        is: "The index of the entry that this server has applied last.",
        act: "What is read there with `stale` is as old as this; see ordu_raft_entries_behind.",
        read: Read::Gauge(|it| Some(it.context.state.applied_index() as f64)),
    },
    Figure {
        name: "ordu_raft_entries_behind",
        is: "Entries that are committed, as far as this server knows, and not applied here.",
        act: "Where it stays large, this server is catching up, or its disk or processor is too slow: stop no other \
              server before it has caught up.",
        read: Read::Gauge(|it| Some(committed(it).saturating_sub(it.context.state.applied_index()) as f64)),
    },
    Figure {
        name: "ordu_raft_snapshot_index",
        is: "The index of the last entry that this server's snapshot has.",
        act: "Entries behind it are replayed at a start; where these are many, see ordu_snapshot_age_seconds.",
        read: Read::Gauge(|it| Some(index(it.raft.snapshot.as_ref()) as f64)),
    },
    Figure {
        name: "ordu_snapshot_age_seconds",
        is: "Seconds since this server's snapshot was taken, or came from another server.",
        act: "A cluster that writes takes one an hour, unless logs_kept_age says otherwise; where it is much older and \
              ordu_raft_applied_index is past ordu_raft_snapshot_index, look for the reason in this server's log, and \
              at the room on its disk.",
        read: Read::Gauge(snapshot_age_seconds),
    },
    Figure {
        name: "ordu_raft_log_bytes",
        is: "Bytes of the entries that the raft log has.",
        act: "Where it is far above logs_kept_mb, a server that is alive does not keep up: see \
              ordu_raft_entries_behind.",
        read: Read::Gauge(|it| Some(it.context.log.bytes_from(0) as f64)),
    },
    Figure {
        name: "ordu_raft_log_first_index",
        is: "The first index that is not purged from the raft log.",
        act: "A server that lacks entries before it is sent a snapshot; nothing is to be done.",
        read: Read::Gauge(|it| Some(it.raft.purged.as_ref().map_or(0, |id| id.index + 1) as f64)),
    },
    Figure {
        name: "ordu_raft_sync_seconds",
        is: "Time that syncs of the raft log took.",
        act: "Every write waits for one: where many take longer than 0.1 s, give the log a faster disk, or take away \
              what else writes to it.",
        read: Read::Times(|it| it.context.counts.syncs.ended().told()),
    },
    Figure {
        name: "ordu_state_apply_seconds",
        is: "Time that it took to apply entries, a batch at a time.",
        act: "Writes and reads wait for it: where many take longer than 0.1 s, look at how busy processor and disk are.",
        read: Read::Times(|it| it.context.state.applies().told()),
    },
    Figure {
        name: "ordu_state_rows_set_aside",
        is: "Rows that cannot be decoded and are left out; 1000 stand for more.",
        act: "Where there are any, do as health says.",
        read: Read::Gauge(|it| Some(it.context.state.db().set_aside().count() as f64)),
    },
    Figure {
        name: "ordu_feature_level",
        is: "The cluster's feature level, as far as this server has applied what raises it.",
        act: "Where it stays below the greatest ordu_feature_level_known, `ordu operator feature-level` tells which \
              servers are still to be upgraded.",
        read: Read::Gauge(|it| Some(f64::from(it.context.state.feature_level()))),
    },
    Figure {
        name: "ordu_feature_level_known",
        is: "The highest feature level that this server's release knows.",
        act: "Where it differs between servers for long, complete the upgrade: run one release on all of them.",
        read: Read::Gauge(|_| Some(f64::from(FEATURE_LEVEL))),
    },
    Figure {
        name: "ordu_raft_multiplier",
        is: "By how much raft's times are longer than in a rack.",
        act: "Compare it with ordu_raft_multiplier_needed.",
        read: Read::Gauge(|it| Some(f64::from(it.context.options.raft.multiplier))),
    },
    Figure {
        name: "ordu_raft_multiplier_needed",
        is: "The multiplier that the measured round trips between the servers need.",
        act: "Where it is more than ordu_raft_multiplier, set raft_multiplier to it on every server.",
        read: Read::Gauge(|it| {
            let needed = it.context.cluster.distances().multiplier_needed(&it.context.options.raft);
            Some(f64::from(needed))
        }),
    },
];

fn voters(it: &Sources<'_>) -> usize {
    it.members.iter().filter(|member| member.voter).count()
}

fn index(log_id: Option<&LogId>) -> u64 {
    log_id.map_or(0, |id| id.index)
}

/// Returns the highest commit index known here; this server may not have all entries up to it yet.
fn committed(it: &Sources<'_>) -> u64 {
    index(it.raft.local_committed.as_ref()).max(index(it.raft.cluster_committed.as_ref()))
}

fn snapshot_age_seconds(it: &Sources<'_>) -> Option<f64> {
    let snapshot = it.context.state.db().current_snapshot().ok().flatten()?;
    Some(snapshot.since()?.elapsed().unwrap_or_default().as_secs_f64())
}
