//! Numbers and hexadecimal digits that a job writes as text, with Go's error texts.

/// Parses an unsigned integer of the given base that is at most `most`. Errors have Go's texts.
pub(super) fn parse(text: &str, base: u32, most: u64) -> Result<u64, String> {
    let reason = if text.is_empty() || !text.chars().all(|digit| digit.is_digit(base)) {
        "invalid syntax"
    } else {
        match u64::from_str_radix(text, base) {
            Ok(number) if number <= most => return Ok(number),
            _ => "value out of range",
        }
    };
    Err(format!("strconv.ParseUint: parsing {text:?}: {reason}"))
}

/// Returns the number of bytes in hexadecimal digits. Errors have Go's texts.
pub(super) fn hex_bytes(text: &str) -> Result<usize, String> {
    match text.chars().find(|digit| !digit.is_ascii_hexdigit()) {
        Some(wrong) => Err(format!("encoding/hex: invalid byte: U+{:04X} {wrong:?}", u32::from(wrong))),
        None if text.len() % 2 == 1 => Err("encoding/hex: odd length hex string".to_owned()),
        None => Ok(text.len() / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::{hex_bytes, parse};

    #[test]
    fn numbers_are_read_or_refused_with_the_reason() {
        for (text, base, most, expected) in [
            ("0644", 8, 0o7777, Ok(0o644)),
            ("7777", 8, 0o7777, Ok(0o7777)),
            ("10000", 8, 0o7777, Err("parsing \"10000\": value out of range")),
            ("9", 8, 0o7777, Err("parsing \"9\": invalid syntax")),
            ("", 10, u64::MAX, Err("parsing \"\": invalid syntax")),
            ("-1", 10, u64::MAX, Err("parsing \"-1\": invalid syntax")),
            ("+1", 10, u64::MAX, Err("parsing \"+1\": invalid syntax")),
            ("18446744073709551615", 10, u64::MAX, Ok(u64::MAX)),
            (
                "18446744073709551616",
                10,
                u64::MAX,
                Err("parsing \"18446744073709551616\": value out of range"),
            ),
        ] {
            let expected = expected.map_err(|reason: &str| format!("strconv.ParseUint: {reason}"));
            assert_eq!(parse(text, base, most), expected, "{text}");
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        for (text, expected) in [
            ("", Ok(0)),
            ("00fF", Ok(2)),
            ("abc", Err("encoding/hex: odd length hex string")),
            ("abx", Err("encoding/hex: invalid byte: U+0078 'x'")),
        ] {
            assert_eq!(hex_bytes(text), expected.map_err(str::to_owned), "{text}");
        }
    }
}
