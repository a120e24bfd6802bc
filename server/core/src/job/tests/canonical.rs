//! Defaults of omitted members, as returned by a Nomad 1.0.18 server.

use serde_json::{Value, json};

use super::{edited, register, small_job};
use crate::job::{parse_spec, spec_json};

fn canonical(job: &Value) -> Value {
    serde_json::from_slice(&spec_json(&register(job).job)).unwrap()
}

/// Asserts that `got` contains everything in `wanted`.
fn assert_says(got: &Value, wanted: &Value, place: &str) {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                let got = got.get(name).unwrap_or_else(|| panic!("{place}.{name} is missing"));
                assert_says(got, wanted, &format!("{place}.{name}"));
            }
        }
        (Value::Array(got), Value::Array(wanted)) => {
            assert_eq!(got.len(), wanted.len(), "{place}");
            for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                assert_says(got, wanted, &format!("{place}[{index}]"));
            }
        }
        _ => assert_eq!(got, wanted, "{place}"),
    }
}

#[test]
fn a_service_that_says_nothing_more_gets_every_member() {
    let job = json!({
        "ID": "small", "Datacenters": ["dc1"],
        "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}],
    });
    let restart = json!({
        "Attempts": 2, "Delay": 15_000_000_000_i64, "Interval": 1_800_000_000_000_i64, "Mode": "fail",
    });
    let task = json!({
        "Name": "t", "Driver": "raw_exec", "User": "", "Config": null, "Env": null, "Constraints": null,
        "Affinities": null, "Services": null, "RestartPolicy": restart, "Lifecycle": null,
        "Resources": {"CPU": 100, "MemoryMB": 300, "DiskMB": 0, "IOPS": 0, "Networks": null, "Devices": null},
        "Templates": null, "Artifacts": null, "Vault": null, "VolumeMounts": null,
        "DispatchPayload": null, "CSIPluginConfig": null, "ScalingPolicies": null,
        "LogConfig": {"MaxFiles": 10, "MaxFileSizeMB": 10}, "KillSignal": "",
        "KillTimeout": 5_000_000_000_i64, "ShutdownDelay": 0, "Leader": false, "Kind": "", "Meta": null,
    });
    let group = json!({
        "Name": "g", "Count": 1, "Constraints": null, "Affinities": null, "Spreads": null,
        "Update": {
            "Stagger": 30_000_000_000_i64, "MaxParallel": 1, "HealthCheck": "checks",
            "MinHealthyTime": 10_000_000_000_i64, "HealthyDeadline": 300_000_000_000_i64,
            "ProgressDeadline": 600_000_000_000_i64, "AutoRevert": false, "AutoPromote": false, "Canary": 0,
        },
        "Migrate": {
            "MaxParallel": 1, "HealthCheck": "checks", "MinHealthyTime": 10_000_000_000_i64,
            "HealthyDeadline": 300_000_000_000_i64,
        },
        "RestartPolicy": restart,
        "ReschedulePolicy": {
            "Attempts": 0, "Interval": 0, "Delay": 30_000_000_000_i64, "DelayFunction": "exponential",
            "MaxDelay": 3_600_000_000_000_i64, "Unlimited": true,
        },
        "EphemeralDisk": {"Sticky": false, "SizeMB": 300, "Migrate": false},
        "Networks": null, "Services": null, "Volumes": null, "Scaling": null, "ShutdownDelay": null,
        "StopAfterClientDisconnect": null, "Meta": null, "Tasks": [task],
    });
    let wanted = json!({
        "ID": "small", "Name": "small", "Namespace": "default", "Region": "global", "Type": "service",
        "Priority": 50, "AllAtOnce": false, "Datacenters": ["dc1"], "Constraints": null, "Affinities": null,
        "Spreads": null, "Multiregion": null, "Periodic": null, "ParameterizedJob": null, "Meta": null,
        "ConsulToken": "", "VaultToken": "", "VaultNamespace": "",
        "Update": {
            "Stagger": 30_000_000_000_i64, "MaxParallel": 1, "HealthCheck": "", "MinHealthyTime": 0,
            "HealthyDeadline": 0, "ProgressDeadline": 0, "AutoRevert": false, "AutoPromote": false, "Canary": 0,
        },
        "TaskGroups": [group],
    });
    assert_eq!(canonical(&job), wanted);
}

