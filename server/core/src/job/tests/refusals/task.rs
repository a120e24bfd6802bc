//! Rejected tasks.

use serde_json::json;

use super::{assert_refused, of_group, of_task, one};

#[test]
fn faults_of_a_task() {
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
                of_task(&one("Lifecycle validation failed: invalid hook: never")),
            ),
            (
                "/TaskGroups/0/Tasks/0/DispatchPayload",
                json!({"File": "../../../x"}),
                of_task(&one("Dispatch Payload validation failed: destination escapes allocation directory")),
            ),
            (
                "/TaskGroups/0/Tasks/0/CSIPluginConfig",
                json!({"Type": "nonsense"}),
                of_task(
                    "2 errors occurred:\n\t* CSIPluginConfig must have a non-empty PluginID\n\t* CSIPluginConfig PluginType must be one of 'node', 'controller', or 'monolith', got: \"nonsense\"\n\n",
                ),
            ),
            (
                "/TaskGroups/0/Tasks/0/RestartPolicy",
                json!({"Mode": "never"}),
                of_task(&one(&one("Unsupported restart mode: \"never\""))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Kind",
                json!("connect-proxy:redis"),
                of_task(&one("No Connect services in task group with Connect proxy (\"redis\")")),
            ),
            (
                "/TaskGroups/0/Tasks/0/Artifacts",
                json!([{"GetterSource": "http://x/y", "GetterOptions": {"checksum": "md5:1x"}}]),
                of_task(&one(&format!(
                    "Artifact 1 validation failed: {}",
                    one("invalid checksum: encoding/hex: invalid byte: U+0078 'x'")
                ))),
            ),
            (
                "/TaskGroups/0/Tasks/0/Templates",
                json!([{"EmbeddedTmpl": "x", "DestPath": "local/x", "Perms": "8"}]),
                of_task(&one(&format!(
                    "Template 1 validation failed: {}",
                    one("Failed to parse \"8\" as octal: strconv.ParseUint: parsing \"8\": invalid syntax")
                ))),
            ),
            (
                "/TaskGroups/0/Tasks/0/VolumeMounts",
                json!([{"Volume": "data"}]),
                of_group(&one("Task t has a volume mount (0) referencing undefined volume data")),
            ),
        ],
    );
}
