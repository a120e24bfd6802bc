//! Diffs of a job with every member set.

use serde_json::{Value, json};

fn constraint() -> Value {
    json!({"LTarget": "left", "RTarget": "right", "Operand": "="})
}

fn affinity() -> Value {
    json!({"LTarget": "near", "RTarget": "far", "Operand": "!=", "Weight": 20})
}

fn spread() -> Value {
    json!({
        "Attribute": "rack", "Weight": 30,
        "SpreadTarget": [{"Value": "r1", "Percent": 40}, {"Value": "r2", "Percent": 60}],
    })
}

fn network() -> Value {
    json!({
        "Mode": "bridge", "Device": "eth0", "CIDR": "10.0.0.0/8", "IP": "10.0.0.1", "MBits": 10,
        "DNS": {"Servers": ["8.8.8.8"], "Searches": ["local"], "Options": ["rotate"]},
        "ReservedPorts": [{"Label": "admin", "Value": 9090, "To": 90, "HostNetwork": "public"}],
        "DynamicPorts": [{"Label": "http", "Value": 1, "To": 80, "HostNetwork": "private"}],
    })
}

fn service(name: &str) -> Value {
    json!({
        "Name": name, "TaskName": "task", "PortLabel": "http", "AddressMode": "host",
        "EnableTagOverride": true,
        "Tags": ["one", "two"], "CanaryTags": ["canary"], "Meta": {"m": "1"}, "CanaryMeta": {"c": "2"},
        "Checks": [{
            "Name": "alive", "Type": "http", "Command": "probe", "Args": ["-a", "-b"], "Path": "/health",
            "Protocol": "https", "PortLabel": "admin", "Expose": true, "AddressMode": "driver",
            "Interval": 11,
            "Timeout": 12, "InitialStatus": "passing", "TLSSkipVerify": true, "Method": "PUT",
            "Header": {"Accept": ["json", "text"]}, "GRPCService": "grpc", "GRPCUseTLS": true,
            "TaskName": "task",
            "SuccessBeforePassing": 13, "FailuresBeforeCritical": 14,
            "CheckRestart": {"Limit": 15, "Grace": 16, "IgnoreWarnings": true},
        }],
        "Connect": {
            "Native": true,
            "SidecarService": {
                "Port": "side", "Tags": ["mesh"],
                "Proxy": {
                    "LocalServicePort": 17, "Config": {"protocol": "http", "list": [1, [2]]},
                    "Upstreams": [{"DestinationName": "db", "LocalBindPort": 18}],
                },
            },
            "SidecarTask": {"Driver": "docker", "Resources": {"CPU": 19}, "Mixed": [1, {"a": [2]}]},
        },
    })
}

fn scaling(policy_type: &str) -> Value {
    json!({
        "ID": "policy", "Type": policy_type, "Target": {"Job": "full"},
        "Policy": {"cooldown": "1m", "check": [{"a": 1}]},
        "Min": 1, "Max": 9, "Enabled": true, "CreateIndex": 5, "ModifyIndex": 6,
    })
}

