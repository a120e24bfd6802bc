//! Command 31, since 0.1: sets the autopilot configuration, optionally only if it has not been modified meanwhile.

use ordu_proto::command::{AutopilotSet, AutopilotWasSet};

use super::declared::Command;
use super::entry::Entry;
use super::level::FIRST_LEVEL;
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::state::read;

impl Command for AutopilotSet {
    type Answer = AutopilotWasSet;
    const NUMBER: u32 = 31;
    const LEVEL: u32 = FIRST_LEVEL;

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<AutopilotWasSet> {
        let Some(config) = self.config else {
            return Ok(Err(refuse(400, "a configuration of autopilot that says nothing")));
        };
        let stored = read::autopilot(entry.reader())?;
        let modify_index = stored.as_ref().map_or(0, |stored| stored.modify_index);
        let updated = self.enforced_modify_index.is_none_or(|index| index == modify_index);
        if updated {
            entry.put_autopilot(stored, config);
        }
        Ok(Ok(AutopilotWasSet { index: entry.index, updated }))
    }
}

impl AnswerMessage for AutopilotWasSet {
    const NUMBER: u32 = 13;
}