#[test]
fn batch_and_system_jobs_have_policies_of_their_own() {
    let nothing = json!({
        "Stagger": 0, "MaxParallel": 0, "HealthCheck": "", "MinHealthyTime": 0, "HealthyDeadline": 0,
        "ProgressDeadline": 0, "AutoRevert": false, "AutoPromote": false, "Canary": 0,
    });
    let batch = json!({"Update": nothing, "TaskGroups": [{
        "Update": null, "Migrate": null,
        "RestartPolicy": {"Attempts": 3, "Interval": 86_400_000_000_000_i64, "Delay": 15_000_000_000_i64, "Mode": "fail"},
        "ReschedulePolicy": {
            "Attempts": 1, "Interval": 86_400_000_000_000_i64, "Delay": 5_000_000_000_i64,
            "DelayFunction": "constant", "MaxDelay": 0, "Unlimited": false,
        },
    }]});
    assert_says(&canonical(&small_job("batch")), &batch, "batch");
    let system = json!({"Update": nothing, "TaskGroups": [{
        "Update": null, "Migrate": null, "ReschedulePolicy": null,
        "RestartPolicy": {"Attempts": 2, "Interval": 1_800_000_000_000_i64, "Delay": 15_000_000_000_i64, "Mode": "fail"},
    }]});
    assert_says(&canonical(&small_job("system")), &system, "system");
}

#[test]
fn groups_take_the_jobs_policies_for_what_they_leave_open() {
    let job = edited(
        small_job("service"),
        &[
            ("/Update", json!({"MaxParallel": 2, "AutoRevert": true, "HealthCheck": "task_states"})),
            ("/Reschedule", json!({"Delay": 60_000_000_000_i64, "Unlimited": true})),
            ("/Migrate", json!({"MaxParallel": 3})),
            ("/TaskGroups/0/Update", json!({"MaxParallel": 5, "Canary": 1})),
            ("/TaskGroups/0/ReschedulePolicy", json!({"DelayFunction": "fibonacci"})),
            ("/TaskGroups/0/RestartPolicy", json!({"Attempts": 7, "Mode": "delay"})),
            ("/TaskGroups/0/Tasks/0/RestartPolicy", json!({"Attempts": 1})),
        ],
    );
    let wanted = json!({
        "Update": {"MaxParallel": 2, "AutoRevert": false, "HealthCheck": "", "Stagger": 30_000_000_000_i64},
        "TaskGroups": [{
            "Update": {"MaxParallel": 5, "Canary": 1, "AutoRevert": true, "HealthCheck": "task_states",
                       "HealthyDeadline": 300_000_000_000_i64},
            "ReschedulePolicy": {"Delay": 60_000_000_000_i64, "DelayFunction": "fibonacci", "Unlimited": true,
                                 "MaxDelay": 3_600_000_000_000_i64},
            "Migrate": {"MaxParallel": 3, "HealthCheck": "checks"},
            "RestartPolicy": {"Attempts": 7, "Mode": "delay", "Delay": 15_000_000_000_i64},
            "Tasks": [{"RestartPolicy": {"Attempts": 1, "Mode": "delay", "Delay": 15_000_000_000_i64}}],
        }],
    });
    let got = canonical(&job);
    assert_says(&got, &wanted, "job");
    assert!(got.get("Reschedule").is_none() && got.get("Migrate").is_none(), "{got}");
}

