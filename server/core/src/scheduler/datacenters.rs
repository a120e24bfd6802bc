//! Which datacenters a job names: each entry of its list is a name or a glob, in which `*` stands for any text.

const WILDCARD: char = '*';

/// Returns whether an entry of a job's list is a glob.
pub(crate) fn is_glob(entry: &str) -> bool {
    entry.contains(WILDCARD)
}

/// Returns whether a job with this list may run in the datacenter.
pub(crate) fn contain(entries: &[String], datacenter: &str) -> bool {
    entries.iter().any(|entry| names(entry, datacenter))
}

/// Returns whether an entry of a job's list is the datacenter's name or a glob that matches it.
pub(crate) fn names(entry: &str, datacenter: &str) -> bool {
    let Some((start, rest)) = entry.split_once(WILDCARD) else { return entry == datacenter };
    let (middle, end) = rest.rsplit_once(WILDCARD).unwrap_or(("", rest));
    let inner = datacenter.strip_prefix(start).and_then(|inner| inner.strip_suffix(end));
    // The first place at which a part is found leaves the most text to the others.
    let after = |text: &str, part: &str| text.find(part).map(|place| place + part.len());
    inner.is_some_and(|mut inner| {
        middle.split(WILDCARD).all(|part| match after(inner, part) {
            Some(end) => {
                inner = &inner[end..];
                true
            }
            None => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_datacenters_literally_or_by_globs() {
        let cases = [
            ("dc1", "dc1", true),
            ("dc1", "dc10", false),
            ("", "", true),
            ("*", "dc1", true),
            ("*", "", true),
            ("***", "dc1", true),
            ("dc*", "dc1", true),
            ("dc*", "dc", true),
            ("dc*", "adc1", false),
            ("*1", "dc1", true),
            ("*1", "dc12", false),
            ("d*1", "d1", true),
            ("dd*d", "dd", false),
            ("eu-*-?", "eu-west-?", true),
            ("eu-*-?", "eu-west-1", false),
            ("eu-*-[12]", "eu-west-1", false),
            ("*-west-*", "eu-west-1", true),
            ("*-west-*", "eu-east-1", false),
            ("a*b*c", "a-c-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*bc*bc", "abc", false),
            ("*ü*", "zürich", true),
            ("DC*", "dc1", false),
        ];
        for (entry, datacenter, expected) in cases {
            assert_eq!(names(entry, datacenter), expected, "{entry} {datacenter}");
        }
    }
}
