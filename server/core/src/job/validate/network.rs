//! Validation of the networks of a group and of its tasks: no port is claimed twice.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{NetworkResource, Port, TaskGroup};

use crate::job::faults::Faults;

const PORT_MAX: i64 = u16::MAX as i64;

/// Labels and ports claimed so far.
#[derive(Default)]
struct Claims<'a> {
    /// Labels of the group's networks. Tasks may reuse a label, each in its own networks.
    labels: BTreeSet<&'a str>,
    numbers: BTreeMap<(&'a str, i64), String>,
}

/// Owner of the networks in error texts.
const GROUP: &str = "taskgroup network";

pub(super) fn check(group: &TaskGroup) -> Faults {
    let mut faults = Faults::new();
    let mut claims = Claims::default();
    for port in group.networks.iter().flat_map(ports) {
        claims.check_label(port, &mut faults);
        claims.labels.insert(&port.label);
        claims.take_number(port, GROUP, &mut faults);
        check_inner_port(port, &mut faults);
    }
    for task in &group.tasks {
        let networks = task.resources.iter().flat_map(|resources| &resources.networks);
        for port in networks.flat_map(ports) {
            claims.check_label(port, &mut faults);
            claims.take_number(port, &task.name, &mut faults);
        }
    }
    faults
}

fn ports(network: &NetworkResource) -> impl Iterator<Item = &Port> {
    network.reserved_ports.iter().chain(&network.dynamic_ports)
}

impl<'a> Claims<'a> {
    fn check_label(&self, port: &Port, faults: &mut Faults) {
        if self.labels.contains(port.label.as_str()) {
            faults.add(format!("Port label {} already in use by {GROUP}", port.label));
        }
    }

    fn take_number(&mut self, port: &'a Port, whose: &str, faults: &mut Faults) {
        let Port { label, value, .. } = port;
        let host_network = if port.host_network.is_empty() { "default" } else { &port.host_network };
        let number = (host_network, *value);
        match self.numbers.get(&number) {
            _ if *value == 0 => {}
            Some(other) => faults.add(format!("Static port {value} already reserved by {other}")),
            None if *value < 0 => faults.add(format!("Port {label} ({value}) cannot be negative")),
            None if *value > PORT_MAX => {
                faults.add(format!("Port {label} ({value}) cannot be greater than {PORT_MAX}"));
            }
            None => drop(self.numbers.insert(number, format!("{whose}:{label}"))),
        }
    }
}

/// Checks the port inside the network namespace; -1 means the same as outside.
fn check_inner_port(port: &Port, faults: &mut Faults) {
    if port.to < -1 {
        faults.add(format!("Port {:?} cannot be mapped to negative value {}", port.label, port.to));
    } else if port.to > PORT_MAX {
        faults.add(format!(
            "Port {:?} cannot be mapped to a port ({}) greater than {PORT_MAX}",
            port.label, port.to
        ));
    }
}
