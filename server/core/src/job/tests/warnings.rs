//! Warnings about accepted jobs.

use serde_json::json;

use super::{edited, register, small_job};
use crate::job::warnings;

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
        assert_eq!(warnings(&register(&job).job, &|_| false).to_string(), text);
    }
}

#[test]
fn the_grace_of_a_template_is_a_thing_of_the_past() {
    let job =
        edited(small_job("batch"), &[("/TaskGroups/0/Tasks/0/Templates", json!([{}, {"VaultGrace": 1}]))]);
    let told = "1 warning(s):\n\n* Group \"g\" has warnings: 1 error occurred:\n\t* 1 error occurred:\n\t* Task \"t\": 1 error occurred:\n\t* Template[1] VaultGrace has been deprecated as of Nomad 0.11 and ignored since Vault 0.5. Please remove VaultGrace / vault_grace from template stanza.\n\n\n\n\n\n";
    let warnings = warnings(&register(&job).job, &|_| false).to_string();
    assert!(warnings.starts_with(told) && warnings.contains("* Templates are not supported"), "{warnings}");
}

#[test]
fn fields_without_effect_are_told_with_their_places() {
    let group = "group \"g\"";
    let task = "task \"t\" of group \"g\"";
    for (pointer, value, text, place) in [
        ("/Type", json!("system"), "Type \"system\" is not scheduled yet", ""),
        ("/Spreads", json!([{"Attribute": "${node.datacenter}"}]), "Spreads have no effect", ""),
        (
            "/TaskGroups/0/Spreads",
            json!([{"Attribute": "${node.datacenter}"}]),
            "Spreads have no effect",
            group,
        ),
        ("/TaskGroups/0/Update", json!({"Canary": 1}), "Canary of an update has no effect", group),
        ("/TaskGroups/0/EphemeralDisk", json!({"Sticky": true}), "Sticky and Migrate of an ephemeral", group),
        (
            "/TaskGroups/0/EphemeralDisk",
            json!({"Migrate": true}),
            "Sticky and Migrate of an ephemeral",
            group,
        ),
        ("/TaskGroups/0/Networks", json!([{"Mode": "bridge"}]), "Mode of a network has no effect", group),
        ("/TaskGroups/0/Services", json!([{"Checks": [{"Type": "tcp"}]}]), "Services have no effect", group),
        ("/TaskGroups/0/Tasks/0/Services", json!([{}]), "Services have no effect", task),
        ("/TaskGroups/0/Tasks/0/Artifacts", json!([{}]), "Artifacts are not supported", task),
        ("/TaskGroups/0/Tasks/0/Templates", json!([{}]), "Templates are not supported", task),
        ("/Multiregion", json!({}), "Multiregion has no effect", ""),
        ("/ConsulNamespace", json!("c"), "ConsulNamespace has no effect", ""),
        ("/TaskGroups/0/Consul", json!({}), "Consul has no effect", group),
        (
            "/TaskGroups/0/StopAfterClientDisconnect",
            json!(1),
            "StopAfterClientDisconnect has no effect",
            group,
        ),
        ("/TaskGroups/0/MaxClientDisconnect", json!(1), "MaxClientDisconnect has no effect", group),
        ("/TaskGroups/0/ShutdownDelay", json!(1), "ShutdownDelay of a group has no effect", group),
        ("/TaskGroups/0/Scaling", json!({}), "Scaling has no effect", group),
        ("/TaskGroups/0/Volumes", json!({"v": {}}), "Volumes have no effect", group),
        ("/TaskGroups/0/Networks", json!([{"Mode": "none"}]), "Mode of a network has no effect", group),
        ("/TaskGroups/0/Networks", json!([{"DNS": {}}]), "DNS of a network has no effect", group),
        ("/TaskGroups/0/Networks", json!([{"Hostname": "h"}]), "Hostname of a network has no effect", group),
        (
            "/TaskGroups/0/Networks",
            json!([{"DynamicPorts": [{"To": 80}, {"To": 81}]}]),
            "To of a port has no effect",
            group,
        ),
        (
            "/TaskGroups/0/Networks",
            json!([{"ReservedPorts": [{"HostNetwork": "x"}]}]),
            "HostNetwork of a port has no effect",
            group,
        ),
        ("/TaskGroups/0/Services", json!([{"Connect": {}}]), "Connect has no effect", group),
        (
            "/TaskGroups/0/Tasks/0/Services",
            json!([{"CheckRestart": {"Limit": 1}, "Checks": [{}, {}]}]),
            "CheckRestart has no effect",
            task,
        ),
        ("/TaskGroups/0/Tasks/0/Services", json!([{"Provider": "nomad"}]), "Provider and OnUpdate", task),
        (
            "/TaskGroups/0/Tasks/0/Services",
            json!([{"Checks": [{"OnUpdate": "ignore"}]}]),
            "Provider and OnUpdate",
            task,
        ),
        ("/TaskGroups/0/Tasks/0/Resources/Devices", json!([{"Name": "gpu"}]), "Devices have no effect", task),
        ("/TaskGroups/0/Tasks/0/Resources/Cores", json!(1), "Cores have no effect", task),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMaxMB", json!(1), "MemoryMaxMB has no effect", task),
        ("/TaskGroups/0/Tasks/0/Vault", json!({"Policies": ["p"]}), "Vault is not supported", task),
        ("/TaskGroups/0/Tasks/0/VolumeMounts", json!([{}]), "VolumeMounts are not supported", task),
        ("/TaskGroups/0/Tasks/0/Lifecycle", json!({"Hook": "prestart"}), "Lifecycle is not supported", task),
        ("/TaskGroups/0/Tasks/0/CSIPluginConfig", json!({}), "CSIPluginConfig has no effect", task),
        ("/TaskGroups/0/Tasks/0/ScalingPolicies", json!([{}]), "Scaling has no effect", task),
    ] {
        let job = edited(small_job("service"), &[(pointer, value.clone())]);
        let warnings = warnings(&register(&job).job, &|_| false);
        let has_services = pointer.ends_with("/Services") && !text.starts_with("Services");
        let others = usize::from(has_services) + 1;
        let told = warnings.texts().last().filter(|_| warnings.texts().count() == others);
        let told = told.unwrap_or_else(|| panic!("{pointer} = {value}: {warnings}"));
        let end = if place.is_empty() { String::new() } else { format!(" ({place})") };
        assert!(told.starts_with(text) && told.ends_with(&end), "{pointer} = {value}: {told}");
    }
}

