//! Faults of a group's networks and of its tasks' networks: one port is claimed once.

use std::collections::BTreeMap;

use ordu_proto::api::job::{NetworkResource, Port, TaskGroup};

use crate::job::faults::Faults;

const PORT_MAX: i64 = u16::MAX as i64;

/// Who has a label or a number.
#[derive(Default)]
struct Claims<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    numbers: BTreeMap<(&'a str, i64), String>,
}

pub(super) fn check(group: &TaskGroup) -> Faults {
    let mut faults = Faults::new();
    let mut claims = Claims::default();
    for network in &group.networks {
        for port in ports(network) {
            claims.take(port, "taskgroup network", &mut faults);
            check_inner_port(port, &mut faults);
        }
    }
    for task in &group.tasks {
        let networks = task.resources.iter().flat_map(|resources| &resources.networks);
        for port in networks.flat_map(ports) {
            claims.take(port, &task.name, &mut faults);
        }
    }
    faults
}

fn ports(network: &NetworkResource) -> impl Iterator<Item = &Port> {
    network.reserved_ports.iter().chain(&network.dynamic_ports)
}

impl<'a> Claims<'a> {
    fn take(&mut self, port: &'a Port, whose: &'a str, faults: &mut Faults) {
        if let Some(other) = self.labels.insert(&port.label, whose) {
            faults.add(format!("Port label {} already in use by {other}", port.label));
        }
        match port.value {
            0 => {}
            ..0 => faults.add(format!("Port {} ({}) cannot be negative", port.label, port.value)),
            1..=PORT_MAX => {
                let host_network = if port.host_network.is_empty() { "default" } else { &port.host_network };
                let claim = format!("{whose}:{}", port.label);
                if let Some(other) = self.numbers.insert((host_network, port.value), claim) {
                    faults.add(format!("Static port {} already reserved by {other}", port.value));
                }
            }
            _ => {
                faults.add(format!("Port {} ({}) cannot be greater than {PORT_MAX}", port.label, port.value))
            }
        }
    }
}

/// The port inside the network namespace; -1 stands for "as outside".
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
