//! Resolves `${…}` in a job's strings. Unknown references stay as they are, since they may be meant for a shell.

/// Replaces every `${key}` that `value_of` knows. `meta["x"]` is the same key as `meta.x`.
pub(crate) fn interpolate(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        result.push_str(before);
        let Some(end) = from.find('}') else {
            rest = from;
            break;
        };
        let value = key_of(&from[2..end]).and_then(|key| value_of(&key));
        match value {
            Some(value) => {
                result.push_str(&value);
                rest = &from[end + 1..];
            }
            None => {
                // Skip only the opening, since another reference may follow within it.
                result.push_str("${");
                rest = &from[2..];
            }
        }
    }
    result.push_str(rest);
    result
}

/// Returns the key with `map["index"]` rewritten as `map.index`; none if it is not a valid key.
fn key_of(inner: &str) -> Option<String> {
    let inner = inner.trim();
    let is_plain = |key: &str| {
        !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || "_.-".contains(letter))
    };
    if let Some((map, index)) = inner.split_once("[\"") {
        let index = index.strip_suffix("\"]")?;
        return is_plain(map).then(|| format!("{map}.{index}"));
    }
    is_plain(inner).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_replaced_and_the_rest_is_left_as_it_stands() {
        let value_of = |key: &str| match key {
            "node.datacenter" => Some("dc1".to_owned()),
            "meta.a.b" => Some("x".to_owned()),
            "NOMAD_TASK_DIR" => Some("/t".to_owned()),
            "odd" => Some("${odd}".to_owned()),
            _ => None,
        };
        let cases = [
            ("", ""),
            ("plain $5 }{", "plain $5 }{"),
            ("${node.datacenter}", "dc1"),
            ("a-${node.datacenter}-${NOMAD_TASK_DIR}/f", "a-dc1-/t/f"),
            ("${ node.datacenter }", "dc1"),
            ("${meta[\"a.b\"]} ${meta.a.b}", "x x"),
            ("echo ${HOME} ${HOME:-none}", "echo ${HOME} ${HOME:-none}"),
            ("${unclosed", "${unclosed"),
            ("${a ${node.datacenter}", "${a dc1"),
            ("${}", "${}"),
            ("${odd}!", "${odd}!"),
            ("ü${node.datacenter}ü", "üdc1ü"),
        ];
        for (text, expected) in cases {
            assert_eq!(interpolate(text, value_of), expected, "{text}");
        }
    }
}
