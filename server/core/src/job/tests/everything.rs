//! Round trip of a job that sets every member of the API.

use serde_json::{Value, json};

use super::{edited, register};
use crate::job::{spec_json, validate, warnings};

const SECOND: i64 = 1_000_000_000;

/// Returns a valid job with every member of a specification.
pub(super) fn full_job() -> Value {
    let update = json!({
        "Stagger": 31 * SECOND, "MaxParallel": 2, "HealthCheck": "task_states", "MinHealthyTime": 11 * SECOND,
        "HealthyDeadline": 200 * SECOND, "ProgressDeadline": 300 * SECOND, "AutoRevert": true,
        "AutoPromote": true, "Canary": 1,
    });
    json!({
        "ID": "full", "Name": "full job", "Namespace": "team", "Region": "global", "Type": "service",
        "Priority": 70, "AllAtOnce": true, "Datacenters": ["dc1", "dc2"], "Constraints": [constraint()],
        "Affinities": [affinity()], "Spreads": [spread()], "Update": update,
        "Multiregion": {"Strategy": {"MaxParallel": 1}, "Regions": [{"Name": "north", "Count": 1}]},
        "Meta": {"Key": "v", "key": "w"}, "VaultNamespace": "vault", "ConsulNamespace": "consul",
        "TaskGroups": [group(&update)],
    })
}

