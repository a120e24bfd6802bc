//! The score of a node for a group: its components and their mean.

use std::f64::consts::LN_10;

use crate::scheduler::view::Capacity;

/// The components of a node's score, and the mean of those that apply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    pub(crate) binpack: f64,
    /// 0 if no allocation of the same group is on the node.
    pub(crate) job_anti_affinity: f64,
    /// 0 if no earlier attempt failed on the node.
    pub(crate) reschedule_penalty: f64,
    /// 0 if there are no affinities or they cancel out.
    pub(crate) node_affinity: f64,
    pub(crate) normalized: f64,
}

/// Maximum of the bin-packing term, used to normalise it.
const BINPACK_MAX: f64 = 18.0;

/// Returns how tightly the node would be packed: 20 - (10^free CPU + 10^free memory), clamped to 0..18 and divided by
/// 18, where free is the fraction left after the placement. (Google's "BestFit v3", as in Nomad.)
pub(crate) fn binpack(capacity: &Capacity, used_after: &Capacity) -> f64 {
    let free = |used: i64, capacity: i64| {
        if capacity == 0 { 0.0 } else { 1.0 - used as f64 / capacity as f64 }
    };
    let cpu = free(used_after.cpu_mhz, capacity.cpu_mhz);
    let memory = free(used_after.memory_mb, capacity.memory_mb);
    let raw = 20.0 - ((cpu * LN_10).exp() + (memory * LN_10).exp());
    raw.clamp(0.0, BINPACK_MAX) / BINPACK_MAX
}

impl Score {
    /// Combines the components. `same_group` is the number of the group's allocations on the node, `desired` the
    /// group's count, `affinity` the weighted share of the affinities that the node meets (-1 to 1).
    pub(crate) fn new(binpack: f64, same_group: u32, desired: u32, penalised: bool, affinity: f64) -> Score {
        let mut score = Score { binpack, node_affinity: affinity, ..Score::default() };
        let (mut sum, mut components) = (binpack, 1.0);
        if same_group > 0 {
            score.job_anti_affinity = -f64::from(same_group + 1) / f64::from(desired.max(1));
            sum += score.job_anti_affinity;
            components += 1.0;
        }
        if penalised {
            score.reschedule_penalty = -1.0;
            sum -= 1.0;
            components += 1.0;
        }
        if affinity != 0.0 {
            sum += affinity;
            components += 1.0;
        }
        score.normalized = sum / components;
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(cpu_mhz: i64, memory_mb: i64) -> Capacity {
        Capacity { cpu_mhz, memory_mb, disk_mb: 0 }
    }

    #[test]
    fn packing_is_best_when_nothing_is_left() {
        let all = capacity(1000, 1000);
        let cases = [
            (capacity(1000, 1000), 1.0),
            (capacity(0, 0), 0.0),
            (capacity(500, 500), (20.0 - 2.0 * 10_f64.sqrt()) / 18.0),
            (capacity(1000, 0), (20.0 - 11.0) / 18.0),
        ];
        for (used, expected) in cases {
            assert!((binpack(&all, &used) - expected).abs() < 1e-12, "{used:?}");
        }
        assert_eq!(binpack(&capacity(0, 0), &capacity(0, 0)), 1.0, "a node of nothing is full");
    }

    #[test]
    fn the_score_is_the_mean_of_the_components_that_apply() {
        let cases = [
            (Score::new(0.6, 0, 4, false, 0.0), 0.6),
            (Score::new(0.6, 1, 4, false, 0.0), (0.6 - 0.5) / 2.0),
            (Score::new(0.6, 0, 4, true, 0.0), (0.6 - 1.0) / 2.0),
            (Score::new(0.6, 0, 4, false, -0.5), (0.6 - 0.5) / 2.0),
            (Score::new(0.6, 1, 4, true, 1.0), (0.6 - 0.5 - 1.0 + 1.0) / 4.0),
        ];
        for (score, expected) in cases {
            assert!((score.normalized - expected).abs() < 1e-12, "{score:?}");
        }
    }
}
