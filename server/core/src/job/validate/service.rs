//! Validation of services and of the port labels that they refer to.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{NetworkResource, Service, Task, TaskGroup};

use super::service_check::{self, needs_port};
use crate::job::faults::Faults;

const SERVICE_NAME_BYTES_MAX: usize = 63;

/// Checks the services of a task. Their port labels may be those of the task's or the group's networks.
pub(super) fn check_of_task(group: &TaskGroup, task: &Task) -> Faults {
    let mut faults = Faults::new();
    let mut known = BTreeSet::new();
    let mut labels = Labels::default();
    for (index, service) in task.services.iter().enumerate() {
        let name = &service.name;
        faults.add_part_of(check(service), || format!("service[{index}] {name:?}"));
        if service.address_mode == "alloc" {
            faults.add(format!(
                "service {name:?} cannot use address_mode=\"alloc\", only services defined in a \"group\" block can use this mode"
            ));
        }
        if !known.insert((name, &service.port_label)) {
            faults.add(format!("service {name:?} is duplicate"));
        }
        if service.connect.is_some() {
            faults.add(format!(
                "service {name:?} cannot have \"connect\" block, only services defined in a \"group\" block can"
            ));
        }
        labels.gather(service, &mut faults);
    }
    let own = task.resources.iter().flat_map(|resources| &resources.networks);
    labels.check(own.chain(group.networks.first()), &mut faults);
    faults
}

/// Checks the services of a group as a whole. Their port labels are not checked, because they may exist only in the
/// group's network.
pub(super) fn check_of_group(group: &TaskGroup) -> Faults {
    let mut faults = Faults::new();
    let mut known = BTreeSet::new();
    let tasks: BTreeSet<&str> = group.tasks.iter().map(|task| task.name.as_str()).collect();
    for service in group.tasks.iter().flat_map(|task| &task.services) {
        if !known.insert((&service.name, &service.port_label)) {
            faults.add(format!("Service {} is duplicate", service.name));
        }
        for check in service.checks.iter().filter(|check| !check.task_name.is_empty()) {
            faults.add(format!(
                "Check {} is invalid: only task group service checks can be assigned tasks",
                check.name
            ));
        }
    }
    for (index, service) in group.services.iter().enumerate() {
        let (name, part) = (&service.name, check(service));
        if !part.is_empty() {
            faults.add(format!("Service[{index}] {name} validation failed: {part}"));
            continue;
        }
        if service.address_mode == "driver" {
            faults.add(format!(
                "service {name:?} cannot use address_mode=\"driver\", only services defined in a \"task\" block can use this mode"
            ));
        }
        if !known.insert((name, &service.port_label)) {
            faults.add(format!("Service {name} is duplicate"));
        }
        for check in &service.checks {
            service_check::check_in_group(&tasks, check, &mut faults);
        }
    }
    faults
}

/// Checks that script checks of a group's services name the task that runs them.
pub(super) fn check_scripts_of_group(group: &TaskGroup) -> Faults {
    let mut faults = Faults::new();
    for service in group.services.iter().filter(|service| service.task_name.is_empty()) {
        let is_homeless = |check_type: &str, task: &str| check_type == "script" && task.is_empty();
        for check in service.checks.iter().filter(|check| is_homeless(&check.check_type, &check.task_name)) {
            faults.add(format!(
                "Service [{}]->{} or Check {} must specify task parameter",
                group.name, service.name, check.name
            ));
        }
    }
    faults
}

fn check(service: &Service) -> Faults {
    let mut faults = Faults::new();
    let name = &service.name;
    if !is_host_name(name) {
        faults.add(format!(
            "Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes: {name:?}"
        ));
    }
    if !matches!(service.address_mode.as_str(), "" | "auto" | "host" | "driver" | "alloc") {
        faults.add(format!(
            "Service address_mode must be \"auto\", \"host\", \"driver\", or \"alloc\"; not {:?}",
            service.address_mode
        ));
    }
    for check in &service.checks {
        let fault = if service.port_label.is_empty() && check.port_label.is_empty() && needs_port(check) {
            format!("check requires a port but neither check nor service {name:?} have a port")
        } else if check.check_type == "tcp" && service.has_sidecar() {
            "tcp checks are not valid for Connect enabled services".to_owned()
        } else if let Some(fault) = service_check::fault(check) {
            fault
        } else {
            continue;
        };
        faults.add(format!("Check {} invalid: {fault}", check.name));
    }
    if service.is_native() && service.task_name.is_empty() {
        faults.add(format!("Service {name} is Connect Native and requires setting the task"));
    }
    faults
}

/// Whether a name has only letters, digits and inner dashes, where a `${…}` may replace any of them.
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

/// Port labels with the services that refer to them.
#[derive(Default)]
struct Labels<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Labels<'a> {
    /// Records the port labels of a service and its checks.
    fn gather(&mut self, service: &'a Service, faults: &mut Faults) {
        let label = service.port_label.as_str();
        let is_number_of_driver = service.address_mode == "driver" && label.parse::<i64>().is_ok();
        if !label.is_empty() && !is_number_of_driver {
            self.0.entry(label).or_default().insert(&service.name);
        }
        let mut known = BTreeSet::new();
        for check in &service.checks {
            let name = &check.name;
            if !known.insert(name) {
                faults.add(format!("check {name:?} is duplicate"));
            }
            if !needs_port(check) {
                continue;
            }
            let label = if check.port_label.is_empty() { label } else { &check.port_label };
            match (label.parse::<i64>(), check.address_mode.as_str()) {
                _ if label.is_empty() => faults.add(format!("check {name:?} is missing a port")),
                (Ok(number), "driver") if number > 0 => {}
                (Ok(number), "driver") => {
                    faults.add(format!("check {name:?} has invalid numeric port {number}"));
                }
                (Ok(number), _) => faults.add(format!(
                    "check {name:?} cannot use a numeric port {number} without setting address_mode=\"driver\""
                )),
                (Err(_), _) => drop(self.0.entry(label).or_default().insert(&service.name)),
            }
        }
    }

    /// Reports recorded labels that no port has.
    fn check(self, networks: impl Iterator<Item = &'a NetworkResource>, faults: &mut Faults) {
        let known: BTreeSet<&str> = networks
            .flat_map(|network| network.reserved_ports.iter().chain(&network.dynamic_ports))
            .map(|port| port.label.as_str())
            .collect();
        for (label, names) in self.0.into_iter().filter(|(label, _)| !known.contains(label)) {
            let names = Vec::from_iter(names).join(", ");
            faults.add(format!("port label {label:?} referenced by services {names} does not exist"));
        }
    }
}
