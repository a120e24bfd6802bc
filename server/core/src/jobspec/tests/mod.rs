//! Jobspecs and the resulting jobs of the API.

mod blocks;
mod canonical;
mod evaluated;
mod hcl1;
mod json;
mod properties;
mod requests;

use super::parse;
use serde_json::{Value as Json, json};

/// Asserts that `got` contains all members of `wanted`; ignores other members.
fn assert_holds(got: &Json, wanted: &Json, path: &str) {
    match (got, wanted) {
        (Json::Object(got), Json::Object(wanted)) => {
            for (key, value) in wanted {
                let got = got.get(key).unwrap_or_else(|| panic!("{path}.{key} is missing"));
                assert_holds(got, value, &format!("{path}.{key}"));
            }
        }
        (Json::Array(got), Json::Array(wanted)) => {
            assert_eq!(got.len(), wanted.len(), "{path}");
            for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                assert_holds(got, wanted, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(got, wanted, "{path}"),
    }
}

#[test]
fn what_is_not_written_is_null() {
    let job = parse(r#"job "my-job" { group "g" { task "t" { resources {} } } }"#).unwrap();
    for key in
        ["Type", "Region", "Priority", "Datacenters", "Constraints", "Update", "Version", "Multiregion"]
    {
        assert_eq!(job.get(key), Some(&Json::Null), "{key}");
    }
    assert_holds(
        &job,
        &json!({"ID": "my-job", "Name": "my-job", "Dispatched": false, "TaskGroups": [{
            "Name": "g", "Count": null, "Networks": null, "Volumes": null, "Tasks": [{
                "Name": "t", "Driver": "", "Config": null, "KillTimeout": null, "ShutdownDelay": 0, "Leader": false,
                "Resources": {"CPU": null, "MemoryMB": null, "DiskMB": null, "IOPS": null, "Networks": null, "Devices": null},
            }],
        }]}),
        "job",
    );
}

#[test]
fn one_line_with_quoted_keys() {
    let text = r#"job "j" { datacenters = ["dc1"] group "g" { count = 2 task "t" { driver = "exec" config { command = "date" args = ["-u"] } env { "A-B" = "b" N = 1 } } } }"#;
    let wanted = json!({"Datacenters": ["dc1"], "TaskGroups": [{"Count": 2, "Tasks": [{
        "Driver": "exec", "Config": {"command": "date", "args": ["-u"]}, "Env": {"A-B": "b", "N": "1"}}]}]});
    assert_holds(&parse(text).unwrap(), &wanted, "job");
}

#[test]
fn blocks_may_be_written_as_values() {
    let text = r#"
job "j" {
  meta = { owner = "ops" }
  group "g" {
    task "t" {
      config = { port_map = { db = 6379 }, "labels" = [{ a = 1 }] }
      env = { A = "b" }
    }
  }
}"#;
    let wanted = json!({"Meta": {"owner": "ops"}, "TaskGroups": [{"Tasks": [{
        "Config": {"port_map": [{"db": 6379}], "labels": [{"a": 1}]}, "Env": {"A": "b"}}]}]});
    assert_holds(&parse(text).unwrap(), &wanted, "job");
}

#[test]
fn free_form_configuration_keeps_its_shape() {
    let text = r#"job "j" { group "g" { task "t" { config {
      image = "redis:${meta.version}"
      n = 1.5
      mount { type = "bind" }
      mount { type = "tmpfs" }
      auth "hub" { user = "u" }
    } } } }"#;
    let job = parse(text).unwrap();
    assert_eq!(
        job["TaskGroups"][0]["Tasks"][0]["Config"],
        json!({"image": "redis:${meta.version}", "n": 1.5, "mount": [{"type": "bind"}, {"type": "tmpfs"}], "auth": [{"hub": [{"user": "u"}]}]})
    );
}