fn constraint() -> Value {
    json!({"LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "="})
}

fn affinity() -> Value {
    json!({"LTarget": "${meta.rack}", "RTarget": "r1", "Operand": "=", "Weight": -30})
}

fn spread() -> Value {
    json!({"Attribute": "${node.datacenter}", "Weight": 60, "SpreadTarget": [{"Value": "dc1", "Percent": 70}]})
}

fn network(label: &str) -> Value {
    json!({
        "Mode": "bridge", "Device": "eth0", "CIDR": "10.0.0.0/8", "IP": "10.0.0.1", "MBits": 10, "Hostname": "h",
        "DNS": {"Servers": ["1.1.1.1"], "Searches": ["local"], "Options": ["ndots:2"]},
        "ReservedPorts": [{"Label": format!("{label}-fixed"), "Value": 8080, "To": 80, "HostNetwork": label}],
        "DynamicPorts": [{"Label": label, "Value": 0, "To": -1, "HostNetwork": "default"}],
    })
}

fn service(name: &str, port: &str, connect: &Value) -> Value {
    let check = json!({
        "Name": "alive", "Type": "http", "Command": "c", "Args": ["a"], "Path": "/", "Protocol": "https",
        "PortLabel": port, "Expose": true, "AddressMode": "host", "Interval": 10 * SECOND, "Timeout": 2 * SECOND,
        "InitialStatus": "warning", "TLSSkipVerify": true, "Method": "POST", "Header": {"X": ["a", "b"]},
        "CheckRestart": {"Limit": 3, "Grace": SECOND, "IgnoreWarnings": true}, "GRPCService": "g",
        "GRPCUseTLS": true, "TaskName": "", "SuccessBeforePassing": 1, "FailuresBeforeCritical": 2,
        "Body": "{}", "OnUpdate": "ignore",
    });
    json!({
        "Name": name, "TaskName": "t", "PortLabel": port, "AddressMode": "host", "EnableTagOverride": true,
        "Tags": ["t"], "CanaryTags": ["c"], "Checks": [check], "Connect": connect, "Meta": {"Key": "v"},
        "CanaryMeta": {"Key": "v"}, "OnUpdate": "ignore", "Provider": "consul",
    })
}

fn scaling(policy_type: &str) -> Value {
    json!({
        "ID": "id", "Type": policy_type, "Target": {"Other": "x"}, "Policy": {"Cooldown": "1m"}, "Min": 1,
        "Max": 9, "Enabled": false, "CreateIndex": 7, "ModifyIndex": 8,
    })
}

fn group(update: &Value) -> Value {
    json!({
        "Name": "g", "Count": 2, "Constraints": [constraint()], "Affinities": [affinity()], "Spreads": [spread()],
        "Update": update,
        "Migrate": {
            "MaxParallel": 2, "HealthCheck": "task_states", "MinHealthyTime": SECOND, "HealthyDeadline": 2 * SECOND,
        },
        "RestartPolicy": {"Attempts": 3, "Interval": 600 * SECOND, "Delay": SECOND, "Mode": "delay"},
        "ReschedulePolicy": {
            "Attempts": 2, "Interval": 600 * SECOND, "Delay": 6 * SECOND, "DelayFunction": "fibonacci",
            "MaxDelay": 60 * SECOND, "Unlimited": false,
        },
        "EphemeralDisk": {"Sticky": true, "SizeMB": 400, "Migrate": true}, "Networks": [network("group")],
        "Services": [service("of-group", "group", &json!({"SidecarService": {"Proxy": {"Upstreams": [1]}}}))],
        "Volumes": {"Data": {
            "Name": "Data", "Type": "csi", "Source": "disk", "ReadOnly": true, "AccessMode": "single-node-writer",
            "AttachmentMode": "file-system", "PerAlloc": true,
            "MountOptions": {"FSType": "ext4", "MountFlags": ["ro"]},
        }},
        "Scaling": scaling("horizontal"), "ShutdownDelay": SECOND, "StopAfterClientDisconnect": SECOND,
        "MaxClientDisconnect": SECOND, "Consul": {"Namespace": "c"}, "Meta": {"Key": "v"}, "Tasks": [task()],
    })
}

fn task() -> Value {
    json!({
        "Name": "t", "Driver": "docker", "User": "nobody", "Leader": true, "Kind": "kind",
        "Config": {"Image": "x", "image": "y", "args": [], "nothing": null, "deep": [{"Port": 0.1}]},
        "Env": {"Key": "v", "key": "w"}, "Constraints": [constraint()], "Affinities": [affinity()],
        "Services": [service("of-task", "task", &Value::Null)],
        "Resources": {
            "CPU": 500, "MemoryMB": 256, "DiskMB": 0, "IOPS": 1, "Cores": 2, "MemoryMaxMB": 512,
            "Networks": [network("task")],
            "Devices": [{"Name": "gpu", "Count": 2, "Constraints": [constraint()], "Affinities": [affinity()]}],
        },
        "RestartPolicy": {"Attempts": 1, "Interval": 60 * SECOND, "Delay": SECOND, "Mode": "fail"},
        "Lifecycle": {"Hook": "poststart", "Sidecar": true},
        "Templates": [{
            "SourcePath": "a", "DestPath": "local/b", "EmbeddedTmpl": "c", "ChangeMode": "signal",
            "ChangeSignal": "SIGUSR1", "Splay": SECOND, "Perms": "600", "LeftDelim": "<<", "RightDelim": ">>",
            "Envvars": false, "VaultGrace": 1,
        }],
        "Artifacts": [{
            "GetterSource": "http://h/x", "GetterOptions": {"Key": "v"}, "GetterHeaders": {"X-Key": "v"},
            "GetterMode": "file", "RelativeDest": "local/x",
        }],
        "Vault": {
            "Policies": ["p"], "Namespace": "n", "Env": false, "ChangeMode": "signal", "ChangeSignal": "SIGUSR2",
        },
        "VolumeMounts": [{
            "Volume": "Data", "Destination": "/data", "ReadOnly": true, "PropagationMode": "host-to-task",
        }],
        "DispatchPayload": {"File": "x"}, "CSIPluginConfig": {"ID": "p", "Type": "node", "MountDir": "/csi"},
        "LogConfig": {"MaxFiles": 3, "MaxFileSizeMB": 4}, "ScalingPolicies": [scaling("vertical_cpu")],
        "KillSignal": "SIGQUIT", "KillTimeout": 7 * SECOND, "ShutdownDelay": SECOND, "Meta": {"Key": "v"},
    })
}

#[test]
fn everything_that_is_said_is_given_back() {
    let job = register(&full_job()).job;
    let faults = validate(&job).unwrap_err();
    assert_eq!(["job \"full\" is in nonexistent namespace \"team\""], *faults.texts());
    let told: Value = serde_json::from_slice(&spec_json(&job)).unwrap();

    // Add to the submitted job what the servers add or move.
    let target = json!({"Other": "x", "Namespace": "team", "Job": "full", "Group": "g"});
    let implied = json!([
        constraint(),
        {"LTarget": "${attr.vault.version}", "RTarget": ">= 0.6.1", "Operand": "semver"},
        {"LTarget": "${attr.os.signals}", "RTarget": "SIGQUIT,SIGUSR1,SIGUSR2", "Operand": "set_contains"},
    ]);
    let pacing = json!({
        "Stagger": 31 * SECOND, "MaxParallel": 2, "HealthCheck": "", "MinHealthyTime": 0, "HealthyDeadline": 0,
        "ProgressDeadline": 0, "AutoRevert": false, "AutoPromote": false, "Canary": 0,
    });
    let expected = edited(
        full_job(),
        &[
            ("/Update", pacing),
            ("/ConsulToken", json!("")),
            ("/VaultToken", json!("")),
            ("/Periodic", Value::Null),
            ("/ParameterizedJob", Value::Null),
            ("/TaskGroups/0/Constraints", implied),
            ("/TaskGroups/0/Scaling/Target", target),
        ],
    );
    assert_eq!(told, expected);
}

#[test]
fn a_user_is_told_of_each_field_without_effect_once() {
    let warnings = warnings(&register(&full_job()).job, &|_| false);
    // The group's warnings in Nomad's words, and one of ours for each field without effect.
    assert_eq!(warnings.texts().count(), 30, "{warnings}");
}
