//! The canonical form of a parsed jobspec.

use super::assert_holds;
use crate::jobspec::{Variables, parse, parse_document, parse_hcl1_document};
use serde_json::{Value as Json, json};

fn canonical(text: &str) -> Json {
    parse_document(text, &Variables::new(), true).unwrap()
}

const UPDATE: &str = r#"{"AutoPromote": false, "AutoRevert": false, "Canary": 0, "HealthCheck": "checks",
    "HealthyDeadline": 300000000000, "MaxParallel": 1, "MinHealthyTime": 10000000000,
    "ProgressDeadline": 600000000000, "Stagger": 30000000000}"#;

#[test]
fn the_smallest_job_says_what_it_is_and_what_the_servers_own() {
    let update: Json = serde_json::from_str(UPDATE).unwrap();
    assert_eq!(
        canonical("job \"my-job\" {}"),
        json!({
            "Affinities": null, "AllAtOnce": false, "Constraints": null, "ConsulToken": "", "CreateIndex": 0,
            "Datacenters": null, "Dispatched": false, "ID": "my-job", "JobModifyIndex": 0, "Meta": null,
            "Migrate": null, "ModifyIndex": 0, "Multiregion": null, "Name": "my-job", "Namespace": "default",
            "NomadTokenID": "", "ParameterizedJob": null, "ParentID": "", "Payload": null, "Periodic": null,
            "Priority": 50, "Region": "global", "Reschedule": null, "Spreads": null, "Stable": false, "Status": "",
            "StatusDescription": "", "Stop": false, "SubmitTime": null, "TaskGroups": null, "Type": "service",
            "Update": update, "VaultNamespace": "", "VaultToken": "", "Version": 0,
        })
    );
}

#[test]
fn without_it_the_same_members_are_there_and_null() {
    let job = parse("job \"my-job\" {}").unwrap();
    let canonical = canonical("job \"my-job\" {}");
    let keys = |job: &Json| job.as_object().map(|job| job.keys().cloned().collect::<Vec<_>>());
    assert_eq!(keys(&job), keys(&canonical));
    let said = job.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    assert_eq!(said.map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["Dispatched", "ID", "Name"]);
}

#[test]
fn what_the_job_says_is_said_again_in_its_groups_and_tasks() {
    let text = r#"
job "x" {
  update {
    max_parallel = 3
    canary       = 1
  }
  reschedule {
    attempts = 9
  }
  migrate {
    max_parallel = 5
  }
  group "own" {
    update {
      canary = 2
    }
    restart {
      attempts = 7
    }
    task "t" {
      driver = "exec"
      restart {
        mode = "delay"
      }
    }
  }
  group "none" {}
}"#;
    let job = canonical(text);
    let restart = |attempts: u8, mode: &str| json!({"Attempts": attempts, "Delay": 15_000_000_000_i64, "Interval": 1_800_000_000_000_i64, "Mode": mode});
    assert_holds(
        &job,
        &json!({
            "Update": {"MaxParallel": 3, "Canary": 1, "HealthCheck": "checks"},
            "Reschedule": {"Attempts": 9, "Delay": null},
            "Migrate": {"MaxParallel": 5, "HealthCheck": null},
            "TaskGroups": [
                {
                    "Count": 1,
                    "Update": {"MaxParallel": 3, "Canary": 2, "HealthCheck": "checks"},
                    "ReschedulePolicy": {"Attempts": 9, "DelayFunction": "exponential", "Unlimited": true},
                    "Migrate": {"MaxParallel": 5, "HealthCheck": "checks"},
                    "RestartPolicy": restart(7, "fail"),
                    "EphemeralDisk": {"Migrate": false, "SizeMB": 300, "Sticky": false},
                    "Tasks": [{
                        "RestartPolicy": restart(7, "delay"),
                        "KillTimeout": 5_000_000_000_i64,
                        "LogConfig": {"MaxFiles": 10, "MaxFileSizeMB": 10},
                        "Resources": {"CPU": 100, "MemoryMB": 300, "DiskMB": null, "IOPS": null},
                    }],
                },
                {"Update": {"MaxParallel": 3, "Canary": 1}, "RestartPolicy": restart(2, "fail")},
            ],
        }),
        "job",
    );
}

#[test]
fn policies_follow_the_type_of_the_job() {
    let of =
        |kind: &str| canonical(&format!("job \"x\" {{\n  type = \"{kind}\"\n  group \"g\" {{\n  }}\n}}"));
    let batch = of("batch");
    assert_holds(
        &batch,
        &json!({"Update": null, "TaskGroups": [{
            "Update": null, "Migrate": null,
            "RestartPolicy": {"Attempts": 3, "Interval": 86_400_000_000_000_i64},
            "ReschedulePolicy": {"Attempts": 1, "DelayFunction": "constant", "Unlimited": false},
        }]}),
        "job",
    );
    assert_holds(
        &of("system"),
        &json!({"Update": null, "TaskGroups": [{
            "ReschedulePolicy": null, "Migrate": null, "RestartPolicy": {"Attempts": 2, "Interval": 1_800_000_000_000_i64},
        }]}),
        "job",
    );
}

