//! Faults of services and their checks.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{NetworkResource, Service, ServiceCheck, Task, TaskGroup};

use crate::job::faults::{Faults, Span};

const SERVICE_NAME_BYTES_MAX: usize = 63;
const CHECK_SPAN_NS_MIN: i64 = 1_000_000_000;

/// The services of a task. Their ports are the task's and the group's.
pub(super) fn check_of_task(group: &TaskGroup, task: &Task) -> Faults {
    let mut faults = check_all(&task.services);
    for service in &task.services {
        if service.address_mode == "alloc" {
            faults.add(format!(
                "service {:?} cannot use address_mode=\"alloc\", only services defined in a \"group\" block can use this mode",
                service.name
            ));
        }
        if service.connect.is_some() {
            faults.add(format!(
                "service {:?} cannot have a \"connect\" block, only services defined in a \"group\" block can",
                service.name
            ));
        }
    }
    let own = task.resources.iter().flat_map(|resources| &resources.networks);
    check_ports(&task.services, own.chain(group.networks.first()), &mut faults);
    faults
}

/// The services of a group as a whole. Their ports are the group's.
pub(super) fn check_of_group(group: &TaskGroup) -> Faults {
    let mut faults = check_all(&group.services);
    check_ports(&group.services, group.networks.iter(), &mut faults);
    for service in &group.services {
        let owners = service.checks.iter().map(|check| &check.task_name).chain([&service.task_name]);
        for owner in owners.filter(|owner| !owner.is_empty() && group.task(owner).is_none()) {
            faults.add(format!("service {:?} refers to non-existent task {owner:?}", service.name));
        }
    }
    faults
}

fn check_all(services: &[Service]) -> Faults {
    let mut faults = Faults::new();
    let mut known = BTreeSet::new();
    for (index, service) in services.iter().enumerate() {
        faults.add_part_of(check(service), || format!("service[{index}] {:?}", service.name));
        if !known.insert((&service.name, &service.port_label)) {
            faults.add(format!("service {:?} is duplicate", service.name));
        }
        let mut known_checks = BTreeSet::new();
        for check in &service.checks {
            if !known_checks.insert(&check.name) {
                faults.add(format!("check {:?} is duplicate", check.name));
            }
        }
    }
    faults
}

fn check(service: &Service) -> Faults {
    let mut faults = Faults::new();
    if !is_host_name(&service.name) {
        faults.add(format!(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes: {:?}",
            service.name
        ));
    }
    if !matches!(service.address_mode.as_str(), "" | "auto" | "host" | "driver" | "alloc") {
        faults.add(format!(
            "Service address_mode must be \"auto\", \"host\", \"driver\", or \"alloc\"; not {:?}",
            service.address_mode
        ));
    }
    for check in &service.checks {
        if service.port_label.is_empty() && check.port_label.is_empty() && needs_port(check) {
            faults.add(format!(
                "Check {} invalid: check requires a port but neither check nor service {:?} have a port",
                check.name, service.name
            ));
        } else if let Some(fault) = check_fault(check) {
            faults.add(format!("Check {} invalid: {fault}", check.name));
        }
    }
    faults
}

/// Letters, digits and inner dashes, and `${…}` in the place of any of them.
fn is_host_name(name: &str) -> bool {
    let mut plain = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((_, after)) = after.split_once('}') else { return false };
        plain.push_str(before);
        plain.push('x');
        rest = after;
    }
    plain.push_str(rest);
    (1..=SERVICE_NAME_BYTES_MAX).contains(&plain.len())
        && plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !plain.starts_with('-')
        && !plain.ends_with('-')
}

fn needs_port(check: &ServiceCheck) -> bool {
    matches!(check.check_type.to_ascii_lowercase().as_str(), "http" | "tcp" | "grpc")
}