#[test]
fn parts_of_a_task_get_their_defaults() {
    let job = edited(
        small_job("batch"),
        &[
            ("/Periodic", json!({"Spec": "@daily"})),
            ("/ParameterizedJob", json!({"MetaRequired": ["key"]})),
            ("/Affinities", json!([{"LTarget": "a", "RTarget": "b", "Operand": "="}])),
            ("/Spreads", json!([{"Attribute": "${node.datacenter}"}])),
            ("/TaskGroups/0/Tasks/0/Config", json!({"port_map": [{"db": 6379}], "args": []})),
            (
                "/TaskGroups/0/Tasks/0/Artifacts",
                json!([{"GetterSource": "http://h/a/b.txt", "GetterMode": "file"}, {}]),
            ),
            (
                "/TaskGroups/0/Tasks/0/Templates",
                json!([{"DestPath": "local/x", "ChangeMode": "signal", "ChangeSignal": "sighup"}]),
            ),
            ("/TaskGroups/0/Tasks/0/Vault", json!({"Policies": ["p"]})),
            ("/TaskGroups/0/Tasks/0/Lifecycle", json!({"Hook": ""})),
            ("/TaskGroups/0/Tasks/0/VolumeMounts", json!([{"Volume": "v"}])),
            ("/TaskGroups/0/Tasks/0/Resources/Devices", json!([{"Name": "gpu"}])),
            ("/TaskGroups/0/Tasks/0/Resources/Networks", json!([{"DynamicPorts": [{"Label": "http"}]}])),
        ],
    );
    let wanted = json!({
        "Periodic": {"Enabled": true, "SpecType": "cron", "ProhibitOverlap": false, "TimeZone": "UTC"},
        "ParameterizedJob": {"Payload": "optional", "MetaRequired": ["key"], "MetaOptional": null},
        "Affinities": [{"Weight": 50}],
        "Spreads": [{"Weight": 50, "SpreadTarget": null}],
        "TaskGroups": [{
            "Constraints": [
                {"LTarget": "${attr.vault.version}", "Operand": "semver", "RTarget": ">= 0.6.1"},
                {"LTarget": "${attr.os.signals}", "Operand": "set_contains", "RTarget": "SIGHUP"},
            ],
            "Tasks": [{
                "Config": {"port_map": [{"db": 6379.0}], "args": []},
                "Artifacts": [
                    {"GetterMode": "file", "RelativeDest": "local/b.txt", "GetterOptions": null, "GetterHeaders": null},
                    {"GetterSource": "", "GetterMode": "any", "RelativeDest": "local/"},
                ],
                "Templates": [{
                    "SourcePath": "", "EmbeddedTmpl": "", "ChangeSignal": "SIGHUP", "Splay": 5_000_000_000_i64,
                    "Perms": "0644", "LeftDelim": "{{", "RightDelim": "}}", "Envvars": false, "VaultGrace": 0,
                }],
                "Vault": {"Namespace": "", "Env": true, "ChangeMode": "restart", "ChangeSignal": "SIGHUP"},
                "Lifecycle": null,
                "VolumeMounts": [{"ReadOnly": false, "Destination": "", "PropagationMode": "private"}],
                "Resources": {
                    "Devices": [{"Count": 1, "Constraints": null}],
                    "Networks": [{
                        "Mode": "", "Device": "", "CIDR": "", "IP": "", "DNS": null, "MBits": 0,
                        "ReservedPorts": null,
                        "DynamicPorts": [{"Label": "http", "Value": 0, "To": 0, "HostNetwork": "default"}],
                    }],
                },
            }],
        }],
    });
    assert_says(&canonical(&job), &wanted, "job");
}

