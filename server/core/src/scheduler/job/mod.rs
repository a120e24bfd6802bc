//! What the scheduler needs of a job, read once a version: constraints parsed, resources summed, and a
//! digest a group that says whether a running allocation can take another version where it is.

mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use ordu_proto::api::job::{self, JobSpec, NetworkResource, TaskGroup, UpdateStrategy};
use ordu_proto::state::Job;

use super::constraint::{Affinity, Constraint, Target};
use super::view::Capacity;
use crate::job::JobKind;
use crate::scheduler::view::quantity;

/// One version of a job, as the scheduler sees it.
#[derive(Clone, Debug)]
pub struct ScheduledJob {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) kind: Option<JobKind>,
    pub(crate) version: u64,
    pub(crate) create_index: u64,
    pub(crate) datacenters: Vec<String>,
    pub(crate) all_at_once: bool,
    /// What any group's node must be.
    pub(crate) constraints: Constraints,
    /// What the allocations of the whole job may not share.
    pub(crate) exclusions: Exclusions,
    pub(crate) groups: Vec<ScheduledGroup>,
}

/// One group of the job.
#[derive(Clone, Debug)]
pub(crate) struct ScheduledGroup {
    pub(crate) name: String,
    pub(crate) count: u32,
    /// What a node must be, for the group or one of its tasks.
    pub(crate) constraints: Constraints,
    pub(crate) exclusions: Exclusions,
    /// What a node had better be, for the job, the group or one of its tasks.
    pub(crate) affinities: Vec<Arc<Affinity>>,
    /// Drivers that the node must have, ascending.
    pub(crate) drivers: Vec<String>,
    /// Network modes that the node must offer (`bridge`, `cni/…`), beside that of the host.
    pub(crate) network_modes: Vec<String>,
    /// What an allocation takes in all, without ports.
    pub(crate) ask: Capacity,
    pub(crate) tasks: Vec<ScheduledTask>,
    pub(crate) networks: Vec<NetworkResource>,
    /// What all those networks need of the node's ports, if anything.
    pub(crate) ports: Option<PortNeeds>,
    /// How new versions are rolled out; `None` where there are no deployments.
    pub(crate) update: Option<UpdatePolicy>,
    /// Equal for two versions of a group exactly if an allocation can go from one to the other in place.
    pub(crate) shape: [u8; 32],
}

/// How a service's group takes a new version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdatePolicy {
    /// How many allocations are replaced at a time; at least one.
    pub(crate) parallel_max: usize,
    pub(crate) auto_revert: bool,
    pub(crate) auto_promote: bool,
    pub(crate) progress_deadline_ns: i64,
}

/// What a task of the group takes.
#[derive(Clone, Debug)]
pub(crate) struct ScheduledTask {
    pub(crate) name: String,
    pub(crate) cpu_mhz: i64,
    pub(crate) memory_mb: i64,
    pub(crate) networks: Vec<NetworkResource>,
}

/// Ports that an allocation takes of its node.
#[derive(Clone, Debug)]
pub(crate) struct PortNeeds {
    pub(crate) fixed: Vec<FixedPort>,
    /// How many the servers choose.
    pub(crate) dynamic: usize,
}

/// A port whose number the job chose.
#[derive(Clone, Debug)]
pub(crate) struct FixedPort {
    /// `None` where it is no number of a port, or taken by the group itself: no node can give it.
    pub(crate) number: Option<u16>,
    pub(crate) label: String,
    /// As the job has it.
    pub(crate) value: i64,
}

/// Constraints on single nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraints {
    /// Those that all nodes of a class meet, or none.
    pub(crate) of_classes: Vec<Constraint>,
    /// Those that nodes of one class may differ in.
    pub(crate) of_nodes: Vec<Constraint>,
}

/// What allocations may not share with each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exclusions {
    /// No two on one node.
    pub(crate) distinct_hosts: bool,
    /// At most so many on nodes with one value of an attribute.
    pub(crate) distinct_properties: Vec<DistinctProperty>,
}

/// `distinct_property`: at most `limit` allocations for one value of the target.
#[derive(Clone, Debug)]
pub(crate) struct DistinctProperty {
    pub(crate) target: Target,
    /// The target as the user wrote it.
    pub(crate) text: String,
    pub(crate) limit: u64,
}

/// An allocation's name ends in a number below this; a greater count is cut to it.
const COUNT_MAX: i64 = u32::MAX as i64;

