//! Jobspecs written in JSON.

use super::assert_holds;
use crate::jobspec::{Variables, parse, parse_document};
use serde_json::json;

#[test]
fn labels_are_keys_and_lists_are_several_blocks() {
    let text = r#"{"job": {"j": {
      "datacenters": ["dc1"],
      "meta": {"a": "${upper(\"x\")}", "b": "${node.class}"},
      "group": {"g": {
        "count": 2,
        "network": {"port": {"http": {"static": 80}, "admin": {}}},
        "volume": {"data": {"type": "host"}},
        "task": {"t": [{
          "driver": "raw_exec",
          "config": {"command": "/bin/true", "port_map": {"db": 1}},
          "template": [{"data": "a"}, {"data": "b"}],
          "scaling": {"cpu": {"max": 3}}
        }]}
      }, "empty": {}}
    }}}"#;
    let wanted = json!({
        "ID": "j", "Datacenters": ["dc1"], "Meta": {"a": "X", "b": "${node.class}"},
        "TaskGroups": [{
            "Name": "g", "Count": 2,
            "Networks": [{"ReservedPorts": [{"Label": "http", "Value": 80}], "DynamicPorts": [{"Label": "admin"}]}],
            "Volumes": {"data": {"Name": "data", "Type": "host"}},
            "Tasks": [{
                "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true", "port_map": [{"db": 1}]},
                "Templates": [{"EmbeddedTmpl": "a"}, {"EmbeddedTmpl": "b"}],
                "ScalingPolicies": [{"Type": "vertical_cpu", "Max": 3}],
            }],
        }, {"Name": "empty"}],
    });
    assert_holds(&parse(text).unwrap(), &wanted, "job");
    assert_holds(&parse(&format!("\u{feff} \n{text}")).unwrap(), &wanted, "job");
}

#[test]
fn variables_and_locals_are_declared() {
    let text = r#"{
      "variable": {"image": {"type": "string"}, "count": {"default": 2}},
      "locals": {"name": "${var.image}-x"},
      "job": [{"j": {"priority": "${var.count}", "meta": {"name": "${local.name}"}}}]
    }"#;
    let job = parse_document(text, &Variables::from_iter([("image", "web")]), false).unwrap();
    assert_holds(&job, &json!({"ID": "j", "Priority": 2, "Meta": {"name": "web-x"}}), "job");
}

#[test]
fn faults_are_named() {
    for (text, wanted) in [
        ("{", "this is not JSON"),
        ("{\"job\": {\"j\": {}},}", "this is not JSON"),
        ("{\"Job\": {\"ID\": \"j\"}}", "`Job` has no place beside the `job` block"),
        ("{\"job\": 1}", "a JSON object has to stand here"),
        ("{\"job\": {\"j\": {\"priorty\": 1}}}", "a job has no `priorty`; is `priority` meant?"),
        ("{\"job\": {\"${1}\": {}}}", "the name of a block holds no `${…}`"),
        ("{}", "there is no `job` block"),
    ] {
        match parse(text) {
            Ok(job) => panic!("{text} was taken: {job}"),
            Err(error) => assert!(error.text.contains(wanted), "{text}: {error}"),
        }
    }
}
