//! The reader against documents good and hostile.

use super::{Body, Dialect, Entry, Error, HCL_BYTES_MAX, HCL_DEPTH_MAX, Value, ValueKind, parse};
use serde_json::{Value as Json, json};

/// A body as JSON: attributes under their key, blocks as [kind, labels…, body].
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
fn values_of_jobspecs() {
    let cases = [
        ("true", json!(true)),
        ("null", Json::Null),
        ("-30", json!(-30)),
        ("0x1F", json!(31)),
        ("1.5", json!(1.5)),
        ("2e3", json!(2000.0)),
        ("9223372036854775807", json!(i64::MAX)),
        (r#""a\n\t\"\\\u00e9\x41""#, json!("a\n\t\"\\éA")),
        (
            r#""${node.datacenter}/${attr.cpu.arch}-${meta.a-b}""#,
            json!("${node.datacenter}/${attr.cpu.arch}-${meta.a-b}"),
        ),
        (
            r#""${NOMAD_PORT_db} ${env["HOME"]} ${env[\"HOME\"]}""#,
            json!(r#"${NOMAD_PORT_db} ${env["HOME"]} ${env["HOME"]}"#),
        ),
        (r#""$${kept} %%{kept} $5 100%""#, json!("${kept} %{kept} $5 100%")),
        (r#""${1 + 2} is ${true ? "three" : "not"}""#, json!("3 is three")),
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3 # nine", json!(9)),
        ("10 * 1024 // ten", json!(10240)),
        (r#"2 > 1 ? "yes" : "no""#, json!("yes")),
        ("!true", json!(false)),
        ("[1 + 1, 2]", json!([2, 2])),
        (
            "<<EOH\nline one\n  line \"two\" {{ key \"a\" }}\nEOH\n",
            json!("line one\n  line \"two\" {{ key \"a\" }}\n"),
        ),
        ("<<-EOH\n    a\n      b\n\n    c\n    EOH\n", json!("a\n  b\n\nc\n")),
        ("<<EOH\n\\n $${x} ${node.unique.id}\n  EOH\n", json!("\\n ${x} ${node.unique.id}\n")),
        ("[<<EOH\na\nEOH\n, \"b\"]", json!(["a\n", "b"])),
    ];
    for (text, wanted) in cases {
        let value = value_of(text, Dialect::Jobspec).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(value.to_json(), wanted, "{text:?}");
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
fn faults_are_named_with_line_and_column() {
    let cases = [
        ("job \"x\" {", 1, 9, "never closed"),
        ("a = 1\n}", 2, 1, "closes nothing"),
        ("a = \"x\nb = 1", 1, 5, "never closed"),
        ("a = \"\\q\"", 1, 6, "escape"),
        ("a = \"\\ud800\"", 1, 6, "escape"),
        ("a = [1, 2", 1, 5, "`]` is missing"),
        ("a = [1 2]", 1, 8, "`,` or `]`"),
        ("a = { b = 1", 1, 5, "`}` is missing"),
        ("a = { b }", 1, 9, "`=` after `b`"),
        ("/* a", 1, 1, "`*/` is missing"),
        ("a = <<EOH\nx\n", 1, 5, "nothing but `EOH`"),
        ("a = <<\nx\n", 1, 5, "mark"),
        ("a : 1", 1, 3, "`=` or `{`"),
        ("a \"b\" = 1", 1, 7, "`{`"),
        ("a", 1, 2, "the end of the document"),
        ("a =", 1, 4, "a value has to stand here"),
        ("= 1", 1, 1, "a key or a block"),
        ("a = 10s", 1, 5, "stand in quotes"),
        ("a = 1.2.3", 1, 5, "not a number"),
        ("a = 99999999999999999999", 1, 5, "64 bits"),
        ("a = 0xZZ", 1, 5, "hexadecimal"),
        ("a = 1e999", 1, 5, "not a number"),
        ("\na = service", 2, 5, "words stand in quotes"),
        ("a = var.x", 1, 5, "cannot be evaluated here: undefined variable `var`"),
        ("a = upper(\"x\")", 1, 5, "cannot be evaluated"),
        ("a = [for x in [1]: x]", 1, 6, "`for x in [1]: x` cannot be evaluated"),
        ("a = 1 +", 1, 5, "cannot be evaluated"),
        ("a = \"x ${var.y}\"", 1, 8, "cannot be evaluated"),
        ("a = \"x ${upper(1)}\"", 1, 8, "cannot be evaluated"),
        ("a = \"x ${node.dc\"", 1, 8, "never closed"),
        ("a = \"%{if true}\"", 1, 6, "directives"),
        ("a = <<EOH\n x ${y\nEOH\n", 2, 4, "never closed"),
    ];
    for (text, line, column, wanted) in cases {
        match parse(text, Dialect::Jobspec) {
            Ok(body) => panic!("{text:?} was taken: {}", shown(&body)),
            Err(error) => {
                assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
                assert!(error.text.contains(wanted), "{text:?}: {error}");
            }
        }
    }
}

#[test]
fn hostile_documents_are_refused_and_not_survived_by_luck() {
    let deep = 100_000;
    let cases = [
        "a {".repeat(deep),
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}", "{ a = ".repeat(deep)),
        format!("a = {}", "(".repeat(deep)),
        format!("a = {}1", "!".repeat(deep)),
        format!("a = {}1", "-".repeat(deep)),
        format!("a = {}1", "1 ? 1 : ".repeat(deep)),
        format!("a = {}1", "1 + ".repeat(deep)),
        format!("a = \"{}", "${".repeat(deep)),
        format!("a = \"${{{}}}\"", "(".repeat(deep)),
        format!("a = \"${{{}}}\"", "x.".repeat(deep)),
        format!("a = \"{}", "x".repeat(deep)),
        format!("a = <<E\n{}", "x\n".repeat(deep)),
        format!("/*{}", "*".repeat(deep)),
        "x".repeat(HCL_BYTES_MAX + 1),
        "\0".to_owned(),
        "a = \u{202e}".to_owned(),
    ];
    for text in cases {
        let refused = parse(&text, Dialect::Jobspec);
        assert!(refused.is_err(), "{:?}… was taken", &text[..text.len().min(40)]);
        assert!(parse(&text, Dialect::Json).is_err());
    }
    let at_the_bound = format!("{}{}", "a {".repeat(HCL_DEPTH_MAX), "}".repeat(HCL_DEPTH_MAX));
    assert!(parse(&at_the_bound, Dialect::Jobspec).is_ok());
}

#[test]
fn evaluated_expressions_at_the_bounds_fit_the_stack_of_a_thread() {
    let most = super::HCL_EXPRESSION_OPERATORS_MAX;
    for text in ["(".repeat(most), "!".repeat(most), "1?".repeat(most), "[".repeat(most)] {
        assert!(parse(&format!("a = 1 + {text}"), Dialect::Jobspec).is_err());
    }
    let nested = format!("a = {}1{}", "(".repeat(most), ")".repeat(most));
    assert!(parse(&nested, Dialect::Jobspec).is_ok());
}

#[test]
fn a_large_document_is_read_in_one_pass() {
    let line = "key = [\"a\", { b = 1 }] block \"l\" { c = \"${node.id}\" }\n";
    let text = line.repeat(HCL_BYTES_MAX / line.len());
    let body = parse(&text, Dialect::Jobspec).unwrap();
    assert_eq!(body.entries.len(), 2 * (HCL_BYTES_MAX / line.len()));
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

mod properties {
    use super::super::{Dialect, parse};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-z\"\\\\${}\\[\\]=<>\\-#/* \\n0-9.,:%!?()+]{0,200}") {
            for dialect in [Dialect::Jobspec, Dialect::Configuration, Dialect::Json] {
                let _ = parse(&text, dialect);
            }
        }
    }
}
