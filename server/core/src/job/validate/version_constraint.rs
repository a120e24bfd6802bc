//! Syntax of version constraints: comma-separated parts, such as `>= 1.2, < 2.0-beta1`.

const OPERATORS: [&str; 8] = [">=", "<=", "!=", "~>", "=", ">", "<", ""];

/// Returns the first part that is malformed.
pub(super) fn first_malformed(constraints: &str) -> Option<&str> {
    constraints.split(',').find(|part| !is_constraint(part.trim())).map(|part| part.trim())
}

fn is_constraint(part: &str) -> bool {
    OPERATORS
        .iter()
        .find_map(|operator| part.strip_prefix(operator))
        .is_some_and(|version| is_version(version.trim()))
}

/// Whether a text is a version like `v1.2.3-pre.1+meta`, with any count of numbers and an optional dash before the
/// pre-release.
fn is_version(version: &str) -> bool {
    let (version, metadata) = match version.split_once('+') {
        Some((version, metadata)) => (version, Some(metadata)),
        None => (version, None),
    };
    let version = version.strip_prefix('v').unwrap_or(version);
    let numbers = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let (numbers, before_release) = version.split_at(numbers);
    numbers.split('.').all(|number| !number.is_empty() && number.parse::<u64>().is_ok())
        && (before_release.is_empty() || are_words(before_release.trim_start_matches('-')))
        && metadata.is_none_or(are_words)
}

fn are_words(words: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '~';
    words.split('.').all(|word| !word.is_empty() && word.chars().all(is_sign))
}

#[cfg(test)]
mod tests {
    use super::first_malformed;

    #[test]
    fn constraints_that_are_well_formed() {
        for text in
            ["1", "= 1.2", ">=0.9.3", "~> 1.2.3", ">= 1.0, < 2.0", "!= v1.2.3-beta.1+build5", "< 1.0rc1"]
        {
            assert_eq!(first_malformed(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_malformed_part_is_told() {
        for (text, part) in [
            ("> nope", "> nope"),
            ("", ""),
            (">= 1.0, what", "what"),
            ("1..2", "1..2"),
            ("=> 1", "=> 1"),
            ("1.0-", "1.0-"),
        ] {
            assert_eq!(first_malformed(text), Some(part), "{text}");
        }
    }
}
