//! The autopilot configuration: setting it, with and without a check of its modify index.

use ordu_proto::command::{AutopilotSet, AutopilotWasSet};
use ordu_proto::state::AutopilotConfig;

use super::*;
use crate::autopilot::DEFAULT;

pub(super) fn set(config: AutopilotConfig, enforced_modify_index: Option<u64>) -> AutopilotSet {
    AutopilotSet { config: Some(config), enforced_modify_index }
}

impl World {
    fn set_autopilot(&mut self, max_trailing_logs: u64, enforced: Option<u64>) -> AutopilotWasSet {
        let config = AutopilotConfig { max_trailing_logs, ..DEFAULT };
        self.answer(set(config, enforced))
    }

    fn autopilot(&self) -> Option<AutopilotConfig> {
        read::autopilot(&self.tables).unwrap()
    }
}

#[test]
fn the_configuration_is_stored_with_the_indexes_of_its_first_and_its_last_change() {
    let mut world = World::new();
    assert_eq!(None, world.autopilot());
    let first = world.set_autopilot(1, None).index;
    let last = world.set_autopilot(2, None).index;
    let expected =
        AutopilotConfig { max_trailing_logs: 2, create_index: first, modify_index: last, ..DEFAULT };
    assert_eq!(Some(expected), world.autopilot());
    world.reload();
    assert_eq!(Some(expected), world.autopilot());
}

#[test]
fn it_is_set_only_where_it_was_changed_last_at_the_index_that_is_told() {
    let mut world = World::new();
    assert!(!world.set_autopilot(1, Some(7)).updated, "none is stored, and none of index 7");
    assert_eq!(None, world.autopilot());
    let first = world.set_autopilot(1, Some(0));
    assert!(first.updated, "none is stored, which 0 stands for");
    let before = world.state_rows();
    for stale in [0, first.index - 1, first.index + 1, u64::MAX] {
        assert!(!world.set_autopilot(2, Some(stale)).updated, "{stale}");
        assert_eq!(before, world.state_rows());
    }
    assert!(world.set_autopilot(2, Some(first.index)).updated);
    assert!(!world.set_autopilot(3, Some(first.index)).updated);
    assert_eq!(2, world.autopilot().unwrap().max_trailing_logs);
}

#[test]
fn one_that_says_nothing_is_refused() {
    let mut world = World::new();
    let (status, text) = world.refused(AutopilotSet::default());
    assert_eq!((400, true), (status, text.contains("says nothing")), "{text}");
}
