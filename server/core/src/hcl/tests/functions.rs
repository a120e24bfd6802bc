//! Results and errors of every function.

use super::{assert_refused, assert_values};
use serde_json::json;

#[test]
fn functions_on_texts() {
    assert_values(&[
        ("upper(\"aé\")", json!("AÉ")),
        ("lower(\"AÉ\")", json!("aé")),
        ("title(\"hello big world\")", json!("Hello Big World")),
        ("strrev(\"añb\")", json!("bña")),
        ("trimspace(\" \\n a b\\t\")", json!("a b")),
        ("chomp(\"a\\r\\n\\n\")", json!("a")),
        ("trim(\"?!a?!\", \"!?\")", json!("a")),
        ("trimprefix(\"abc\", \"ab\")", json!("c")),
        ("trimsuffix(\"abc\", \"bc\")", json!("a")),
        ("trimsuffix(\"abc\", \"x\")", json!("abc")),
        ("startswith(\"abc\", \"ab\")", json!(true)),
        ("endswith(\"abc\", \"ab\")", json!(false)),
        ("strcontains(\"abc\", \"b\")", json!(true)),
        ("strlen(\"aé\")", json!(2)),
        ("substr(\"hello\", 1, 3)", json!("ell")),
        ("substr(\"hello\", -3, -1)", json!("llo")),
        ("substr(\"hello\", 9, 1)", json!("")),
        ("split(\",\", \"a,b,,c\")", json!(["a", "b", "", "c"])),
        ("split(\",\", \"\")", json!([])),
        ("split(\"\", \"ab\")", json!(["a", "b"])),
        ("join(\"-\", [\"a\", 1], [true])", json!("a-1-true")),
        ("indent(2, \"a\\nb\\nc\")", json!("a\n  b\n  c")),
        ("basename(\"a/b/c.txt\")", json!("c.txt")),
        ("dirname(\"a/b/c.txt\")", json!("a/b")),
        ("dirname(\"/a\")", json!("/")),
        ("dirname(\"a\")", json!(".")),
        ("replace(\"1 + 2 + 3\", \"+\", \"-\")", json!("1 - 2 - 3")),
        ("replace(\"hello world\", \"/w.*d/\", \"everybody\")", json!("hello everybody")),
        ("regex_replace(\"a1b2\", \"([a-z])([0-9])\", \"$2$1\")", json!("1a2b")),
        ("regex(\"[a-z]+\", \"53453453.345345aaabbbccc23454\")", json!("aaabbbccc")),
        ("regex(\"(\\\\d+)-(\\\\d+)\", \"2019-02\")", json!(["2019", "02"])),
        ("regex(\"(?P<y>\\\\d+)-(?P<m>\\\\d+)\", \"2019-02\")", json!({"y": "2019", "m": "02"})),
        ("regexall(\"[a-z]+\", \"1a2bc\")", json!(["a", "bc"])),
        ("regexall(\"x\", \"abc\")", json!([])),
    ]);
    assert_refused(&[
        ("regex(\"x\", \"abc\")", "`x` is not found in the text"),
        ("regex(\"(\", \"abc\")", "`(` is no regular expression"),
        ("indent(-1, \"a\")", "argument 1 of `indent` is below zero"),
        ("join(\",\", [[]])", "every item of argument 2 of `join` has to be a string, and is a list"),
        ("substr(\"a\", \"b\", 1)", "argument 2 of `substr` has to be a whole number"),
    ]);
}

