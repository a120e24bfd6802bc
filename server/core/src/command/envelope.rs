//! Envelopes: a command together with the request id, time, feature level and fence term that the log stores with it.

use ordu_proto::command as pb;
use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::FEATURE_LEVEL;
use super::declared::{AnyCommand, Command, Declared, NUMBER_MIN, Needs};
use super::tagged::{self, Malformed};
use crate::state::Id;

/// A command to propose, already encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    number: u32,
    needs: Needs,
    bytes: Vec<u8>,
}

impl<C: Command> From<C> for Proposal {
    fn from(command: C) -> Self {
        Self { number: C::NUMBER, needs: Needs::of(&command), bytes: command.encode_to_vec() }
    }
}

/// A command with its header. Encoded as `ordu.command.Envelope`, in which the command is the
/// field with the command's number.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Request id, time, feature level and fence term.
    pub head: pb::Envelope,
    /// The command.
    pub command: Proposal,
}

impl Envelope {
    /// Returns the conditions that the cluster must meet before the envelope is logged.
    pub fn needs(&self) -> Needs {
        self.command.needs
    }

    /// Encodes the envelope.
    pub fn encode_to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.head.encode_raw(&mut bytes);
        tagged::put(self.command.number, &self.command.bytes, &mut bytes);
        bytes
    }

    /// Returns the length of the encoded envelope in bytes.
    pub fn encoded_len(&self) -> usize {
        self.head.encoded_len() + tagged::put_len(self.command.number, self.command.bytes.len())
    }
}

/// Wraps a command in an envelope with the command's feature level, so that an older release can read every envelope
/// whose command it knows. Only tests set a nonzero `time_ns`: the leader stamps the time, see [`stamped`].
///
/// `request_id` identifies the request, so that a retry finds the first answer. Commands that are harmless when
/// applied twice do without. A caller that retries also sets `earliest_index`.
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

/// Returns an encoded envelope as the leader logs it, stamped with the leader's clock. If a field occurs twice,
/// protobuf uses the last value, so the appended stamp overrides the proposer's without encoding the envelope again. A
/// clock before 1970 counts as 1970.
pub fn stamped(envelope: &[u8], time_ns: i64) -> Vec<u8> {
    let time_ns = time_ns.max(0).unsigned_abs();
    let mut bytes = Vec::with_capacity(envelope.len() + STAMP_BYTES_MAX);
    bytes.extend_from_slice(envelope);
    encode_key(TIME_FIELD, WireType::Varint, &mut bytes);
    encode_varint(time_ns, &mut bytes);
    bytes
}

/// Field number of `Envelope.time_ns`.
const TIME_FIELD: u32 = 2;
/// Maximum number of bytes that [`stamped`] appends: one for the field key and nine of seven bits each for the value.
const STAMP_BYTES_MAX: usize = 10;

/// Reason why this release cannot read a log entry.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are not an envelope.
    #[error("it cannot be decoded: {0}")]
    Undecodable(#[from] Malformed),
    /// The envelope was written by a newer release.
    #[error(
        "it needs feature level {needed} and a command that this release (level {FEATURE_LEVEL}) may not know"
    )]
    TooNew {
        /// Feature level that the envelope needs.
        needed: u32,
    },
}

/// A decoded envelope with a command that this release knows.
pub struct Read {
    /// Request id, time, feature level and fence term.
    pub head: pb::Envelope,
    /// Conditions that the cluster must meet before the envelope is logged.
    pub needs: Needs,
    pub(super) command: Box<dyn AnyCommand>,
}

/// Decodes an envelope whose command this release knows. Large fields are copied once.
///
/// # Errors
/// Fails if the envelope cannot be decoded or needs a newer release. A server stops when it
/// finds such an entry in its log.
pub fn read_envelope(bytes: Bytes) -> Result<Read, Unreadable> {
    let head = pb::Envelope::decode(bytes.clone()).map_err(Malformed::from)?;
    let needed = head.feature_level;
    let Some((declared, command)) = declared_in(bytes)? else { return Err(Unreadable::TooNew { needed }) };
    let command = (declared.decode)(command).map_err(Malformed::from)?;
    // All servers must know the raised level from this entry on.
    let needed = needed.max(command.raises_level_to());
    if needed > FEATURE_LEVEL {
        return Err(Unreadable::TooNew { needed });
    }
    let needs = Needs { feature_level: head.feature_level.max(command.level_needed()), ..declared.needs };
    Ok(Read { head, needs, command })
}

/// Returns the declaration of the command in an envelope without decoding the command; `None`
/// if this release does not know it.
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
