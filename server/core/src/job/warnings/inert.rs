//! Warnings about fields that have no effect in Ordu, and about drivers that no node has. The fields are stored, compared
//! and returned.

use std::collections::BTreeMap;

use crate::job::JobKind;
use ordu_proto::api::job::{CheckRestart, JobSpec, NetworkResource, Service, Task, TaskGroup};

/// Places listed for one field; further places are counted.
const PLACES_TOLD_MAX: usize = 5;

/// Fields without effect, in the order of their warnings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    System,
    Driver,
    Multiregion,
    ConsulNamespace,
    Consul,
    StopAfterClientDisconnect,
    MaxClientDisconnect,
    GroupShutdownDelay,
    Scaling,
    Volumes,
    Spreads,
    Canary,
    StickyDisk,
    NetworkMode,
    NetworkDns,
    NetworkHostname,
    PortTo,
    PortHostNetwork,
    Devices,
    Cores,
    MemoryMax,
    Artifacts,
    Templates,
    Vault,
    VolumeMounts,
    Lifecycle,
    CsiPlugin,
    Services,
    Connect,
    CheckRestart,
    ServiceProvider,
}

impl Field {
    /// Text of the warning before the places.
    fn text(self) -> &'static str {
        match self {
            Field::System => "Type \"system\" is not scheduled yet: nothing of the job runs",
            Field::Driver => "No node has the driver: what needs it waits until a node has it",
            Field::Multiregion => "Multiregion has no effect: the job runs in this region only",
            Field::ConsulNamespace => "ConsulNamespace has no effect",
            Field::Consul => "Consul has no effect",
            Field::StopAfterClientDisconnect => {
                "StopAfterClientDisconnect has no effect: a node that loses its servers goes on"
            }
            Field::MaxClientDisconnect => "MaxClientDisconnect has no effect",
            Field::GroupShutdownDelay => "ShutdownDelay of a group has no effect: that of a task has",
            Field::Scaling => "Scaling has no effect beyond bounding Count: there is no autoscaler",
            Field::Volumes => "Volumes have no effect on where the group runs",
            Field::Spreads => "Spreads have no effect",
            Field::Canary => {
                "Canary of an update has no effect: allocations are replaced MaxParallel at a time"
            }
            Field::StickyDisk => {
                "Sticky and Migrate of an ephemeral disk have no effect: each allocation begins empty"
            }
            Field::NetworkMode => "Mode of a network has no effect: tasks use the node's network",
            Field::NetworkDns => "DNS of a network has no effect: tasks use the node's resolver",
            Field::NetworkHostname => "Hostname of a network has no effect",
            Field::PortTo => "To of a port has no effect: tasks use the node's port",
            Field::PortHostNetwork => "HostNetwork of a port has no effect: the node's first network is used",
            Field::Devices => "Devices have no effect: no device is looked for or reserved",
            Field::Cores => "Cores have no effect: ask for CPU",
            Field::MemoryMax => "MemoryMaxMB has no effect",
            Field::Artifacts => "Artifacts are not supported: a task that uses them fails to start",
            Field::Templates => "Templates are not supported: a task that uses them fails to start",
            Field::Vault => "Vault is not supported: a task that uses it fails to start",
            Field::VolumeMounts => "VolumeMounts are not supported: a task that uses them fails to start",
            Field::Lifecycle => "Lifecycle is not supported: a task that uses it fails to start",
            Field::CsiPlugin => "CSIPluginConfig has no effect: the task is no storage plugin",
            Field::Services => "Services have no effect: they are not registered, and checks are not run",
            Field::Connect => "Connect has no effect: no proxy is started",
            Field::CheckRestart => "CheckRestart has no effect: checks are not run",
            Field::ServiceProvider => "Provider and OnUpdate of a service have no effect",
        }
    }
}

/// Returns one text for each field without effect that the job uses.
pub(super) fn texts(job: &JobSpec, lacks_driver: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut uses = Uses::default();
    uses.find(Field::System, JobKind::of(job) == Some(JobKind::System), String::new);
    uses.find(Field::Spreads, !job.spreads.is_empty(), String::new);
    let mut drivers = BTreeMap::new();
    uses.find(Field::Multiregion, job.multiregion.is_some(), String::new);
    uses.find(Field::ConsulNamespace, is_said(&job.consul_namespace), String::new);
    for group in &job.task_groups {
        uses.of_group(group);
        for task in &group.tasks {
            uses.of_task(group, task);
            let is_lacking = *drivers.entry(&task.driver).or_insert_with(|| lacks_driver(&task.driver));
            uses.find(Field::Driver, is_lacking, || {
                format!("{:?} for {}", task.driver, place_of(group, task))
            });
        }
    }
    uses.0.into_iter().map(|(field, places)| told(field, &places)).collect()
}

