//! Tests of the parser on valid and hostile documents.

mod bounds;
mod documents;
mod expressions;
mod faults;
mod functions;
mod properties;

use super::{Body, Dialect, Entry, Error, Value, ValueKind, Variables, parse, parse_with};
use serde_json::{Value as Json, json};

/// Converts a body to JSON: attributes under their key, blocks as [kind, labels…, body].
fn shown(body: &Body) -> Json {
    let show = |entry: &Entry| match entry {
        Entry::Attribute(attribute) => json!({ attribute.key.as_str(): attribute.value.to_json() }),
        Entry::Block(block) => {
            let mut parts = vec![Json::from(block.kind.as_str())];
            parts.extend(block.labels.iter().map(|label| Json::from(label.text.as_str())));
            parts.push(shown(&block.body));
            Json::Array(parts)
        }
    };
    body.entries.iter().map(show).collect()
}

fn value_of(text: &str, dialect: Dialect) -> Result<Value, Error> {
    let body = parse(&format!("v = {text}"), dialect)?;
    match body.entries.into_iter().next() {
        Some(Entry::Attribute(attribute)) => Ok(attribute.value),
        other => panic!("no attribute but {other:?}"),
    }
}

/// Evaluates a jobspec expression to JSON, or to the text of the error.
fn evaluated(text: &str) -> Result<Json, String> {
    value_of(text, Dialect::Jobspec).map(|value| value.to_json()).map_err(|error| error.to_string())
}

/// Asserts the value of each expression.
fn assert_values(cases: &[(&str, Json)]) {
    for (text, wanted) in cases {
        assert_eq!(evaluated(text).as_ref(), Ok(wanted), "{text}");
    }
}

/// Asserts that each expression is rejected with an error that contains the given text.
fn assert_refused(cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        match evaluated(text) {
            Ok(value) => panic!("{text} was taken: {value}"),
            Err(error) => assert!(error.contains(wanted), "{text}: {error}"),
        }
    }
}

