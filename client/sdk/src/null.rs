//! `null` as the empty value: Go's encoder writes nil lists and maps so.

use serde::{Deserialize, Deserializer};

/// The value, or its default for `null`.
pub(crate) fn default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
