//! Envelopes: a command with what goes with it into the log.

use ordu_proto::command as pb;
use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::FEATURE_LEVEL;
use super::declared::{AnyCommand, Command, Declared, NUMBER_MIN, Needs};
use super::tagged::{self, Malformed};
use crate::state::Id;

/// A command to be proposed, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    number: u32,
    needs: Needs,
    bytes: Vec<u8>,
}

impl<C: Command> From<C> for Proposal {
    fn from(command: C) -> Self {
        Self { number: C::NUMBER, needs: Needs::of::<C>(), bytes: command.encode_to_vec() }
    }
}

/// A command with what goes with it into the log. It is encoded as `ordu.command.Envelope`, in which the command is a field
/// of its own number.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Whose request it is, and when it takes effect.
    pub head: pb::Envelope,
    /// The command.
    pub command: Proposal,
}

impl Envelope {
    /// What the cluster must have for it to be logged.
    pub fn needs(&self) -> Needs {
        self.command.needs
    }

    /// The encoded envelope.
    pub fn encode_to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.head.encode_raw(&mut bytes);
        tagged::put(self.command.number, &self.command.bytes, &mut bytes);
        bytes
    }

    /// How many bytes it has, encoded.
    pub fn encoded_len(&self) -> usize {
        self.head.encoded_len() + tagged::put_len(self.command.number, self.command.bytes.len())
    }
}

/// An envelope around a command, with the level of the command: of a newer release's envelopes, an older one can read all
/// whose command it knows. `time_ns` is zero but in tests: the leader stamps it, see [`stamped`].
///
/// `request_id` names the request so that a retry finds the first answer; commands that may be applied
/// twice without harm go without. Who tries again also sets `earliest_index`.
pub fn envelope(
    request_id: Option<Id>,
    fence_term: u64,
    time_ns: i64,
    command: impl Into<Proposal>,
) -> Envelope {
    let command = command.into();
    let head = pb::Envelope {
        request_id: request_id.map(Vec::from).unwrap_or_default(),
        time_ns,
        feature_level: command.needs.feature_level,
        fence_term,
        earliest_index: 0,
    };
    Envelope { head, command }
}

/// An encoded envelope as the leader logs it: with its own clock as the time. Of a field that stands twice in
/// a message protobuf takes the last, so the stamp is appended, whatever a proposer has put there, and
/// nothing is encoded anew. A clock before 1970 counts as 1970.
pub fn stamped(envelope: &[u8], time_ns: i64) -> Vec<u8> {
    let time_ns = time_ns.max(0).unsigned_abs();
    let mut bytes = Vec::with_capacity(envelope.len() + STAMP_BYTES_MAX);
    bytes.extend_from_slice(envelope);
    encode_key(TIME_FIELD, WireType::Varint, &mut bytes);
    encode_varint(time_ns, &mut bytes);
    bytes
}

/// The number of `Envelope.time_ns`.
const TIME_FIELD: u32 = 2;
/// What [`stamped`] appends at most: a byte for the field, and nine of seven bits each for its value.
const STAMP_BYTES_MAX: usize = 10;

/// Why bytes are no entry for this release.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They are no envelope.
    #[error("it cannot be decoded: {0}")]
    Undecodable(#[from] Malformed),
    /// They are from a newer release.
    #[error(
        "it needs feature level {needed} and a command that this release (level {FEATURE_LEVEL}) may not know"
    )]
    TooNew {
        /// The level they were written at.
        needed: u32,
    },
}

/// An envelope that was read, with a command that this release knows.
pub struct Read {
    /// Whose request it is, and when it takes effect.
    pub head: pb::Envelope,
    /// What the cluster must have for it to be logged.
    pub needs: Needs,
    pub(super) command: Box<dyn AnyCommand>,
}

/// Reads an envelope whose command this release knows. What is large in it is copied once.
///
/// # Errors
/// What is logged although it cannot be read ends every server that meets it.
pub fn read_envelope(bytes: Bytes) -> Result<Read, Unreadable> {
    let head = pb::Envelope::decode(bytes.clone()).map_err(Malformed::from)?;
    let needed = head.feature_level;
    let Some((declared, command)) = declared_in(bytes)? else { return Err(Unreadable::TooNew { needed }) };
    let command = (declared.decode)(command).map_err(Malformed::from)?;
    // A level that is raised is one that all servers must know from then on.
    let needed = needed.max(command.raises_level_to());
    if needed > FEATURE_LEVEL {
        return Err(Unreadable::TooNew { needed });
    }
    let needs =
        Needs { feature_level: head.feature_level.max(declared.needs.feature_level), ..declared.needs };
    Ok(Read { head, needs, command })
}

/// What is declared of the command in an envelope, which is not decoded; `None` where this release knows none such.
pub fn command_in(envelope: &Bytes) -> Option<&'static Declared> {
    let (declared, _) = declared_in(envelope.clone()).ok()??;
    Some(declared)
}

fn declared_in(envelope: Bytes) -> Result<Option<(&'static Declared, Bytes)>, Malformed> {
    let command = tagged::find(envelope, |number| number >= NUMBER_MIN)?;
    Ok(command.and_then(|(number, bytes)| Declared::find(number).map(|declared| (declared, bytes))))
}

#[cfg(test)]
mod tests {
    use ordu_proto::command::{FeatureLevelRaise, JobEvaluate, JobStability};

    use super::*;

    #[test]
    fn an_envelope_needs_what_its_command_needs_and_no_less_than_it_says() {
        let read = |envelope: &Envelope| read_envelope(envelope.encode_to_vec().into());
        let mut evaluate = envelope(None, 0, 0, JobEvaluate::default());
        assert_eq!(Needs { feature_level: 1, room: true }, read(&evaluate).unwrap().needs);
        evaluate.head.feature_level = 0;
        assert_eq!(1, read(&evaluate).unwrap().needs.feature_level);
        let mark = envelope(None, 0, 0, JobStability::default());
        assert_eq!(Needs { feature_level: 1, room: false }, read(&mark).unwrap().needs);
        assert_eq!(mark.needs(), read(&mark).unwrap().needs);
        for level in [FEATURE_LEVEL, FEATURE_LEVEL + 1] {
            let raise = read(&envelope(None, 0, 0, FeatureLevelRaise { level }));
            let refused = raise.err().map(|error| error.to_string());
            assert_eq!(level > FEATURE_LEVEL, refused.is_some(), "{refused:?}");
        }
    }
}
