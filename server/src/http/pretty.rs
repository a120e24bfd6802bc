//! Indents JSON for people: four spaces per level, and a newline at the end.

/// Indents `json`, which must have no white space between its tokens. Numbers and strings are copied unchanged:
/// parsing numbers could lose digits.
pub(super) fn lay_out(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_text = false;
    let mut escaped = false;
    for (place, &byte) in json.iter().enumerate() {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => {
                in_text = true;
                out.push(byte);
            }
            b'{' | b'[' => {
                out.push(byte);
                if !matches!(json.get(place + 1), Some(b'}' | b']')) {
                    depth += 1;
                    new_line(depth, &mut out);
                }
            }
            b'}' | b']' => {
                if !matches!(json.get(place.wrapping_sub(1)), Some(b'{' | b'[')) {
                    depth -= 1;
                    new_line(depth, &mut out);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(depth, &mut out);
            }
            b':' => out.extend_from_slice(b": "),
            _ => out.push(byte),
        }
    }
    out.push(b'\n');
    out
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', 4 * depth));
}

#[cfg(test)]
mod tests {
    use super::lay_out;

    #[test]
    fn a_document_is_laid_out_by_four_spaces() {
        let json = br#"{"A":[1,{"b":null}],"C":{},"D":[],"e":"x,{}:[\"\\"}"#;
        let expected = "{\n    \"A\": [\n        1,\n        {\n            \"b\": null\n        }\n    ],\n    \
                        \"C\": {},\n    \"D\": [],\n    \"e\": \"x,{}:[\\\"\\\\\"\n}\n";
        assert_eq!(expected, String::from_utf8(lay_out(json)).unwrap());
        assert_eq!(b"null\n", &*lay_out(b"null"));
        assert_eq!(b"[]\n", &*lay_out(b"[]"));
    }

    #[test]
    fn the_layout_changes_nothing_but_white_space() {
        let json = br#"{"n":18446744073709551615,"f":1e-7,"t":"a\u0000b","l":[[],[[1]],{"":{}}]}"#;
        let value: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(value, serde_json::from_slice::<serde_json::Value>(&lay_out(json)).unwrap());
        assert!(String::from_utf8(lay_out(json)).unwrap().contains("1e-7"));
    }
}
