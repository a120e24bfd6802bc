//! What `apply` returns to the proposer of a command.

use ordu_proto::command::{self as pb, Done, Refusal, TooLate};
use prost::Message;
use prost::bytes::Bytes;

use super::tagged::{self, Malformed};

/// Answer of a command that took effect.
pub trait Answer: Sized {
    /// Encodes the answer for storage and transport.
    fn to_encoded(&self) -> EncodedAnswer;

    /// Decodes an answer.
    ///
    /// # Errors
    /// Fails if the answer belongs to another command or comes from a newer release.
    fn from_encoded(encoded: &EncodedAnswer) -> Result<Self, Malformed>;
}

/// An answer that is a protobuf message.
pub trait AnswerMessage: Message + Default {
    /// Field number in the encoded outcome. Numbers are never reused; a new answer has its command's number.
    const NUMBER: u32;
}

impl<M: AnswerMessage> Answer for M {
    fn to_encoded(&self) -> EncodedAnswer {
        EncodedAnswer { number: M::NUMBER, bytes: self.encode_to_vec() }
    }

    fn from_encoded(encoded: &EncodedAnswer) -> Result<Self, Malformed> {
        if encoded.number != M::NUMBER {
            return Err(Malformed::Meaningless("the answer is that of another command"));
        }
        Ok(M::decode(&*encoded.bytes)?)
    }
}

/// Answer of commands that return nothing but the index at which they took effect.
impl AnswerMessage for Done {
    const NUMBER: u32 = 7;
}

/// An answer as a field of the encoded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedAnswer {
    pub(super) number: u32,
    pub(super) bytes: Vec<u8>,
}

/// Outcome of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The command was refused; nothing changed.
    Refused(Refusal),
    /// The request may have been answered earlier, but answers of that time have been dropped, so that it is unknown
    /// whether it took effect. It did not take effect now.
    TooLate,
    /// The command took effect.
    Answered(EncodedAnswer),
}

impl Outcome {
    /// Encodes the outcome as `ordu.command.Outcome`, in which an answer is the field with the answer's number.
    pub fn encode_to_vec(&self) -> Vec<u8> {
        match self {
            Self::Refused(refusal) => {
                pb::Outcome { refused: Some(refusal.clone()), too_late: None }.encode_to_vec()
            }
            Self::TooLate => pb::Outcome { refused: None, too_late: Some(TooLate {}) }.encode_to_vec(),
            Self::Answered(EncodedAnswer { number, bytes }) => {
                let mut outcome = Vec::new();
                tagged::put(*number, bytes, &mut outcome);
                outcome
            }
        }
    }

    /// Decodes an outcome.
    ///
    /// # Errors
    /// Fails if the bytes are not an outcome.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, Malformed> {
        let bytes = bytes.into();
        let outcome = pb::Outcome::decode(bytes.clone())?;
        if let Some(refusal) = outcome.refused {
            return Ok(Self::Refused(refusal));
        }
        if outcome.too_late.is_some() {
            return Ok(Self::TooLate);
        }
        match tagged::find(bytes, |_| true)? {
            Some((number, bytes)) => Ok(Self::Answered(EncodedAnswer { number, bytes: bytes.to_vec() })),
            None => Err(Malformed::Meaningless("the outcome says nothing")),
        }
    }

    /// Returns the answer if the command took effect and the answer is an `A`.
    pub fn answer<A: Answer>(&self) -> Option<A> {
        match self {
            Self::Answered(encoded) => A::from_encoded(encoded).ok(),
            Self::Refused(_) | Self::TooLate => None,
        }
    }
}