fn told(field: Field, places: &[String]) -> String {
    let text = field.text();
    let named = places.iter().take(PLACES_TOLD_MAX).filter(|place| !place.is_empty());
    let mut list = Vec::from_iter(named.map(String::as_str)).join(", ");
    if places.len() > PLACES_TOLD_MAX {
        list.push_str(&format!(" and {} more", places.len() - PLACES_TOLD_MAX));
    }
    if list.is_empty() { text.to_owned() } else { format!("{text} ({list})") }
}

fn place_of(group: &TaskGroup, task: &Task) -> String {
    format!("task {:?} of group {:?}", task.name, group.name)
}

fn is_said(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

/// Places where each field is used, without duplicates.
#[derive(Default)]
struct Uses(BTreeMap<Field, Vec<String>>);

impl Uses {
    fn find(&mut self, field: Field, is_used: bool, place: impl FnOnce() -> String) {
        if !is_used {
            return;
        }
        let (places, place) = (self.0.entry(field).or_default(), place());
        if places.last() != Some(&place) {
            places.push(place);
        }
    }

    fn of_group(&mut self, group: &TaskGroup) {
        let place = || format!("group {:?}", group.name);
        let stop_after_ns = group.stop_after_client_disconnect.unwrap_or(0);
        self.find(Field::StopAfterClientDisconnect, stop_after_ns != 0, place);
        self.find(Field::MaxClientDisconnect, group.max_client_disconnect.is_some(), place);
        self.find(Field::GroupShutdownDelay, group.shutdown_delay.is_some_and(|ns| ns != 0), place);
        self.find(Field::Scaling, group.scaling.is_some(), place);
        self.find(Field::Spreads, !group.spreads.is_empty(), place);
        self.find(Field::Canary, group.update.as_ref().is_some_and(|update| update.canary() > 0), place);
        let disk = group.ephemeral_disk.as_ref();
        self.find(Field::StickyDisk, disk.is_some_and(|disk| disk.sticky() || disk.migrate()), place);
        self.find(Field::Volumes, !group.volumes.is_empty(), place);
        self.find(Field::Consul, group.consul.is_some(), place);
        self.of_networks(&group.networks, place);
        self.of_services(&group.services, place);
    }

    fn of_task(&mut self, group: &TaskGroup, task: &Task) {
        let place = || place_of(group, task);
        self.find(Field::Artifacts, !task.artifacts.is_empty(), place);
        self.find(Field::Templates, !task.templates.is_empty(), place);
        self.find(Field::Vault, task.vault.is_some(), place);
        self.find(Field::VolumeMounts, !task.volume_mounts.is_empty(), place);
        self.find(Field::Lifecycle, task.lifecycle.is_some(), place);
        self.find(Field::CsiPlugin, task.csi_plugin_config.is_some(), place);
        self.find(Field::Scaling, !task.scaling_policies.is_empty(), place);
        if let Some(resources) = &task.resources {
            self.find(Field::Devices, !resources.devices.is_empty(), place);
            self.find(Field::Cores, resources.cores.is_some_and(|cores| cores != 0), place);
            self.find(Field::MemoryMax, resources.memory_max_mb.is_some_and(|max_mb| max_mb != 0), place);
            self.of_networks(&resources.networks, place);
        }
        self.of_services(&task.services, place);
    }

    fn of_networks(&mut self, networks: &[NetworkResource], place: impl Fn() -> String) {
        for network in networks {
            self.find(Field::NetworkMode, !matches!(network.mode.as_str(), "" | "host"), &place);
            self.find(Field::NetworkDns, network.dns.is_some(), &place);
            self.find(Field::NetworkHostname, is_said(&network.hostname), &place);
            for port in network.reserved_ports.iter().chain(&network.dynamic_ports) {
                self.find(Field::PortTo, port.to != 0, &place);
                let is_other = !matches!(port.host_network.as_str(), "" | "default");
                self.find(Field::PortHostNetwork, is_other, &place);
            }
        }
    }

    fn of_services(&mut self, services: &[Service], place: impl Fn() -> String) {
        self.find(Field::Services, !services.is_empty(), &place);
        for service in services {
            let restarts = |restart: &Option<CheckRestart>| restart.as_ref().is_some_and(|it| it.limit > 0);
            self.find(Field::Connect, service.connect.is_some(), &place);
            self.find(
                Field::ServiceProvider,
                is_said(&service.provider) || is_said(&service.on_update),
                &place,
            );
            for check in &service.checks {
                self.find(Field::CheckRestart, restarts(&check.check_restart), &place);
                self.find(Field::ServiceProvider, is_said(&check.on_update), &place);
            }
        }
    }
}
