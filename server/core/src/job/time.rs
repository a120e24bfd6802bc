//! Times in Go's format.

use jiff::Timestamp;

/// Go's zero time.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// Formats nanoseconds since 1970 as RFC 3339; 0 is Go's zero time.
pub fn rfc3339(ns: i64) -> String {
    match ns {
        0 => ZERO.to_owned(),
        _ => Timestamp::from_nanosecond(i128::from(ns))
            .map_or_else(|_| ZERO.to_owned(), |time| time.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn a_time_is_utc_and_never_is_the_year_one() {
        assert_eq!("0001-01-01T00:00:00Z", rfc3339(0));
        assert_eq!("2026-01-01T00:00:00Z", rfc3339(1_767_225_600_000_000_000));
        assert_eq!("2026-01-01T00:00:00.5Z", rfc3339(1_767_225_600_500_000_000));
        assert!(rfc3339(i64::MAX).starts_with("2262-"));
    }
}
