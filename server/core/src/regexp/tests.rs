//! Expressions whose meaning in RE2 differs from that in the crate `regex`, and the refusals. All expectations were
//! compared with Go's package `regexp`.

use super::*;

fn compiled(pattern: &str) -> Result<Regex, String> {
    let size_max = 1 << 20;
    Pattern::parse(pattern).and_then(|it| it.compile(size_max, size_max)).map_err(|error| error.to_string())
}

#[test]
fn expressions_match_as_in_re2() {
    // Pattern, a text that matches, and one that does not.
    let cases = [
        (r"^\d+$", Some("12"), Some("٣")),
        (r"^\D$", Some("٣"), Some("3")),
        (r"^\w+$", Some("a_1"), Some("ünï")),
        (r"^\W$", Some("ü"), Some("u")),
        (r"(?i)^\w$", Some("\u{212a}"), Some("ü")),
        (r"(?i)^[^\w]$", Some("ü"), Some("ſ")),
        (r"^\s$", Some("\u{c}"), Some("\u{b}")),
        (r"^\S$", Some("\u{a0}"), Some(" ")),
        (r"^[[:space:]]$", Some("\u{b}"), Some("\u{a0}")),
        (r"^[[:^alpha:]x]+$", Some("1xü"), Some("a")),
        (r"^[[:alpha:]$", None, None),
        (r"\bx", Some("üx"), Some("yx")),
        (r"^ü\Bü$", Some("üü"), Some("uu")),
        (r"^[a-z&&[^b]]$", Some("&]"), Some("a")),
        (r"^[~~]$", Some("~"), Some("a")),
        (r"^[a--b]$", None, None),
        (r"^[+--]$", Some(","), Some("a")),
        (r"^[a-]$", Some("-"), Some("b")),
        (r"^[-a]$", Some("-"), Some("b")),
        (r"^[]a]$", Some("]"), Some("b")),
        (r"^[^]a]$", Some("b"), Some("]")),
        (r"^[[a]$", Some("["), Some("b")),
        (r"^[\]\-\\]+$", Some(r"]-\"), Some("b")),
        (r"^[^a]$", Some("\n"), Some("a")),
        (r"^[\x{d7fe}-\x{e001}]$", Some("\u{d7ff}"), Some("\u{e002}")),
        (r"^[\x{d800}]$", None, Some("a")),
        (r"^[^\x{d800}-\x{dfff}]$", Some("a"), Some("")),
        (r"^\x{d800}?$", Some(""), Some("a")),
        (r"a{,2}", Some("a{,2}"), Some("aa")),
        (r"^a{01}$", Some("a{01}"), Some("a")),
        (r"^a{$", Some("a{"), Some("a")),
        (r"^{1}a$", Some("a"), Some("{1}a")),
        (r"^a{2,}$", Some("aaa"), Some("a")),
        (r"^a{0}b{2}$", Some("bb"), Some("abb")),
        (r"^(?:a{500}){2}$", None, Some("a")),
        (r"^a]}$", Some("a]}"), Some("a")),
        (r"^\Qa.b*\E+$", Some("a.b***"), Some("aXb")),
        (r"^\Qa\E\Q\E*$", Some("aaa"), Some("b")),
        (r"^a*\Q\E*b$", Some("aab"), Some("ac")),
        (r"\Qa(", Some("a("), Some("a")),
        (r"^a(?i)*b$", Some("aaB"), Some("A")),
        (r"^a(?i)b|c$", Some("C"), Some("A")),
        (r"^(?:(?i)a)b$", Some("Ab"), Some("AB")),
        (r"^(?i:a(?-i:b)c)$", Some("AbC"), Some("ABC")),
        (r"^(?i)a(b)[c]\pL(?-i)d$", Some("ABCxd"), Some("ABCxD")),
        (r"^(?i)\p{Lu}$", Some("a"), Some("1")),
        (r"(?i)ſ", Some("S"), Some("f")),
        (r"^a.b$", Some("aüb"), Some("a\nb")),
        (r"(?s)^a.b$", Some("a\nb"), Some("ab")),
        (r"(?m)^b$", Some("a\nb\nc"), Some("ab")),
        (r"^b$", Some("b"), Some("b\n")),
        (r"\Ab\z", Some("b"), Some("b\n")),
        (r"(?m)\Ab\z", Some("b"), Some("a\nb")),
        (r"^(?U)a+?b$", Some("aab"), Some("b")),
        (r"^(?)a$", Some("a"), Some("b")),
        (r"^(?P<1a>x)(?P<1a>y)$", Some("xy"), Some("x")),
        (r"^(?<n>x)$", Some("x"), Some("y")),
        (r"^\pN\p{Greek}\P{^Greek}\PL$", Some("1αβ1"), Some("aαβ1")),
        (r"^\p{Any}$", Some("\n"), Some("")),
        (r"^\pC$", Some("\u{1}"), Some("\u{378}")),
        (r"^[\PC]$", Some("\u{378}"), Some("\u{1}")),
        (r"^\p{Cs}$", None, Some("a")),
        (r"^\012\0\07\101\x41\x{1F600}$", Some("\n\0\u{7}AA😀"), Some("")),
        (r"^\a\f\n\r\t\v$", Some("\u{7}\u{c}\n\r\t\u{b}"), Some("")),
        (r"^\_\-\#\ \&\~$", Some("_-# &~"), Some("")),
        (r"# x", Some("# x"), Some("x")),
        (r"()*", Some(""), None),
        (r"a||b", Some(""), None),
        (r"(|a)+^*\b*", Some(""), None),
    ];
    for (pattern, matched, other) in cases {
        let regex = compiled(pattern);
        match &regex {
            Ok(regex) => {
                assert!(matched.is_none_or(|text| regex.is_match(text)), "{pattern} matches {matched:?}");
                assert!(other.is_none_or(|text| !regex.is_match(text)), "{pattern} does not match {other:?}");
            }
            Err(_) => assert_eq!((matched, other), (None, None), "{pattern}: {regex:?}"),
        }
    }
}

#[test]
fn what_is_malformed_is_refused_in_the_words_of_go() {
    let cases = [
        ("(", "missing closing ): `(`"),
        ("a(b|c", "missing closing ): `a(b|c`"),
        ("a)b", "unexpected ): `a)b`"),
        ("x[a", "missing closing ]: `[a`"),
        ("[", "missing closing ]: `[`"),
        ("[]a", "missing closing ]: `[]a`"),
        ("[a-", "missing closing ]: `[a-`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*?", "missing argument to repetition operator: `*?`"),
        ("(?i)+", "missing argument to repetition operator: `+`"),
        ("({2})", "missing argument to repetition operator: `{2}`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*{2}?b", "invalid nested repetition operator: `*{2}?`"),
        ("a??+", "invalid nested repetition operator: `??+`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("x{1001}", "invalid repeat count: `{1001}`"),
        ("x{1001}*", "invalid repeat count: `{1001}`"),
        ("x{99999999999999999999999,}", "invalid repeat count: `{99999999999999999999999,}`"),
        (r"(\w{200}){200}", "invalid repeat count: `{200}`"),
        ("((x{2}|y){10,}z){51}", "invalid repeat count: `{51}`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"\K", r"invalid escape sequence: `\K`"),
        (r"a\Z", r"invalid escape sequence: `\Z`"),
        (r"a\Ca", r"invalid escape sequence: `\C`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"\ü", r"invalid escape sequence: `\ü`"),
        (r"(x)\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\x", r"invalid escape sequence: `\x`"),
        (r"\x1g", r"invalid escape sequence: `\x1g`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("(?=x)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<=x)", "invalid named capture: `(?<=x)`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?", "invalid or unsupported Perl syntax: `(?`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?P<n-m>x)", "invalid named capture: `(?P<n-m>`"),
        (r"\p", r"invalid character class range: `\p`"),
        (r"\psx", r"invalid character class range: `\ps`"),
        (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
        (r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`"),
    ];
    for (pattern, told) in cases {
        assert_eq!(compiled(pattern).map(|_| ()), Err(told.to_owned()), "{pattern}");
    }
}

#[test]
fn expressions_are_compiled_to_any_nesting_that_is_allowed() {
    let nested = |levels: usize| format!("{}a{}", "(?i:b|x".repeat(levels), ")*".repeat(levels));
    let regex = compiled(&nested(NESTING_MAX)).expect("as many levels as are allowed");
    assert!(regex.is_match("XXXb"));
    let deep = nested(NESTING_MAX + 1);
    assert_eq!(compiled(&deep).map(|_| ()), Err(format!("{NESTS_TOO_DEEPLY}: `{deep}`")));
    let repeated = format!("a{}", r"*\Q\E".repeat(NESTING_MAX + 2));
    assert_eq!(compiled(&repeated).map(|_| ()), Err(format!("{NESTS_TOO_DEEPLY}: `{repeated}`")));
}

#[test]
fn a_translation_is_at_most_ten_times_as_long() {
    for part in
        ["a", r"\w", r"\W", r"\pC", r"\b", ".", "^", "[^a]", "[a-b]", "(a)", r"\Q*\E", "a|", "(?i)a(?-i)b"]
    {
        for flags in ["", "(?ims)"] {
            let source = format!("{flags}{}", part.repeat(100));
            let length = translate::translate(&source).expect("well-formed").len();
            assert!(length <= 10 * source.len(), "{part}: {length}");
        }
    }
}