#[test]
fn format_writes_after_a_pattern() {
    assert_values(&[
        ("format(\"%s is %d years, 100%%\", \"Ann\", 42)", json!("Ann is 42 years, 100%")),
        ("format(\"%v %v %v\", 1.5, true, [1, \"a\"])", json!("1.5 true [1,\"a\"]")),
        ("format(\"%#v %#v\", \"a\", null)", json!("\"a\" null")),
        ("format(\"%q\", \"a\\\"b\")", json!("\"a\\\"b\"")),
        ("format(\"%5d|%-5d|%05d|%+d\", 42, 42, -42, 42)", json!("   42|42   |-0042|+42")),
        ("format(\"%.2f %8.3f %f\", 3.14159, 2.5, 1)", json!("3.14    2.500 1.000000")),
        ("format(\"%e %g\", 1500, 0.5)", json!("1.500000e+03 0.5")),
        ("format(\"%b %o %x %X %#x\", 5, 8, 255, 255, 255)", json!("101 10 ff FF 0xff")),
        ("format(\"%5s|%-5s|%.2s\", \"ab\", \"ab\", \"abc\")", json!("   ab|ab   |ab")),
        ("format(\"%[2]s %[1]s\", \"a\", \"b\")", json!("b a")),
        ("format(\"%t\", \"true\")", json!("true")),
        ("formatlist(\"%s-%d\", [\"a\", \"b\"], 1)", json!(["a-1", "b-1"])),
        ("formatlist(\"%s%s\", [\"a\", \"b\"], [1, 2])", json!(["a1", "b2"])),
    ]);
    assert_refused(&[
        ("format(\"%d\", \"a\")", "the argument of `%d` has to be a whole number"),
        ("format(\"%s\")", "`%s` is the verb of argument 1, and there is none"),
        ("format(\"a\", 1)", "the pattern has verbs for 0 arguments, and there are 1"),
        ("format(\"%k\", 1)", "`%k` is not a verb"),
        ("format(\"%\", 1)", "ends within a verb"),
        ("format(\"%[0]d\", 1)", "from 1"),
        ("format(\"%[1d\", 1)", "`]` is missing"),
        ("formatlist(\"%s%s\", [1], [1, 2])", "have to be of one length"),
    ]);
}

#[test]
fn functions_on_numbers() {
    assert_values(&[
        ("abs(-5)", json!(5)),
        ("abs(-0.5)", json!(0.5)),
        ("ceil(1.1)", json!(2)),
        ("floor(-1.1)", json!(-2)),
        ("floor(7)", json!(7)),
        ("signum(-13)", json!(-1)),
        ("signum(0)", json!(0)),
        ("signum(0.5)", json!(1)),
        ("max(1, 12.5, 9)", json!(12.5)),
        ("min([3, 1, 2]...)", json!(1)),
        ("sum([1, 2.5, \"3\"])", json!(6.5)),
        ("pow(3, 2)", json!(9)),
        ("pow(4, 0.5)", json!(2)),
        ("pow(2, -1)", json!(0.5)),
        ("log(16, 2)", json!(4)),
        ("parseint(\"FF\", 16)", json!(255)),
        ("parseint(\"-101\", 2)", json!(-5)),
        ("tonumber(\"1.5\")", json!(1.5)),
        ("tostring(1.5)", json!("1.5")),
        ("tobool(\"true\")", json!(true)),
        ("tonumber(null)", json!(null)),
    ]);
    assert_refused(&[
        ("abs(0 - 9223372036854775807 - 1)", "64 bits"),
        ("parseint(\"12\", 2)", "is no whole number of 64 bits with the base 2"),
        ("parseint(\"1\", 99)", "from 2 to 36"),
        ("log(0, 0)", "beyond what a number can be"),
        ("sum([9223372036854775807, 1])", "64 bits"),
        ("tonumber(\"inf\")", "has to be a number"),
        ("tonumber(\"nan\")", "has to be a number"),
        ("ceil(\"a\")", "argument 1 of `ceil` has to be a number, and is \"a\""),
    ]);
}

