//! UUIDs: writing them, and parsing the forms in which requests name them.

use std::borrow::Cow;

use ordu_core::state::Id;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Formats an id; an absent one becomes an empty text.
pub(super) fn text(id: &[u8]) -> String {
    Uuid::from_slice(id).map(|id| id.hyphenated().to_string()).unwrap_or_default()
}

/// A row's id in a document.
pub(super) struct IdText<'a>(pub(super) &'a [u8]);

impl IdText<'_> {
    /// Whether the row has no such id.
    pub(super) fn is_absent(&self) -> bool {
        self.0.len() != 16
    }
}

impl Serialize for IdText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Uuid::from_slice(self.0) {
            Ok(id) => serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Err(_) => serializer.serialize_str(""),
        }
    }
}

impl JsonSchema for IdText<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A UUID, or an empty text for none.",
            "pattern": "^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$",
        })
    }
}

/// Parses a whole id. The error's text is the one that clients know.
pub(super) fn parse(text: &str) -> Result<Id, String> {
    if text.len() != 36 {
        return Err("UUID must be 36 characters".to_owned());
    }
    let bytes = bytes_of(text)?;
    Id::try_from(bytes.as_slice()).map_err(|_| format!("Invalid UUID: {text:?} does not have 32 digits"))
}

/// Parses a prefix of an id: an even number of digits, hyphens anywhere.
pub(super) fn parse_prefix(text: &str) -> Result<Vec<u8>, String> {
    bytes_of(text)
}

fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::with_capacity(32);
    for character in text.chars().filter(|character| *character != '-') {
        // No id is longer, so the remaining digits are not kept.
        if digits.len() > 32 {
            break;
        }
        let digit =
            character.to_digit(16).ok_or_else(|| format!("Invalid UUID: {character:?} is not a digit"))?;
        digits.push(digit as u8);
    }
    if digits.len() % 2 != 0 {
        return Err("Input (without hyphens) must be even length".to_owned());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use ordu_store::runtime::random_id;

    use super::*;

    #[test]
    fn a_drawn_id_is_a_uuid_of_version_4_and_reads_back() {
        let id = random_id();
        let written = text(&id);
        assert_eq!(Ok(id), parse(&written));
        assert_eq!(4, Uuid::parse_str(&written).unwrap().get_version_num());
        assert_ne!(id, random_id());
    }

    #[test]
    fn an_absent_id_is_an_empty_text() {
        assert_eq!("", text(&[]));
        assert_eq!("\"\"", serde_json::to_string(&IdText(&[])).unwrap());
        assert_eq!(format!("\"{}\"", text(&[7; 16])), serde_json::to_string(&IdText(&[7; 16])).unwrap());
    }

    #[test]
    fn what_is_not_a_uuid_is_told_apart() {
        for (given, said) in [
            ("abc", "UUID must be 36 characters"),
            ("", "UUID must be 36 characters"),
            ("zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", "Invalid UUID: 'z' is not a digit"),
            ("------------------------------------", "Invalid UUID: "),
        ] {
            assert!(parse(given).unwrap_err().starts_with(said), "{given}");
        }
    }

    #[test]
    fn a_prefix_is_an_even_number_of_digits() {
        assert_eq!(Ok(vec![0xbe, 0x26]), parse_prefix("be26"));
        assert_eq!(Ok(vec![0xbe, 0x26, 0x97, 0x6b, 0xaa]), parse_prefix("be26976b-aa"));
        assert_eq!(Ok(vec![]), parse_prefix(""));
        assert_eq!(Err("Input (without hyphens) must be even length".to_owned()), parse_prefix("be2"));
        assert!(parse_prefix("nope").is_err());
        assert_eq!(16, text(&parse(&text(&[255; 16])).unwrap()).len() - 20);
    }
}