#[test]
fn services_are_named_by_where_they_stand() {
    let job = edited(
        small_job("service"),
        &[
            ("/TaskGroups/0/Services", json!([{}, {"Name": "${BASE}-${TASK}-${OTHER}-${"}])),
            (
                "/TaskGroups/0/Tasks/0/Services",
                json!([
                    {"CheckRestart": {"Limit": 3}, "Checks": [
                        {"Type": "tcp"},
                        {"Name": "own", "CheckRestart": {"Limit": 5, "Grace": 7, "IgnoreWarnings": true}},
                    ]},
                    {"Name": "${JOB}-${TASK}-x"},
                ]),
            ),
        ],
    );
    let wanted = json!({"TaskGroups": [{
        "Services": [
            {"Name": "small-g", "AddressMode": "auto"},
            {"Name": "small-g-group-group-${OTHER}-${", "AddressMode": "auto"},
        ],
        "Tasks": [{"Services": [
            {"Name": "small-g-t", "Checks": [
                {"Name": "service: \"small-g-t\" check",
                 "CheckRestart": {"Limit": 3, "Grace": 1_000_000_000, "IgnoreWarnings": false}},
                {"Name": "own", "CheckRestart": {"Limit": 5, "Grace": 7, "IgnoreWarnings": true}},
            ]},
            {"Name": "small-t-x"},
        ]}],
    }]});
    let got = canonical(&job);
    assert_says(&got, &wanted, "job");
    assert!(got.pointer("/TaskGroups/0/Tasks/0/Services/0/CheckRestart").is_none());
}

#[test]
fn signals_that_tasks_need_are_asked_of_the_node_once() {
    let job = edited(small_job("service"), &[("/TaskGroups/0/Tasks/0/KillSignal", json!("SIGUSR2"))]);
    let wanted = json!([{"LTarget": "${attr.os.signals}", "Operand": "set_contains", "RTarget": "SIGUSR2"}]);
    let once = canonical(&job);
    assert_eq!(once["TaskGroups"][0]["Constraints"], wanted);
    assert_eq!(canonical(&once), once, "a canonical job stays as it is");
}

#[test]
fn words_that_would_be_names_of_words_are_not_put_into_names() {
    let job = edited(
        small_job("service"),
        &[
            ("/Name", json!("${BASE}")),
            ("/TaskGroups/0/Name", json!("}")),
            (
                "/TaskGroups/0/Services",
                json!([{"Name": "${JOB}"}, {"Name": "${JOB${TASKGROUP}"}, {"Name": "${TASK}"}]),
            ),
        ],
    );
    let once = canonical(&job);
    let names = |job: &Value| -> Vec<Value> {
        job["TaskGroups"][0]["Services"].as_array().unwrap().iter().map(|it| it["Name"].clone()).collect()
    };
    assert_eq!(names(&once), ["${JOB}", "${JOB${TASKGROUP}", "group"]);
    assert_eq!(names(&canonical(&once)), names(&once));
}

#[test]
fn signals_and_timeouts_that_are_left_open_get_the_usual_ones() {
    let job = edited(
        small_job("service"),
        &[
            (
                "/TaskGroups/0/Tasks/0/Templates",
                json!([{"ChangeMode": "signal"}, {"ChangeMode": "signal", "ChangeSignal": ""}, {}]),
            ),
            ("/TaskGroups/0/Tasks/0/KillTimeout", json!(0)),
        ],
    );
    let wanted = json!({"TaskGroups": [{"Tasks": [{
        "KillTimeout": 5_000_000_000_i64,
        "Templates": [{"ChangeSignal": "SIGHUP"}, {"ChangeSignal": ""}, {"ChangeSignal": ""}],
    }]}]});
    assert_says(&canonical(&job), &wanted, "job");
}