#[test]
fn constraints_and_affinities_spell_their_operators() {
    let text = r#"job "j" {
      constraint { attribute = "${attr.kernel.name}" value = "linux" }
      constraint { distinct_hosts = true }
      constraint { attribute = "${meta.ver}" version = ">= 1.2" }
      constraint { distinct_property = "${meta.rack}" value = 2 }
      constraint { operator = "is_set" attribute = "${meta.x}" }
      affinity { attribute = "${meta.rack}" value = "r1" weight = -30 }
      affinity { attribute = "${meta.tags}" set_contains_any = "a,b" }
    }"#;
    let job = parse(text).unwrap();
    let constraint = |left: &str, operand: &str, right: &str| json!({"LTarget": left, "Operand": operand, "RTarget": right});
    assert_eq!(
        job["Constraints"],
        json!([
            constraint("${attr.kernel.name}", "=", "linux"),
            constraint("", "distinct_hosts", ""),
            constraint("${meta.ver}", "version", ">= 1.2"),
            constraint("${meta.rack}", "distinct_property", "2"),
            constraint("${meta.x}", "is_set", ""),
        ])
    );
    assert_eq!(
        job["Affinities"],
        json!([
            {"LTarget": "${meta.rack}", "Operand": "=", "RTarget": "r1", "Weight": -30},
            {"LTarget": "${meta.tags}", "Operand": "set_contains_any", "RTarget": "a,b", "Weight": null},
        ])
    );
}

#[test]
fn networks_part_static_ports_from_dynamic_ones() {
    let text = r#"job "j" { group "g" {
      network { mode = "bridge" dns { servers = ["1.1.1.1"] } port "db" { to = 6379 } port "admin" { static = 9000 } }
      task "t" { resources { cpu = 500 network { mbits = 10 port "x" {} } } }
    } }"#;
    let port = |label: &str, to: i64, value: i64| json!({"Label": label, "To": to, "Value": value, "HostNetwork": ""});
    let job = parse(text).unwrap();
    let group = &job["TaskGroups"][0];
    assert_eq!(
        group["Networks"],
        json!([{"Mode": "bridge", "Device": "", "CIDR": "", "IP": "", "MBits": null,
            "DNS": {"Servers": ["1.1.1.1"], "Searches": null, "Options": null},
            "DynamicPorts": [port("db", 6379, 0)], "ReservedPorts": [port("admin", 0, 9000)]}])
    );
    let of_task = &group["Tasks"][0]["Resources"]["Networks"][0];
    assert_holds(
        of_task,
        &json!({"MBits": 10, "DynamicPorts": [port("x", 0, 0)], "ReservedPorts": null}),
        "network",
    );
}

#[test]
fn durations_are_nanoseconds() {
    let text = r#"job "j" {
      update { stagger = "15s" healthy_deadline = "1h30m" min_healthy_time = 5 }
      group "g" { shutdown_delay = "250ms" restart { attempts = "3" interval = "10m" } task "t" { kill_timeout = "22s" } }
    }"#;
    let wanted = json!({
        "Update": {"Stagger": 15_000_000_000_i64, "HealthyDeadline": 5_400_000_000_000_i64, "MinHealthyTime": 5, "Canary": null},
        "TaskGroups": [{"ShutdownDelay": 250_000_000, "RestartPolicy": {"Attempts": 3, "Interval": 600_000_000_000_i64},
            "Tasks": [{"KillTimeout": 22_000_000_000_i64}]}]});
    assert_holds(&parse(text).unwrap(), &wanted, "job");
}

#[test]
fn a_task_without_a_group_gets_one_of_its_name() {
    let job = parse(r#"job "lone" { task "t" { driver = "raw_exec" } group "g" {} }"#).unwrap();
    let wanted = json!({"TaskGroups": [{"Name": "t", "Count": null, "Tasks": [{"Name": "t"}]}, {"Name": "g", "Tasks": null}]});
    assert_holds(&job, &wanted, "job");
    assert!(job.as_object().unwrap().keys().all(|key| !key.starts_with('~')));
}

#[test]
fn vault_is_inherited_by_tasks_that_have_none() {
    let text = r#"job "j" {
      vault { policies = ["job"] }
      group "a" { vault { policies = ["group"] } task "t" {} task "own" { vault { policies = ["own"] env = false } } }
      group "b" { task "t" {} }
    }"#;
    let job = parse(text).unwrap();
    let policies =
        |group: usize, task: usize| &job["TaskGroups"][group]["Tasks"][task]["Vault"]["Policies"][0];
    assert_eq!([policies(0, 0), policies(0, 1), policies(1, 0)], ["group", "own", "job"]);
    assert_holds(
        &job["TaskGroups"][1]["Tasks"][0]["Vault"],
        &json!({"Env": true, "ChangeMode": "restart", "ChangeSignal": null, "Namespace": null}),
        "vault",
    );
}

