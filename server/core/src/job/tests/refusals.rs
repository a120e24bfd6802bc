//! Jobs that are refused, with the texts of a 1.0.18 server.

use serde_json::{Value, json};

use super::{edited, register, small_job};
use crate::job::{validate, warnings};

/// The refusal's text, empty for a valid job.
fn refusal(job: &Value) -> String {
    validate(&register(job).job).err().map(|faults| faults.to_string()).unwrap_or_default()
}

fn one(fault: &str) -> String {
    format!("1 error occurred:\n\t* {fault}\n\n")
}

fn of_group(fault: &str) -> String {
    one(&format!("Task group g validation failed: {fault}"))
}

fn of_task(fault: &str) -> String {
    of_group(&one(&format!("Task t validation failed: {fault}")))
}

fn assert_refused(job_type: &str, cases: &[(&str, Value, String)]) {
    for (pointer, value, text) in cases {
        let job = edited(small_job(job_type), &[(pointer, value.clone())]);
        assert_eq!(refusal(&job), *text, "{pointer} = {value}");
    }
}

#[test]
fn the_small_jobs_are_valid() {
    for job_type in ["service", "batch", "system"] {
        assert_eq!(refusal(&small_job(job_type)), "", "{job_type}");
    }
}

#[test]
fn faults_of_the_job_itself() {
    let priority = one("Job priority must be between [1, 100]");
    assert_refused(
        "service",
        &[
            ("/ID", json!(""), one("Missing job ID")),
            ("/ID", json!("a b"), one("Job ID contains a space")),
            ("/ID", json!("a\0"), one("Job ID contains a null character")),
            ("/Name", json!(""), one("Missing job name")),
            ("/Type", json!(""), one("Missing job type")),
            ("/Type", json!("_core"), one("job type cannot be core")),
            ("/Type", json!("nonsense"), one("Invalid job type: \"nonsense\"")),
            ("/Priority", json!(0), priority.clone()),
            ("/Priority", json!(101), priority.clone()),
            ("/Priority", json!(-1), priority),
            ("/Datacenters", json!([]), one("Missing job datacenters")),
            ("/Datacenters", json!(["dc1", ""]), one("Job datacenter must be non-empty string")),
            ("/TaskGroups", json!([]), one("Missing job task groups")),
            (
                "/TaskGroups/0/Count",
                json!(2_000_000),
                one("total count was greater than configured job_max_count: 2000000 > 1000000"),
            ),
            (
                "/TaskGroups/0/Name",
                json!(""),
                "2 errors occurred:\n\t* Job task group 1 missing name\n\t* Task group  validation failed: 1 error occurred:\n\t* Missing task group name\n\n\n\n".to_owned(),
            ),
            (
                "/TaskGroups/-",
                small_job("service")["TaskGroups"][0].clone(),
                one("Job task group 2 redefines 'g' from group 1"),
            ),
        ],
    );
}

