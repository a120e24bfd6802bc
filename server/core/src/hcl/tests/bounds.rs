//! Hostile documents: each gets a quick answer, and none endangers the process.

use super::super::{
    Dialect, HCL_BYTES_MAX, HCL_DEPTH_MAX, HCL_EVALUATION_DEPTH_MAX, HCL_VALUE_DEPTH_MAX, parse,
};
use super::evaluated;

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
fn a_large_document_is_read_in_one_pass() {
    let line = "key = [\"a\", { b = 1 }] block \"l\" { c = \"${node.id}\" }\n";
    let text = line.repeat(HCL_BYTES_MAX / line.len());
    let body = parse(&text, Dialect::Jobspec).unwrap();
    assert_eq!(body.entries.len(), 2 * (HCL_BYTES_MAX / line.len()));
}

#[test]
fn evaluation_ends_soon_however_much_is_asked_for() {
    let doubling = |first: &str, step: fn(usize) -> String| {
        let steps: String = (1..60).map(|at| format!("  a{at} = {}\n", step(at - 1))).collect();
        format!("locals {{\n  a0 = {first}\n{steps}}}\n")
    };
    let long = "x".repeat(400_000);
    let cases = [
        ("a = range(1, 1000000000)".to_owned(), "`range` makes 1024 numbers"),
        ("a = [for x in range(1000): [for y in range(1000): [for z in range(1000): 1]]]".to_owned(), "steps"),
        ("a = [for x in range(1000): [for y in range(1000): try([for z in range(1000): 1], 1)]]".to_owned(), "steps"),
        ("a = [for x in range(1000): [for y in range(1000): try(nothing(), 1)]]".to_owned(), "steps"),
        (
            format!(
                "locals {{\n{}}}\na = [for x in range(1000): [for y in range(1000): try(local.nothing, 1)]]",
                (0..20_000).map(|at| format!("  nothin{at} = 1\n")).collect::<String>()
            ),
            "steps",
        ),
        ("a = setproduct(range(1000), range(1000), range(1000))".to_owned(), "steps"),
        (
            "a = <<E\n%{ for x in range(1024) }%{ for y in range(1024) }%{ for z in range(1024) }x%{ endfor }%{ endfor }\
             %{ endfor }\nE"
                .to_owned(),
            "steps",
        ),
        (doubling("\"0123456789\"", |last| format!("\"${{local.a{last}}}${{local.a{last}}}\"")), "bytes of text"),
        (doubling("\"0123456789\"", |last| format!("join(\"\", [local.a{last}, local.a{last}])")), "bytes of text"),
        (doubling("[1]", |last| format!("concat(local.a{last}, local.a{last})")), "steps"),
        (
            "dynamic \"b\" {\n for_each = range(1000)\n content {\n dynamic \"c\" {\n for_each = range(1000)\n content {\n\
             dynamic \"d\" {\n for_each = range(1000)\n content {}\n }\n }\n }\n }\n}"
                .to_owned(),
            "steps",
        ),
        (format!("dynamic \"b\" {{\n for_each = range(1000)\n content {{\n a = \"{long}\"\n }}\n}}"), "bytes of text"),
        (format!("a = replace(\"{0}\", \"x\", \"{0}\")", "x".repeat(30_000)), "bytes of text"),
        (format!("locals {{\n x = \"{long}\"\n}}\na = format(\"{}\", local.x)", "%[1]v".repeat(5_000)), "bytes of text"),
        ("a = indent(1000000000, \"a\\nb\")".to_owned(), "bytes of text"),
        ("a = format(\"%1000000000d\", 1)".to_owned(), "1024 at most"),
        ("a = pow(10, 1000000000)".to_owned(), "beyond what a number can be"),
        (format!("locals {{\n x = \"{long}\"\n}}\na = [for i in range(1000): sha512(local.x)]"), "bytes of text"),
        ("a = regex(\"((a{100}){100}){100}\", \"a\")".to_owned(), "no regular expression"),
        (format!("a = length([{}])", "1,".repeat(40_000)), "65536 are the most"),
        (
            format!("a = length({{{}}})", (0..2_000).map(|at| format!("k{at}=1,")).collect::<String>()),
            "512 are the most",
        ),
    ];
    for (text, wanted) in cases {
        match parse(&text, Dialect::Jobspec) {
            Ok(body) => panic!("{:.80} was taken: {} entries", text, body.entries.len()),
            Err(error) => assert!(error.text.contains(wanted), "{text:.80}: {error}"),
        }
    }
}

