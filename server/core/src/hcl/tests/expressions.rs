//! Expressions and their values.

use super::{assert_refused, assert_values, value_of};
use crate::hcl::Dialect;
use serde_json::{Value as Json, json};

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
        (r#""${1 + 2}""#, json!(3)),
        (r#""${[1, 2]}""#, json!([1, 2])),
        ("\"${\n  1 +\n  2\n}\"", json!(3)),
        (r#""${"a ${"b"} }"} c""#, json!("a b } c")),
        (r#""${ env["HOME"] }/${ NOMAD_META_x-y }""#, json!("${env[\"HOME\"]}/${NOMAD_META_x-y}")),
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
fn operators_yield_what_they_yield_elsewhere() {
    assert_values(&[
        ("1 + 2 * 3 - 4", json!(3)),
        ("10 / 4", json!(2.5)),
        ("10 / 5", json!(2)),
        ("2.5 * 2", json!(5)),
        ("-7 % 3", json!(-1)),
        ("-(2)", json!(-2)),
        ("1 - -1", json!(2)),
        ("\"5\" + 1", json!(6)),
        ("1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3", json!(true)),
        ("1 == 1.0", json!(true)),
        ("1 == \"1\"", json!(false)),
        ("[1, { a = 2 }] == [1, { a = 2 }]", json!(true)),
        ("{ a = 1, b = 2 } == { b = 2, a = 1 }", json!(true)),
        ("null != null", json!(false)),
        ("!true || true", json!(true)),
        ("false && nonsense", json!(false)),
        ("true || nonsense", json!(true)),
        ("true ? 1 : nonsense", json!(1)),
        ("false ? 1 : true ? 2 : 3", json!(2)),
        ("(1 + 2) * 3", json!(9)),
        ("9223372036854775807 - 1", json!(i64::MAX - 1)),
        ("1e3 + 1", json!(1001)),
    ]);
    assert_refused(&[
        ("1 / 0", "divided by zero"),
        ("1 % 0", "divided by zero"),
        ("9223372036854775807 + 1", "64 bits"),
        ("-9223372036854775807 - 2", "64 bits"),
        ("(0 - 9223372036854775807 - 1) / -1", "64 bits"),
        ("1 + true", "behind `+` has to be a number, and is true"),
        ("[] + 1", "before `+` has to be a number, and is a list"),
        ("\"a\" + \"b\"", "has to be a number, and is \"a\""),
        ("1 && true", "before `&&` has to be true or false"),
        ("!1", "behind `!` has to be true or false"),
        ("-\"a\"", "behind `-` has to be a number"),
        ("1 ? 2 : 3", "the condition before `?` has to be true or false"),
        ("1 < [2]", "behind `<` has to be a number"),
    ]);
}

#[test]
fn ways_into_values() {
    assert_values(&[
        ("[1, 2, 3][1]", json!(2)),
        ("{ a = { b = [1, 2] } }.a.b[1]", json!(2)),
        ("{ a = 1 }[\"a\"]", json!(1)),
        ("{ \"a b\" = 1 }[\"a b\"]", json!(1)),
        ("[[1, 2], [3]][0][1]", json!(2)),
        ("([1, 2])[0 + 1]", json!(2)),
        ("[1, 2].1", json!(2)),
        ("[{ a = 1 }, { a = 2 }].*.a", json!([1, 2])),
        ("[{ a = [1] }, { a = [2] }][*].a[0]", json!([1, 2])),
        ("[{ a = [1] }, { a = [2] }].*.a[0]", json!([1])),
        ("{ a = 1 }[*].a", json!([1])),
        ("(null)[*]", json!([])),
        ("[for x in [1]: x][*]", json!([1])),
    ]);
    assert_refused(&[
        ("[1][1]", "the list has 1 items, and none at index 1"),
        ("[1][-1]", "none at index -1"),
        ("[1][0.5]", "has to be a whole number"),
        ("{ abc = 1 }.abd", "the object has no member `abd`; is `abc` meant?"),
        ("[1].a", "which is no object"),
        ("(1)[0]", "looks into lists and objects, and this is 1"),
    ]);
}

#[test]
fn loops_make_lists_and_objects() {
    assert_values(&[
        ("[for x in [1, 2, 3]: x * 2]", json!([2, 4, 6])),
        ("[for i, x in [\"a\", \"b\"]: \"${i}${x}\"]", json!(["0a", "1b"])),
        ("[for k, v in { b = 2, a = 1 }: \"${k}=${v}\"]", json!(["a=1", "b=2"])),
        ("[for x in [1, 2, 3]: x if x > 1]", json!([2, 3])),
        ("{ for x in [\"a\", \"b\"]: x => upper(x) }", json!({"a": "A", "b": "B"})),
        ("{for i, x in [\"a\", \"b\"] : x => i if x != \"a\"}", json!({"b": 1})),
        (
            "{ for x in [\"ab\", \"ac\", \"b\"]: substr(x, 0, 1) => x... }",
            json!({"a": ["ab", "ac"], "b": ["b"]}),
        ),
        ("[for x in [[1, 2], [3]]: [for y in x: y + 1]]", json!([[2, 3], [4]])),
        ("[\n  for x in [1]:\n  x\n]", json!([1])),
        ("[for x in []: nonsense]", json!([])),
        ("{ forms = 1, for = 2 }", json!({"forms": 1, "for": 2})),
        ("[for node in [{ class = 1 }]: \"${node.class} ${attr.x}\"]", json!(["1 ${attr.x}"])),
    ]);
    assert_refused(&[
        ("{ for x in [1, 1]: \"a\" => x }", "two items yield the same key"),
        ("[for x in 1: x]", "a loop goes through a list or an object, and this is 1"),
        ("[for x in null: x]", "and this is null"),
        ("[for x in [1]: x if 1]", "the condition behind `if`"),
        ("{ for x in [1]: [] => x }", "the key before `=>`"),
    ]);
}

#[test]
fn templates_have_directives_and_strip_blanks() {
    assert_values(&[
        (r#""a%{ if true } b%{ else } c%{ endif }""#, json!("a b")),
        (r#""a%{ if false } b%{ else } c%{ endif }""#, json!("a c")),
        (r#""%{ for x in [1, 2] }${x},%{ endfor }""#, json!("1,2,")),
        (r#""%{ for k, v in { a = 1 } }${k}=${v};%{ endfor }""#, json!("a=1;")),
        (r#""a ${~ "b" ~} c""#, json!("abc")),
        (r#""x ${ node.class } %{ if true }${attr.y}%{ endif }""#, json!("x ${node.class} ${attr.y}")),
        (r#""%{ if true }\"q\"\n%{ endif }$${x} %%{y}""#, json!("\"q\"\n${x} %{y}")),
        (
            "<<EOT\n%{ for x in [\"a\", \"b\"] ~}\n  server ${x}\n%{ endfor ~}\nend\nEOT\n",
            json!("  server a\n  server b\nend\n"),
        ),
        (
            "<<-EOT\n    %{ if true ~}\n    one\n    %{ else ~}\n    two\n    %{ endif ~}\n    EOT\n",
            json!("one\n"),
        ),
        ("<<EOT\n${1 + 1} $${x}\n  ${~ \"y\"}\nEOT\n", json!("2 ${x}\ny\n")),
        ("upper(<<EOT\na ) \"\nEOT\n)", json!("A ) \"\n")),
        ("\"${jsonencode({ a = [1, \"}\"] })}\"", json!("{\"a\":[1,\"}\"]}")),
    ]);
}

#[test]
fn objects_have_keys_of_all_kinds() {
    assert_values(&[
        (
            "{ (upper(\"a\")) = 1, \"b${1 + 1}\" = 2, c = 3, 80 = 4 }",
            json!({"A": 1, "b2": 2, "c": 3, "80": 4}),
        ),
        ("{ \"${node.class}\" = 1 }", json!({"${node.class}": 1})),
        ("merge({ (\"a\") = 1, \"b\" : 2 }, {})", json!({"a": 1, "b": 2})),
    ]);
}

#[test]
fn what_only_the_node_knows_stays_as_it_stands() {
    for written in [
        "${attr.kernel.name}",
        "${attr.unique.platform.aws.placement.availability-zone}",
        "${node.unique.id}",
        "${meta.my-key}",
        "${device.attr.memory}",
        "${NOMAD_PORT_db}",
        "${NOMAD_META_a-b}",
        "${env[\"HOME\"]}",
        "${attr.cpu.0}",
        "a ${node.class} b ${meta.x}",
    ] {
        let value = value_of(&serde_json::Value::from(written).to_string(), Dialect::Jobspec).unwrap();
        assert_eq!(value.to_json(), json!(written));
        let value = value_of(&format!("<<E\n{written}\nE\n"), Dialect::Jobspec).unwrap();
        assert_eq!(value.to_json(), json!(format!("{written}\n")));
    }
}

#[test]
fn operators_and_functions_see_a_reference_as_text() {
    assert_values(&[
        ("\"${upper(foo.bar)}\"", json!("${FOO.BAR}")),
        ("\"${upper(foo)}-${NOMAD_X}\"", json!("${FOO}-${NOMAD_X}")),
        ("\"${NOMAD_X == \"a\" ? 1 : 2}\"", json!(2)),
        ("\"%{ if node.class == \"a\" }a%{ else }b%{ endif }\"", json!("b")),
        ("node.class", json!("${node.class}")),
        ("[env[\"HOME\"], NOMAD_TASK_DIR]", json!(["${env[\"HOME\"]}", "${NOMAD_TASK_DIR}"])),
        ("[for x in [{ y = 1 }] : x.y]", json!([1])),
    ]);
}

#[test]
fn whole_numbers_beyond_64_bits_keep_their_digits() {
    let digits = "123456789012345678901234567890";
    assert_eq!(value_of(digits, Dialect::Jobspec).unwrap().to_text("v"), Ok(digits.to_owned()));
    assert_values(&[("-9223372036854775809", json!(-9223372036854775809_f64))]);
    assert_eq!(value_of(&format!("{digits} > 1"), Dialect::Jobspec).unwrap().to_json(), json!(true));
    assert!(value_of(digits, Dialect::Jobspec).unwrap().to_integer("v").is_err());
    assert!(value_of(&"9".repeat(400), Dialect::Jobspec).is_err());
    assert!(value_of(digits, Dialect::Configuration).is_err());
}
