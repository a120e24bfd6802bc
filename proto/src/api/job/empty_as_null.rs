//! Serde functions for lists and maps that the API writes as `null` when they are empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A collection that can be empty.
pub(super) trait Contents {
    fn holds_nothing(&self) -> bool;
}

impl<T> Contents for Vec<T> {
    fn holds_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Contents for BTreeMap<K, V> {
    fn holds_nothing(&self) -> bool {
        self.is_empty()
    }
}

pub(super) fn serialize<S, T>(contents: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Contents + Serialize,
{
    if contents.holds_nothing() { serializer.serialize_none() } else { contents.serialize(serializer) }
}

pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