#[test]
fn bodies_are_read_however_they_are_laid_out() {
    let cases = [
        ("", json!([])),
        ("a = 1\nb = 2", json!([{"a": 1}, {"b": 2}])),
        ("a = 1 b = 2 c {}", json!([{"a": 1}, {"b": 2}, ["c", []]])),
        ("\u{feff}a = 1\r\nb = 2\r\n", json!([{"a": 1}, {"b": 2}])),
        (
            r#"job "x" { type = "service" group "g" {} }"#,
            json!([["job", "x", [{"type": "service"}, ["group", "g", []]]]]),
        ),
        ("job x { a=1, b=2, }", json!([["job", "x", [{"a": 1}, {"b": 2}]]])),
        (r#""QUOTED-KEY" = "yes""#, json!([{"QUOTED-KEY": "yes"}])),
        (r#"X-Test = ["a", "b"]"#, json!([{"X-Test": ["a", "b"]}])),
        (r#"driver.raw_exec = "1""#, json!([{"driver.raw_exec": "1"}])),
        (
            "# one\n// two\n/* three\n */ a = 1 # four\nb = 2 // five\nc = 3 /* six */ d = 4",
            json!([{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]),
        ),
        ("a = [\n 1, # one\n 2,\n]\n", json!([{"a": [1, 2]}])),
        ("a = [\n\"x\"\n\"y\"\n]", json!([{"a": ["x", "y"]}])),
        (
            "a = { x = 1, \"y\": 2\n z = 3 w = 4 80 = 5 }",
            json!([{"a": {"x": 1, "y": 2, "z": 3, "w": 4, "80": 5}}]),
        ),
        ("a = [{ x = 1 }, { x = 2 }]", json!([{"a": [{"x": 1}, {"x": 2}]}])),
        ("a =\n  1", json!([{"a": 1}])),
    ];
    for (text, wanted) in cases {
        let body = parse(text, Dialect::Jobspec).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(shown(&body), wanted, "{text:?}");
    }
}

#[test]
fn configuration_takes_strings_as_they_stand() {
    let text = r#""{{ GetInterfaceIP \"eth0\" }} ${a ? b : c} $${x} %{if}""#;
    let value = value_of(text, Dialect::Configuration).unwrap();
    assert_eq!(value.to_json(), json!("{{ GetInterfaceIP \"eth0\" }} ${a ? b : c} $${x} %{if}"));
    let refused = value_of("1 + 2", Dialect::Configuration).unwrap_err();
    assert_eq!(refused.line, 1);
}

#[test]
fn json_is_read_with_positions() {
    let text = "{\n \"a\": {\"b\": [1, 2.5, null, true]},\n \"c\": \"\\u00e9\\ud83d\\ude00 ${x}\"\n}";
    let body = parse(text, Dialect::Json).unwrap();
    assert_eq!(shown(&body), json!([{"a": {"b": [1, 2.5, null, true]}}, {"c": "é😀 ${x}"}]));
    assert_eq!((body.entries[1].position().line, body.entries[1].position().column), (3, 2));
    let refused = parse("{\"a\": 1,\n}", Dialect::Json).unwrap_err();
    assert_eq!(refused.line, 2, "{refused}");
    assert!(parse("[1]", Dialect::Json).is_err());
    assert!(parse("{\"a\": x}", Dialect::Json).is_err());
}

#[test]
fn every_node_knows_its_place() {
    let body = parse("a = 1\n  group \"ü\" \"g\" {\n    b = [true,\n  false]\n}", Dialect::Jobspec).unwrap();
    let Entry::Block(block) = &body.entries[1] else { panic!("{body:?}") };
    assert_eq!((block.position.line, block.position.column), (2, 3));
    assert_eq!((block.labels[1].position.line, block.labels[1].position.column), (2, 13));
    let Entry::Attribute(attribute) = &block.body.entries[0] else { panic!("{block:?}") };
    assert_eq!((attribute.position.line, attribute.position.column), (3, 5));
    let ValueKind::List(items) = &attribute.value.kind else { panic!("{attribute:?}") };
    assert_eq!((items[1].position.line, items[1].position.column), (4, 3));
}

#[test]
fn durations_are_read_as_nomad_writes_them() {
    let cases = [
        ("30s", Some(30_000_000_000)),
        ("1h30m", Some(5_400_000_000_000)),
        ("1.5h", Some(5_400_000_000_000)),
        ("250ms", Some(250_000_000)),
        (".5s", Some(500_000_000)),
        ("-1s", Some(-1_000_000_000)),
        ("3us4ns", Some(3_004)),
        ("0", Some(0)),
        ("", None),
        ("10", None),
        ("s", None),
        ("soon", None),
        ("1d", None),
        ("1..5s", None),
        ("9999999999999h", None),
        ("99999999999999999999999999999999999999s", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(super::parse_duration_ns(text), wanted, "{text:?}");
    }
}

#[test]
fn layouts_that_only_hcl1_knows_are_noticed() {
    let new = [
        "",
        "a = 1\nb {\n  c = [1, 2]\n}\n",
        "b {}",
        "b { a = 1 }\nc \"x\" { a = { x = 1, y = 2 } }",
        "b {\n  a = 1\n\n  c {\n  }\n}",
        "a = {\n x = 1\n y = 2\n}",
        "a = [\n 1,\n 2\n]",
        "a = <<E\nx\nE\nb = 1",
    ];
    let old = [
        ("a = 1 b = 2", 1, 7),
        ("a {} b {}", 1, 6),
        ("a { b = 1 c = 2 }", 1, 11),
        ("a { b {} }", 1, 10),
        ("a { b = 1\n}", 2, 1),
        ("a {\n b = 1 }", 2, 8),
        ("\"a\" = 1", 1, 1),
        ("a {\n b = 1,\n c = 2\n}", 2, 7),
        ("a = { x = 1 y = 2 }", 1, 12),
        ("a = [\n 1\n 2\n]", 2, 3),
        ("a =\n 1", 1, 1),
    ];
    for text in new {
        let document = parse_with(text, &Variables::new()).unwrap();
        assert_eq!(document.old_layout, None, "{text:?}");
    }
    for (text, line, column) in old {
        let place = parse_with(text, &Variables::new()).unwrap().old_layout;
        assert_eq!(place.map(|place| (place.line, place.column)), Some((line, column)), "{text:?}");
    }
}

#[test]
fn hcl1_takes_strings_as_they_stand() {
    let text = r#"a = "${NOMAD_X:-1} %{x} $${y}" b = "${env[\"H\"]}""#;
    let document = super::parse_hcl1(text).unwrap();
    assert_eq!(shown(&document.body), json!([{"a": "${NOMAD_X:-1} %{x} $${y}"}, {"b": "${env[\"H\"]}"}]));
    assert!(document.old_layout.is_some());
    assert!(super::parse_hcl1("a = var.x").is_err());
}
