//! Command 2000, of the feature level that no release has: a note, by its name.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, NotePut};

use super::Step;
use super::entry::Entry;

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: NotePut) -> Step {
    entry.put_note(command.name, command.text);
    Ok(Ok(Answer::Done(Done { index: entry.index })))
}
