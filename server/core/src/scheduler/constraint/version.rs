//! Versions (`1.2`, `v1.17.3-rc.1+build`) and requirements on them (`>= 1.0, < 2.0`, `~> 1.4`),
//! for the operands `version` and `semver`.

use std::cmp::Ordering;

/// Rules for parsing versions and for accepting pre-releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Operand `version`: a pre-release may follow without a dash and satisfies only requirements that name a
    /// pre-release of the same version; `~>` is supported.
    Version,
    /// Operand `semver`: the order of Semantic Versioning 2.0, without additional rules.
    Semver,
}

/// A parsed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    segments: Vec<u64>,
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
    /// Parses comma-separated conditions; returns `None` if any of them is invalid.
    pub(crate) fn parse(text: &str, dialect: Dialect) -> Option<Requirement> {
        let conditions =
            text.split(',').map(|part| condition(part.trim(), dialect)).collect::<Option<Vec<_>>>()?;
        Some(Requirement { dialect, conditions })
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
                let fixed = bound.segments.len() - 1;
                let same = (0..fixed).all(|place| version.segment(place) == bound.segment(place));
                same && order.is_ge() && self.lets_in(version, bound)
            }
        }
    }

    /// Returns whether the version may satisfy an ordered comparison. A pre-release may do so only if the bound is a
    /// pre-release of the same version.
    fn lets_in(&self, version: &Version, bound: &Version) -> bool {
        if self.dialect == Dialect::Semver || version.pre_release.is_empty() {
            return true;
        }
        !bound.pre_release.is_empty() && version.compare_segments(bound).is_eq()
    }
}

fn condition(text: &str, dialect: Dialect) -> Option<(Comparison, Version)> {
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
    Some((comparison, Version::parse(rest.trim(), dialect)?))
}

impl Version {
    pub(crate) fn parse(text: &str, dialect: Dialect) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        // Ignore build metadata after a plus sign.
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let segments = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let pre_release = match rest.strip_prefix('-') {
            Some(pre_release) => pre_release,
            None if rest.is_empty() => return Some(Version { segments, pre_release: Vec::new() }),
            None if dialect == Dialect::Version => rest,
            None => return None,
        };
        let word = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-~".contains(c))
        };
        let parts: Vec<String> = pre_release.split('.').map(str::to_owned).collect();
        parts.iter().all(|part| word(part)).then_some(Version { segments, pre_release: parts })
    }

    fn segment(&self, place: usize) -> u64 {
        self.segments.get(place).copied().unwrap_or(0)
    }

    fn compare_segments(&self, other: &Version) -> Ordering {
        let places = self.segments.len().max(other.segments.len());
        let by_place = (0..places).map(|place| self.segment(place).cmp(&other.segment(place)));
        by_place.fold(Ordering::Equal, Ordering::then)
    }

    fn compare(&self, other: &Version) -> Ordering {
        self.compare_segments(other).then_with(|| {
            match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre_releases(&self.pre_release, &other.pre_release),
            }
        })
    }
}

/// Compares part by part: numbers by value and before words, words as text; if all are equal, more parts are greater.
fn compare_pre_releases(left: &[String], right: &[String]) -> Ordering {
    let by_part =
        left.iter().zip(right).map(|(left, right)| match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => left.cmp(right),
        });
    by_part.fold(Ordering::Equal, Ordering::then).then(left.len().cmp(&right.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(requirement: &str, dialect: Dialect, version: &str) -> bool {
        let requirement = Requirement::parse(requirement, dialect);
        let version = Version::parse(version, dialect);
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
            ("1.0.0-2", "< 1.0.0-10", true),
            ("1.0.0-2", "< 1.0.0-alpha", true),
            ("1.8.0beta", "> 0", false),
            ("1.9", "~> 1.2", false),
        ];
        for (version, requirement, expected) in cases {
            assert_eq!(is_met(requirement, Dialect::Semver, version), expected, "{version} {requirement}");
        }
    }
}