fn task() -> Value {
    json!({
        "Name": "task", "Driver": "docker", "User": "nobody", "Kind": "connect-proxy:web", "Leader": true,
        "Config": {"image": "redis:3.2", "args": ["-x", "-y"], "port_map": [{"db": 6379}], "tty": true},
        "Env": {"K": "v", "L": "w"}, "Meta": {"task": "meta"}, "Constraints": [constraint()],
        "Affinities": [affinity()],
        "Services": [service("task-service"), service("other")],
        "Resources": {
            "CPU": 500, "MemoryMB": 256, "DiskMB": 21, "IOPS": 22, "Networks": [network()],
            "Devices": [{
                "Name": "nvidia/gpu", "Count": 2, "Constraints": [constraint()], "Affinities": [affinity()],
            }],
        },
        "RestartPolicy": {"Attempts": 23, "Interval": 24, "Delay": 25, "Mode": "delay"},
        "Lifecycle": {"Hook": "prestart", "Sidecar": true},
        "Templates": [{
            "SourcePath": "src", "DestPath": "dest", "EmbeddedTmpl": "text", "ChangeMode": "signal",
            "ChangeSignal": "SIGHUP", "Splay": 26, "Perms": "0600", "LeftDelim": "[[", "RightDelim": "]]",
            "Envvars": true, "VaultGrace": 27,
        }],
        "Artifacts": [{
            "GetterSource": "http://x/y", "GetterOptions": {"checksum": "md5:0"}, "GetterHeaders": {"H": "h"},
            "GetterMode": "file", "RelativeDest": "local/y",
        }],
        "Vault": {
            "Policies": ["p", "q"], "Namespace": "ns", "Env": true, "ChangeMode": "signal",
            "ChangeSignal": "SIGUSR1",
        },
        "VolumeMounts": [{
            "Volume": "data", "Destination": "/data", "ReadOnly": true, "PropagationMode": "bidirectional",
        }],
        "DispatchPayload": {"File": "input"},
        "CSIPluginConfig": {"ID": "csi", "Type": "node", "MountDir": "/csi"},
        "LogConfig": {"MaxFiles": 28, "MaxFileSizeMB": 29}, "ScalingPolicies": [scaling("vertical_cpu")],
        "KillSignal": "SIGINT", "KillTimeout": 31, "ShutdownDelay": 32,
    })
}

fn group() -> Value {
    json!({
        "Name": "group", "Count": 3, "Constraints": [constraint()], "Affinities": [affinity()],
        "Spreads": [spread()],
        "Tasks": [task()], "Meta": {"group": "meta"}, "ShutdownDelay": 33, "StopAfterClientDisconnect": 34,
        "Update": {
            "Stagger": 35, "MaxParallel": 36, "HealthCheck": "manual", "MinHealthyTime": 37,
            "HealthyDeadline": 38,
            "ProgressDeadline": 39, "AutoRevert": true, "AutoPromote": true, "Canary": 41,
        },
        "Migrate": {"MaxParallel": 42, "HealthCheck": "checks", "MinHealthyTime": 43, "HealthyDeadline": 44},
        "RestartPolicy": {"Attempts": 45, "Interval": 46, "Delay": 47, "Mode": "fail"},
        "ReschedulePolicy": {
            "Attempts": 48, "Interval": 49, "Delay": 51, "DelayFunction": "fibonacci", "MaxDelay": 52,
            "Unlimited": true,
        },
        "EphemeralDisk": {"Sticky": true, "SizeMB": 53, "Migrate": true},
        "Networks": [network()], "Services": [service("group-service")], "Scaling": scaling("horizontal"),
        "Volumes": {
            "data": {
                "Name": "data", "Type": "csi", "Source": "db", "ReadOnly": true,
                "MountOptions": {"FSType": "ext4", "MountFlags": ["ro", "noatime"]},
            },
        },
    })
}

pub(super) fn full_job() -> Value {
    json!({
        "ID": "full", "Name": "Full", "Namespace": "prod", "Region": "eu", "Type": "batch", "Priority": 70,
        "AllAtOnce": true,
        "Datacenters": ["dc1", "dc2"], "Constraints": [constraint()], "Affinities": [affinity()],
        "Spreads": [spread()],
        "TaskGroups": [group()], "Meta": {"job": "meta"}, "VaultNamespace": "secrets",
        "Update": {"Stagger": 54, "MaxParallel": 55},
        "Multiregion": {
            "Strategy": {"MaxParallel": 1, "OnFailure": "fail_all"},
            "Regions": [{"Name": "eu", "Count": 2, "Datacenters": ["dc1"], "Meta": {"r": "s"}}],
        },
        "Periodic": {
            "Enabled": true, "Spec": "@daily", "SpecType": "cron", "ProhibitOverlap": true, "TimeZone": "UTC",
        },
        "ParameterizedJob": {"Payload": "required", "MetaRequired": ["who"], "MetaOptional": ["why"]},
    })
}
