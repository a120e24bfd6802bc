//! Shortens texts that are stored and sent, so that, for example, a command of megabytes does not make a report of
//! megabytes.

use std::borrow::Cow;

use crate::limits::TEXT_BYTES_MAX;

/// Length of the beginning that is kept of a long text. The end is kept too, because most messages end with the cause.
const HEAD_BYTES: usize = TEXT_BYTES_MAX / 2;
const TAIL_BYTES: usize = TEXT_BYTES_MAX / 4;

/// Returns the text, or its beginning and end with a note about the omitted bytes. Idempotent.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let head = &text[..text.floor_char_boundary(HEAD_BYTES)];
    let tail = &text[text.ceil_char_boundary(text.len() - TAIL_BYTES)..];
    let cut_bytes = text.len() - head.len() - tail.len();
    Cow::Owned(format!("{head}… ({cut_bytes} bytes are left out) …{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let longest = "a".repeat(TEXT_BYTES_MAX);
        assert_eq!(cut(&longest), longest);
        // Both cuts fall into the middle of a two-byte character.
        let long = format!("a{}b", "é".repeat(TEXT_BYTES_MAX));
        let short = cut(&long);
        assert!(short.starts_with("aéé") && short.ends_with("ééb"), "{short}");
        let kept = short.matches('é').count();
        let left_out = format!("é… ({} bytes are left out) …é", 2 * (TEXT_BYTES_MAX - kept));
        assert!(short.contains(&left_out), "{short}");
        assert!(short.len() <= TEXT_BYTES_MAX);
        assert_eq!(cut(&short), short);
    }
}
