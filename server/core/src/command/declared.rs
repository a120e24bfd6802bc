//! The `Command` trait: each command declares its number, feature level and limits in one place. The log, the disk
//! space check and `apply` read these declarations.

use ordu_proto::command::Refusal;
use prost::bytes::Bytes;
use prost::{DecodeError, Message};

use super::entry::Entry;
use super::outcome::{Answer, EncodedAnswer};
use super::{COMMANDS, Step};

/// A change to the state. Wrapped in an envelope it becomes a log entry.
pub trait Command: Message + Default + 'static {
    /// Answer of the command when it takes effect.
    type Answer: Answer;

    /// Field number of the command in the envelope, at least [`NUMBER_MIN`]. Numbers are never reused. A server that
    /// finds an unknown number in its log stops.
    const NUMBER: u32;

    /// Feature level that introduced the command, or that last changed its meaning.
    const LEVEL: u32;

    /// Whether the command adds new work and thus data to store. Such commands are refused while the servers are short
    /// of disk space. Stops, removals, reports and the leader's decisions on existing work are still accepted.
    const IS_NEW_WORK: bool = false;

    /// Whether the command reads all rows of a table, even though the command itself is small.
    const READS_WHOLE_TABLES: bool = false;

    /// Returns the feature level that the command needs with the fields that it carries. Above [`Self::LEVEL`] if it
    /// uses a field that a later level added: servers of earlier releases would ignore the field.
    fn level_needed(&self) -> u32 {
        Self::LEVEL
    }

    /// Returns the cluster's feature level after the command, or 0 if the command does not raise it.
    fn raises_level_to(&self) -> u32 {
        0
    }

    /// Refuses fields that no correct server proposes, before `apply` reads any row. The command may come from another
    /// server, and names that are parts of keys must not form keys of other rows.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Decides on the command and writes the resulting rows.
    ///
    /// # Errors
    /// Fails if the state cannot be read. If only a single row is unreadable, the command is
    /// refused; otherwise the server stops.
    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Self::Answer>;
}

/// Number of the first command. Lower numbers are the envelope's own fields.
pub(super) const NUMBER_MIN: u32 = 16;

/// Conditions that the cluster must meet before a command is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Minimum feature level of the cluster.
    pub feature_level: u32,
    /// Whether the servers' disks must have room for new work.
    pub room: bool,
}

impl Needs {
    /// Returns the conditions of every command of the type `C`; a single one may need a higher level.
    const fn of_all<C: Command>() -> Self {
        Self { feature_level: C::LEVEL, room: C::IS_NEW_WORK }
    }

    /// Returns the conditions of this command.
    pub(super) fn of<C: Command>(command: &C) -> Self {
        Self { feature_level: command.level_needed(), ..Self::of_all::<C>() }
    }
}

/// Declaration of a command in the list of all commands.
pub struct Declared {
    pub(super) number: u32,
    pub(super) needs: Needs,
    /// See [`Command::READS_WHOLE_TABLES`].
    pub reads_whole_tables: bool,
    pub(super) decode: fn(Bytes) -> Result<Box<dyn AnyCommand>, DecodeError>,
}

impl Declared {
    /// Builds the declaration of the command `C`.
    pub(super) const fn of<C: Command>() -> Self {
        Self {
            number: C::NUMBER,
            needs: Needs::of_all::<C>(),
            reads_whole_tables: C::READS_WHOLE_TABLES,
            decode: |bytes| Ok(Box::new(C::decode(bytes)?)),
        }
    }

    /// Returns the command with this number, or `None` if this release does not know it.
    pub(super) fn find(number: u32) -> Option<&'static Declared> {
        COMMANDS.iter().find(|declared| declared.number == number)
    }
}

/// Object-safe form of [`Command`].
pub(super) trait AnyCommand {
    fn level_needed(&self) -> u32;
    fn raises_level_to(&self) -> u32;
    fn check(&self) -> Result<(), Refusal>;
    fn apply(self: Box<Self>, entry: &mut Entry<'_, '_>) -> Step<EncodedAnswer>;
}

impl<C: Command> AnyCommand for C {
    fn level_needed(&self) -> u32 {
        Command::level_needed(self)
    }

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
