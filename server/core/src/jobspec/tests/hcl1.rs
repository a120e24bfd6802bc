//! What HCL1 reads otherwise than HCL2: weak types, heredocs, free-form content.

use super::assert_holds;
use crate::jobspec::{parse, parse_hcl1_document};
use serde_json::{Value as Json, json};

fn hcl1(text: &str) -> Json {
    parse_hcl1_document(text, false).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Returns the data of the template in a jobspec of the given dialect.
fn data(heredoc: &str, old: bool) -> Json {
    let text =
        format!("job \"j\" {{\n  task \"t\" {{\n    template {{\n      data = {heredoc}\n    }}\n  }}\n}}");
    let job = if old { hcl1(&text) } else { parse(&text).unwrap() };
    job["TaskGroups"][0]["Tasks"][0]["Templates"][0]["EmbeddedTmpl"].clone()
}

#[test]
fn types_are_weak() {
    let job = hcl1(
        r#"job "j" {
          priority = 70.9
          meta { a = true b = false c = 1.5 }
          datacenters = [true, 1]
          constraint "named" { attribute = "x" value = true }
          constraint { distinct_hosts = false }
          group "g" {
            count = true
            task "t" { template { perms = 0644 } user = 0x1f leader = 2 }
          }
        }"#,
    );
    let wanted = json!({
        "Priority": 70, "Meta": {"a": "1", "b": "0", "c": "1.5"}, "Datacenters": ["1", "1"],
        "Constraints": [{"LTarget": "x", "Operand": "=", "RTarget": "1"}],
        "TaskGroups": [{"Count": 1, "Tasks": [{"User": "31", "Templates": [{"Perms": "420"}]}]}],
    });
    assert_holds(&job, &wanted, "job");
    for text in ["priority = true", "priority = 70.9", "constraint \"named\" {}"] {
        assert!(parse(&format!("job \"j\" {{\n{text}\n}}")).is_err(), "{text} in HCL2");
    }
}

#[test]
fn later_keys_of_volumes_and_plugins_are_passed_over() {
    let text = r#"job "j" { group "g" {
      volume "a" { type = "csi" source = "s" attachment_mode = "file-system" mount_options { fs_type = "ext4" } }
      volume "b" { type = "host" per_alloc = true }
      task "t" { csi_plugin { id = "p" type = "node" health_timeout = "1m" } }
    } }"#;
    let wanted = json!({"TaskGroups": [{
        "Volumes": {"a": {"Type": "csi", "MountOptions": {"FSType": "ext4"}}, "b": {"Type": "host"}},
        "Tasks": [{"CSIPluginConfig": {"ID": "p", "Type": "node"}}],
    }]});
    assert_holds(&hcl1(text), &wanted, "job");
    assert!(parse(text).unwrap_err().text.contains("`attachment_mode`"));
}

#[test]
fn indentation_of_heredocs_follows_the_dialect() {
    let cases = [
        // What stands in the heredoc, HCL1, HCL2.
        ("<<-EOF\n    a\n      b\n    EOF", "a\n  b\n", "a\n  b\n"),
        ("<<-EOF\n\t\ta\n\t\t\tb\n\tEOF", "\ta\n\t\tb\n", "a\n\tb\n"),
        ("<<-EOF\n  a\n    b\n    EOF", "  a\n    b\n", "a\n  b\n"),
        (
            "<<-EOF\n    a\n\n  \n      \n    b\n    EOF",
            "    a\n\n  \n      \n    b\n",
            "a\n\n  \n      \nb\n",
        ),
        ("<<EOF\n  a\n    EOF", "  a\n    ", "  a\n"),
        ("<<EOF\n  a\nEOF", "  a\n", "  a\n"),
        ("<<-EOF\n    a\r\n      b\r\n    EOF", "a\n  b\n", "a\r\n  b\r\n"),
    ];
    for (heredoc, old, new) in cases {
        assert_eq!(data(heredoc, true), json!(old), "HCL1: {heredoc:?}");
        assert_eq!(data(heredoc, false), json!(new), "HCL2: {heredoc:?}");
    }
}

#[test]
fn free_form_content_gathers_objects_in_lists() {
    let config = |text: &str, old: bool| {
        let text = format!("job \"j\" {{\n task \"t\" {{\n config {{\n{text}\n}}\n}}\n}}");
        let job = if old { hcl1(&text) } else { parse(&text).unwrap() };
        job["TaskGroups"][0]["Tasks"][0]["Config"].clone()
    };
    let cases = [
        (
            "port_map {\n http = 80\n}\nport_map {\n db = 1\n}",
            json!({"port_map": [{"http": 80}, {"db": 1}]}),
            json!({"port_map": [{"http": 80}, {"db": 1}]}),
        ),
        (
            "port_map {\n http = 80\n}\nport_map = {\n db = 1\n}",
            json!({"port_map": [{"http": 80}, {"db": 1}]}),
            json!({"port_map": [{"http": 80}]}),
        ),
        (
            "port_map = {\n db = 1\n}\nport_map {\n http = 80\n}",
            json!({"port_map": [{"db": 1}, {"http": 80}]}),
            json!({"port_map": [{"http": 80}]}),
        ),
        (
            "mounts = [{ type = \"bind\", options = { a = 1 } }]\nlabels = { \"a.b/c\" = \"d\" }",
            json!({"mounts": [{"type": "bind", "options": [{"a": 1}]}], "labels": [{"a.b/c": "d"}]}),
            json!({"mounts": [{"type": "bind", "options": [{"a": 1}]}], "labels": [{"a.b/c": "d"}]}),
        ),
        (
            "logging {\n type = \"x\"\n config {\n  tag = \"t\"\n }\n}",
            json!({"logging": [{"type": "x", "config": [{"tag": "t"}]}]}),
            json!({"logging": [{"type": "x", "config": [{"tag": "t"}]}]}),
        ),
        (
            "dynamic \"mount\" {\n for_each = [\"a\"]\n content {\n target = \"/${mount.value}\"\n }\n}",
            json!({"dynamic": [{"mount": [{"for_each": ["a"], "content": [{"target": "/${mount.value}"}]}]}]}),
            json!({"dynamic": [{"mount": [{"for_each": ["a"], "content": [{"target": "/${mount.value}"}]}]}]}),
        ),
    ];
    for (text, old, new) in cases {
        assert_eq!(config(text, true), old, "HCL1: {text}");
        assert_eq!(config(text, false), new, "HCL2: {text}");
    }
}