#[test]
fn services_checks_templates_volumes_and_the_rest() {
    let text = r#"job "j" {
      type = "batch"
      periodic { cron = "*/15 * * * *" prohibit_overlap = true }
      parameterized { payload = "required" meta_required = ["a"] }
      spread { attribute = "${node.datacenter}" target "dc1" { percent = 70 } target "dc2" { percent = 30 } }
      group "g" {
        ephemeral_disk { sticky = true size = 400 }
        volume "data" { type = "host" source = "d" read_only = true }
        scaling { min = 1 max = 5 policy { x = 1 } }
        task "t" {
          lifecycle { hook = "prestart" sidecar = true }
          dispatch_payload { file = "in.json" }
          logs { max_files = 4 }
          artifact { source = "http://x/y" options { checksum = "md5:abc" } }
          template { data = "x" destination = "local/x" }
          volume_mount { volume = "data" destination = "/d" }
          csi_plugin { id = "p" type = "node" }
          service {
            name = "s" port = 80
            check { type = "http" interval = "5s" header { X-Test = ["a", "b"] } check_restart { limit = 3 grace = "10s" } }
          }
        }
      }
    }"#;
    let wanted = json!({
        "Type": "batch",
        "Periodic": {"Spec": "*/15 * * * *", "SpecType": "cron", "Enabled": null, "ProhibitOverlap": true, "TimeZone": null},
        "ParameterizedJob": {"Payload": "required", "MetaRequired": ["a"], "MetaOptional": null},
        "Spreads": [{"Attribute": "${node.datacenter}", "Weight": null, "SpreadTarget": [{"Value": "dc1", "Percent": 70}, {"Value": "dc2", "Percent": 30}]}],
        "TaskGroups": [{
            "EphemeralDisk": {"Sticky": true, "SizeMB": 400, "Migrate": null},
            "Volumes": {"data": {"Name": "data", "Type": "host", "Source": "d", "ReadOnly": true, "MountOptions": null}},
            "Scaling": {"Min": 1, "Max": 5, "Enabled": null, "Policy": {"x": 1}},
            "Tasks": [{
                "Lifecycle": {"Hook": "prestart", "Sidecar": true},
                "DispatchPayload": {"File": "in.json"},
                "LogConfig": {"MaxFiles": 4, "MaxFileSizeMB": null},
                "Artifacts": [{"GetterSource": "http://x/y", "GetterMode": null, "GetterOptions": {"checksum": "md5:abc"}, "GetterHeaders": null, "RelativeDest": null}],
                "Templates": [{"EmbeddedTmpl": "x", "DestPath": "local/x", "ChangeMode": "restart", "Perms": "0644", "Splay": 5_000_000_000_i64, "Envvars": null}],
                "VolumeMounts": [{"Volume": "data", "Destination": "/d", "ReadOnly": null, "PropagationMode": null}],
                "CSIPluginConfig": {"ID": "p", "Type": "node", "MountDir": ""},
                "Services": [{"Name": "s", "PortLabel": "80", "Connect": null, "CheckRestart": null, "Checks": [{
                    "Type": "http", "Interval": 5_000_000_000_i64, "Timeout": 0, "Header": {"X-Test": ["a", "b"]},
                    "CheckRestart": {"Limit": 3, "Grace": 10_000_000_000_i64, "IgnoreWarnings": false}}]}],
            }],
        }],
    });
    assert_holds(&parse(text).unwrap(), &wanted, "job");
}

