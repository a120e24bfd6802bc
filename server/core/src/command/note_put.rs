//! Command 2000, of a feature level that no release has (for tests of upgrades): stores a note under a name.

use ordu_proto::command::{Done, Refusal};

use super::Step;
use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::level::NEXT_LEVEL;

/// Stores a note under a name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NotePut {
    /// The note's key.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The note's text.
    #[prost(string, tag = "2")]
    pub text: String,
}

impl Command for NotePut {
    type Answer = Done;
    const NUMBER: u32 = 2000;
    const LEVEL: u32 = NEXT_LEVEL;

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.name, &self.text])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        entry.put_note(self.name, self.text);
        Ok(Ok(Done { index: entry.index }))
    }
}
