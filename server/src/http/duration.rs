//! Parses durations in Go's notation: `300ms`, `1h15m30.5s`, `-2s`.

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Parses a duration into nanoseconds; `None` if it is malformed. Values beyond 292 years are clamped.
pub(super) fn parse_ns(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ns = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, unit_ns) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        total_ns += number * unit_ns;
        rest = &rest[letters..];
    }
    // Casts from floating point to integers saturate.
    Some(if negative { -total_ns as i64 } else { total_ns as i64 })
}

#[cfg(test)]
mod tests {
    use super::parse_ns;

    #[test]
    fn spans_are_read_as_go_writes_them() {
        for (text, ns) in [
            ("0", 0),
            ("0s", 0),
            ("300ms", 300_000_000),
            ("1s", 1_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1h0m0.5s", 3_600_500_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("-2s", -2_000_000_000),
            ("+2s", 2_000_000_000),
            ("99999999h", i64::MAX),
        ] {
            assert_eq!(Some(ns), parse_ns(text), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_no_number_is_none() {
        for text in ["", "-", "+", "abc", "5", "s", "1x", "1s5", "1 s", ".s", "1..5s", "1e3s", "5parsec"] {
            assert_eq!(None, parse_ns(text), "{text}");
        }
    }
}
