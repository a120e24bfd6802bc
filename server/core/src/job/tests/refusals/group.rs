//! Rejected groups.

use serde_json::json;

use super::{assert_refused, of_group, one};
use crate::job::tests::small_job;

#[test]
fn faults_of_a_group() {
    let policy = |fault: &str| of_group(&one(&one(fault)));
    let second = 1_000_000_000_i64;
    assert_refused(
        "service",
        &[
            ("/TaskGroups/0/Count", json!(-1), of_group(&one("Task group count can't be negative"))),
            ("/TaskGroups/0/Tasks", json!([]), of_group(&one("Missing tasks for task group"))),
            (
                "/TaskGroups/0/Tasks/-",
                small_job("service")["TaskGroups"][0]["Tasks"][0].clone(),
                of_group(&one("Task 2 redefines 't' from task 1")),
            ),
            (
                "/TaskGroups/0/RestartPolicy",
                json!({"Attempts": 1, "Interval": 60 * second, "Delay": second, "Mode": "never"}),
                policy("Unsupported restart mode: \"never\""),
            ),
            (
                "/TaskGroups/0/RestartPolicy",
                json!({"Attempts": 10, "Interval": 10 * second, "Delay": 5 * second, "Mode": "fail"}),
                policy("Nomad can't restart the TaskGroup 10 times in an interval of 10s with a delay of 5s"),
            ),
            (
                "/TaskGroups/0/ReschedulePolicy",
                json!({"Attempts": 1, "Interval": 3600 * second, "Delay": 30 * second, "DelayFunction": "random", "MaxDelay": 0, "Unlimited": false}),
                of_group(&one(
                    "3 errors occurred:\n\t* Invalid delay function \"random\", must be one of [\"constant\" \"exponential\" \"fibonacci\"]\n\t* Max Delay cannot be less than 5s (got 30s)\n\t* Max Delay cannot be less than Delay 30s (got 0s)\n\n",
                )),
            ),
            (
                "/TaskGroups/0/EphemeralDisk",
                json!({"SizeMB": 1}),
                of_group(
                    "2 errors occurred:\n\t* minimum DiskMB value is 10; got 1\n\t* Task t validation failed: 1 error occurred:\n\t* log storage (100 MB) must be less than requested disk capacity (1 MB)\n\n\n\n",
                ),
            ),
            ("/Update", json!({"MaxParallel": -1}), policy("Max parallel can not be less than zero: -1 < 0")),
            ("/Update", json!({"HealthCheck": "vibes"}), policy("Invalid health check given: \"vibes\"")),
            (
                "/Update",
                json!({"MinHealthyTime": 9 * second, "HealthyDeadline": 2 * second, "ProgressDeadline": second}),
                of_group(&one(
                    "2 errors occurred:\n\t* Minimum healthy time must be less than healthy deadline: 9s > 2s\n\t* Healthy deadline must be less than progress deadline: 2s > 1s\n\n",
                )),
            ),
            (
                "/TaskGroups/0/Migrate",
                json!({"MaxParallel": -1}),
                policy("MaxParallel must be >= 0 but found -1"),
            ),
            (
                "/TaskGroups/0/Networks",
                json!([{"ReservedPorts": [{"Label": "a", "Value": 80}, {"Label": "b", "Value": 80}]}]),
                of_group(&one(&format!(
                    "Task group network validation failed: {}",
                    one("Static port 80 already reserved by taskgroup network:a")
                ))),
            ),
            (
                "/TaskGroups/0/Scaling",
                json!({"Min": 0}),
                of_group(&one(
                    "Task group scaling policy validation failed: 2 errors occurred:\n\t* Scaling policy invalid: maximum count must be specified and non-negative\n\t* Scaling policy invalid: task group count must not be greater than maximum count in scaling policy\n\n",
                )),
            ),
            (
                "/TaskGroups/0/Scaling",
                json!({"Min": 5, "Max": 4, "Type": "diagonal"}),
                of_group(&one(
                    "Task group scaling policy validation failed: 3 errors occurred:\n\t* Scaling policy invalid: scaling policy type \"diagonal\" is not valid\n\t* Scaling policy invalid: maximum count must not be less than minimum count\n\t* Scaling policy invalid: task group count must not be less than minimum count in scaling policy\n\n",
                )),
            ),
            (
                "/TaskGroups/0/Volumes",
                json!({"a": {"Type": "nothost"}, "b": {"Type": "csi"}}),
                of_group(
                    "2 errors occurred:\n\t* Volume a has unrecognised type nothost\n\t* Volume b has an empty source\n\n",
                ),
            ),
            (
                "/TaskGroups/0/ReschedulePolicy",
                json!({"Attempts": 3, "Interval": 60 * second}),
                of_group(&one(
                    "2 errors occurred:\n\t* Reschedule Policy with Attempts = 3, Interval = 1m0s, and Unlimited = true is ambiguous\n\t* If Attempts >0, Unlimited cannot also be set to true\n\n",
                )),
            ),
            (
                "/TaskGroups/0/Networks",
                json!([{"DynamicPorts": [{"Label": "a", "To": -2}, {"Label": "a", "To": 65536}], "ReservedPorts": [{"Label": "b", "Value": 65536}, {"Label": "c", "Value": -1}]}]),
                of_group(&one(
                    "Task group network validation failed: 5 errors occurred:\n\t* Port b (65536) cannot be greater than 65535\n\t* Port c (-1) cannot be negative\n\t* Port \"a\" cannot be mapped to negative value -2\n\t* Port label a already in use by taskgroup network\n\t* Port \"a\" cannot be mapped to a port (65536) greater than 65535\n\n",
                )),
            ),
        ],
    );
    assert_refused(
        "batch",
        &[
            (
                "/Update",
                json!({"MaxParallel": 1}),
                of_group(&one("Job type \"batch\" does not allow update block")),
            ),
            (
                "/Migrate",
                json!({"MaxParallel": 1}),
                of_group(&one("Job type \"batch\" does not allow migrate block")),
            ),
        ],
    );
}

#[test]
fn tasks_may_use_the_same_label_but_not_the_same_port() {
    let task = |name: &str, port: serde_json::Value| json!({"Name": name, "Driver": "raw_exec", "Resources": {"Networks": [{"ReservedPorts": [port]}]}});
    let tasks = |one, other| json!([task("a", one), task("b", other)]);
    let told =
        format!("Task group network validation failed: {}", one("Static port 123 already reserved by a:foo"));
    let (port, same_port) = (json!({"Label": "foo", "Value": 123}), json!({"Label": "bar", "Value": 123}));
    let elsewhere = json!({"Label": "bar", "Value": 123, "HostNetwork": "public"});
    let other_port = json!({"Label": "foo", "Value": 124});
    assert_refused(
        "service",
        &[
            ("/TaskGroups/0/Tasks", tasks(port.clone(), same_port), of_group(&one(&told))),
            ("/TaskGroups/0/Tasks", tasks(port.clone(), elsewhere), String::new()),
            ("/TaskGroups/0/Tasks", tasks(port, other_port), String::new()),
        ],
    );
}
