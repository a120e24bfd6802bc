//! Explains why a task group could not be placed.

use crate::output::Screen;
use ordu_client::AllocMetric;

/// Prints one line for each of the scheduler's reasons.
pub(crate) fn explain(screen: &mut Screen, metric: &AllocMetric, indentation: &str) {
    let mut reason = |text: String| screen.line(format!("{indentation}* {text}"));
    if metric.nodes_evaluated == 0 {
        reason("No nodes were eligible for evaluation".to_owned());
    }
    for (datacenter, _) in metric.nodes_available.iter().filter(|(_, nodes)| **nodes == 0) {
        reason(format!("No nodes are available in datacenter {datacenter:?}"));
    }
    for (class, nodes) in &metric.class_filtered {
        reason(format!("Class {class:?}: {nodes} nodes excluded by filter"));
    }
    for (constraint, nodes) in &metric.constraint_filtered {
        reason(format!("Constraint {constraint:?}: {nodes} nodes excluded by filter"));
    }
    if metric.nodes_exhausted > 0 {
        reason(format!("Resources exhausted on {} nodes", metric.nodes_exhausted));
    }
    for (class, nodes) in &metric.class_exhausted {
        reason(format!("Class {class:?} exhausted on {nodes} nodes"));
    }
    for (dimension, nodes) in &metric.dimension_exhausted {
        reason(format!("Dimension {dimension:?} exhausted on {nodes} nodes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_line() {
        let metric: AllocMetric = serde_json::from_value(serde_json::json!({
            "NodesEvaluated": 0, "NodesAvailable": {"dc1": 0, "dc2": 1}, "ClassFiltered": {"c": 1},
            "ConstraintFiltered": {"${meta.x} = y": 2}, "NodesExhausted": 3, "ClassExhausted": {"d": 4},
            "DimensionExhausted": {"cpu": 5},
        }))
        .unwrap();
        let mut screen = Screen::captured(false);
        explain(&mut screen, &metric, "  ");
        assert_eq!(
            screen.text(),
            "  * No nodes were eligible for evaluation\n  * No nodes are available in datacenter \"dc1\"\n  \
             * Class \"c\": 1 nodes excluded by filter\n  * Constraint \"${meta.x} = y\": 2 nodes excluded by filter\n  \
             * Resources exhausted on 3 nodes\n  * Class \"d\" exhausted on 4 nodes\n  * Dimension \"cpu\" exhausted on 5 nodes\n"
        );
    }
}
