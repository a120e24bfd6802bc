//! Command 2000, of the feature level that no release has: a note, by its name.

use ordu_proto::command::{Done, Refusal};

use super::Step;
use super::check;
use super::declared::Command;
use super::entry::Entry;

/// A note, by its name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NotePut {
    /// By what it is found.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it says.
    #[prost(string, tag = "2")]
    pub text: String,
}

impl Command for NotePut {
    type Answer = Done;
    const NUMBER: u32 = 2000;
    const LEVEL: u32 = 2;

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.name, &self.text])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        entry.put_note(self.name, self.text);
        Ok(Ok(Done { index: entry.index }))
    }
}
