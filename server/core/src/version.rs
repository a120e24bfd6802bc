//! Versions (`1.2`, `v1.17.3-rc.1+build`) and requirements on them (`>= 1.0, < 2.0`, `~> 1.4`), for the operands
//! `version` and `semver` of constraints. Order and grammar are those of Nomad, which differ in some points from
//! Semantic Versioning.

use std::cmp::Ordering;

/// Rules for parsing requirements and for accepting pre-releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Operand `version`: a pre-release may follow without a dash and satisfies only requirements that name a
    /// pre-release of the same version; `~>` is supported.
    Version,
    /// Operand `semver`: requirements are compared without additional rules, and separate a pre-release by a dash.
    Semver,
}

/// A parsed version. Build metadata is checked and then ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// At least three numbers; missing ones are zero.
    segments: Vec<i64>,
    /// Number of segments that were written.
    written: usize,
    /// The parts of the pre-release. A version without pre-release is greater than those with one.
    pre_release: Vec<String>,
}

/// Conditions that a version must all meet.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    dialect: Dialect,
    conditions: Vec<(Comparison, Version)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Differ,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Pessimistic,
}

impl Requirement {
    /// Parses comma-separated conditions. An error is the first one that is malformed.
    pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Requirement, &str> {
        let read = |part| condition(part, dialect).ok_or(part);
        Ok(Requirement { dialect, conditions: text.split(',').map(read).collect::<Result<Vec<_>, _>>()? })
    }

    /// Returns whether the version meets all conditions.
    pub(crate) fn is_met_by(&self, version: &Version) -> bool {
        self.conditions.iter().all(|(comparison, bound)| self.meets(*comparison, version, bound))
    }

    /// Returns the cost in steps of `is_met_by`: each condition compares all parts of both versions.
    pub(crate) fn steps(&self, version: &Version) -> u64 {
        let parts = |version: &Version| 1 + version.segments.len() + version.pre_release.len();
        let of_conditions: usize = self.conditions.iter().map(|(_, bound)| parts(bound)).sum();
        (of_conditions + self.conditions.len() * parts(version)) as u64 / 4
    }

    fn meets(&self, comparison: Comparison, version: &Version, bound: &Version) -> bool {
        let order = version.compare(bound);
        match comparison {
            Comparison::Equal => order.is_eq(),
            Comparison::Differ => order.is_ne(),
            Comparison::Greater => order.is_gt() && self.lets_in(version, bound),
            Comparison::GreaterOrEqual => order.is_ge() && self.lets_in(version, bound),
            Comparison::Less => order.is_lt() && self.lets_in(version, bound),
            Comparison::LessOrEqual => order.is_le() && self.lets_in(version, bound),
            Comparison::Pessimistic => {
                order.is_ge() && self.lets_in(version, bound) && version.is_pessimistically(bound)
            }
        }
    }

    /// Returns whether the version may satisfy an ordered comparison. A pre-release may do so only if the bound is a
    /// pre-release of the same version.
    fn lets_in(&self, version: &Version, bound: &Version) -> bool {
        if self.dialect == Dialect::Semver || version.pre_release.is_empty() {
            return true;
        }
        !bound.pre_release.is_empty() && version.segments == bound.segments
    }
}

/// The blanks that may surround an operator and a version.
const BLANKS: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];

fn condition(text: &str, dialect: Dialect) -> Option<(Comparison, Version)> {
    let text = text.trim_matches(BLANKS);
    // Two-character operators come before their one-character prefixes.
    let signs = [
        (">=", Comparison::GreaterOrEqual),
        ("<=", Comparison::LessOrEqual),
        ("!=", Comparison::Differ),
        ("~>", Comparison::Pessimistic),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
    ];
    let found = signs.iter().find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)));
    let (comparison, rest) = found.unwrap_or((Comparison::Equal, text));
    if comparison == Comparison::Pessimistic && dialect == Dialect::Semver {
        return None;
    }
    Some((comparison, Version::read(rest.trim_start_matches(BLANKS), dialect)?))
}