#[test]
fn functions_on_lists() {
    assert_values(&[
        ("length([1, 2])", json!(2)),
        ("length({ a = 1 })", json!(1)),
        ("length(\"abc\")", json!(3)),
        ("concat([1], [], [2, 3])", json!([1, 2, 3])),
        ("contains([\"a\", \"b\"], \"b\")", json!(true)),
        ("contains([1], \"1\")", json!(false)),
        ("distinct([1, \"a\", 1, \"a\", [1], [1]])", json!([1, "a", [1]])),
        ("element([\"a\", \"b\", \"c\"], 4)", json!("b")),
        ("index([\"a\", \"b\"], \"b\")", json!(1)),
        ("flatten([[1, [2]], [], 3])", json!([1, 2, 3])),
        ("reverse([1, 2, 3])", json!([3, 2, 1])),
        ("slice([0, 1, 2, 3], 1, 3)", json!([1, 2])),
        ("sort([\"b\", \"a\", 1])", json!(["1", "a", "b"])),
        ("compact([\"a\", \"\", null, \"b\"])", json!(["a", "b"])),
        ("chunklist([1, 2, 3, 4, 5], 2)", json!([[1, 2], [3, 4], [5]])),
        ("chunklist([1, 2], 0)", json!([[1, 2]])),
        ("range(3)", json!([0, 1, 2])),
        ("range(1, 3)", json!([1, 2])),
        ("range(3, 1)", json!([3, 2])),
        ("range(0, 1, 0.25)", json!([0, 0.25, 0.5, 0.75])),
        ("range(4, 0, -2)", json!([4, 2])),
        ("range(0)", json!([])),
        ("coalesce(null, \"\", \"a\", \"b\")", json!("a")),
        ("coalescelist([], [1], [2])", json!([1])),
        ("tolist([1])", json!([1])),
    ]);
    assert_refused(&[
        ("element([], 0)", "argument 1 of `element` has to have an item at least"),
        ("element([1], -1)", "argument 2 of `element` is below zero"),
        ("index([1], 2)", "argument 2 of `index` is not in the list"),
        ("slice([1], 1, 3)", "a list of 1 items has no slice from 1 to 3"),
        ("slice([1], -1, 1)", "cannot be below zero"),
        ("range(0, 1, 0)", "never reaches its end"),
        ("range(0, 1, -1)", "never reaches its end"),
        ("range(1025)", "`range` makes 1024 numbers at most"),
        ("coalesce(null, \"\")", "finds nothing"),
        ("coalescelist([])", "finds nothing"),
        ("length(1)", "has to be a list, an object or a string"),
        ("concat([1], 2)", "argument 2 of `concat` has to be a list, and is 2"),
    ]);
}

#[test]
fn functions_on_objects_and_sets() {
    assert_values(&[
        ("keys({ b = 1, a = 2 })", json!(["a", "b"])),
        ("values({ b = 1, a = 2 })", json!([2, 1])),
        ("lookup({ a = 1 }, \"a\")", json!(1)),
        ("lookup({ a = 1 }, \"b\", 2)", json!(2)),
        ("merge({ a = 1, b = 1 }, null, { b = 2, c = { d = 1 } })", json!({"a": 1, "b": 2, "c": {"d": 1}})),
        ("zipmap([\"a\", \"b\"], [1, 2])", json!({"a": 1, "b": 2})),
        ("tomap({ a = 1 })", json!({"a": 1})),
        ("toset([\"b\", \"a\", \"b\"])", json!(["a", "b"])),
        ("setunion([\"b\"], [\"a\"], [\"b\"])", json!(["a", "b"])),
        ("setintersection([\"a\", \"b\"], [\"b\", \"c\"])", json!(["b"])),
        ("setsubtract([\"a\", \"b\"], [\"b\"])", json!(["a"])),
        ("setsymmetricdifference([\"a\", \"b\"], [\"b\", \"c\"])", json!(["a", "c"])),
        ("setproduct([\"a\", \"b\"], [1, 2])", json!([["a", 1], ["a", 2], ["b", 1], ["b", 2]])),
        ("setproduct([1], [])", json!([])),
    ]);
    assert_refused(&[
        ("lookup({ a = 1 }, \"b\")", "argument 2 of `lookup` is `b`, which the object does not have"),
        ("zipmap([\"a\"], [])", "`zipmap` has 1 names for 0 values"),
        ("merge([])", "argument 1 of `merge` has to be an object"),
        ("keys([])", "argument 1 of `keys` has to be an object, and is a list"),
    ]);
}

