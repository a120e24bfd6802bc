//! Ids as UUIDs: version bits and text form.

use std::fmt::{self, Display};

use super::Id;

/// Turns random bytes or a part of a hash into an id by setting the version and variant bits of a random UUID (version
/// 4 of RFC 9562), since clients may check them.
pub fn marked_as_uuid(mut bytes: Id) -> Id {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// Displays an id as the API does: hexadecimal digits in groups of 8, 4, 4, 4 and 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdText<'a>(pub &'a [u8]);

impl Display for IdText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Parses a complete id in the API's text form, in upper or lower case.
pub fn parse_id(text: &str) -> Option<Id> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut id = Id::default();
    let mut digits_read = 0;
    for (position, &byte) in bytes.iter().enumerate() {
        if matches!(position, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        let half = &mut id[digits_read / 2];
        *half = *half << 4 | digit as u8;
        digits_read += 1;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id: Id = std::array::from_fn(|place| place as u8 * 16 + 1);
        let text = IdText(&id).to_string();
        assert_eq!("01112131-4151-6171-8191-a1b1c1d1e1f1", text);
        assert_eq!(Some(id), parse_id(&text));
        assert_eq!(Some(id), parse_id(&text.to_uppercase()));
    }

    #[test]
    fn an_id_is_marked_as_a_random_uuid_whatever_its_bytes() {
        for (byte, text) in [
            (0x00, "00000000-0000-4000-8000-000000000000"),
            (0xff, "ffffffff-ffff-4fff-bfff-ffffffffffff"),
            (0x5a, "5a5a5a5a-5a5a-4a5a-9a5a-5a5a5a5a5a5a"),
        ] {
            assert_eq!(text, IdText(&marked_as_uuid([byte; 16])).to_string());
        }
    }

    #[test]
    fn what_is_not_an_id_is_none() {
        for text in [
            "",
            "01112131",
            "01112131-4151-6171-8191-a1b1c1d1e1f",
            "01112131-4151-6171-8191-a1b1c1d1e1fg",
            "011121314-151-6171-8191-a1b1c1d1e1f1",
            "0111213104151061710819100000000000000",
            "ääääääääääääääääää",
        ] {
            assert_eq!(None, parse_id(text), "{text}");
        }
    }
}
