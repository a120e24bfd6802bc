//! Errors in documents, with their line and column.

use super::super::{Dialect, Variables, parse, parse_with};
use super::shown;

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
        ("a = 0xZZ", 1, 5, "hexadecimal"),
        ("a = 1e999", 1, 5, "not a number"),
        ("\na = service", 2, 5, "words stand in quotes"),
        ("a = var.x", 1, 5, "there is no variable `x`"),
        ("a = 1 +", 1, 6, "cannot be read"),
        ("a = 1 + (2", 1, 10, "cannot be read"),
        ("a = [\n  1,\n  2 + upper(\"x\")\n]", 3, 7, "`+` has to be a number, and is \"X\""),
        ("a = 1 + [for x in [\n 1, 2\n]: x.y]", 3, 4, "`y` is looked for in 1, which is no object"),
        ("a = \"x ${var.y}\"", 1, 10, "there is no variable `y`"),
        ("a = \"x ${  upper([])}\"", 1, 12, "argument 1 of `upper` has to be a string"),
        ("a = \"x ${[1]}\"", 1, 10, "the value of `[1]` within a text has to be a string, and is a list"),
        ("a = \"x ${node.dc\"", 1, 8, "never closed"),
        ("a = \"%{if true}\"", 1, 5, "`%{ endif }` or `%{ endfor }` is missing"),
        ("a = \"%{if true\"", 1, 6, "never closed"),
        ("a = \"x %{ nonsense }\"", 1, 8, "cannot be read"),
        ("a = <<-EOH\n    b\n      ${upper()}\n    EOH\n", 3, 9, "`upper` wants 1 arguments, and has 0"),
        (
            "a = <<-EOH\n    b\n    %{ if c }x%{ endif }\n    EOH\n",
            3,
            11,
            "has to be true or false, and is \"${c}\"",
        ),
        ("a = \"${HOME:-/root}\"", 1, 12, "`${` itself is written `$${`"),
        ("a = { (b) = 1 }", 1, 8, "`b` is not a value"),
        ("a = { (1 = 1 }", 1, 7, "`)` is missing"),
        ("a = node.class + 1", 1, 5, "has to be a number, and is \"${node.class}\""),
        ("a = upper(service)", 1, 11, "`service` is not a value; words stand in quotes"),
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
fn faults_in_what_a_document_declares_have_their_places() {
    let cases = [
        ("variable {}", 1, 1, "a variable has one name"),
        ("variable \"x\" {\n}", 1, 1, "the variable `x` has no default, and no value is given for it"),
        ("variable \"x\" {\n  typ = string\n}", 2, 3, "a variable has no `typ`; is `type` meant?"),
        ("variable \"x\" {\n  type = strin\n}", 2, 10, "`strin` is no type"),
        ("variable \"x\" {\n  type = list(1)\n}", 2, 15, "this is no type"),
        ("variable \"x\" {\n type = number\n default = \"a\"\n}", 3, 12, "`x` is not of its type"),
        (
            "variable \"x\" {\n type = list(number)\n default = [1, \"a\"]\n}",
            3,
            12,
            "item 1: it has to be a number",
        ),
        (
            "variable \"x\" {\n default = 1\n}\nvariable \"x\" {\n default = 2\n}",
            4,
            1,
            "`x` is on line 1 already",
        ),
        (
            "variable \"x\" {\n default = var.y\n}\nvariable \"y\" {\n default = 2\n}",
            2,
            12,
            "no variable `y` here",
        ),
        ("variables \"x\" {}", 1, 11, "no name behind it"),
        ("variables {\n  x {}\n}", 2, 3, "and no blocks"),
        ("locals {\n  a = 1\n  a = 2\n}", 3, 3, "the local `a` is on line 2 already"),
        ("locals {\n  a = local.b\n  b = local.a\n}", 3, 7, "`local.a` is made from itself"),
        ("locals {\n  abc = 1\n}\nx = local.abd", 4, 5, "no local `abd` here; is `local.abc` meant?"),
        ("variable \"x\" {\n default = 1\n validation {\n }\n}", 3, 2, "has a `condition`"),
        (
            "variable \"x\" {\n default = 1\n validation {\n  condition = var.x > 1\n  error_message = \"One is too few.\"\n }\n}",
            1,
            1,
            "the value of the variable `x` is refused: One is too few.",
        ),
        ("dynamic {}", 1, 1, "names the blocks it stands for"),
        ("dynamic \"b\" {\n content {}\n}", 1, 1, "has no `for_each`"),
        ("dynamic \"b\" {\n for_each = []\n}", 1, 1, "has no `content`"),
        ("dynamic \"b\" {\n for_eech = []\n}", 2, 2, "is `for_each` meant?"),
        ("dynamic \"b\" {\n for_each = 1\n content {}\n}", 2, 13, "goes through a list or an object"),
        ("dynamic \"b\" {\n for_each = []\n content {\n  a = 1 +\n }\n}", 4, 8, "cannot be read"),
        ("dynamic \"b\" {\n for_each = [1]\n iterator = 1 + 1\n content {}\n}", 3, 13, "has to be a name"),
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
fn faults_in_what_is_given_are_told_at_the_variable() {
    let text = "\nvariable \"x\" {\n  type = list(string)\n}";
    let cases = [
        ("y", "1", 1, "the variable `y`, which is not declared; is `x` meant?"),
        ("x", "[", 2, "given for the variable `x` cannot be read: its line 1, column 1"),
        ("x", "[] 1", 2, "column 4: there is more behind the value"),
        ("x", "a", 2, "`a` is not a value"),
        ("x", "{}", 2, "is not of its type: it has to be a list, and is an object"),
    ];
    for (name, given, line, wanted) in cases {
        let error = parse_with(text, &Variables::from_iter([(name, given)])).unwrap_err();
        assert_eq!(error.line, line, "{given}: {error}");
        assert!(error.text.contains(wanted), "{given}: {error}");
    }
    let mut variables = Variables::new();
    assert_eq!(variables.read("x = 1\ny {}").unwrap_err().line, 2);
}

#[test]
fn what_an_author_wrote_is_quoted_in_short() {
    let long = "x".repeat(10_000);
    for text in [
        long.clone(),
        format!("a = {long}"),
        format!("a = 1{long}"),
        format!("a = <<{long}\n"),
        format!("a = {long}(1)"),
        format!("a = \"${{{long}()}}\""),
        format!("a = \"${{var.{long}}}\""),
        format!("variable \"{long}\" {{}}"),
        format!("variable \"x\" {{ {long} = 1 }}"),
        format!("locals {{ a = local.{long} }}"),
    ] {
        let error = parse(&text, Dialect::Jobspec).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
}
