//! Properties that hold for every text.

use super::super::{Dialect, parse, parse_hcl1};
use proptest::prelude::*;

/// Words of documents, so that some generated texts are nearly valid.
fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "a",
        "b",
        "job",
        "var.",
        "local.",
        "variable",
        "locals",
        "dynamic",
        "content",
        "for_each",
        "for",
        "in",
        "if",
        "else",
        "endif",
        "endfor",
        "\"",
        "\\\"",
        "\\",
        "${",
        "%{",
        "$${",
        "}",
        "{",
        "[",
        "]",
        "(",
        ")",
        "=",
        "=>",
        ":",
        ",",
        ".",
        "*",
        "+",
        "-",
        "!",
        "?",
        "==",
        "<<E\n",
        "<<-E\n",
        "\nE\n",
        "\n",
        " ",
        "#",
        "//",
        "/*",
        "*/",
        "1",
        "0x",
        "1.5",
        "-",
        "true",
        "null",
        "upper(",
        "try(",
        "range(3)",
        "format(\"%s\",",
        "~",
        "...",
        "é",
        "\u{feff}",
        "\r\n",
        "\t",
        "\0",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "[a-z\"\\\\${}\\[\\]=<>\\-#/* \\n0-9.,:%!?()+]{0,200}") {
        for dialect in [Dialect::Jobspec, Dialect::Configuration, Dialect::Json] {
            let _ = parse(&text, dialect);
        }
    }

    #[test]
    fn any_words_are_answered(words in proptest::collection::vec(word(), 0..60)) {
        let text = words.concat();
        for dialect in [Dialect::Jobspec, Dialect::Configuration, Dialect::Json] {
            let _ = parse(&text, dialect);
        }
        let _ = parse_hcl1(&text);
    }

    #[test]
    fn a_text_is_read_as_it_was_quoted(text in any::<String>()) {
        let quoted = serde_json::Value::from(text.as_str()).to_string().replace("${", "$${").replace("%{", "%%{");
        let document = format!("a = {quoted}\n");
        let body = parse(&document, Dialect::Jobspec).unwrap();
        prop_assert_eq!(body.to_free_form(Dialect::Jobspec), serde_json::json!({"a": text}));
    }
}