#[test]
fn functions_that_write_other_forms() {
    let of_a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    assert_values(&[
        ("jsonencode({ b = [1, 1.5, null], a = \"<é>\" })", json!("{\"a\":\"<é>\",\"b\":[1,1.5,null]}")),
        (
            "jsondecode(\"{\\\"b\\\": [1, 1.5, null], \\\"a\\\": 1e2}\")",
            json!({"a": 100, "b": [1, 1.5, null]}),
        ),
        ("jsondecode(\"{\\\"b\\\": 1, \\\"a\\\": 2}\").a", json!(2)),
        ("base64encode(\"hello\")", json!("aGVsbG8=")),
        ("base64decode(\"aGVsbG8=\")", json!("hello")),
        ("urlencode(\"a b&c/é~\")", json!("a+b%26c%2F%C3%A9~")),
        ("sha256(\"a\")", json!(of_a)),
        ("substr(sha512(\"a\"), 0, 8)", json!("1f40fc92")),
        ("strlen(sha512(\"a\"))", json!(128)),
        ("cidrhost(\"10.12.112.0/20\", 16)", json!("10.12.112.16")),
        ("cidrhost(\"10.12.112.0/20\", -1)", json!("10.12.127.255")),
        ("cidrhost(\"fd00:fd12:3456:7890::/72\", 34)", json!("fd00:fd12:3456:7890::22")),
        ("cidrnetmask(\"172.16.0.0/12\")", json!("255.240.0.0")),
        ("cidrsubnet(\"172.16.0.0/12\", 4, 2)", json!("172.18.0.0/16")),
        ("cidrsubnet(\"10.1.2.3/0\", 32, 5)", json!("0.0.0.5/32")),
        ("cidrsubnet(\"::/0\", 128, 1)", json!("::1/128")),
    ]);
    assert_refused(&[
        ("jsondecode(\"{\")", "argument 1 of `jsondecode` is not JSON"),
        ("base64decode(\"*\")", "is not base64"),
        ("base64decode(\"/w==\")", "bytes that are no text"),
        ("cidrhost(\"10.0.0.0/30\", 4)", "argument 2 of `cidrhost` is beyond the hosts of the range"),
        ("cidrhost(\"10.0.0.0\", 4)", "an address range like"),
        ("cidrhost(\"10.0.0.0/33\", 4)", "more bits before the hosts"),
        ("cidrsubnet(\"10.0.0.0/30\", 3, 0)", "more than the range has bits left"),
        ("cidrsubnet(\"10.0.0.0/24\", 2, 4)", "argument 3 of `cidrsubnet` is beyond the subnets"),
    ]);
}

#[test]
fn functions_on_expressions() {
    assert_values(&[
        ("try(nonsense.x, 1 / 0, 3)", json!(3)),
        ("can(1 / 0)", json!(false)),
        ("can(1 / 1)", json!(true)),
        ("convert(\"5\", number)", json!(5)),
        ("convert([\"1\", 2], list(number))", json!([1, 2])),
        ("convert({ a = 1, b = 2 }, object({ a = string }))", json!({"a": "1"})),
        ("convert({ a = 1 }, object({ a = string, b = optional(number) }))", json!({"a": "1", "b": null})),
        ("convert([2, 1, 2], set(string))", json!(["1", "2"])),
        ("convert([1, \"a\"], tuple([string, string]))", json!(["1", "a"])),
        ("convert({ a = 1 }, map(string))", json!({"a": "1"})),
        ("convert(null, number)", json!(null)),
    ]);
    assert_refused(&[
        ("try()", "`try` wants one argument at least"),
        ("try(1 / 0)", "divided by zero"),
        ("can(1, 2)", "`can` wants 1 arguments, and has 2"),
        ("convert({}, object({ a = string }))", "`a` is missing in it"),
        ("convert([1], tuple([string, string]))", "it has 1 items, and 2 are wanted"),
        ("convert({ a = [] }, map(string))", "`a`: it has to be a string, and is a list"),
        ("convert(1, strange(string))", "`strange(…)` is no type"),
        ("convert(1, list(string, string))", "holds one type"),
    ]);
}

#[test]
fn functions_that_would_not_be_the_same_everywhere_are_refused_with_the_reason() {
    assert_refused(&[
        ("timestamp()", "`timestamp` is refused: every server has to read the same job out of the same text"),
        ("uuidv4()", "nothing here comes by chance"),
        ("file(\"/etc/passwd\")", "`file` is refused: the server reads no files"),
        ("templatefile(\"a\", {})", "the server reads no files"),
        ("md5(\"a\")", "broken as a digest"),
        ("yamlencode({})", "`jsonencode` yields what YAML readers take too"),
        ("uper(\"a\")", "there is no function `uper`; is `upper` meant?"),
        ("core::upper(\"a\")", "functions have no `::` in their names"),
        ("upper(\"a\", \"b\")", "`upper` wants 1 arguments, and has 2"),
        ("lookup({})", "`lookup` wants 2 to 3 arguments, and has 1"),
        ("max()", "`max` wants 1 or more arguments, and has 0"),
        ("max(1...)", "the argument before `...` has to be a list"),
    ]);
}
