//! What a command is, declared in one place for each, and what of it the log, the disk's bounds and `apply` go by.

use ordu_proto::command::Refusal;
use prost::bytes::Bytes;
use prost::{DecodeError, Message};

use super::entry::Entry;
use super::outcome::{Answer, EncodedAnswer};
use super::{COMMANDS, Step};

/// Something that changes the state: a log entry, once it is in an envelope.
pub trait Command: Message + Default + 'static {
    /// What it answers where it takes effect.
    type Answer: Answer;

    /// Its field in the envelope. Numbers begin with [`NUMBER_MIN`], are never reused, and an unknown one is fatal for the
    /// server that meets it in its log.
    const NUMBER: u32;

    /// The feature level that it appeared with; where it was given a new meaning, that of the meaning.
    const LEVEL: u32;

    /// Whether it brings new work, and with it what is to be stored: refused while the disks have little room. Stops,
    /// removals, reports, and what a leader decides about what is there go on.
    const IS_NEW_WORK: bool = false;

    /// Whether it reads all rows of a table, little though it says itself.
    const READS_WHOLE_TABLES: bool = false;

    /// The feature level that the cluster has after it; 0 where it does not raise it.
    fn raises_level_to(&self) -> u32 {
        0
    }

    /// Refuses what no server proposes, before anything is read. It may come from another server all the same: names that
    /// are parts of keys must make no keys of other rows.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Decides, and writes what follows.
    ///
    /// # Errors
    /// Where the state cannot be read: where that is a single row the command is refused, else the server stops.
    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Self::Answer>;
}

/// The number of the first command; what is below are the envelope's own fields.
pub(super) const NUMBER_MIN: u32 = 16;

/// What the cluster must have for a command to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The feature level that it must have reached.
    pub feature_level: u32,
    /// Whether the disks must have room for new work.
    pub room: bool,
}

impl Needs {
    /// What the command `C` needs.
    pub(super) const fn of<C: Command>() -> Self {
        Self { feature_level: C::LEVEL, room: C::IS_NEW_WORK }
    }
}

/// A command as the list of all of them has it.
pub struct Declared {
    pub(super) number: u32,
    pub(super) needs: Needs,
    /// See [`Command::READS_WHOLE_TABLES`].
    pub reads_whole_tables: bool,
    pub(super) decode: fn(Bytes) -> Result<Box<dyn AnyCommand>, DecodeError>,
}

impl Declared {
    /// The command `C`.
    pub(super) const fn of<C: Command>() -> Self {
        Self {
            number: C::NUMBER,
            needs: Needs::of::<C>(),
            reads_whole_tables: C::READS_WHOLE_TABLES,
            decode: |bytes| Ok(Box::new(C::decode(bytes)?)),
        }
    }

    /// The command with a number, where this release knows one.
    pub(super) fn find(number: u32) -> Option<&'static Declared> {
        COMMANDS.iter().find(|declared| declared.number == number)
    }
}

/// A command of any kind.
pub(super) trait AnyCommand {
    fn raises_level_to(&self) -> u32;
    fn check(&self) -> Result<(), Refusal>;
    fn apply(self: Box<Self>, entry: &mut Entry<'_, '_>) -> Step<EncodedAnswer>;
}

impl<C: Command> AnyCommand for C {
    fn raises_level_to(&self) -> u32 {
        Command::raises_level_to(self)
    }

    fn check(&self) -> Result<(), Refusal> {
        Command::check(self)
    }

    fn apply(self: Box<Self>, entry: &mut Entry<'_, '_>) -> Step<EncodedAnswer> {
        let answer = Command::apply(*self, entry)?;
        Ok(answer.map(|answer| answer.to_encoded()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::command::FEATURE_LEVEL;

    #[test]
    fn each_command_has_a_number_of_its_own_and_a_level_that_this_release_knows() {
        let numbers: BTreeSet<u32> = COMMANDS.iter().map(|declared| declared.number).collect();
        assert_eq!(COMMANDS.len(), numbers.len());
        for declared in COMMANDS {
            assert!(declared.number >= NUMBER_MIN, "{}", declared.number);
            assert!((1..=FEATURE_LEVEL).contains(&declared.needs.feature_level), "{}", declared.number);
        }
    }
}