/// The first fault of a check; the restarts that it may cause are told together.
fn check_fault(check: &ServiceCheck) -> Option<String> {
    match check.check_type.to_ascii_lowercase().as_str() {
        "grpc" | "tcp" => {}
        "http" if check.path.is_empty() => return Some("http type must have a valid http path".to_owned()),
        "http" if check.path.contains("://") => {
            return Some("http type must have a relative http path".to_owned());
        }
        "http" => {}
        "script" if check.command.is_empty() => {
            return Some("script type must have a valid script path".to_owned());
        }
        "script" => {}
        _ => {
            return Some(format!(
                "invalid type ({:?}), must be one of \"http\", \"tcp\", or \"script\" type",
                check.check_type
            ));
        }
    }
    let least = Span(CHECK_SPAN_NS_MIN);
    match check.interval {
        0 => return Some(format!("missing required value interval. Interval cannot be less than {least}")),
        ns if ns < least.0 => return Some(format!("interval ({}) cannot be lower than {least}", Span(ns))),
        _ => {}
    }
    match check.timeout {
        0 => return Some(format!("missing required value timeout. Timeout cannot be less than {least}")),
        ns if ns < least.0 => {
            return Some(format!("timeout ({}) is lower than required minimum timeout {least}", Span(ns)));
        }
        _ => {}
    }
    if !matches!(check.initial_status.as_str(), "" | "passing" | "warning" | "critical") {
        return Some(format!(
            "invalid initial check state ({}), must be one of \"passing\", \"warning\", \"critical\" or empty",
            check.initial_status
        ));
    }
    match check.address_mode.as_str() {
        "" | "host" | "driver" | "alloc" => {}
        "auto" => return Some("invalid address_mode \"auto\" - auto only valid for services".to_owned()),
        other => return Some(format!("invalid address_mode {other:?}")),
    }
    if !needs_port(check) {
        for (word, count) in [
            ("success_before_passing", check.success_before_passing),
            ("failures_before_critical", check.failures_before_critical),
        ] {
            if count > 0 {
                return Some(format!("{word} not supported for check of type {:?}", check.check_type));
            }
        }
    }
    restart_fault(check)
}

fn restart_fault(check: &ServiceCheck) -> Option<String> {
    let restart = check.check_restart.as_ref()?;
    let mut faults = Faults::new();
    if restart.limit < 0 {
        faults.add(format!("limit must be greater than or equal to 0 but found {}", restart.limit));
    }
    let grace_ns = restart.grace.unwrap_or(0);
    if grace_ns < 0 {
        faults.add(format!("grace period must be greater than or equal to 0 but found {grace_ns}"));
    }
    faults.into_result().err().map(|faults| faults.to_string())
}

/// A port that a service or a check calls by its label has to be there.
fn check_ports<'a>(
    services: &'a [Service],
    networks: impl Iterator<Item = &'a NetworkResource>,
    faults: &mut Faults,
) {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for service in services {
        let label = service.port_label.as_str();
        let is_number_of_driver = service.address_mode == "driver" && label.parse::<i64>().is_ok();
        if !label.is_empty() && !is_number_of_driver {
            wanted.entry(label).or_default().insert(&service.name);
        }
        for check in service.checks.iter().filter(|check| needs_port(check)) {
            let label = if check.port_label.is_empty() { label } else { &check.port_label };
            match (label.parse::<i64>(), check.address_mode.as_str()) {
                _ if label.is_empty() => faults.add(format!("check {:?} is missing a port", check.name)),
                (Ok(number), "driver") if number > 0 => {}
                (Ok(number), "driver") => {
                    faults.add(format!("check {:?} has invalid numeric port {number}", check.name));
                }
                // A check of a service that the driver gives its address uses the service's own port.
                (Ok(_), _) if check.port_label.is_empty() => {}
                (Ok(number), _) => faults.add(format!(
                    "check {:?} cannot use a numeric port {number} without setting address_mode=\"driver\"",
                    check.name
                )),
                (Err(_), _) => {
                    wanted.entry(label).or_default().insert(&service.name);
                }
            }
        }
    }
    let known: BTreeSet<&str> = networks
        .flat_map(|network| network.reserved_ports.iter().chain(&network.dynamic_ports))
        .map(|port| port.label.as_str())
        .collect();
    for (label, names) in wanted.into_iter().filter(|(label, _)| !known.contains(label)) {
        let names = Vec::from_iter(names).join(", ");
        faults.add(format!("port label {label:?} referenced by services {names} does not exist"));
    }
}
