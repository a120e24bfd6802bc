//! Example diffs of the members of a task.

use expect_test::expect;
use serde_json::json;

use super::{GROUP, TASK, assert_told};

#[test]
fn changes_of_a_task() {
    let task = |member: &str| format!("{TASK}/{member}");
    assert_told(
        &[(&task("Env"), json!({"K": "w", "L": "new"})), (&task("Leader"), json!(true))],
        &expect![[r#"
            ~ job plan
              ~ group web
                ~ task sleep
                  ~ Env[K]: "v" => "w"
                  + Env[L]: "new"
                  ~ Leader: "false" => "true"
        "#]],
    );
    assert_told(
        &[(&task("Config/args"), json!(["700"])), (&task("Config/memory"), json!(4096))],
        &expect![[r#"
            ~ job plan
              ~ group web
                ~ task sleep
                  ~ Config {}
                    ~ args[0]: "600" => "700"
                    = command: "/bin/sleep"
                    + memory: "4096"
        "#]],
    );
    assert_told(
        &[(&task("Config"), json!({"command": "/bin/sleep"}))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ task sleep
              ~ Config {}
                - args[0]: "600"
                = command: "/bin/sleep"
    "#]],
    );
    let networks = json!([{"MBits": 1, "DynamicPorts": [{"Label": "http"}]}]);
    let devices =
        json!([{"Name": "nvidia/gpu", "Count": 2, "Affinities": [{"LTarget": "a", "RTarget": "b"}]}]);
    let edits = [
        (&*task("Resources/CPU"), json!(30)),
        (&*task("Resources/Networks"), networks),
        (&*task("Resources/Devices"), devices),
    ];
    assert_told(
        &edits,
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ task sleep
              ~ Resources {}
                ~ CPU: "20" => "30"
                = DiskMB: "0"
                = IOPS: "0"
                = MemoryMB: "10"
                + Network {}
                  + MBits: "1"
                  = Mode: ""
                  + Dynamic Port {}
                    + HostNetwork: "default"
                    + Label: "http"
                    + To: "0"
                + Device {}
                  + Count: "2"
                  + Name: "nvidia/gpu"
                  + Affinity {}
                    + LTarget: "a"
                    = Operand: ""
                    + RTarget: "b"
                    + Weight: "50"
    "#]],
    );
    let edits = [
        (&*task("Templates"), json!([{"EmbeddedTmpl": "hello", "DestPath": "local/x"}])),
        (
            &*task("Artifacts"),
            json!([{"GetterSource": "http://x/y", "GetterOptions": {"checksum": "md5:0"}}]),
        ),
        (&*task("Vault"), json!({"Policies": ["p"]})),
        (&*task("Lifecycle"), json!({"Hook": "prestart"})),
        (&*task("VolumeMounts"), json!([{"Volume": "data", "Destination": "/data"}])),
        (&*task("KillTimeout"), json!(7_000_000_000_i64)),
        (&*task("LogConfig"), json!({"MaxFiles": 3})),
    ];
    assert_told(
        &edits,
        &expect![[r#"
        ~ job plan
          ~ group web
            + Constraint {}
              + LTarget: "${attr.vault.version}"
              + Operand: "semver"
              + RTarget: ">= 0.6.1"
            ~ task sleep
              ~ KillTimeout: "5000000000" => "7000000000"
              ~ LogConfig {}
                = MaxFileSizeMB: "10"
                ~ MaxFiles: "10" => "3"
              + Artifact {}
                + GetterMode: "any"
                + GetterOptions[checksum]: "md5:0"
                + GetterSource: "http://x/y"
                + RelativeDest: "local/"
              + Vault {}
                + ChangeMode: "restart"
                + ChangeSignal: "SIGHUP"
                + Env: "true"
                = Namespace: ""
                + Policies {}
                  + Policies: "p"
              + Template {}
                + ChangeMode: "restart"
                = ChangeSignal: ""
                + DestPath: "local/x"
                + EmbeddedTmpl: "hello"
                + Envvars: "false"
                + LeftDelim: "{{"
                + Perms: "0644"
                + RightDelim: "}}"
                = SourcePath: ""
                + Splay: "5000000000"
                + VaultGrace: "0"
              + Lifecycle {}
                + Hook: "prestart"
                + Sidecar: "false"
              + VolumeMount {}
                + Destination: "/data"
                + PropagationMode: "private"
                + ReadOnly: "false"
                + Volume: "data"
    "#]],
    );
    let other = json!({"Name": "t2", "Driver": "raw_exec", "Config": {"command": "/bin/true"}});
    assert_told(
        &[(&format!("{GROUP}/Tasks/-"), other)],
        &expect![[r#"
        ~ job plan
          ~ group web
            = task sleep
            + task t2
              + Driver: "raw_exec"
              + KillTimeout: "5000000000"
              + Leader: "false"
              + ShutdownDelay: "0"
              + Config {}
                + command: "/bin/true"
              + Resources {}
                + CPU: "100"
                + DiskMB: "0"
                + IOPS: "0"
                + MemoryMB: "300"
              + LogConfig {}
                + MaxFileSizeMB: "10"
                + MaxFiles: "10"
    "#]],
    );
}

#[test]
fn changes_of_services() {
    let services = format!("{TASK}/Services");
    let service = |member: &str| format!("{services}/0/{member}");
    assert_told(
        &[(&service("Tags"), json!(["x", "y"]))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ task sleep
              ~ Service {}
                = AddressMode: "auto"
                = EnableTagOverride: "false"
                = Name: "s1"
                = PortLabel: ""
                = TaskName: ""
                + Tags {}
                  + Tags: "y"
                  = Tags: "x"
    "#]],
    );
    assert_told(
        &[(&service("Name"), json!("s2"))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ task sleep
              + Service {}
                + AddressMode: "auto"
                + EnableTagOverride: "false"
                + Name: "s2"
                = PortLabel: ""
                = TaskName: ""
                + Tags {}
                  + Tags: "x"
              - Service {}
                - AddressMode: "auto"
                - EnableTagOverride: "false"
                - Name: "s1"
                = PortLabel: ""
                = TaskName: ""
                - Tags {}
                  - Tags: "x"
    "#]],
    );
    let check = json!({
        "Type": "http", "PortLabel": "1234", "Header": {"Accept": ["a", "b"]}, "Args": ["-x"],
        "CheckRestart": {"Limit": 3},
    });
    let service =
        json!({"Name": "s1", "Tags": ["x"], "Meta": {"k": "v"}, "CanaryTags": ["c"], "Checks": [check]});
    assert_told(
        &[(&services, json!([service]))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ task sleep
              ~ Service {}
                = AddressMode: "auto"
                = EnableTagOverride: "false"
                + Meta[k]: "v"
                = Name: "s1"
                = PortLabel: ""
                = TaskName: ""
                = Tags {}
                  = Tags: "x"
                + CanaryTags {}
                  + CanaryTags: "c"
                + Check {}
                  = AddressMode: ""
                  + Args[0]: "-x"
                  = Command: ""
                  + Expose: "false"
                  + FailuresBeforeCritical: "0"
                  = GRPCService: ""
                  + GRPCUseTLS: "false"
                  = InitialStatus: ""
                  + Interval: "0"
                  = Method: ""
                  + Name: "service: \"s1\" check"
                  = Path: ""
                  + PortLabel: "1234"
                  = Protocol: ""
                  + SuccessBeforePassing: "0"
                  + TLSSkipVerify: "false"
                  = TaskName: ""
                  + Timeout: "0"
                  + Type: "http"
                  + Header {}
                    + Accept[0]: "a"
                    + Accept[1]: "b"
                  + CheckRestart {}
                    + Grace: "1000000000"
                    + IgnoreWarnings: "false"
                    + Limit: "3"
    "#]],
    );
    let connect = json!({
        "Native": false,
        "SidecarService": {
            "Port": "p", "Tags": ["t"],
            "Proxy": {
                "Config": {"protocol": "http", "retries": 2}, "LocalServicePort": 80,
                "Upstreams": [{"DestinationName": "db", "LocalBindPort": 5432}],
            },
        },
    });
    assert_told(
        &[(&format!("{services}/0/Connect"), connect)],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ task sleep
              ~ Service {}
                = AddressMode: "auto"
                = EnableTagOverride: "false"
                = Name: "s1"
                = PortLabel: ""
                = TaskName: ""
                = Tags {}
                  = Tags: "x"
                + ConsulConnect {}
                  + Native: "false"
                  + SidecarService {}
                    + Port: "p"
                    + ConsulProxy {}
                      + LocalServicePort: "80"
                      + ConsulUpstreams {}
                        + DestinationName: "db"
                        + LocalBindPort: "5432"
                      + Config {}
                        + protocol: "http"
                        + retries: "2"
                    + Tags {}
                      + Tags: "t"
    "#]],
    );
}
