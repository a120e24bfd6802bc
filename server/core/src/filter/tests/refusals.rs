//! Expressions that are rejected, and expressions that do not fit a row.

use expect_test::expect;

use super::*;

fn refusal(expression: &str) -> String {
    match Filter::parse(expression).map_err(|error| error.to_string()) {
        Ok(_) => panic!("read: {expression}"),
        Err(error) => error.replace("failed to read filter expression: ", ""),
    }
}

#[test]
fn what_is_no_expression_is_told_with_its_column() {
    let told: Vec<String> = [
        "",
        "   ",
        "NotValid",
        "Status = running",
        "Status == ",
        "Status == running and",
        "Status == running or or",
        "Status == running Type == batch",
        "(Status == running",
        "Status == running)",
        "\"running\" == Status",
        "5 == Priority",
        "JobID == my-job",
        "Meta.a-b == x",
        "Priority == 5x",
        "Version == 1.2.3",
        "Status is",
        "Status is not",
        "Status is full",
        "Status not",
        "Status not is empty",
        "Status < 3",
        "Status ==== 3",
        "Meta. == x",
        "Meta[a] == x",
        "Meta[] == x",
        "Meta[\"a\" == x",
        "Name == \"abc",
        "Name == `abc",
        "Name == \"a\\q\"",
        "Name == \"a\\x4\"",
        "Name == \"\\ud800\"",
        "Name == \"\\xff\"",
        "Name == \"\\777\"",
        "Name == \"\\",
        "Näme == x",
        "\"größe\" in ",
        "x in 5",
        "x in \"Tags\"",
        "Name matches \"(\"",
        "Name matches \"(\\\\w{200}){200}\"",
        "any Tags { x == y }",
        "any Tags as { x == y }",
        "any Tags as x x == y }",
        "any Tags as x { x == y",
        "any Tags as x, { x == y }",
        "any Tags as _ { _ == y }",
        "all \"Tags\" as t { t == x }",
        "{",
        "-",
        "\u{0}",
    ]
    .iter()
    .map(|expression| format!("{expression:?} → {}", refusal(expression)))
    .collect();
    expect![[r#"
        "" → column 1: expected a selector such as Status, a quoted value, `not` or `(`, found the end
        "   " → column 4: expected a selector such as Status, a quoted value, `not` or `(`, found the end
        "NotValid" → column 9: expected ==, !=, contains, in, is, matches or not after `NotValid`, found the end
        "Status = running" → column 8: expected ==, !=, contains, in, is, matches or not after `Status`, found `= running`
        "Status == " → column 11: expected a value, found the end
        "Status == running and" → column 22: expected a selector such as Status, a quoted value, `not` or `(`, found the end
        "Status == running or or" → column 24: expected ==, !=, contains, in, is, matches or not after `or`, found the end
        "Status == running Type == batch" → column 19: expected `and`, `or` or the end, found `Type == batch`
        "(Status == running" → column 19: expected `and`, `or` or `)`, found the end
        "Status == running)" → column 18: expected `and`, `or` or the end, found `)`
        "\"running\" == Status" → column 1: expected a selector such as Status or "/Status", found `"running" == Status`
        "5 == Priority" → column 1: expected a selector, as all operators but `in` need one, found `5 == Priority`
        "JobID == my-job" → column 12: expected a space after `my`; other values are put in quotes, found `-job`
        "Meta.a-b == x" → column 7: expected ==, !=, contains, in, is, matches or not after `Meta.a`; names with other characters are written as Meta["a-b"], found `-b == x`
        "Priority == 5x" → column 14: expected a space after `5`; other values are put in quotes, found `x`
        "Version == 1.2.3" → column 15: expected a space after `1.2`; other values are put in quotes, found `.3`
        "Status is" → column 10: expected `empty`, `nil`, `not empty` or `not nil`, found the end
        "Status is not" → column 14: expected `empty`, `nil`, `not empty` or `not nil`, found the end
        "Status is full" → column 11: expected `empty`, `nil`, `not empty` or `not nil`, found `full`
        "Status not" → column 8: expected ==, !=, contains, in, is, matches or not after `Status`, found `not`
        "Status not is empty" → column 8: expected ==, !=, contains, in, is, matches or not after `Status`, found `not is empty`
        "Status < 3" → column 8: expected ==, !=, contains, in, is, matches or not after `Status`, found `< 3`
        "Status ==== 3" → column 10: expected a value, found `== 3`
        "Meta. == x" → column 6: expected a name after the dot, found `== x`
        "Meta[a] == x" → column 6: expected a quoted name or a number, and `]`, found `a] == x`
        "Meta[] == x" → column 6: expected a quoted name or a number, and `]`, found `] == x`
        "Meta[\"a\" == x" → column 9: expected a quoted name or a number, and `]`, found `== x`
        "Name == \"abc" → column 9: this text is never closed: its second quote is missing
        "Name == `abc" → column 9: this text is never closed: its second quote is missing
        "Name == \"a\\q\"" → column 11: there is no escape `\q`; in backticks there are none at all
        "Name == \"a\\x4\"" → column 11: this escape has too few digits
        "Name == \"\\ud800\"" → column 10: this escape is no character
        "Name == \"\\xff\"" → column 9: the escapes of this text are no UTF-8
        "Name == \"\\777\"" → column 10: this escape is no byte
        "Name == \"\\" → column 10: this escape has no end
        "Näme == x" → column 2: expected ==, !=, contains, in, is, matches or not after `N`; names with other characters are written as Meta["a-b"], found `äme == x`
        "\"größe\" in " → column 12: expected a selector such as Status or "/Status", found the end
        "x in 5" → column 6: expected a selector such as Status or "/Status", found `5`
        "x in \"Tags\"" → column 6: expected a selector such as Status or "/Status", found `"Tags"`
        "Name matches \"(\"" → column 14: this is not a regular expression: missing closing ): `(`
        "Name matches \"(\\\\w{200}){200}\"" → column 14: this is not a regular expression: invalid repeat count: `{200}`
        "any Tags { x == y }" → column 10: expected `as` and a name for the elements, found `{ x == y }`
        "any Tags as { x == y }" → column 13: expected a name, found `{ x == y }`
        "any Tags as x x == y }" → column 15: expected `{` and a condition, found `x == y }`
        "any Tags as x { x == y" → column 23: expected `and`, `or` or `}`, found the end
        "any Tags as x, { x == y }" → column 16: expected a name, found `{ x == y }`
        "any Tags as _ { _ == y }" → column 17: expected a selector such as Status, a quoted value, `not` or `(`, found `_ == y }`
        "all \"Tags\" as t { t == x }" → column 5: expected a selector such as Status or "/Status", found `"Tags" as t { t == x }`
        "{" → column 1: expected a selector such as Status, a quoted value, `not` or `(`, found `{`
        "-" → column 1: expected a number, found `-`
        "\0" → column 1: expected a selector such as Status, a quoted value, `not` or `(`, found ` `"#]].assert_eq(&told.join("\n"));
}

#[test]
fn what_does_not_fit_a_row_is_told() {
    let told: Vec<String> = [
        "Status == running",
        "Dataceters is empty",
        "Priority == high",
        "Priority == 50.0",
        "Stop == maybe",
        "Share == half",
        "Datacenters == dc1",
        "Meta != x",
        "Priority is empty",
        "Stop is not empty",
        "Priority contains 5",
        "Priority matches 5",
        "Datacenters matches dc1",
        "x in Ports",
        "Name.First == x",
        "Datacenters.first == x",
        "any Name as n { n == w }",
        "any TaskGroups as t { t == x }",
        "any TaskGroups as t { t.Name.x == 1 }",
        "a in TaskGroups",
    ]
    .iter()
    .map(|expression| {
        let error = Filter::parse(expression).unwrap().matches(&row()).unwrap_err().to_string();
        format!("{expression} → {}", error.replace("failed to read result page: ", ""))
    })
    .collect();
    expect![[r#"
        Status == running → error finding value in datum: /Status at part 0: couldn't find key "Status"
        Dataceters is empty → error finding value in datum: /Dataceters at part 0: couldn't find key "Dataceters"; did you mean Datacenters?
        Priority == high → /Priority is a whole number, which "high" is not
        Priority == 50.0 → /Priority is a whole number, which "50.0" is not
        Stop == maybe → /Stop is true or false, which "maybe" is not
        Share == half → /Share is a number, which "half" is not
        Datacenters == dc1 → /Datacenters is a list; == compares single values, use contains, in or is empty
        Meta != x → /Meta is a map; == compares single values, use contains, in or is empty
        Priority is empty → /Priority is a whole number; `is empty` asks of texts, lists and maps, use ==
        Stop is not empty → /Stop is true or false; `is empty` asks of texts, lists and maps, use ==
        Priority contains 5 → /Priority is a whole number; only lists, maps and texts contain something
        Priority matches 5 → /Priority is a whole number; only a text can match a regular expression
        Datacenters matches dc1 → /Datacenters is a list; only a text can match a regular expression
        x in Ports → an element of /Ports is a whole number, which "x" is not
        Name.First == x → error finding value in datum: /Name/First: couldn't find key "First": what it belongs to is a text, which has no members
        Datacenters.first == x → error finding value in datum: /Datacenters/first: couldn't find key "first": what it belongs to is a list, whose elements are numbered from 0
        any Name as n { n == w } → /Name is a text; `any` and `all` look into lists and maps
        any TaskGroups as t { t == x } → /t is a map; == compares single values, use contains, in or is empty
        any TaskGroups as t { t.Name.x == 1 } → error finding value in datum: /t/Name/x: couldn't find key "x": what it belongs to is a text, which has no members
        a in TaskGroups → an element of /TaskGroups is a map; == compares single values, use contains, in or is empty"#]].assert_eq(&told.join("\n"));
}

#[test]
fn everything_about_a_filter_has_a_bound() {
    let long = format!("Name == \"{}\"", "x".repeat(FILTER_BYTES_MAX));
    let expected = format!("it has {} bytes, and no more than 8192 are read", FILTER_BYTES_MAX + 10);
    assert_eq!(expected, refusal(&long));

    let nested = |depth: usize| format!("{}a == 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(FILTER_NESTING_MAX)).is_ok());
    assert_eq!(
        "column 34: more than 32 parentheses and braces within each other",
        refusal(&nested(FILTER_NESTING_MAX + 1))
    );
    assert!(refusal(&nested(4000)).contains("within each other"));
    assert!(refusal(&"any a as b { ".repeat(500)).contains("within each other"));
    assert!(holds(&row(), &format!("{}Stop == false", "not ".repeat(2000))));

    let path = |names: usize| format!("a{} == 1", ".b".repeat(names - 1));
    assert!(Filter::parse(&path(FILTER_SELECTOR_NAMES_MAX)).is_ok());
    assert_eq!("column 1: a selector of more than 32 names", refusal(&path(FILTER_SELECTOR_NAMES_MAX + 1)));
    assert!(refusal(&format!("\"{}\" is empty", "/".repeat(4000))).contains("more than 32 names"));

    let regexes = |count: usize| vec!["Name matches `x`"; count].join(" or ");
    assert!(Filter::parse(&regexes(FILTER_REGEXES_MAX)).is_ok());
    assert!(refusal(&regexes(FILTER_REGEXES_MAX + 1)).ends_with("more than 16 regular expressions"));
}

#[test]
fn a_row_takes_no_more_than_so_many_steps() {
    let row = json!({"a": (0..100).collect::<Vec<_>>()});
    let inner = "any a as x { any a as y { any a as z { z == 100 } } }";
    let error = Filter::parse(inner).unwrap().matches(&row).unwrap_err().to_string();
    assert!(error.contains("more than 10000 comparisons"), "{error}");
    let row = json!({"a": (0..50).collect::<Vec<_>>()});
    assert!(holds(&row, "not any a as x { any a as y { y == 100 } or x == 50 }"));
}

#[test]
fn what_has_no_json_is_told() {
    #[derive(Serialize)]
    enum Odd {
        Of(u8),
    }
    let row = BTreeMap::from([("a", Odd::Of(1))]);
    let error = Filter::parse("a == 1").unwrap().matches(&row).unwrap_err().to_string();
    assert_eq!(
        "failed to read result page: a row holds a variant, which has no JSON that filters know",
        error
    );
    assert!(Filter::parse("a == 1").unwrap().matches("text").is_err());
}
