//! Metrics of the cluster's work: nodes, allocations, evaluations and plans.

use super::figure::{Figure, Labelled, Read, Sources};
use crate::http::documents::alloc::client_word;
use crate::http::documents::node::status_word;

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "ordu_nodes",
        is: "Nodes by status, as this server has applied it: every server tells the same.",
        act: "A node that is down was not heard of for its time to live, and what ran on it is lost or placed anew: see \
              `ordu node status`, bring it back, or stop counting on it.",
        read: Read::Gauges("status", |it| {
            it.census.nodes().map(|(status, count)| (status_word(status), count as f64)).collect()
        }),
    },
    Figure {
        name: "ordu_nodes_ineligible",
        is: "Nodes that take no new allocations because someone said so, those that are drained among them.",
        act: "Where work is over on them, make them eligible again.",
        read: Read::Gauge(|it| Some(it.census.nodes_ineligible as f64)),
    },
    Figure {
        name: "ordu_nodes_draining",
        is: "Nodes that are drained.",
        act: "Where it does not fall, look at what still runs there.",
        read: Read::Gauge(|it| Some(it.census.nodes_draining as f64)),
    },
    Figure {
        name: "ordu_allocations",
        is: "Allocations by what their nodes said of them last, those that have ended among them.",
        act: "Where pending ones do not go or lost ones grow, look at the nodes; where failed ones grow, see `ordu job \
              status` and the tasks' logs.",
        read: Read::Gauges("client_status", |it| {
            it.census.allocs().map(|(status, count)| (client_word(status), count as f64)).collect()
        }),
    },
    Figure {
        name: "ordu_evaluations",
        is: "Evaluations that are not over, told by the leader alone: ready for a worker, unacked with one, pending \
             behind another of their job, delayed until a time, blocked for want of room. One that is blocked and was \
             woken to look again counts as blocked and where it is.",
        act: "Blocked ones want nodes with room, see `ordu eval status`; where ready ones grow, the leader is too slow \
              for what is asked of it.",
        read: Read::Gauges("state", evaluations),
    },
    Figure {
        name: "ordu_evaluation_oldest_seconds",
        is: "Age of the oldest evaluation that is due to be decided and of the oldest that is blocked, told by the \
             leader alone; 0 where there is none.",
        act: "Where one is due for minutes, the scheduler is stuck: look at the leader's log. Where one is blocked for \
              long, its job waits for room: see `ordu eval status`, add nodes or mend the job.",
        read: Read::Gauges("state", oldest),
    },
    Figure {
        name: "ordu_plans_waiting",
        is: "Plans that wait to be applied, told by the leader alone.",
        act: "Where it stays high, writes are slow: look at ordu_raft_sync_seconds and ordu_state_apply_seconds.",
        read: Read::Gauge(|it| it.leader.as_ref().map(|leader| leader.plans_waiting as f64)),
    },
    Figure {
        name: "ordu_plans_total",
        is: "Plans by what became of them while this server led: applied, partial (refused on some nodes), refused, \
             failed.",
        act: "Some are refused where many jobs come at once, and are made anew; where failed ones grow, look at the \
              leader's log.",
        read: Read::Counters("result", |it| {
            let fates = it.context.counts.plans.fates();
            fates.map(|(fate, count)| (fate.name(), count as f64)).collect()
        }),
    },
    Figure {
        name: "ordu_plan_apply_seconds",
        is: "Time from a plan's making until it was known what became of it, while this server led.",
        act: "Jobs start that much later: where it is long, look at ordu_plans_waiting.",
        read: Read::Times(|it| it.context.counts.plans.took().told()),
    },
];

fn evaluations(it: &Sources<'_>) -> Labelled {
    let Some(leader) = &it.leader else { return Vec::new() };
    let broker = &leader.broker;
    let counts = [
        ("ready", broker.ready),
        ("unacked", broker.outstanding),
        ("pending", broker.waiting),
        ("delayed", broker.delayed),
        ("blocked", leader.blocked.blocked + broker.woken),
    ];
    counts.map(|(state, count)| (state, count as f64)).to_vec()
}

fn oldest(it: &Sources<'_>) -> Labelled {
    let Some(leader) = &it.leader else { return Vec::new() };
    let blocked_ns = [leader.blocked.oldest_ns, leader.broker.oldest_woken_ns].into_iter().flatten().min();
    let age_seconds =
        |since_ns: Option<i64>| since_ns.map_or(0.0, |since| (leader.now_ns - since).max(0) as f64 / 1e9);
    vec![("due", age_seconds(leader.broker.oldest_due_ns)), ("blocked", age_seconds(blocked_ns))]
}
