//! Errors for invalid JSON, invalid base64 and documents nested too deeply.

use ordu_proto::api::job::JobSpec;
use serde_json::Value;

use super::{decode_base64, from_slice, syntax};
use crate::limits::{JOB_DEPTH_MAX, JOB_PARTS_MAX};

#[test]
fn broken_json_is_told_by_its_first_wrong_character() {
    for (text, fault) in [
        ("{nope", "invalid character 'n' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\": 1 \"b\"}", "invalid character '\"' after object key:value pair"),
        ("{\"a\": 1,}", "invalid character '}' looking for beginning of object key string"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{\"a\": }", "invalid character '}' looking for beginning of value"),
        ("'x'", "invalid character '\\'' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("nul", "unexpected EOF"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("[01]", "invalid character '1' after array element"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("\"a\u{1}\"", "invalid character '\\x01' in string literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ("\"abc", "unexpected EOF"),
        ("[[{\"a\": [", "unexpected EOF"),
        ("", "unexpected EOF"),
    ] {
        assert_eq!(syntax::fault(text.as_bytes()).as_deref(), Some(fault), "{text}");
        assert_eq!(from_slice::<Value>(text.as_bytes()).unwrap_err(), fault, "{text}");
    }
}

#[test]
fn json_has_no_fault() {
    for text in
        ["{}", " [ ] ", "null", "-0.5e+10", "0", "{\"a\\u00e9\\n\": [1, {\"b\": true}, false, \"x\"]}\n"]
    {
        assert_eq!(syntax::fault(text.as_bytes()), None, "{text}");
        assert!(from_slice::<Value>(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn documents_may_be_deep_but_not_bottomless() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(from_slice::<Value>(nested(JOB_DEPTH_MAX).as_bytes()).is_ok());
    for levels in [JOB_DEPTH_MAX + 1, 100_000] {
        let told = from_slice::<Value>(nested(levels).as_bytes()).unwrap_err();
        assert!(told.contains("nested in more than 100 levels of lists and objects"), "{told}");
    }
}

#[test]
fn documents_may_hold_many_objects_but_not_any_number() {
    let groups = |count: usize| format!(r#"{{"TaskGroups": [{}{{}}]}}"#, "{},".repeat(count - 1));
    assert!(from_slice::<JobSpec>(groups(JOB_PARTS_MAX - 1).as_bytes()).is_ok());
    let told = from_slice::<JobSpec>(groups(JOB_PARTS_MAX).as_bytes()).unwrap_err();
    assert!(told.contains("more than 20000 objects"), "{told}");
}

#[test]
fn keys_that_our_reader_keeps_for_itself_cannot_smuggle_a_second_document_in() {
    let told = from_slice::<Value>(br#"{"a": {"$serde_json::private::RawValue": "[1]"}}"#).unwrap_err();
    assert!(told.contains("is reserved: choose another name"), "{told}");
    assert!(told.contains("in [\"a\"]"), "{told}");
}

#[test]
fn base64_is_read_or_refused_at_its_first_fault() {
    for (text, expected) in [
        ("", Ok("")),
        ("aGVsbG8=", Ok("hello")),
        ("aGVs\r\nbG8=\n", Ok("hello")),
        ("aGVsbA==", Ok("hell")),
        ("aGVs", Ok("hel")),
        ("+/8=", Ok("\u{fb}\u{ff}")),
        ("!!", Err(0)),
        ("A28C3==", Err(5)),
        ("=", Err(0)),
        ("a", Err(0)),
        ("aG", Err(0)),
        ("aGVsbG8", Err(4)),
        ("aG=", Err(3)),
        ("aG=x", Err(2)),
        ("aGVsbA==x", Err(8)),
        ("aGVsbG8=bG8=", Err(8)),
        ("aGV-", Err(3)),
    ] {
        let expected = expected
            .map(|bytes| bytes.chars().map(|c| c as u8).collect::<Vec<u8>>())
            .map_err(|position| format!("illegal base64 data at input byte {position}"));
        assert_eq!(decode_base64(text), expected, "{text}");
    }
}
