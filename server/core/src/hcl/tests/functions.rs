//! Results and errors of every function.

use super::super::{Variables, parse_with};
use super::{assert_refused, assert_values, evaluated, shown};
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
        ("replace(\"a/w/b\", \"/w/\", \"-\")", json!("a-b")),
        ("replace(\"a1b2\", \"/[0-9]/\", \"#\")", json!("a1b2")),
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
        (
            "jsonencode({ b = [1, 1.5, null], a = \"<é>\" })",
            json!("{\"a\":\"\\u003cé\\u003e\",\"b\":[1,1.5,null]}"),
        ),
        ("jsonencode(\"a&b\\u2028\")", json!("\"a\\u0026b\\u2028\"")),
        (
            "jsondecode(\"{\\\"b\\\": [1, 1.5, null], \\\"a\\\": 1e2}\")",
            json!({"a": 100, "b": [1, 1.5, null]}),
        ),
        ("jsondecode(\"{\\\"b\\\": 1, \\\"a\\\": 2}\").a", json!(2)),
        ("base64encode(\"hello\")", json!("aGVsbG8=")),
        ("base64decode(\"aGVsbG8=\")", json!("hello")),
        ("urlencode(\"a b&c/é~\")", json!("a+b%26c%2F%C3%A9~")),
        ("md5(\"a\")", json!("0cc175b9c0f1b6a831c399e269772661")),
        ("sha1(\"a\")", json!("86f7e437faa5a7fce15d1ddcb9eaeaea377667b8")),
        ("sha256(\"a\")", json!(of_a)),
        ("csvdecode(\"b,a\\n1,\\\"x,y\\\"\\n2,\\n\")", json!([{"b": "1", "a": "x,y"}, {"b": "2", "a": ""}])),
        ("csvdecode(\"a\")", json!([])),
        ("substr(sha512(\"a\"), 0, 8)", json!("1f40fc92")),
        ("strlen(sha512(\"a\"))", json!(128)),
        ("cidrhost(\"10.12.112.0/20\", 16)", json!("10.12.112.16")),
        ("cidrhost(\"10.12.112.0/20\", -1)", json!("10.12.127.255")),
        ("cidrhost(\"fd00:fd12:3456:7890::/72\", 34)", json!("fd00:fd12:3456:7890::22")),
        ("cidrnetmask(\"172.16.0.0/12\")", json!("255.240.0.0")),
        ("cidrsubnet(\"172.16.0.0/12\", 4, 2)", json!("172.18.0.0/16")),
        ("cidrsubnet(\"10.1.2.3/0\", 32, 5)", json!("0.0.0.5/32")),
        ("cidrsubnet(\"::/0\", 128, 1)", json!("::1/128")),
        ("cidrsubnets(\"10.0.0.0/8\", 8, 4)", json!(["10.0.0.0/16", "10.16.0.0/12"])),
        (
            "cidrsubnets(\"10.1.0.0/16\", 4, 4, 8, 4)",
            json!(["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24", "10.1.48.0/20"]),
        ),
        ("cidrsubnets(\"255.255.255.0/24\", 1, 1)", json!(["255.255.255.0/25", "255.255.255.128/25"])),
        ("cidrsubnets(\"ffff::/16\", 112)", json!(["ffff::/128"])),
        ("cidrsubnets(\"::/0\", 1, 1)", json!(["::/1", "8000::/1"])),
    ]);
    assert_refused(&[
        ("jsondecode(\"{\")", "argument 1 of `jsondecode` is not JSON"),
        ("base64decode(\"*\")", "is not base64"),
        ("csvdecode(\"a,a\\n1,2\")", "argument 1 of `csvdecode` has two columns named `a`"),
        ("csvdecode(\"a,b\\n1\")", "argument 1 of `csvdecode` is not CSV"),
        ("cidrsubnets(\"10.0.0.0/24\", 1, 1, 1)", "argument 4 of `cidrsubnets` is a subnet for which"),
        ("cidrsubnets(\"::/0\", 1, 1, 1)", "no room left"),
        ("cidrsubnets(\"10.0.0.0/24\", 9)", "has to be at least 1, and no more than the range has bits left"),
        ("cidrsubnets(\"10.0.0.0/24\", 0)", "has to be at least 1"),
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
        ("try(var.x, 1 / 0, 3)", json!(3)),
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
fn functions_that_a_server_does_not_offer_are_refused_with_the_reason() {
    assert_refused(&[
        ("timestamp()", "`timestamp` is refused: there is no clock here"),
        ("uuidv4()", "`uuidv4` comes by chance, and there is no seed for it here"),
        ("bcrypt(\"a\")", "`bcrypt` is refused: it takes long on purpose"),
        ("file(\"/etc/passwd\")", "`file` is refused: the server reads no files"),
        ("templatefile(\"a\", {})", "the server reads no files"),
        ("uper(\"a\")", "there is no function `uper`; is `upper` meant?"),
        ("core::upper(\"a\")", "functions have no `::` in their names"),
        ("upper(\"a\", \"b\")", "`upper` wants 1 arguments, and has 2"),
        ("lookup({})", "`lookup` wants 2 to 3 arguments, and has 1"),
        ("max()", "`max` wants 1 or more arguments, and has 0"),
        ("max(1...)", "the argument before `...` has to be a list"),
    ]);
}

#[test]
fn functions_that_write_and_read_yaml() {
    assert_values(&[
        ("yamlencode({ a = [1, \"x\"] })", json!("\"a\":\n- 1\n- \"x\"\n")),
        (
            "yamlencode({ a = { b = [], c = {} }, d = [[1, 2], { e = true, f = null }], g = 1.5 })",
            json!(
                "\"a\":\n  \"b\": []\n  \"c\": {}\n\"d\":\n- - 1\n  - 2\n- \"e\": true\n  \"f\": null\n\"g\": 1.5\n"
            ),
        ),
        ("yamlencode({ a = \"x\\n  y\\n\" })", json!("\"a\": |\n  x\n    y\n")),
        (
            "yamlencode([\"x\\ny\", \"x\\n\\n\", \" x\\n\"])",
            json!("- |-\n  x\n  y\n- |+\n  x\n\n- \" x\\n\"\n"),
        ),
        ("yamlencode(\"a \\\"b\\\" \\\\\")", json!("\"a \\\"b\\\" \\\\\"\n")),
        ("yamldecode(\"a: 1\").a", json!(1)),
        ("yamldecode(\"\")", json!(null)),
        (
            "yamldecode(\"b: [1, 0x1f, 1.5, ~, true, yes, '1', 1e2, .5, 2026-01-01]\\na: |\\n  x\\n\")",
            json!({"b": [1, 31, 1.5, null, true, "yes", "1", 100, 0.5, "2026-01-01"], "a": "x\n"}),
        ),
        (
            "yamldecode(\"a: &x {k: 1, l: 2}\\nb: *x\\nc: {<<: *x, k: 3}\\nd: !!str 1\")",
            json!({"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 2}, "c": {"k": 3, "l": 2}, "d": "1"}),
        ),
        (
            "yamldecode(yamlencode({ a = \"x\\n\\n\", b = \"1\", c = [\"~\", { d = \"y\\nz\" }] }))",
            json!({"a": "x\n\n", "b": "1", "c": ["~", {"d": "y\nz"}]}),
        ),
    ]);
    assert_refused(&[
        ("yamldecode(\"a: [1\")", "argument 1 of `yamldecode` is not YAML"),
        ("yamldecode(\"a: *b\")", "argument 1 of `yamldecode`"),
        ("yamldecode(\"a: !secret b\")", "has the tag `secret`, which is not known"),
        ("yamldecode(\"--- 1\\n--- 2\")", "holds several YAML documents"),
        ("yamldecode(\"? [1]\\n: 2\")", "a key of the YAML document has to be a string, and is a list"),
    ]);
}

#[test]
fn functions_on_dates() {
    let moment = "2020-01-02T15:04:05Z";
    let formatted =
        |pattern: &str, moment: &str| evaluated(&format!("formatdate(\"{pattern}\", \"{moment}\")"));
    for (pattern, wanted) in [
        ("YYYY-MM-DD hh:mm:ss ZZZ", "2020-01-02 15:04:05 UTC"),
        ("EEE, DD MMM YYYY", "Thu, 02 Jan 2020"),
        ("EEEE, D MMMM 'YY'''YY, M", "Thursday, 2 January YY'20, 1"),
        ("H:m:s aa HH AA h", "3:4:5 pm 03 PM 15"),
        ("Z ZZZZ ZZZZZ", "Z +0000 +00:00"),
        ("", ""),
    ] {
        assert_eq!(formatted(pattern, moment), Ok(json!(wanted)), "{pattern}");
    }
    assert_eq!(
        formatted("H AA Z ZZZ ZZZZ", "2020-01-02T00:04:05-03:30"),
        Ok(json!("12 AM -03:30 -0330 -0330"))
    );
    assert_values(&[
        ("timeadd(\"2020-01-01T00:00:00Z\", \"1h\")", json!("2020-01-01T01:00:00Z")),
        ("timeadd(\"2020-02-29T23:30:00.5+02:00\", \"45m\")", json!("2020-03-01T00:15:00+02:00")),
        ("timeadd(\"2020-01-01T00:00:00Z\", \"-1s\")", json!("2019-12-31T23:59:59Z")),
    ]);
    assert_refused(&[
        ("formatdate(\"YYYYY\", \"2020-01-01T00:00:00Z\")", "`YYYYY` stands for no part of a date"),
        ("formatdate(\"at\", \"2020-01-01T00:00:00Z\")", "`a` stands for no part of a date"),
        ("formatdate(\"'at\", \"2020-01-01T00:00:00Z\")", "is never closed"),
        ("formatdate(\"YY\", \"2020-01-01\")", "argument 2 of `formatdate` has to be a timestamp"),
        ("formatdate(\"YY\", \"2020-01-01 00:00:00Z\")", "has to be a timestamp"),
        ("formatdate(\"YY\", \"2020-13-01T00:00:00Z\")", "has to be a timestamp"),
        ("timeadd(\"2020-01-01T00:00:00Z\", \"1d\")", "argument 2 of `timeadd` has to be a duration"),
        ("timeadd(\"9999-12-30T00:00:00Z\", \"2000000h\")", "beyond the years"),
    ]);
}

#[test]
fn ids_are_drawn_from_the_seed_and_derived_from_names() {
    let text = "a = uuidv4()\nb = uuidv4()";
    let drawn = |seed| shown(&parse_with(text, &Variables::new().with_seed(seed)).unwrap().body);
    let (first, second) = (drawn(7)[0]["a"].clone(), drawn(7)[1]["b"].clone());
    assert_ne!(first, second);
    assert_eq!(drawn(7)[0]["a"], first);
    assert_ne!(drawn(8)[0]["a"], first);
    let first = first.as_str().unwrap();
    assert_eq!((first.len(), &first[14..15]), (36, "4"), "{first}");
    let of_example = "cfbff0d1-9375-5685-968c-48ce8b15ae17";
    assert_values(&[
        ("uuidv5(\"dns\", \"example.com\")", json!(of_example)),
        ("uuidv5(\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\", \"example.com\")", json!(of_example)),
    ]);
    assert_refused(&[("uuidv5(\"mail\", \"a\")", "argument 1 of `uuidv5` has to be \"dns\"")]);
    assert!(
        Variables::new().with_seed(1).read("a = uuidv4()").is_err(),
        "given values are no matter of chance"
    );
}
