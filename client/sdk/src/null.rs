//! Decodes `null` as the empty value: Go encodes nil lists and maps as null.

use serde::{Deserialize, Deserializer};

/// Decodes a value; `null` becomes the type's default.
pub(crate) fn default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