#[test]
fn the_layout_of_hcl1_comes_from_a_time_without_implied_updates() {
    let old = canonical("job \"x\" { type = \"service\" group \"g\" {} }");
    assert_holds(&old, &json!({"Update": null, "TaskGroups": [{"Update": null, "Count": 1}]}), "job");
    let new = canonical("job \"x\" {\n  type = \"service\"\n  group \"g\" {}\n}");
    assert_holds(
        &new,
        &json!({"Update": {"MaxParallel": 1}, "TaskGroups": [{"Update": {"MaxParallel": 1}}]}),
        "job",
    );
    let new = parse_hcl1_document("job \"x\" {\n  group \"g\" {}\n}", true).unwrap();
    assert_holds(&new, &json!({"Update": {"MaxParallel": 1}}), "job");
}

#[test]
fn every_other_member_has_its_default() {
    let text = r#"
job "x" {
  type = "batch"
  periodic {
  }
  parameterized {
  }
  affinity {
    attribute = "${meta.a}"
  }
  spread {
    attribute = "${meta.a}"
  }
  multiregion {
    region "north" {
    }
  }
  group "g" {
    scaling {
      max = 5
    }
    volume "v" {
      type = "host"
    }
    service {
      check_restart {
        limit = 3
      }
      check {
        type = "tcp"
      }
      check {
        type = "http"
        failures_before_critical = -1
        check_restart {
          grace = "5s"
          ignore_warnings = true
        }
      }
      connect {
        sidecar_task {
        }
        gateway {
          proxy {
          }
          ingress {
            listener {
            }
          }
        }
      }
    }
    task "t" {
      lifecycle {
      }
      vault {
        policies = ["a"]
      }
      scaling "cpu" {
        max = 500
      }
      artifact {
        source = "http://x/a.tgz"
      }
      artifact {
        source = "http://x/a/b.bin"
        mode   = "file"
      }
      template {
        change_mode = "signal"
      }
      template {
        change_signal = "sigusr1"
      }
      volume_mount {
        volume = "v"
      }
      service {
        name = "own"
      }
      resources {
        device "gpu" {
          affinity {
            attribute = "${device.attr.memory}"
          }
        }
      }
    }
  }
}"#;
    let restart = |limit: u8, grace: i64, ignore: bool| json!({"Limit": limit, "Grace": grace, "IgnoreWarnings": ignore});
    assert_holds(
        &canonical(text),
        &json!({
            "Periodic": {"Enabled": true, "ProhibitOverlap": false, "Spec": "", "SpecType": "cron", "TimeZone": "UTC"},
            "ParameterizedJob": {"Payload": "optional"},
            "Affinities": [{"Weight": 50}],
            "Spreads": [{"Weight": 50}],
            "Multiregion": {"Strategy": {"MaxParallel": 0, "OnFailure": ""}, "Regions": [{"Name": "north", "Count": 1}]},
            "TaskGroups": [{
                "Count": 1,
                "Scaling": {"Min": 1, "Max": 5, "Enabled": true, "Type": "horizontal"},
                "Services": [{
                    "Name": "x-g", "AddressMode": "auto",
                    "CheckRestart": {"Limit": 3, "Grace": null},
                    "Checks": [
                        {"CheckRestart": restart(3, 1_000_000_000, false)},
                        {"CheckRestart": restart(3, 5_000_000_000, true), "FailuresBeforeCritical": 0},
                    ],
                    "Connect": {
                        "SidecarTask": {"KillTimeout": 5_000_000_000_i64, "ShutdownDelay": 0, "Resources": {"CPU": 100},
                            "LogConfig": {"MaxFiles": 10}},
                        "Gateway": {"Proxy": {"ConnectTimeout": 5_000_000_000_i64},
                            "Ingress": {"Listeners": [{"Protocol": "tcp"}]}},
                    },
                }],
                "Tasks": [{
                    "Lifecycle": null,
                    "Vault": {"Namespace": "", "Env": true, "ChangeMode": "restart", "ChangeSignal": "SIGHUP"},
                    "ScalingPolicies": [{"Min": 0, "Max": 500, "Enabled": true, "Type": "vertical_cpu"}],
                    "Artifacts": [
                        {"GetterMode": "any", "RelativeDest": "local/"},
                        {"GetterMode": "file", "RelativeDest": "local/b.bin"},
                    ],
                    "Templates": [
                        {"ChangeSignal": "SIGHUP", "SourcePath": "", "DestPath": "", "EmbeddedTmpl": "", "LeftDelim": "{{",
                            "RightDelim": "}}", "Perms": "0644", "Splay": 5_000_000_000_i64, "VaultGrace": 0, "Envvars": false},
                        {"ChangeSignal": "SIGUSR1"},
                    ],
                    "VolumeMounts": [{"ReadOnly": false, "PropagationMode": "private"}],
                    "Services": [{"Name": "own"}],
                    "Resources": {"Devices": [{"Count": 1, "Affinities": [{"Weight": 50}]}]},
                }],
            }],
        }),
        "job",
    );
}

#[test]
fn the_least_of_a_scaling_is_the_count_of_a_group_that_names_none() {
    let text = "job \"x\" {\n  group \"g\" {\n    scaling {\n      min = 4\n      max = 5\n    }\n  }\n}";
    assert_holds(&canonical(text), &json!({"TaskGroups": [{"Count": 4, "Scaling": {"Min": 4}}]}), "job");
    let text = "job \"x\" {\n  group \"g\" {\n    count = 3\n    scaling {\n      max = 5\n    }\n  }\n}";
    assert_holds(&canonical(text), &json!({"TaskGroups": [{"Count": 3, "Scaling": {"Min": 3}}]}), "job");
}
