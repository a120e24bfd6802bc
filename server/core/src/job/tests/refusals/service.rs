//! Rejected services and checks.

use serde_json::{Value, json};

use super::{assert_refused, of_group, of_task, one, refusal};
use crate::job::tests::{edited, small_job};

#[test]
fn faults_of_a_task_s_services() {
    let second = 1_000_000_000_i64;
    let service =
        |fault: &str| of_task(&one(&one(&format!("service[0] \"s\" validation failed: {}", one(fault)))));
    assert_refused(
        "service",
        &[
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

/// Asserts that a task's services have these errors, in this order.
fn assert_faults_of_services(services: Value, faults: &[&str]) {
    let job = edited(small_job("service"), &[("/TaskGroups/0/Tasks/0/Services", services.clone())]);
    let told = refusal(&job);
    let mut at = 0;
    for fault in faults {
        let found = told[at..].find(fault);
        at += found.unwrap_or_else(|| panic!("{services}: {fault:?} is not in its place in {told}"));
    }
    assert_eq!(told.is_empty(), faults.is_empty(), "{services}: {told}");
}

#[test]
fn the_faults_of_services_are_told_service_by_service() {
    assert_faults_of_services(
        json!([
            {"Name": "a", "PortLabel": "x", "AddressMode": "alloc", "Connect": {}, "Checks": [
                {"Name": "c", "Type": "tcp"}, {"Name": "c", "Type": "tcp", "PortLabel": "80"},
            ]},
            {"Name": "a", "PortLabel": "x"},
        ]),
        &[
            "service[0] \"a\" validation failed",
            "Check c invalid: missing required value interval. Interval cannot be less than 1s",
            "service \"a\" cannot use address_mode=\"alloc\"",
            "service \"a\" cannot have \"connect\" block",
            "check \"c\" is duplicate",
            "check \"c\" cannot use a numeric port 80 without setting address_mode=\"driver\"",
            "service \"a\" is duplicate",
            "port label \"x\" referenced by services a does not exist",
        ],
    );
}

#[test]
fn numbers_are_ports_only_of_what_the_driver_addresses() {
    let second = 1_000_000_000_i64;
    let service = |port: &str, mode: &str, check: Value| {
        let mut check = check;
        check["Type"] = json!("tcp");
        (check["Interval"], check["Timeout"]) = (json!(second), json!(second));
        json!([{"Name": "s", "PortLabel": port, "AddressMode": mode, "Checks": [check]}])
    };
    for (services, faults) in [
        (service("80", "driver", json!({"AddressMode": "driver"})), &[][..]),
        (service("80", "driver", json!({})), &["cannot use a numeric port 80"]),
        (service("80", "driver", json!({"PortLabel": "80"})), &["cannot use a numeric port 80"]),
        (
            service("", "driver", json!({"PortLabel": "0", "AddressMode": "driver"})),
            &["invalid numeric port 0"],
        ),
        (service("80", "host", json!({"AddressMode": "driver"})), &["port label \"80\" referenced"]),
    ] {
        assert_faults_of_services(services, faults);
    }
}

#[test]
fn faults_of_a_group_s_services() {
    let second = 1_000_000_000_i64;
    let check = |members: Value| {
        let mut check = json!({"Name": "c", "Interval": second, "Timeout": second});
        check.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        check
    };
    let of_services =
        |faults: &str| of_group(&one(&format!("Task group service validation failed: {faults}")));
    let service = |members: Value| {
        let mut service = json!({"Name": "s"});
        service.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!([service])
    };
    assert_refused(
        "service",
        &[
            (
                "/TaskGroups/0/Services",
                service(json!({"PortLabel": "9001", "Connect": {"SidecarService": {}}})),
                String::new(),
            ),
            (
                "/TaskGroups/0/Services",
                service(
                    json!({"PortLabel": "x", "Checks": [check(json!({"Type": "tcp", "TaskName": "other"}))]}),
                ),
                of_services(
                    "2 errors occurred:\n\t* Check c invalid: only script and gRPC checks should have tasks\n\t* Check c invalid: refers to non-existent task other\n\n",
                ),
            ),
            (
                "/TaskGroups/0/Services",
                service(json!({"Checks": [check(json!({"Type": "script", "Command": "x"}))]})),
                of_group(&one(&format!(
                    "Task group service check validation failed: {}",
                    one("Service [g]->s or Check c must specify task parameter")
                ))),
            ),
            (
                "/TaskGroups/0/Services",
                service(json!({"Connect": {"native": true}})),
                of_services(&one(&format!(
                    "Service[0] s validation failed: {}",
                    one("Service s is Connect Native and requires setting the task")
                ))),
            ),
            (
                "/TaskGroups/0/Services",
                service(
                    json!({"PortLabel": "x", "Connect": {"sidecar_service": null, "SidecarService": {}}, "Checks": [check(json!({"Type": "tcp"}))]}),
                ),
                of_services(&one(&format!(
                    "Service[0] s validation failed: {}",
                    one("Check c invalid: tcp checks are not valid for Connect enabled services")
                ))),
            ),
            (
                "/TaskGroups/0/Services",
                service(json!({"AddressMode": "driver"})),
                of_services(&one(
                    "service \"s\" cannot use address_mode=\"driver\", only services defined in a \"task\" block can use this mode",
                )),
            ),
        ],
    );
}