#[test]
fn faults_are_named_with_line_and_column() {
    let cases = [
        ("", 1, 1, "no `job` block"),
        ("group \"g\" {}", 1, 1, "beside the `job` block"),
        ("job \"a\" {}\njob \"b\" {}", 2, 1, "line 1 already"),
        ("job {}", 1, 1, "a job has a name"),
        ("job \"a\" \"b\" {}", 1, 9, "not several"),
        ("job \"a\" {\n nonsense = 1\n}", 2, 2, "a job has no `nonsense`"),
        ("job \"a\" {\n datacentres = []\n}", 2, 2, "is `datacenters` meant?"),
        ("job \"a\" {\n update {\n stagger = \"soon\"\n }\n}", 3, 12, "`stagger` has to be a duration"),
        ("job \"a\" { priority = \"high\" }", 1, 22, "whole number"),
        ("job \"a\" { priority = [1] }", 1, 22, "and is a list"),
        ("job \"a\" { all_at_once = \"maybe\" }", 1, 25, "true or false"),
        ("job \"a\" { datacenters = 1 }", 1, 25, "list of strings"),
        ("job \"a\" { type = \"x\"\n type = \"y\" }", 2, 2, "on line 1 already"),
        ("job \"a\" { update {} update {} }", 1, 21, "stands here again"),
        ("job \"a\" { update \"x\" {} }", 1, 18, "no name behind it"),
        ("job \"a\" { type {} }", 1, 11, "is not a block"),
        ("job \"a\" { update = 1 }", 1, 20, "is a block"),
        ("job \"a\" { group {} }", 1, 17, "a group has a name"),
        ("job \"a\" { group \"x\" \"y\" {} }", 1, 21, "one name"),
        ("job \"a\" { constraint { attribut = \"x\" } }", 1, 24, "a constraint has no `attribut`"),
        ("job \"a\" { spread { weight = 1000 } }", 1, 29, "between -128 and 127"),
        ("job \"a\" { meta { x {} } }", 1, 18, "is not a block"),
        ("job \"a\" { meta { x = [] } }", 1, 22, "has to be a string"),
        ("variable \"x\" {}\njob \"a\" {}", 1, 1, "no value is given for it"),
        ("job \"a\" { name = var.x }", 1, 18, "there is no variable `x`"),
        ("job \"a\" {\n group \"g\" {\n  scaling {}\n }\n}", 3, 11, "says its `max`"),
        (
            "job \"a\" { group \"g\" { scaling { max = 1 type = \"x\" } } }",
            1,
            31,
            "can only be \"horizontal\"",
        ),
        ("job \"a\" { group \"g\" { task \"t\" { scaling { max = 1 } } } }", 1, 42, "names its resource"),
        ("job \"a\" { group \"g\" { task \"t\" { scaling \"disk\" {} } } }", 1, 42, "\"cpu\" or \"mem\""),
        ("job \"a\" { constraint \"x\" {} }", 1, 22, "no name behind it"),
        ("job \"a\" {\n  meta {\n    a = {}\n  }\n}", 3, 9, "`a` has to be a string, and is an object"),
    ];
    for (text, line, column, wanted) in cases {
        match parse(text) {
            Ok(job) => panic!("{text:?} was taken: {job}"),
            Err(error) => {
                assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
                assert!(error.text.contains(wanted), "{text:?}: {error}");
            }
        }
    }
}

#[test]
fn a_weight_keeps_its_whole_part_and_its_lowest_eight_bits() {
    for (weight, wanted) in [("50.5", 50), ("\"-30\"", -30), ("300", 44), ("-129", 127), ("1e30", -1)] {
        let job = parse(&format!("job \"a\" {{ affinity {{ weight = {weight} }} }}")).unwrap();
        assert_eq!(job["Affinities"][0]["Weight"], json!(wanted), "{weight}");
    }
}

#[test]
fn ports_below_one_are_dynamic() {
    let text = "job \"a\" { group \"g\" { network { port \"a\" { static = 0 } port \"b\" { static = -1 } port \"c\" { static = 70000 } } } }";
    let wanted = json!({"TaskGroups": [{"Networks": [{
        "DynamicPorts": [{"Label": "a", "Value": 0}, {"Label": "b", "Value": -1}],
        "ReservedPorts": [{"Label": "c", "Value": 70000}],
    }]}]});
    assert_holds(&parse(text).unwrap(), &wanted, "job");
}

#[test]
fn groups_of_one_name_are_left_to_validation() {
    let job = parse("job \"a\" {\n group \"g\" {}\n group \"g\" {}\n}").unwrap();
    assert_eq!(job["TaskGroups"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_jobspec_is_a_job_that_can_be_registered() {
    let text = r#"
job "web" {
  datacenters = ["dc1"]
  constraint { attribute = "${attr.kernel.name}" value = "linux" }
  update { max_parallel = 2 }
  group "g" {
    count = 2
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/sh" args = ["-c", "exec sleep ${NOMAD_META_x}"] }
      template {
        data = <<EOH
hello
EOH
        destination = "local/x"
      }
      service { name = "s" port = "http" check { type = "tcp" interval = "10s" timeout = "2s" } }
      resources { cpu = 100 memory = 64 network { port "http" {} } }
    }
  }
}"#;
    let document = serde_json::to_vec(&parse(text).unwrap()).unwrap();
    let mut job = crate::job::decode_job(&document).unwrap();
    crate::job::canonicalise(&mut job);
    assert!(crate::job::validate(&job).is_ok(), "{:?}", crate::job::validate(&job));
    let task = &job.task_groups[0].tasks[0];
    assert_eq!(
        (job.id.as_str(), job.task_groups[0].count, task.driver.as_str()),
        ("web", Some(2), "raw_exec")
    );
}
