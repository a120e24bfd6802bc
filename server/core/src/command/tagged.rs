//! Messages whose type is given by their field number alone: a command in its envelope, an answer in its outcome.
//!
//! They are encoded like a protobuf `oneof`, but without a central list of alternatives that
//! every new message would have to be added to.

use prost::DecodeError;
use prost::bytes::{Buf, Bytes};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint,
    key_len, skip_field,
};

/// Reason why bytes cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The bytes are not a protobuf message.
    #[error("{0}")]
    Protobuf(#[from] DecodeError),
    /// The message lacks required content.
    #[error("{0}")]
    Meaningless(&'static str),
}

/// Appends the message `bytes` as the field `number`.
pub(super) fn put(number: u32, bytes: &[u8], to: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, to);
    encode_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

/// Returns how many bytes [`put`] appends for a message of `length` bytes.
pub(super) fn put_len(number: u32, length: usize) -> usize {
    key_len(number) + encoded_len_varint(length as u64) + length
}

/// Returns the first length-delimited field whose number `is_wanted` accepts.
///
/// # Errors
/// Fails if the bytes are not a message.
pub(super) fn find(
    mut bytes: Bytes,
    is_wanted: impl Fn(u32) -> bool,
) -> Result<Option<(u32, Bytes)>, Malformed> {
    while bytes.has_remaining() {
        let (number, wire_type) = decode_key(&mut bytes)?;
        if wire_type != WireType::LengthDelimited || !is_wanted(number) {
            skip_field(wire_type, number, &mut bytes, DecodeContext::default())?;
            continue;
        }
        let length = decode_varint(&mut bytes)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes.remaining());
        let Some(length) = length else {
            return Err(Malformed::Meaningless("a field that is longer than the message"));
        };
        return Ok(Some((number, bytes.split_to(length))));
    }
    Ok(None)
}
