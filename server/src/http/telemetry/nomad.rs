//! Metrics under the names that Nomad gives them, for dashboards and alerts that were made for Nomad.
//!
//! Only those that mean the same here are told; `deploy/README.md` lists them and names what stands for others. As in
//! Nomad, only the leader tells them. JSON has Nomad's names with dots, Prometheus's format has underscores instead.

use ordu_proto::state::NodeStatus;

use super::figure::{Figure, Read, Sources};
use crate::leader::LeaderStats;

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "nomad.nomad.broker.total_ready",
        is: "Evaluations that are ready for a worker.",
        act: "See ordu_evaluations, which tells the same as state ready.",
        read: Read::Gauge(|it| of_leader(it, |leader| leader.broker.ready)),
    },
    Figure {
        name: "nomad.nomad.broker.total_unacked",
        is: "Evaluations that workers have and are not done with.",
        act: "See ordu_evaluations, which tells the same as state unacked.",
        read: Read::Gauge(|it| of_leader(it, |leader| leader.broker.outstanding)),
    },
    Figure {
        name: "nomad.nomad.broker.total_blocked",
        is: "Evaluations that wait behind another one of their job. Nomad calls it total_pending from 1.4 on.",
        act: "See ordu_evaluations, which tells the same as state pending.",
        read: Read::Gauge(|it| of_leader(it, |leader| leader.broker.waiting)),
    },
    Figure {
        name: "nomad.nomad.broker.total_waiting",
        is: "Evaluations that wait for a point in time.",
        act: "See ordu_evaluations, which tells the same as state delayed.",
        read: Read::Gauge(|it| of_leader(it, |leader| leader.broker.delayed)),
    },
    Figure {
        name: "nomad.nomad.blocked_evals.total_blocked",
        is: "Evaluations that are blocked for want of room, without those that were woken to look again.",
        act: "See ordu_evaluations, whose state blocked has the woken ones too.",
        read: Read::Gauge(|it| of_leader(it, |leader| leader.blocked.blocked)),
    },
    Figure {
        name: "nomad.nomad.plan.queue_depth",
        is: "Plans that wait to be applied.",
        act: "See ordu_plans_waiting, which tells the same.",
        read: Read::Gauge(|it| of_leader(it, |leader| leader.plans_waiting)),
    },
    Figure {
        name: "nomad.nomad.heartbeat.active",
        is: "Nodes of which the leader expects heartbeats: all that are not down.",
        act: "See ordu_nodes, which tells nodes by status.",
        read: Read::Gauge(|it| {
            let nodes = it.census.nodes().filter(|(status, _)| *status != NodeStatus::Down);
            it.leader.as_ref().map(|_| nodes.map(|(_, count)| count as f64).sum())
        }),
    },
    Figure {
        name: "nomad.nomad.job_status.pending",
        is: "Jobs that are pending.",
        act: "Where it stays high, see ordu_evaluations.",
        read: Read::Gauge(|it| jobs(it, "pending")),
    },
    Figure {
        name: "nomad.nomad.job_status.running",
        is: "Jobs that are running.",
        act: "Compare it with what should run.",
        read: Read::Gauge(|it| jobs(it, "running")),
    },
    Figure {
        name: "nomad.nomad.job_status.dead",
        is: "Jobs that are dead: stopped, or over.",
        act: "Purge those that are not needed any more where there are very many.",
        read: Read::Gauge(|it| jobs(it, "dead")),
    },
];

fn of_leader(it: &Sources<'_>, count: fn(&LeaderStats) -> usize) -> Option<f64> {
    it.leader.as_ref().map(|leader| count(leader) as f64)
}

fn jobs(it: &Sources<'_>, status: &str) -> Option<f64> {
    let count = it.census.jobs().find(|(known, _)| *known == status)?.1;
    it.leader.as_ref().map(|_| count as f64)
}