#[test]
fn fields_with_an_effect_are_not_told() {
    let job = edited(
        small_job("service"),
        &[
            ("/TaskGroups/0/Networks", json!([{"Mode": "host", "DynamicPorts": [{"Label": "http"}]}])),
            ("/TaskGroups/0/Tasks/0/DispatchPayload", json!({"File": "x"})),
            ("/TaskGroups/0/Tasks/0/ShutdownDelay", json!(1)),
            ("/TaskGroups/0/Tasks/0/Lifecycle", json!({"Hook": ""})),
        ],
    );
    assert_eq!(warnings(&register(&job).job, &|_| false).to_string(), "");
}

#[test]
fn a_driver_that_no_node_has_is_told_with_the_tasks_that_ask_for_it() {
    let mut job = small_job("batch");
    let task = |name: &str, driver: &str| json!({"Name": name, "Driver": driver});
    job["TaskGroups"][0]["Tasks"] = json!([task("a", "docker"), task("b", "exec"), task("c", "docker")]);
    let warnings = warnings(&register(&job).job, &|driver| driver == "docker");
    let texts: Vec<&str> = warnings.texts().collect();
    let [told] = *texts else { panic!("{warnings}") };
    let places = "\"docker\" for task \"a\" of group \"g\", \"docker\" for task \"c\" of group \"g\"";
    assert!(told.starts_with("No node has the driver") && told.contains(places), "{told}");
}

#[test]
fn of_many_places_a_few_are_named() {
    let mut job = small_job("batch");
    let task = |number: usize| json!({"Name": format!("t{number}"), "Vault": {}});
    job["TaskGroups"][0]["Tasks"] = (1..=7).map(task).collect();
    let told = warnings(&register(&job).job, &|_| false).to_string();
    let named: Vec<String> = (1..=5).map(|number| format!("task \"t{number}\" of group \"g\"")).collect();
    let wanted = format!("({} and 2 more)", named.join(", "));
    assert!(told.ends_with(&wanted), "{told}");
}
