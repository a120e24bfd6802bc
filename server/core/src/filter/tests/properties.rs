//! Properties that hold for all rows: any text and row give a result or an error.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// Texts that resemble expressions more than random text does.
fn near_expressions() -> impl Strategy<Value = String> {
    let pieces = [
        "Name",
        "Meta",
        "TaskGroups",
        "Ports",
        ".",
        ".0",
        "[\"a b\"]",
        "[0]",
        "\"/Meta/owner\"",
        "\"x",
        "\"",
        "`",
        "\\",
        "==",
        "!=",
        "contains",
        "in",
        "not",
        "is",
        "empty",
        "nil",
        "matches",
        "and",
        "or",
        "any",
        "all",
        "as",
        "x",
        "_",
        ",",
        "(",
        ")",
        "{",
        "}",
        "5",
        "-0.5",
        "true",
        "\"^a+$\"",
        "é",
        " ",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.join(" "))
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(name(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["Name", "Meta", "TaskGroups", "Ports", "a b", "0"]).prop_map(str::to_owned)
}

fn answered(text: &str, row: &Value) {
    if let Ok(filter) = Filter::parse(text) {
        let _ = filter.matches(row);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>(), json in json()) {
        answered(&text, &json);
        answered(&text, &row());
    }

    #[test]
    fn what_is_nearly_an_expression_is_answered(text in near_expressions(), json in json()) {
        answered(&text, &json);
        answered(&text, &row());
    }

    #[test]
    fn a_quoted_text_equals_itself_and_no_other(text in any::<String>(), other in any::<String>()) {
        let row = json!({"a": text});
        let quoted = format!("a == {text:?}");
        // Rust writes some characters as `\u{…}`, which is not an escape in filters.
        prop_assume!(!quoted.contains("\\u{") && !quoted.contains("\\'"));
        prop_assert!(holds(&row, &quoted));
        prop_assert_eq!(text == other, holds(&json!({"a": other}), &quoted));
        if !text.contains('`') {
            let raw = format!("a == `{text}`");
            prop_assert!(holds(&row, &raw));
        }
    }

    #[test]
    fn a_negated_operator_is_the_operator_not_holding(json in json(), path in "(Name|Meta|Ports)([.](Name|0))?") {
        let row = json!({"Name": json, "Meta": {"Name": json}, "Ports": [json]});
        for (plain, negated) in [
            ("== a", "!= a"),
            ("contains a", "not contains a"),
            ("matches a", "not matches a"),
            ("is empty", "is not empty"),
            ("is nil", "is not nil"),
        ] {
            let ask = |text: String| Filter::parse(&text).unwrap().matches(&row);
            let plain = ask(format!("{path} {plain}"));
            prop_assert_eq!(&plain, &ask(format!("not {path} {negated}")));
            prop_assert_eq!(plain.map(|holds| !holds), ask(format!("{path} {negated}")));
        }
    }

    #[test]
    fn what_is_read_of_a_row_is_enough(json in json(), text in near_expressions()) {
        // The same expression evaluated on the complete row, by an additional want of everything.
        if let Ok(filter) = Filter::parse(&text) {
            let mut whole = filter.clone();
            whole.wanted.add(&[]);
            let row = json!({"Name": json, "Meta": {"owner": json}, "Ports": [json], "x": "x", "TaskGroups": json});
            prop_assert_eq!(filter.matches(&row), whole.matches(&row));
        }
    }
}