#[test]
fn faults_of_placement() {
    let constraint =
        |operand: &str, right: &str| json!([{"LTarget": "a", "RTarget": right, "Operand": operand}]);
    let in_constraint = |fault: &str| one(&format!("Constraint 1 validation failed: {}", one(fault)));
    let in_affinity = |fault: &str| one(&format!("Affinity 1 validation failed: {}", one(fault)));
    let in_spread = |fault: &str| one(&format!("Spread 1 validation failed: {}", one(fault)));
    let affinity = |weight: i64| json!([{"LTarget": "a", "RTarget": "b", "Operand": "=", "Weight": weight}]);
    assert_refused(
        "service",
        &[
            ("/Constraints", constraint("nope", "b"), in_constraint("Unknown constraint type \"nope\"")),
            ("/Constraints", constraint("=", ""), in_constraint("Operator \"=\" requires an RTarget")),
            (
                "/Constraints",
                constraint("is_set", "b"),
                in_constraint("Operator \"is_set\" does not support an RTarget"),
            ),
            (
                "/Constraints",
                constraint("version", "> nope"),
                in_constraint("Version constraint is invalid: Malformed constraint: > nope"),
            ),
            (
                "/Constraints",
                constraint("distinct_property", "0"),
                in_constraint("Distinct Property must have an allowed count of 1 or greater: 0 < 1"),
            ),
            (
                "/Constraints",
                constraint("regexp", "("),
                in_constraint(
                    "Regular expression failed to compile: error parsing regexp: unclosed group: `(`",
                ),
            ),
            (
                "/Constraints",
                constraint("regexp", "(\\w{200}){200}"),
                in_constraint(
                    "Regular expression failed to compile: error parsing regexp: it is too large: `(\\w{200}){200}`",
                ),
            ),
            (
                "/Constraints",
                json!([{"RTarget": "b", "Operand": "="}]),
                in_constraint("No LTarget provided but is required by constraint"),
            ),
            ("/Affinities", affinity(0), in_affinity("Affinity weight cannot be zero")),
            (
                "/Affinities",
                affinity(101),
                in_affinity("Affinity weight must be within the range [-100,100]"),
            ),
            (
                "/Spreads",
                json!([{"Attribute": "${node.datacenter}", "Weight": 50, "SpreadTarget": [{"Value": "a", "Percent": 60}, {"Value": "b", "Percent": 60}]}]),
                in_spread("Sum of spread target percentages must not be greater than 100%; got 120%"),
            ),
            (
                "/Spreads",
                json!([{"Attribute": "${node.datacenter}", "Weight": 101}]),
                in_spread("Spread stanza must have a positive weight from 0 to 100"),
            ),
            ("/Constraints", constraint("distinct_hosts", ""), String::new()),
            ("/Constraints", constraint("regexp", "${meta.x}("), String::new()),
        ],
    );
    assert_refused(
        "system",
        &[
            ("/Affinities", affinity(50), one("System jobs may not have an affinity stanza")),
            ("/Spreads", json!([{"Attribute": "a"}]), one("System jobs may not have a spread stanza")),
            (
                "/TaskGroups/0/Count",
                json!(3),
                one("Job task group g has count 3. Count cannot exceed 1 with system scheduler"),
            ),
            (
                "/TaskGroups/0/ReschedulePolicy",
                json!({"Attempts": 1}),
                of_group(&one("System jobs should not have a reschedule policy")),
            ),
        ],
    );
}

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
                of_group(&one(&format!(
                    "Task group scaling policy validation failed: {}",
                    one("maximum count must be specified and non-negative")
                ))),
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
fn faults_of_a_task() {
    let second = 1_000_000_000_i64;
    let service =
        |fault: &str| of_task(&one(&one(&format!("service[0] \"s\" validation failed: {}", one(fault)))));
    assert_refused(
        "service",
        &[
            (
                "/TaskGroups/0/Tasks/0/Name",
                json!(""),
                of_group(
                    "2 errors occurred:\n\t* Task 1 missing name\n\t* Task  validation failed: 1 error occurred:\n\t* Missing task name\n\n\n\n",
                ),
            ),
            (
                "/TaskGroups/0/Tasks/0/Name",
                json!("a/b"),
                of_group(&one(&format!(
                    "Task a/b validation failed: {}",
                    one("Task name cannot include slashes")
                ))),
            ),
            ("/TaskGroups/0/Tasks/0/Driver", json!(""), of_task(&one("Missing task driver"))),
            (
                "/TaskGroups/0/Tasks/0/KillTimeout",
                json!(-1),
                of_task(&one("KillTimeout must be a positive value")),
            ),
            ("/TaskGroups/0/Tasks/0/Resources/CPU", json!(1), String::new()),
            (
                "/TaskGroups/0/Tasks/0/Resources/MemoryMB",
                json!(1),
                of_task(&one(&one(&one("minimum MemoryMB value is 10; got 1")))),
            ),
            (
                "/TaskGroups/0/EphemeralDisk",
                json!({"SizeMB": 50}),
                of_task(&one("log storage (100 MB) must be less than requested disk capacity (50 MB)")),
            ),
            (
                "/TaskGroups/0/Tasks/0/Constraints",
                json!([{"Operand": "distinct_hosts"}]),
                of_task(&one("Constraint 1 has disallowed Operand at task level: distinct_hosts")),
            ),
            (
                "/TaskGroups/0/Tasks/0/Services",
                json!([{"Name": "s", "PortLabel": "http"}]),
                of_task(&one(&one("port label \"http\" referenced by services s does not exist"))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Services",
                json!([{"Name": "s", "Checks": [{"Type": "icmp", "Interval": second, "Timeout": second}]}]),
                service(
                    "Check service: \"s\" check invalid: invalid type (\"icmp\"), must be one of \"http\", \"tcp\", or \"script\" type",
                ),
            ),
            (
                "/TaskGroups/0/Tasks/0/Services",
                json!([{"Name": "s", "Checks": [{"Type": "script", "Command": "true", "Interval": 1, "Timeout": second}]}]),
                service("Check service: \"s\" check invalid: interval (1ns) cannot be lower than 1s"),
            ),
            (
                "/TaskGroups/0/Tasks/0/Services",
                json!([{"Name": "s", "Checks": [{"Type": "http", "Path": "/", "Interval": second, "Timeout": second}]}]),
                of_task(&one(
                    "2 errors occurred:\n\t* service[0] \"s\" validation failed: 1 error occurred:\n\t* Check service: \"s\" check invalid: check requires a port but neither check nor service \"s\" have a port\n\n\n\t* check \"service: \\\"s\\\" check\" is missing a port\n\n",
                )),
            ),
            (
                "/TaskGroups/0/Tasks/0/Templates",
                json!([{"EmbeddedTmpl": "x", "DestPath": "../../../etc/passwd"}]),
                of_task(&one(&format!(
                    "Template 1 validation failed: {}",
                    one("destination escapes allocation directory")
                ))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Templates",
                json!([{"EmbeddedTmpl": "x"}]),
                of_task(&one(&format!(
                    "Template 1 validation failed: {}",
                    one("Must specify a destination for the template")
                ))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Artifacts",
                json!([{"GetterSource": ""}]),
                of_task(&one(&format!("Artifact 1 validation failed: {}", one("source must be specified")))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Artifacts",
                json!([{"GetterSource": "http://x/y", "GetterOptions": {"checksum": "md5:12"}}]),
                of_task(&one(&format!("Artifact 1 validation failed: {}", one("invalid md5 checksum: 12")))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Vault",
                json!({"Policies": ["root"]}),
                of_task(&one(&format!(
                    "Vault validation failed: {}",
                    one("Can not specify \"root\" policy")
                ))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Lifecycle",
                json!({"Hook": "never"}),
                of_task(&one(&format!("Lifecycle validation failed: {}", one("invalid hook: never")))),
            ),
            (
                "/TaskGroups/0/Tasks/0/VolumeMounts",
                json!([{"Volume": "data"}]),
                of_group(&one("Task t has a volume mount (0) referencing undefined volume data")),
            ),
        ],
    );
}

#[test]
fn service_names_are_host_names() {
    for (name, is_valid) in [
        ("web-1", true),
        ("web-${NOMAD_ALLOC_ID}", true),
        ("under_score", false),
        ("-web", false),
        ("web-", false),
        ("${NOMAD", false),
        (&"x".repeat(63), true),
        (&"x".repeat(64), false),
    ] {
        let job =
            edited(small_job("service"), &[("/TaskGroups/0/Tasks/0/Services", json!([{"Name": name}]))]);
        let text = refusal(&job);
        let told = format!(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes: {name:?}"
        );
        assert_eq!(text.is_empty(), is_valid, "{name}: {text}");
        assert_eq!(text.contains(&told), !is_valid, "{name}: {text}");
    }
}

#[test]
fn faults_of_jobs_that_launch_children() {
    assert_refused(
        "service",
        &[
            (
                "/Periodic",
                json!({"Spec": "* * * * *"}),
                one("Periodic can only be used with \"batch\" scheduler"),
            ),
            (
                "/ParameterizedJob",
                json!({}),
                one("Parameterized job can only be used with \"batch\" scheduler"),
            ),
        ],
    );
    assert_refused(
        "batch",
        &[
            ("/Periodic", json!({"Spec": "nope"}), one(&one("Invalid cron spec \"nope\": missing field(s)"))),
            ("/Periodic", json!({}), one(&one("Must specify a spec"))),
            ("/Periodic", json!({"Enabled": false}), String::new()),
            (
                "/ParameterizedJob",
                json!({"Payload": "maybe"}),
                one(&one("Unknown payload requirement: \"maybe\"")),
            ),
            (
                "/ParameterizedJob",
                json!({"MetaRequired": ["a"], "MetaOptional": ["a"]}),
                one(&one(
                    "Required and optional meta keys should be disjoint. Following keys exist in both: [a]",
                )),
            ),
        ],
    );
}

#[test]
fn several_faults_are_told_at_once() {
    let job = edited(
        small_job("nonsense"),
        &[
            ("/Priority", json!(200)),
            ("/Datacenters", json!([])),
            ("/TaskGroups/0/Name", json!("")),
            ("/TaskGroups/0/Tasks", json!([])),
        ],
    );
    let faults = validate(&register(&job).job).unwrap_err();
    assert_eq!(faults.texts().len(), 5);
    assert_eq!(
        faults.to_string(),
        "5 errors occurred:\n\t* Invalid job type: \"nonsense\"\n\t* Job priority must be between [1, 100]\n\t* Missing job datacenters\n\t* Job task group 1 missing name\n\t* Task group  validation failed: 2 errors occurred:\n\t* Missing task group name\n\t* Missing tasks for task group\n\n\n\n"
    );
}

#[test]
fn warnings_are_one_text() {
    let parallel = "Update max parallel count is greater than task group count (1 > 0). A destructive change would result in the simultaneous replacement of all allocations.";
    let network = "Task \"t\": task network resources have been deprecated as of Nomad 0.12.0. Please configure networking via group network block.";
    let no_count = ("/TaskGroups/0/Count", json!(0));
    let task_network = ("/TaskGroups/0/Tasks/0/Resources/Networks", json!([{"MBits": 1}]));
    for (edits, text) in [
        (vec![], String::new()),
        (
            vec![no_count.clone()],
            format!("1 warning(s):\n\n* Group \"g\" has warnings: 1 error occurred:\n\t* {parallel}\n\n"),
        ),
        (
            vec![no_count, task_network],
            format!(
                "1 warning(s):\n\n* Group \"g\" has warnings: 2 errors occurred:\n\t* {parallel}\n\t* 1 error occurred:\n\t* {network}\n\n\n\n"
            ),
        ),
    ] {
        let job = edited(small_job("service"), &edits);
        assert_eq!(warnings(&register(&job).job).to_string(), text);
    }
}
