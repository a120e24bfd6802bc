//! Command 31, since 0.1: how the leader looks after the servers, where wanted only if no one has changed it meanwhile.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{AutopilotSet, AutopilotWasSet};

use super::entry::Entry;
use super::{Step, refuse};
use crate::state::read;

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: AutopilotSet) -> Step {
    let Some(config) = command.config else {
        return Ok(Err(refuse(400, "a configuration of autopilot that says nothing")));
    };
    let stored = read::autopilot(entry.reader())?;
    let modify_index = stored.as_ref().map_or(0, |stored| stored.modify_index);
    let updated = command.enforced_modify_index.is_none_or(|index| index == modify_index);
    if updated {
        entry.put_autopilot(stored, config);
    }
    Ok(Ok(Answer::AutopilotWasSet(AutopilotWasSet { index: entry.index, updated })))
}
