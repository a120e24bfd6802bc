//! What `apply` answers to whoever proposed a command.

use ordu_proto::command::{self as pb, Done, Refusal, TooLate};
use prost::Message;
use prost::bytes::Bytes;

use super::tagged::{self, Malformed};

/// What a command answers where it took effect.
pub trait Answer: Sized {
    /// The answer as it is stored and passed on.
    fn to_encoded(&self) -> EncodedAnswer;

    /// The answer that was encoded.
    ///
    /// # Errors
    /// Where it is that of another command, or of a release that knows more.
    fn from_encoded(encoded: &EncodedAnswer) -> Result<Self, Malformed>;
}

/// An answer that is a message.
pub trait AnswerMessage: Message + Default {
    /// Its field in the encoded outcome. Numbers are never reused; that of a new answer is its command's.
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

/// Of commands that answer no more than the index at which they took effect.
impl AnswerMessage for Done {
    const NUMBER: u32 = 7;
}

/// An answer as a field of the encoded outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedAnswer {
    pub(super) number: u32,
    pub(super) bytes: Vec<u8>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was refused; nothing changed.
    Refused(Refusal),
    /// The answers of the time in which this request may have been answered are dropped, so that no one can say whether
    /// it took effect. It did not take effect now.
    TooLate,
    /// It took effect.
    Answered(EncodedAnswer),
}

impl Outcome {
    /// The encoded `ordu.command.Outcome`, in which an answer is a field of its own number.
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

    /// Reads what was encoded.
    ///
    /// # Errors
    /// Where it is no outcome.
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

    /// The answer of a command, where this is one.
    pub fn answer<A: Answer>(&self) -> Option<A> {
        match self {
            Self::Answered(encoded) => A::from_encoded(encoded).ok(),
            Self::Refused(_) | Self::TooLate => None,
        }
    }
}