impl ScheduledJob {
    /// Reads a version of a job: its row and its specification. It never fails: what is wrong with a
    /// specification (validation has told its author) is met by no node.
    pub fn from_spec(row: &Job, spec: &JobSpec) -> ScheduledJob {
        let (constraints, exclusions) = split_constraints(&spec.constraints);
        // Read once, whatever the number of groups.
        let affinities: Vec<Arc<Affinity>> = spec.affinities.iter().map(shared).collect();
        ScheduledJob {
            namespace: row.namespace.clone(),
            id: row.id.clone(),
            kind: JobKind::parse(&row.r#type),
            version: row.version,
            create_index: row.create_index,
            datacenters: spec.datacenters.clone(),
            all_at_once: spec.all_at_once,
            constraints,
            exclusions,
            groups: spec
                .task_groups
                .iter()
                .map(|group| ScheduledGroup::from_spec(row, spec, group, &affinities))
                .collect(),
        }
    }

    /// Bytes of the constraints and affinities that a decision may ask of each node.
    pub fn constraint_bytes(&self) -> usize {
        let of = |constraints: &Constraints| {
            let all = constraints.of_classes.iter().chain(&constraints.of_nodes);
            all.map(|constraint| constraint.bytes).sum::<usize>()
        };
        let of_groups = self.groups.iter().map(|group| {
            of(&group.constraints) + group.affinities.iter().map(|it| it.constraint.bytes).sum::<usize>()
        });
        of(&self.constraints) + of_groups.sum::<usize>()
    }

    /// Allocations that the job wants, of all groups.
    pub fn allocs_wanted(&self) -> usize {
        self.groups.iter().fold(0, |wanted: usize, group| wanted.saturating_add(group.count as usize))
    }

    /// The datacenters that the job may run in: what its blocked evaluation waits for.
    pub fn datacenters(&self) -> &[String] {
        &self.datacenters
    }

    pub(crate) fn group(&self, name: &str) -> Option<(usize, &ScheduledGroup)> {
        self.groups.iter().enumerate().find(|(_, group)| group.name == name)
    }
}

impl ScheduledGroup {
    fn from_spec(row: &Job, spec: &JobSpec, group: &TaskGroup, of_job: &[Arc<Affinity>]) -> ScheduledGroup {
        let all: Vec<job::Constraint> = group
            .constraints
            .iter()
            .chain(group.tasks.iter().flat_map(|task| &task.constraints))
            .cloned()
            .collect();
        let (constraints, exclusions) = split_constraints(&all);
        let of_tasks = group.tasks.iter().flat_map(|task| &task.affinities);
        let own = group.affinities.iter().chain(of_tasks).map(shared);
        let mut drivers: Vec<String> = group.tasks.iter().map(|task| task.driver.clone()).collect();
        drivers.sort_unstable();
        drivers.dedup();
        let tasks: Vec<ScheduledTask> = group.tasks.iter().map(ScheduledTask::from_spec).collect();
        let ask = Capacity {
            cpu_mhz: tasks.iter().fold(0, |sum, task| quantity(sum + task.cpu_mhz)),
            memory_mb: tasks.iter().fold(0, |sum, task| quantity(sum + task.memory_mb)),
            disk_mb: quantity(group.disk_mb()),
        };
        let is_service = JobKind::parse(&row.r#type) == Some(JobKind::Service);
        let update = group.update.as_ref().filter(|_| is_service);
        let modes = group.networks.iter().map(|network| network.mode.as_str());
        ScheduledGroup {
            name: group.name.clone(),
            count: group.count().clamp(0, COUNT_MAX) as u32,
            constraints,
            exclusions,
            affinities: of_job.iter().cloned().chain(own).collect(),
            drivers,
            network_modes: modes
                .filter(|mode| !["", "host", "none"].contains(mode))
                .map(str::to_owned)
                .collect(),
            ask,
            ports: PortNeeds::of(group.networks.iter().chain(tasks.iter().flat_map(|task| &task.networks))),
            tasks,
            networks: group.networks.clone(),
            update: update.and_then(UpdatePolicy::of),
            shape: shape::of(spec, group),
        }
    }
}

impl UpdatePolicy {
    /// The policy, unless it says that there are to be no deployments.
    fn of(update: &UpdateStrategy) -> Option<UpdatePolicy> {
        let parallel_max = usize::try_from(update.max_parallel()).ok().filter(|&at_a_time| at_a_time > 0)?;
        Some(UpdatePolicy {
            parallel_max,
            auto_revert: update.auto_revert(),
            auto_promote: update.auto_promote(),
            progress_deadline_ns: update.progress_deadline_ns(),
        })
    }
}

impl PortNeeds {
    /// What these networks need together, if they need any.
    fn of<'a>(networks: impl Iterator<Item = &'a NetworkResource> + Clone) -> Option<PortNeeds> {
        let mut numbers = BTreeSet::new();
        let mut fixed = Vec::new();
        for port in networks.clone().flat_map(|network| &network.reserved_ports) {
            // The same number twice is no port for the second.
            let number = u16::try_from(port.value).ok().filter(|&value| value != 0 && numbers.insert(value));
            fixed.push(FixedPort { number, label: port.label.clone(), value: port.value });
        }
        let dynamic = networks.map(|network| network.dynamic_ports.len()).sum();
        (dynamic > 0 || !fixed.is_empty()).then_some(PortNeeds { fixed, dynamic })
    }
}

impl ScheduledTask {
    fn from_spec(task: &job::Task) -> ScheduledTask {
        ScheduledTask {
            name: task.name.clone(),
            cpu_mhz: quantity(task.cpu_mhz()),
            memory_mb: quantity(task.memory_mb()),
            networks: task.resources.iter().flat_map(|resources| &resources.networks).cloned().collect(),
        }
    }
}

fn shared(affinity: &job::Affinity) -> Arc<Affinity> {
    Arc::new(Affinity::from(affinity))
}

/// Those on single nodes, and those that look at other allocations.
fn split_constraints(constraints: &[job::Constraint]) -> (Constraints, Exclusions) {
    let mut on_nodes = Constraints::default();
    let mut exclusions = Exclusions::default();
    for constraint in constraints {
        match constraint.operand.as_str() {
            "distinct_hosts" => exclusions.distinct_hosts |= constraint.right != "false",
            "distinct_property" => exclusions.distinct_properties.push(DistinctProperty {
                target: Target::parse(&constraint.left),
                text: constraint.left.clone(),
                // Nothing said means one; what is no number means that no node will do.
                limit: if constraint.right.is_empty() { 1 } else { constraint.right.parse().unwrap_or(0) },
            }),
            _ => {
                let constraint = Constraint::from(constraint);
                match constraint.escapes_class {
                    true => on_nodes.of_nodes.push(constraint),
                    false => on_nodes.of_classes.push(constraint),
                }
            }
        }
    }
    (on_nodes, exclusions)
}
