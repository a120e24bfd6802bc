//! All operands, on nodes that have the attribute, have another value of it, or lack it.

use std::sync::Arc;

use ordu_proto::state::{DriverInfo, Node};

use super::*;
use crate::scheduler::SCHEDULE_STEPS_MAX;
use crate::scheduler::view::ClassFacts;

fn facts() -> NodeFacts {
    let text =
        |pairs: &[(&str, &str)]| pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect();
    let node = Node {
        name: "n1".into(),
        datacenter: "dc1".into(),
        node_class: "big".into(),
        attributes: text(&[
            ("kernel.name", "linux"),
            ("nomad.version", "1.0.18"),
            ("cpu.numcores", "16"),
            ("cpu.load", "0.5"),
            ("signals", "SIGINT, SIGTERM,SIGKILL"),
            ("unique.hostname", "host-7"),
        ]),
        meta: text(&[
            ("signals", "SIGTERM,SIGINT"),
            ("rack", "r1"),
            ("wanted", "linux"),
            ("pattern", "^lin"),
            ("unique.serial", "x"),
        ]),
        drivers: [("raw_exec".into(), DriverInfo::default())].into(),
        ..Default::default()
    };
    NodeFacts::of(&node, [0xab; 16], Arc::new(ClassFacts::of(&node, "c".into())))
}

#[test]
fn operands_hold_or_not() {
    let cases = [
        ("${attr.kernel.name}", "=", "linux", true),
        ("${attr.kernel.name}", "==", "linux", true),
        ("${attr.kernel.name}", "is", "linux", true),
        ("${attr.kernel.name}", "", "linux", true),
        ("${attr.kernel.name}", "=", "windows", false),
        ("${attr.missing}", "=", "linux", false),
        ("${attr.missing}", "=", "${attr.missing}", false),
        ("${attr.kernel.name}", "!=", "linux", false),
        ("${attr.kernel.name}", "not", "windows", true),
        ("${attr.missing}", "!=", "linux", true),
        ("${attr.missing}", "!=", "${attr.also.missing}", false),
        ("${attr.cpu.numcores}", "<", "9", false),
        ("${attr.cpu.numcores}", ">", "9", true),
        ("${attr.cpu.numcores}", "<=", "16", true),
        ("${attr.cpu.load}", ">=", "0.25", true),
        ("abc", "<", "abd", true),
        ("10", ">", "9", true),
        ("10", "<", "9", false),
        ("1e3", ">", "999", true),
        ("10", "<", "9a", true),
        ("nan", "<", "1", false),
        ("nan", ">=", "1", false),
        ("${attr.missing}", "<", "9", false),
        ("${attr.kernel.name}", "regexp", "^l.*x$", true),
        ("${attr.kernel.name}", "regexp", "[", false),
        ("a.b", "regexp", r"^\Qa.b\E$", true),
        ("${attr.kernel.name}", "regexp", "${meta.pattern}", true),
        ("${attr.missing}", "regexp", ".*", false),
        ("${attr.nomad.version}", "version", ">= 1.0, < 1.1", true),
        ("${attr.nomad.version}", "version", "~> 0.9", false),
        ("${attr.nomad.version}", "semver", ">= 1.0.0", true),
        ("${attr.kernel.name}", "version", "> 0", false),
        ("1.2.3 ", "version", "> 0", false),
        ("1.2.3", "version", " > 0 ", true),
        ("1.2.3beta", "semver", "> 1", true),
        ("1.2.3", "semver", "~> 1", false),
        ("${attr.signals}", "set_contains", "SIGTERM,SIGINT", true),
        ("${attr.signals}", "set_contains_all", "SIGTERM,SIGHUP", false),
        ("${attr.signals}", "set_contains_any", "SIGHUP, SIGKILL", true),
        ("${attr.signals}", "set_contains_any", "SIGHUP", false),
        ("${attr.signals}", "set_contains", "SIGINT, SIGINT,SIGTERM", true),
        ("${attr.signals}", "set_contains", "${meta.signals}", true),
        ("${attr.signals}", "set_contains_any", "${meta.rack}", false),
        ("a,b,c", "set_contains", "c,a", true),
        ("a,b,c", "set_contains", "c,d", false),
        ("a,b,c", "set_contains_any", "d,c", true),
        ("${attr.kernel.name}", "is_set", "", true),
        ("${attr.missing}", "is_set", "", false),
        ("${attr.missing}", "is_not_set", "", true),
        ("${meta.rack}", "is_not_set", "", false),
        ("${attr.kernel.name}", "no-such-operand", "linux", false),
        ("${meta.wanted}", "=", "${attr.kernel.name}", true),
        ("${node.datacenter}", "=", "dc1", true),
        ("${node.class}", "=", "big", true),
        ("${node.unique.name}", "=", "n1", true),
        ("${node.unique.id}", "=", "abababab-abab-abab-abab-abababababab", true),
        ("${attr.unique.hostname}", "=", "host-7", true),
        ("${meta.unique.serial}", "=", "x", true),
        ("${node.nonsense}", "is_set", "", false),
        ("linux", "=", "linux", true),
    ];
    let node = facts();
    for (left, operand, right, expected) in cases {
        let constraint = Constraint::parse(left, operand, right);
        assert_eq!(constraint.holds(&node, &Budget::new(10_000)), expected, "{left} {operand} {right}");
    }
}