#[test]
fn nesting_is_refused_before_the_stack_is_in_danger() {
    let deep = 300;
    let around = |open: &str, close: &str| format!("{}1{}", open.repeat(deep), close.repeat(deep));
    for text in [
        around("(", ")"),
        around("[for x in [1]: ", "]"),
        around("{ a = ", "}"),
        around("[", "]"),
        around("abs(", ")"),
        around("\"${", "}\""),
        around("true ? ", " : 1"),
        around("!", ""),
        format!("abs({})", around("[", "]")),
        format!("\"{}x{}\"", "%{ if true }".repeat(deep), "%{ endif }".repeat(deep)),
    ] {
        assert!(evaluated(&text).is_err(), "{text:.40} was taken");
    }
    // Beyond what the caller's stack holds, but not beyond the limit.
    let deep = 60;
    let around = |open: &str, close: &str| format!("{}1{}", open.repeat(deep), close.repeat(deep));
    for text in [around("(", ")"), around("abs(", ")"), around("true ? ", " : 1"), around("\"${", "}\"")] {
        assert_eq!(evaluated(&text), Ok(serde_json::json!(1)), "{text:.40}");
    }
    // A chain of operators does not count as nesting.
    assert!(evaluated(&format!("1{}", " + 1".repeat(100))).is_ok());
}

#[test]
fn a_value_that_is_made_deeper_and_deeper_is_refused() {
    let chain = |first: &str, count: usize, step: fn(usize) -> String| {
        let steps: String = (1..=count).map(|at| format!("  a{at} = {}\n", step(at - 1))).collect();
        format!("locals {{\n  a0 = {first}\n{steps}}}\n")
    };
    let wrap = |last: usize| format!("[local.a{last}]");
    assert!(parse(&chain("[]", HCL_VALUE_DEPTH_MAX, wrap), Dialect::Jobspec).is_ok());
    let refused = parse(&chain("[]", HCL_VALUE_DEPTH_MAX + 1, wrap), Dialect::Jobspec).unwrap_err();
    assert!(refused.text.contains("nested deeper than 64 levels"), "{refused}");
    let refused =
        parse(&chain("{}", 10_000, |last| format!("{{ x = local.a{last} }}")), Dialect::Jobspec).unwrap_err();
    assert!(refused.text.contains("nested deeper than 64 levels"), "{refused}");
    let refused =
        parse(&chain("[]", 10_000, |last| format!("concat([local.a{last}])")), Dialect::Jobspec).unwrap_err();
    assert!(refused.text.contains("nested deeper than 64 levels"), "{refused}");
}

#[test]
fn locals_that_ask_for_each_other_are_followed_to_a_bound() {
    let chain = |count: usize| {
        let steps: String = (1..count).map(|at| format!("  a{:05} = local.a{at:05}\n", at - 1)).collect();
        format!("locals {{\n{steps}  a{:05} = 1\n}}\nx = local.a00000\n", count - 1)
    };
    assert!(parse(&chain(HCL_EVALUATION_DEPTH_MAX / 2 - 1), Dialect::Jobspec).is_ok());
    let refused = parse(&chain(10_000), Dialect::Jobspec).unwrap_err();
    assert!(refused.text.contains("nested deeper than 64 levels"), "{refused}");
}

#[test]
fn the_deepest_that_is_taken_fits_the_stack_of_a_thread() {
    // Half of the default stack of a thread, to leave room for the frames of callers.
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let read = thread.spawn(|| {
        let nested = |depth: usize| {
            let calls = format!("{}1{}", "abs(".repeat(depth), ")".repeat(depth));
            let (blocks, lists) = (HCL_DEPTH_MAX / 2, HCL_DEPTH_MAX / 2);
            let lists = format!("{}{calls}{}", "[".repeat(lists), "]".repeat(lists));
            format!("{}x = {lists}\n{}", "b {\n".repeat(blocks), "}\n".repeat(blocks))
        };
        let mut depth = 1;
        while parse(&nested(depth + 1), Dialect::Jobspec).is_ok() {
            depth += 1;
        }
        // Locals within locals, each as deep as an expression may be.
        let steps: String = (1..50)
            .map(|at| format!("  a{:05} = {}local.a{at:05}{}\n", at - 1, "abs(".repeat(20), ")".repeat(20)))
            .collect();
        let locals = format!("locals {{\n{steps}  a00049 = 1\n}}\n");
        assert!(parse(&locals, Dialect::Jobspec).is_err());
        depth
    });
    assert!(read.unwrap().join().unwrap() > 10);
}

#[test]
fn great_documents_are_read_in_one_pass() {
    let whole = |unit: &str| unit.repeat(HCL_BYTES_MAX / unit.len());
    let inside = |before: &str, unit: &str, behind: &str| {
        format!("{before}{}{behind}", unit.repeat((HCL_BYTES_MAX - before.len() - behind.len()) / unit.len()))
    };
    let variable = "variable \"x\" {\n default = 1\n}\n";
    let table = format!("a = length({{{}}})\n", (0..500).map(|at| format!("k{at}=1,")).collect::<String>());
    let cases = [
        whole("a = 1 + 1\n"),
        whole(&table),
        inside(variable, "a = \"${var.x} ${var.x}\"\n", ""),
        inside("a = [", "{ b = [] },", "]"),
        inside("a = \"", "${node.id}", "\""),
        inside("a = <<E\n", "x $ % ${node.id}\n", "E\n"),
        inside("a = <<-E\n", "  x\n", "E\n"),
        inside("/*", "*", "*/"),
    ];
    for text in cases {
        let read = parse(&text, Dialect::Jobspec);
        assert!(read.is_ok(), "{text:.40}: {:?}", read.err());
    }
}
