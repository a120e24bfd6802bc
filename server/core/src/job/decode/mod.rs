//! Decodes JSON as tolerantly as Nomad does: names of members match in any case, `null` stands for the zero value, and
//! unknown members are ignored. Errors have the texts of Nomad and name the position.

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

/// Decodes a document, or returns a text that describes the error.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, String> {
    let place = Place::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    T::deserialize(Lenient { inner: &mut reader, place: &place })
        .and_then(|document| reader.end().map(|()| document))
        // Report a syntax error rather than a type error, even if it comes later.
        .map_err(|error| syntax::fault(json).unwrap_or_else(|| place.describe(&error)))
}