#[test]
fn what_is_unique_to_a_node_escapes_its_class() {
    let cases = [
        ("${node.unique.id}", true),
        ("${node.unique.name}", true),
        ("${attr.unique.hostname}", true),
        ("${meta.unique.serial}", true),
        ("${node.datacenter}", false),
        ("${node.class}", false),
        ("${attr.kernel.name}", false),
        ("${meta.rack}", false),
        ("unique.", false),
    ];
    for (target, expected) in cases {
        assert_eq!(Constraint::parse(target, "=", "x").escapes_class, expected, "left {target}");
        assert_eq!(Constraint::parse("x", "=", target).escapes_class, expected, "right {target}");
    }
}

#[test]
fn metrics_name_constraints_as_users_write_them() {
    assert_eq!(Constraint::parse("${meta.nowhere}", "=", "x").text, "${meta.nowhere} = x");
    assert_eq!(Constraint::parse("${meta.nowhere}", "", "x").text, "${meta.nowhere} = x");
}

/// Returns a list of `count` distinct words.
fn words(count: usize) -> String {
    (0..count).map(|number| format!("word-{number}")).collect::<Vec<_>>().join(",")
}

#[test]
fn long_texts_cost_in_proportion_to_their_length_and_none_more_than_the_budget() {
    let mut node = facts();
    let versions = vec!["> 1.1"; 20_000].join(",");
    for (key, value) in
        [("words", words(120_000)), ("parts", vec!["1"; 20_000].join(".")), ("rest", versions)]
    {
        node.unique_meta.insert(format!("unique.{key}"), value);
    }
    let (all, none) = (words(120_000), words(120_000).replace("word", "other"));
    let (steps, few) = (10_000_000, 6_000_000);
    // The last two columns: whether the constraint holds, and the maximum number of steps. A constraint that exceeds
    // the budget holds on no node.
    let words = "${meta.unique.words}";
    let cases = [
        ("two lists of 120,000 words", all.as_str(), "set_contains_any", none.as_str(), false, 0),
        ("two such lists, of which one is a node's", words, "set_contains_any", &none, false, few),
        ("all of them", words, "set_contains", &all, true, few),
        ("a node's list and itself", words, "set_contains", words, true, few),
        (
            "20,000 conditions on a version of 20,000 parts",
            "${meta.unique.parts}",
            "version",
            "${meta.unique.rest}",
            false,
            steps,
        ),
        (
            "a long text and an expression",
            words,
            "regexp",
            "(word|other)+-[0-9]{1,9}x(\\pL{5}){3}",
            false,
            steps,
        ),
        ("an expression of each node's", "linux", "regexp", words, false, steps),
    ];
    for (what, left, operand, right, expected, steps_max) in cases {
        let constraint = Constraint::parse(left, operand, right);
        let budget = Budget::new(steps);
        assert_eq!(constraint.holds(&node, &budget), expected, "{what}");
        assert!(budget.spent_of(steps) <= steps_max, "{what}: {}", budget.spent_of(steps));
        assert_eq!(budget.is_spent(), steps_max == steps, "{what}: {}", budget.spent_of(steps));
        assert!(constraint.text.len() <= CONSTRAINT_TOLD_BYTES_MAX + '…'.len_utf8(), "{what}");
    }
}

/// With `--nocapture`, prints how long each case takes.
#[test]
fn what_ten_thousand_nodes_are_asked_ends_with_the_budget_of_one_evaluation() {
    const NODES: u64 = 10_000;
    let mut node = facts();
    let text = "abcde ".repeat(170);
    let versions = vec!["> 1.1"; 100].join(",");
    for (key, value) in [
        ("text", text.as_str()),
        ("words", &words(5_000)),
        ("version", "1.2.3"),
        ("rest", &versions),
        ("pattern", "^(a|b)*c[0-9]{1,3}$"),
        ("large", r"(\pL{5}){3}x"),
    ] {
        node.unique_meta.insert(format!("unique.{key}"), value.to_owned());
    }
    let other = words(5_000).replace("word", "other");
    // The last column: whether all nodes can be checked within the budget.
    let cases = [
        ("an expression as people write them", "${meta.unique.text}", "regexp", r"^(web|db)-[0-9]+$", true),
        ("a large expression", "${meta.unique.text}", "regexp", r"(\pL{5}){3}x", false),
        ("an expression of each node's", "abc12", "regexp", "${meta.unique.pattern}", true),
        ("a large expression of each node's", "abc12", "regexp", "${meta.unique.large}", false),
        ("a list of 5,000 words", "${meta.unique.words}", "set_contains_any", other.as_str(), false),
        ("100 conditions of each node's", "${meta.unique.version}", "version", "${meta.unique.rest}", true),
    ];
    for (what, left, operand, right, all) in cases {
        #[expect(clippy::disallowed_methods, reason = "the time is told, and nothing follows from it")]
        let began = std::time::Instant::now();
        let constraint = Constraint::parse(left, operand, right);
        let budget = Budget::new(SCHEDULE_STEPS_MAX);
        let asked = (0..NODES).take_while(|_| {
            constraint.holds(&node, &budget);
            !budget.is_spent()
        });
        let asked = asked.count() as u64;
        let (took, steps) = (began.elapsed(), budget.spent_of(SCHEDULE_STEPS_MAX));
        println!("{what}: {asked} nodes, {steps} steps, {took:?}");
        assert_eq!((all, all), (asked == NODES, !budget.is_spent()), "{what}: {asked} nodes, {steps} steps");
    }
}
