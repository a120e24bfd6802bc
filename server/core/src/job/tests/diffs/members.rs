//! Example diffs of the members of a job and of its groups.

use expect_test::expect;
use serde_json::{Value, json};

use super::{GROUP, assert_told, diff, planned_job, told};

#[test]
fn a_new_job_tells_all_that_it_says() {
    expect![[r#"
        + job plan
          + AllAtOnce: "false"
          + Dispatched: "false"
          + Meta[a]: "1"
          + Name: "plan"
          + Namespace: "default"
          + Priority: "50"
          + Region: "global"
          + Stop: "false"
          + Type: "service"
          + Datacenters {}
            + Datacenters: "dc1"
          + group web
            + Count: "2"
            + RestartPolicy {}
              + Attempts: "2"
              + Delay: "15000000000"
              + Interval: "1800000000000"
              + Mode: "fail"
            + ReschedulePolicy {}
              + Attempts: "0"
              + Delay: "30000000000"
              + DelayFunction: "exponential"
              + Interval: "0"
              + MaxDelay: "3600000000000"
              + Unlimited: "true"
            + EphemeralDisk {}
              + Migrate: "false"
              + SizeMB: "300"
              + Sticky: "false"
            + Update {}
              + AutoPromote: "false"
              + AutoRevert: "false"
              + Canary: "0"
              + HealthCheck: "checks"
              + HealthyDeadline: "300000000000"
              + MaxParallel: "1"
              + MinHealthyTime: "10000000000"
              + ProgressDeadline: "600000000000"
            + task sleep
              + Driver: "raw_exec"
              + Env[K]: "v"
              + KillTimeout: "5000000000"
              + Leader: "false"
              + ShutdownDelay: "0"
              + Config {}
                + args[0]: "600"
                + command: "/bin/sleep"
              + Resources {}
                + CPU: "20"
                + DiskMB: "0"
                + IOPS: "0"
                + MemoryMB: "10"
              + LogConfig {}
                + MaxFileSizeMB: "10"
                + MaxFiles: "10"
              + Service {}
                + AddressMode: "auto"
                + EnableTagOverride: "false"
                + Name: "s1"
                = PortLabel: ""
                = TaskName: ""
                + Tags {}
                  + Tags: "x"
    "#]]
    .assert_eq(&told(&diff(&Value::Null, &planned_job())));
}

#[test]
fn a_job_that_stays_as_it_is_tells_its_groups_and_tasks() {
    let task = json!({"Type": "None", "Name": "sleep", "Fields": null, "Objects": null, "Annotations": null});
    let group = json!({
        "Type": "None", "Name": "web", "Fields": null, "Objects": null, "Tasks": [task], "Updates": null,
    });
    let wanted =
        json!({"Type": "None", "ID": "plan", "Fields": null, "Objects": null, "TaskGroups": [group]});
    assert_eq!(serde_json::to_value(diff(&planned_job(), &planned_job())).unwrap(), wanted);
}

#[test]
fn changes_of_the_job() {
    assert_told(
        &[("/Meta", json!({"a": "2", "b": "3"})), ("/Priority", json!(60))],
        &expect![[r#"
        ~ job plan
          ~ Meta[a]: "1" => "2"
          + Meta[b]: "3"
          ~ Priority: "50" => "60"
          = group web
            = task sleep
    "#]],
    );
    assert_told(
        &[("/Datacenters", json!(["dc1", "dc2"]))],
        &expect![[r#"
        ~ job plan
          + Datacenters {}
            + Datacenters: "dc2"
            = Datacenters: "dc1"
          = group web
            = task sleep
    "#]],
    );
    assert_told(
        &[("/Datacenters", json!(["dc9"]))],
        &expect![[r#"
        ~ job plan
          ~ Datacenters {}
            + Datacenters: "dc9"
            - Datacenters: "dc1"
          = group web
            = task sleep
    "#]],
    );
    let linux = json!([{"LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "="}]);
    assert_told(
        &[("/Constraints", linux), ("/Stop", json!(true))],
        &expect![[r#"
        ~ job plan
          ~ Stop: "false" => "true"
          + Constraint {}
            + LTarget: "${attr.kernel.name}"
            + Operand: "="
            + RTarget: "linux"
          = group web
            = task sleep
    "#]],
    );
    let periodic = json!({"Spec": "0 0 1 1 *"});
    let parameterized = json!({"MetaRequired": ["who"], "MetaOptional": ["why", "when"]});
    let edits = [("/Type", json!("batch")), ("/Periodic", periodic), ("/ParameterizedJob", parameterized)];
    assert_told(
        &edits,
        &expect![[r#"
        ~ job plan
          ~ Type: "service" => "batch"
          + Periodic {}
            + Enabled: "true"
            + ProhibitOverlap: "false"
            + Spec: "0 0 1 1 *"
            + SpecType: "cron"
            + TimeZone: "UTC"
          + ParameterizedJob {}
            + Payload: "optional"
            + MetaOptional {}
              + MetaOptional: "when"
              + MetaOptional: "why"
            + MetaRequired {}
              + MetaRequired: "who"
          ~ group web
            ~ RestartPolicy {}
              ~ Attempts: "2" => "3"
              = Delay: "15000000000"
              ~ Interval: "1800000000000" => "86400000000000"
              = Mode: "fail"
            ~ ReschedulePolicy {}
              ~ Attempts: "0" => "1"
              ~ Delay: "30000000000" => "5000000000"
              ~ DelayFunction: "exponential" => "constant"
              ~ Interval: "0" => "86400000000000"
              ~ MaxDelay: "3600000000000" => "0"
              ~ Unlimited: "true" => "false"
            - Update {}
              - AutoPromote: "false"
              - AutoRevert: "false"
              - Canary: "0"
              - HealthCheck: "checks"
              - HealthyDeadline: "300000000000"
              - MaxParallel: "1"
              - MinHealthyTime: "10000000000"
              - ProgressDeadline: "600000000000"
            ~ task sleep
    "#]],
    );
    let spread = json!([{
        "Attribute": "${node.datacenter}",
        "SpreadTarget": [{"Value": "dc1", "Percent": 70}, {"Value": "dc2"}],
    }]);
    assert_told(
        &[("/Spreads", spread)],
        &expect![[r#"
        ~ job plan
          + Spread {}
            + Attribute: "${node.datacenter}"
            + Weight: "50"
            + SpreadTarget {}
              + Percent: "0"
              + Value: "dc2"
            + SpreadTarget {}
              + Percent: "70"
              + Value: "dc1"
          = group web
            = task sleep
    "#]],
    );
}

#[test]
fn changes_of_a_group() {
    let group = |member: &str| format!("{GROUP}/{member}");
    assert_told(
        &[(&group("Count"), json!(5)), (&group("Meta"), json!({"m": "n"}))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ Count: "2" => "5"
            + Meta[m]: "n"
            = task sleep
    "#]],
    );
    assert_told(
        &[(&group("EphemeralDisk"), json!({"SizeMB": 150}))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ EphemeralDisk {}
              = Migrate: "false"
              ~ SizeMB: "300" => "150"
              = Sticky: "false"
            = task sleep
    "#]],
    );
    // The task inherits the policy, so it is edited too; the change is only shown at the group.
    assert_told(
        &[(&group("RestartPolicy"), json!({"Attempts": 1}))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ RestartPolicy {}
              ~ Attempts: "2" => "1"
              = Delay: "15000000000"
              = Interval: "1800000000000"
              = Mode: "fail"
            ~ task sleep
    "#]],
    );
    assert_told(
        &[("/Update", json!({"MaxParallel": 2, "Stagger": 1}))],
        &expect![[r#"
        ~ job plan
          ~ group web
            ~ Update {}
              = AutoPromote: "false"
              = AutoRevert: "false"
              = Canary: "0"
              = HealthCheck: "checks"
              = HealthyDeadline: "300000000000"
              ~ MaxParallel: "1" => "2"
              = MinHealthyTime: "10000000000"
              = ProgressDeadline: "600000000000"
            = task sleep
    "#]],
    );
    assert_told(
        &[(&group("Name"), json!("web2")), (&group("Tasks"), json!([]))],
        &expect![[r#"
        ~ job plan
          - group web
            - Count: "2"
            - RestartPolicy {}
              - Attempts: "2"
              - Delay: "15000000000"
              - Interval: "1800000000000"
              - Mode: "fail"
            - ReschedulePolicy {}
              - Attempts: "0"
              - Delay: "30000000000"
              - DelayFunction: "exponential"
              - Interval: "0"
              - MaxDelay: "3600000000000"
              - Unlimited: "true"
            - EphemeralDisk {}
              - Migrate: "false"
              - SizeMB: "300"
              - Sticky: "false"
            - Update {}
              - AutoPromote: "false"
              - AutoRevert: "false"
              - Canary: "0"
              - HealthCheck: "checks"
              - HealthyDeadline: "300000000000"
              - MaxParallel: "1"
              - MinHealthyTime: "10000000000"
              - ProgressDeadline: "600000000000"
            - task sleep
              - Driver: "raw_exec"
              - Env[K]: "v"
              - KillTimeout: "5000000000"
              - Leader: "false"
              - ShutdownDelay: "0"
              - Config {}
                - args[0]: "600"
                - command: "/bin/sleep"
              - Resources {}
                - CPU: "20"
                - DiskMB: "0"
                - IOPS: "0"
                - MemoryMB: "10"
              - LogConfig {}
                - MaxFileSizeMB: "10"
                - MaxFiles: "10"
              - Service {}
                - AddressMode: "auto"
                - EnableTagOverride: "false"
                - Name: "s1"
                = PortLabel: ""
                = TaskName: ""
                - Tags {}
                  - Tags: "x"
          + group web2
            + Count: "2"
            + RestartPolicy {}
              + Attempts: "2"
              + Delay: "15000000000"
              + Interval: "1800000000000"
              + Mode: "fail"
            + ReschedulePolicy {}
              + Attempts: "0"
              + Delay: "30000000000"
              + DelayFunction: "exponential"
              + Interval: "0"
              + MaxDelay: "3600000000000"
              + Unlimited: "true"
            + EphemeralDisk {}
              + Migrate: "false"
              + SizeMB: "300"
              + Sticky: "false"
            + Update {}
              + AutoPromote: "false"
              + AutoRevert: "false"
              + Canary: "0"
              + HealthCheck: "checks"
              + HealthyDeadline: "300000000000"
              + MaxParallel: "1"
              + MinHealthyTime: "10000000000"
              + ProgressDeadline: "600000000000"
    "#]],
    );
    let network = json!([{
        "Mode": "bridge", "DNS": {"Servers": ["10.0.0.1", "10.0.0.2"], "Searches": ["example.org"]},
        "ReservedPorts": [{"Label": "admin", "Value": 9090}],
        "DynamicPorts": [{"Label": "http", "Value": 4, "To": 80}],
    }]);
    assert_told(
        &[(&group("Networks"), network), (&group("ShutdownDelay"), json!(7))],
        &expect![[r#"
        ~ job plan
          ~ group web
            + ShutdownDelay: "7"
            + Network {}
              + MBits: "0"
              + Mode: "bridge"
              + Static Port {}
                + HostNetwork: "default"
                + Label: "admin"
                + To: "0"
                + Value: "9090"
              + Dynamic Port {}
                + HostNetwork: "default"
                + Label: "http"
                + To: "80"
              + DNS {}
                + Searches: "example.org"
                + Servers: "10.0.0.1,10.0.0.2"
            = task sleep
    "#]],
    );
    let options = json!({"FSType": "ext4", "MountFlags": ["ro"]});
    let volumes = json!({"data": {"Name": "data", "Type": "csi", "Source": "db", "MountOptions": options}});
    let scaling =
        json!({"Min": 1, "Max": 9, "Policy": {"cooldown": "1m", "check": [{"load": [{"target": 2}]}]}});
    assert_told(
        &[(&group("Volumes"), volumes), (&group("Scaling"), scaling)],
        &expect![[r#"
        ~ job plan
          ~ group web
            + Volume {}
              + Name: "data"
              + ReadOnly: "false"
              + Source: "db"
              + Type: "csi"
              + MountOptions {}
                + FSType: "ext4"
                + MountFlags {}
                  + MountFlags: "ro"
            + Scaling {}
              + Enabled: "true"
              + Max: "9"
              + Min: "1"
              + Policy {}
                + check[0][load][0][target]: "2"
                + cooldown: "1m"
            = task sleep
    "#]],
    );
}
