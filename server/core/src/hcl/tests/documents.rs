//! Variables, locals and dynamic blocks.

use super::super::{Dialect, Variables, parse, parse_with};
use super::shown;
use serde_json::{Value as Json, json};

fn read(text: &str, given: &[(&str, &str)]) -> Json {
    let variables = given.iter().copied().collect();
    match parse_with(text, &variables) {
        Ok(document) => shown(&document.body),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn variables_have_their_defaults_or_what_is_given() {
    let text = r#"
a = [var.name, var.count, var.flag, var.list, var.map, var.any, var.old]
variable "name" { type = string }
variable "count" {
  type        = number
  default     = "3"
  description = "how many"
}
variable "flag" {
  type    = bool
  default = true
}
variable "list" {
  type = list(object({ port = number, name = optional(string) }))
  default = [{ port = "80" }]
}
variable "map" {
  type = map(string)
  default = { a = 1 }
}
variable "any" { default = [1] }
variable "old" {
  type = "string"
  default = 5
}
"#;
    assert_eq!(
        read(text, &[("name", "web")]),
        json!([{"a": ["web", 3, true, [{"port": 80, "name": null}], {"a": "1"}, [1], "5"]}])
    );
    let given = [
        ("name", "5"),
        ("count", "7.5"),
        ("flag", "false"),
        ("list", "[{ port = 1 + 1, name = upper(\"x\") }]"),
        ("map", "{ \"b\" : true }"),
        ("any", "[\"x\",\n \"y\"]"),
        ("old", "[1]"),
    ];
    assert_eq!(
        read(text, &given),
        json!([{"a": ["5", 7.5, false, [{"port": 2, "name": "X"}], {"b": "true"}, ["x", "y"], "[1]"]}])
    );
}

#[test]
fn values_can_be_given_as_a_document() {
    let mut variables = Variables::new();
    variables.set("b", "from the command line");
    variables.read("# values\na = [1, 2]\nb = \"from the document\"\n").unwrap();
    let text = "variable \"a\" {\n type = list(string)\n}\nvariable \"b\" {}\nx = [var.a, var.b]";
    let document = parse_with(text, &variables).unwrap();
    assert_eq!(shown(&document.body), json!([{"x": [["1", "2"], "from the document"]}]));
}

#[test]
fn variables_without_a_type_take_the_kind_of_their_default() {
    let text = "variables {\n  text = \"a\"\n  number = 1\n  list = []\n  flag = true\n}\nx = var";
    assert_eq!(read(text, &[]), json!([{"x": {"text": "a", "number": 1, "list": [], "flag": true}}]));
    let given = [("text", "1"), ("number", "2"), ("list", "[1]"), ("flag", "false")];
    assert_eq!(read(text, &given), json!([{"x": {"text": "1", "number": 2, "list": [1], "flag": false}}]));
    assert_eq!(read("variable \"x\" {}\na = var.x", &[("x", "[1]")]), json!([{"a": "[1]"}]));
}

#[test]
fn validations_see_the_values_of_all_variables() {
    let text = r#"
variable "least" { default = 2 }
variable "count" {
  type = number
  validation {
    condition     = var.count >= var.least && floor(var.count) == var.count
    error_message = "The count has to be ${var.least} at least."
  }
}
"#;
    assert_eq!(read(text, &[("count", "2")]), json!([]));
    let refused = parse_with(text, &Variables::from_iter([("count", "1")])).unwrap_err();
    assert_eq!(refused.line, 3);
    assert!(refused.text.ends_with("is refused: The count has to be 2 at least."), "{refused}");
}

#[test]
fn locals_may_stand_in_any_order_and_refer_to_each_other() {
    let text = r#"
a = "${local.greeting}, ${local.names[1]}"
locals {
  greeting = "${local.word} to you"
  names    = [for name in var.names : title(name)]
}
locals { word = "Hello" }
variable "names" { default = ["ann", "bob"] }
"#;
    assert_eq!(read(text, &[]), json!([{"a": "Hello to you, Bob"}]));
}

#[test]
fn dynamic_blocks_become_the_blocks_that_they_stand_for() {
    let text = r#"
variable "ports" { default = { http = 80, db = 5432 } }
group "g" {
  dynamic "task" {
    for_each = ["a", "b"]
    labels   = ["task-${task.value}"]
    content {
      index = task.key
      dynamic "port" {
        for_each = var.ports
        iterator = entry
        labels   = [entry.key]
        content {
          static = entry.value
          name   = "${task.value}-${entry.key}-${node.unique.name}"
        }
      }
    }
  }
  dynamic "none" {
    for_each = []
    content { a = none.value }
  }
}
"#;
    let port = |task: &str, name: &str, number: u16| {
        let name_of = format!("{task}-{name}-${{node.unique.name}}");
        json!(["port", name, [{"static": number}, {"name": name_of}]])
    };
    let task = |at: u8, name: &str| json!(["task", format!("task-{name}"), [{"index": at}, port(name, "db", 5432), port(name, "http", 80)]]);
    assert_eq!(read(text, &[]), json!([["group", "g", [task(0, "a"), task(1, "b")]]]));
}

#[test]
fn a_dynamic_block_of_a_configuration_is_a_block_like_any_other() {
    let body = parse("dynamic \"x\" { a = 1 }", Dialect::Configuration).unwrap();
    assert_eq!(shown(&body), json!([["dynamic", "x", [{"a": 1}]]]));
}

#[test]
fn blocks_may_hold_what_is_evaluated() {
    let text = r#"
locals { tags = ["a", "b"] }
service {
  tags = concat(local.tags, ["${NOMAD_META_x}"])
  meta = { for tag in local.tags : tag => "is ${tag}" }
  note = <<-EOT
    %{ for tag in local.tags ~}
    - ${tag} on ${node.class}
    %{ endfor ~}
  EOT
}
"#;
    assert_eq!(
        read(text, &[]),
        json!([["service", [
            {"tags": ["a", "b", "${NOMAD_META_x}"]},
            {"meta": {"a": "is a", "b": "is b"}},
            {"note": "- a on ${node.class}\n- b on ${node.class}\n"}
        ]]])
    );
}
