//! Reads JSON as the clients of the API are used to: the members of a document in upper or lower case,
//! `null` wherever nothing is said, members that nobody knows ignored. A fault is told in the words that
//! clients know, with its place.

mod base64;
mod place;
mod reader;
mod syntax;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub(super) use base64::decode as decode_base64;
use place::Place;
use reader::Lenient;

/// Reads a document, and names the fault of one that cannot be read.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, String> {
    let place = Place::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    T::deserialize(Lenient { inner: &mut reader, place: &place })
        .and_then(|document| reader.end().map(|()| document))
        // Broken text is told before a wrong type, wherever they stand.
        .map_err(|error| syntax::fault(json).unwrap_or_else(|| place.describe(&error)))
}