impl Version {
    /// Parses a node's version, for both operands. Blanks are not allowed.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        Version::read(text, Dialect::Version)
    }

    fn read(text: &str, dialect: Dialect) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = match text.split_once('+') {
            Some((version, metadata)) => (version, Some(metadata)),
            None => (text, None),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let number = |digits: &str| digits.parse().ok();
        let mut segments = numbers.split('.').map(number).collect::<Option<Vec<i64>>>()?;
        let written = segments.len();
        segments.resize(written.max(3), 0);
        let is_valid = metadata.is_none_or(|metadata| words(metadata).is_some());
        let pre_release = if rest.is_empty() { Vec::new() } else { pre_release(rest, dialect)? };
        is_valid.then_some(Version { segments, written, pre_release })
    }

    fn segment(&self, place: usize) -> i64 {
        self.segments.get(place).copied().unwrap_or(0)
    }

    fn compare(&self, other: &Version) -> Ordering {
        if self.segments == other.segments {
            return match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre_releases(&self.pre_release, &other.pre_release),
            };
        }
        // Versions of different lengths whose numbers are equal are equal, whatever their pre-releases.
        let places = self.segments.len().max(other.segments.len());
        let by_place = (0..places).map(|place| self.segment(place).cmp(&other.segment(place)));
        by_place.fold(Ordering::Equal, Ordering::then)
    }

    /// Whether the version, which is not less than the bound of a `~>`, is below the next version that the bound
    /// excludes: all written segments of the bound but the last are equal. A pre-release in the bound asks for one.
    fn is_pessimistically(&self, bound: &Version) -> bool {
        let fixed = bound.written - 1;
        let last = bound.segments.len() - 1;
        bound.pre_release.is_empty() == self.pre_release.is_empty()
            && self.segments.len() >= bound.segments.len()
            && self.segments[..fixed] == bound.segments[..fixed]
            && self.segment(last) >= bound.segment(last)
    }
}

/// Parses a pre-release. In a version, the dash before it may be missing, or be all that there is of it.
fn pre_release(text: &str, dialect: Dialect) -> Option<Vec<String>> {
    let after_dash = text.strip_prefix('-').and_then(words);
    match dialect {
        Dialect::Semver => after_dash,
        Dialect::Version => after_dash.or_else(|| words(text)),
    }
}

/// Splits dotted words; returns `None` if one is empty or has other characters than letters, digits, dashes and tildes.
fn words(text: &str) -> Option<Vec<String>> {
    let is_word_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'~';
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_word_character);
    text.split('.').map(|word| is_word(word).then(|| word.to_owned())).collect()
}