#[test]
fn members_of_later_apis_are_told_only_where_they_are_said() {
    let job = edited(
        small_job("service"),
        &[
            ("/ConsulNamespace", json!("c")),
            ("/TaskGroups/0/MaxClientDisconnect", json!(5)),
            ("/TaskGroups/0/Consul", json!({"namespace": "c"})),
            ("/TaskGroups/0/Networks", json!([{"Hostname": "h"}])),
            (
                "/TaskGroups/0/Volumes",
                json!({"v": {
                    "Type": "csi", "Source": "s", "AccessMode": "a", "AttachmentMode": "b", "PerAlloc": true,
                    "MountOptions": {"FSType": "ext4", "mountflags": ["ro"]},
                }}),
            ),
            (
                "/TaskGroups/0/Services",
                json!([
                    {"Provider": "nomad", "OnUpdate": "ignore", "Connect": {"Native": false, "x": [1]},
                     "Checks": [{"Body": "{}", "OnUpdate": "ignore"}]},
                ]),
            ),
            ("/TaskGroups/0/Tasks/0/Resources", json!({"Cores": 2, "MemoryMaxMB": 64})),
        ],
    );
    let told = canonical(&job);
    let said = |document: &Value, pointer: &str| document.pointer(pointer).cloned();
    for (pointer, value) in [
        ("/ConsulNamespace", json!("c")),
        ("/TaskGroups/0/MaxClientDisconnect", json!(5)),
        ("/TaskGroups/0/Consul", json!({"namespace": "c"})),
        ("/TaskGroups/0/Networks/0/Hostname", json!("h")),
        ("/TaskGroups/0/Volumes/v/AccessMode", json!("a")),
        ("/TaskGroups/0/Volumes/v/AttachmentMode", json!("b")),
        ("/TaskGroups/0/Volumes/v/PerAlloc", json!(true)),
        ("/TaskGroups/0/Volumes/v/MountOptions", json!({"FSType": "ext4", "mountflags": ["ro"]})),
        ("/TaskGroups/0/Services/0/Provider", json!("nomad")),
        ("/TaskGroups/0/Services/0/OnUpdate", json!("ignore")),
        ("/TaskGroups/0/Services/0/Connect", json!({"Native": false, "x": [1]})),
        ("/TaskGroups/0/Services/0/Checks/0/Body", json!("{}")),
        ("/TaskGroups/0/Services/0/Checks/0/OnUpdate", json!("ignore")),
        ("/TaskGroups/0/Tasks/0/Resources/Cores", json!(2)),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMaxMB", json!(64)),
    ] {
        assert_eq!(said(&told, pointer), Some(value), "{pointer}");
    }
    assert_eq!(canonical(&told), told);
    let plain = canonical(&small_job("service"));
    for pointer in ["/ConsulNamespace", "/TaskGroups/0/Consul", "/TaskGroups/0/Tasks/0/Resources/Cores"] {
        assert_eq!(said(&plain, pointer), None, "{pointer}");
    }
}

#[test]
fn secrets_of_a_registration_are_not_kept() {
    let job =
        edited(small_job("service"), &[("/VaultToken", json!("secret")), ("/ConsulToken", json!("secret"))]);
    let bytes = spec_json(&register(&job).job);
    assert!(!String::from_utf8(bytes).unwrap().contains("secret"));
}

#[test]
fn a_group_that_scales_starts_with_its_least_count() {
    let job = edited(
        small_job("service"),
        &[("/TaskGroups/0/Count", Value::Null), ("/TaskGroups/0/Scaling", json!({"Min": 3, "Max": 9}))],
    );
    let wanted = json!({"TaskGroups": [{"Count": 3, "Scaling": {
        "Enabled": true, "Min": 3, "Max": 9, "Type": "horizontal",
        "Target": {"Namespace": "default", "Job": "small", "Group": "g"},
    }}]});
    assert_says(&canonical(&job), &wanted, "job");
}

#[test]
fn stored_bytes_are_these() {
    // Stored versions must stay readable: changing this format requires a decoder for both formats.
    let job = register(&json!({"ID": "bytes", "Type": "batch", "Meta": {"b": "2", "a": "1"}})).job;
    let bytes = String::from_utf8(spec_json(&job)).unwrap();
    expect_test::expect![[r#"{"ID":"bytes","Name":"bytes","Namespace":"default","Region":"global","Type":"batch","Priority":50,"AllAtOnce":false,"Datacenters":null,"Constraints":null,"Affinities":null,"Spreads":null,"TaskGroups":null,"Update":{"Stagger":0,"MaxParallel":0,"HealthCheck":"","MinHealthyTime":0,"HealthyDeadline":0,"ProgressDeadline":0,"AutoRevert":false,"AutoPromote":false,"Canary":0},"Multiregion":null,"Periodic":null,"ParameterizedJob":null,"Meta":{"a":"1","b":"2"},"ConsulToken":"","VaultToken":"","VaultNamespace":""}"#]]
    .assert_eq(&bytes);
    assert_eq!(parse_spec(bytes.as_bytes()).unwrap(), job);
}