/// Compares part by part: numbers by value and before words, words as text. If one has more parts and its next part is
/// a number, it is greater; if that is a word, it is less.
fn compare_pre_releases(left: &[String], right: &[String]) -> Ordering {
    let number = |part: &str| part.parse::<i64>().ok();
    for place in 0..left.len().max(right.len()) {
        let order = match (left.get(place), right.get(place)) {
            (Some(left), Some(right)) => match (number(left), number(right)) {
                _ if left == right => Ordering::Equal,
                // Of two spellings of one number, the left one counts as less.
                (Some(left), Some(right)) if left > right => Ordering::Greater,
                (Some(_), Some(_)) => Ordering::Less,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => left.cmp(right),
            },
            (Some(more), None) if number(more).is_some() => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (None, Some(more)) if number(more).is_some() => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(requirement: &str, dialect: Dialect, version: &str) -> bool {
        let requirement = Requirement::parse(requirement, dialect).ok();
        let version = Version::parse(version);
        requirement.zip(version).is_some_and(|(requirement, version)| requirement.is_met_by(&version))
    }

    #[test]
    fn versions_meet_requirements() {
        let cases = [
            ("1.2.3", "= 1.2.3", true),
            ("1.2.3", "1.2.3", true),
            ("v1.2.3", "= 1.2.3", true),
            ("1.2", "= 1.2.0", true),
            ("1.2.3+build7", "= 1.2.3", true),
            ("1.10", "> 1.9", true),
            ("1.2.3", ">= 1.0, < 2.0", true),
            ("2.0.0", ">= 1.0, < 2.0", false),
            ("1.2.3", "!= 1.2.3", false),
            ("1.2.9", "~> 1.2.3", true),
            ("1.3.0", "~> 1.2.3", false),
            ("1.9", "~> 1.2", true),
            ("2.0", "~> 1.2", false),
            ("1.1", "~> 1.2", false),
            ("10", "~> 1", true),
            ("1.2", "~> 1.2.0", true),
            ("1.2.3.4", "~> 1.2", true),
            ("1.2.3", "~> 1.2.3.0", false),
            ("1.2.3", "~> 1.2.0-beta", false),
            ("1.2.3-beta2", "~> 1.2.3-beta", true),
            ("1.2.3", "> 1.2.3-beta", true),
            ("1.2.3-", "!= 1.2.3", true),
            ("1.2.3-", "= 1.2.3--", true),
            ("1.2.3--.x", "= 1.2.3--.x", true),
            ("1.2.3~a", "= 1.2.3-~a", true),
            ("1.2.3+", "> 0", false),
            ("1.2.3+a..b", "> 0", false),
            ("1.2.3+a+b", "> 0", false),
            ("1.2.3 ", "> 0", false),
            (" 1.2.3", "> 0", false),
            ("V1.2.3", "> 0", false),
            ("6.10.7-200.fc40.x86_64", "> 0", false),
            ("9223372036854775807", "> 1", true),
            ("9223372036854775808", "> 1", false),
            ("1.2.3", "\t>=  1.2 ,\n<\x0c2.0 ", true),
            ("1.2.3", ">= 1.2\u{a0}", false),
            ("1.8.0-beta", "> 1.0", false),
            ("1.8.0-beta.2", "> 1.8.0-beta.1", true),
            ("1.9.0-beta", "> 1.8.0-beta", false),
            ("1.8.0beta", "= 1.8.0-beta", true),
            ("4.19.0-18-amd64", "= 4.19.0-18-amd64", true),
            ("nonsense", "> 0", false),
            ("1.2.3", "> nonsense", false),
            ("1..2", "> 0", false),
            ("", ">= 0", false),
        ];
        for (version, requirement, expected) in cases {
            assert_eq!(is_met(requirement, Dialect::Version, version), expected, "{version} {requirement}");
        }
    }

    #[test]
    fn semver_orders_pre_releases_and_knows_no_pessimistic_sign() {
        let cases = [
            ("1.8.0-beta", "> 1.0.0", true),
            ("1.8.0-beta", "< 1.8.0", true),
            ("1.0.0-alpha.1", "> 1.0.0-alpha", true),
            ("1.0.0-alpha.beta", "< 1.0.0-alpha", true),
            ("1.0.0-2", "< 1.0.0-10", true),
            ("1.0.0-2", "< 1.0.0-alpha", true),
            ("1.0.0-02", "= 1.0.0-2", false),
            ("1.0.0-02", "< 1.0.0-2", true),
            ("1.0.0-2", "< 1.0.0-02", true),
            ("1.8.0beta", "> 0", true),
            ("1.8.0", "> 1.8.0beta", false),
            ("1.8.0-", "< 1.8", true),
            ("1.8", "> 1.8.0-", false),
            ("1.8.0.0-beta", "= 1.8", true),
            ("1.9", "~> 1.2", false),
        ];
        for (version, requirement, expected) in cases {
            assert_eq!(is_met(requirement, Dialect::Semver, version), expected, "{version} {requirement}");
        }
    }

    #[test]
    fn the_first_malformed_condition_is_told() {
        for (text, part) in [
            ("> nope", "> nope"),
            ("", ""),
            (">= 1.0, what", " what"),
            ("1..2", "1..2"),
            ("=> 1", "=> 1"),
            ("= = 1", "= = 1"),
            ("1.0,", ""),
            ("1.0-.", "1.0-."),
            ("> 1.0+", "> 1.0+"),
        ] {
            assert_eq!(Requirement::parse(text, Dialect::Version).err(), Some(part), "{text}");
        }
        assert_eq!(Requirement::parse("> 1, ~> 2", Dialect::Semver).err(), Some(" ~> 2"));
    }
}
