//! The scheduler's form of a job version, built once per version: parsed constraints, summed resources, and a digest
//! per group that decides whether a running allocation can be updated in place.

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

/// A job version in the scheduler's form.
#[derive(Clone, Debug)]
pub struct ScheduledJob {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) kind: Option<JobKind>,
    pub(crate) version: u64,
    pub(crate) create_index: u64,
    pub(crate) datacenters: Vec<String>,
    pub(crate) all_at_once: bool,
    /// Constraints on the nodes of all groups.
    pub(crate) constraints: Constraints,
    /// Exclusions between allocations of the whole job.
    pub(crate) exclusions: Exclusions,
    pub(crate) groups: Vec<ScheduledGroup>,
}

/// One group of the job.
#[derive(Clone, Debug)]
pub(crate) struct ScheduledGroup {
    pub(crate) name: String,
    pub(crate) count: u32,
    /// Constraints on the node, from the group and its tasks.
    pub(crate) constraints: Constraints,
    pub(crate) exclusions: Exclusions,
    /// Affinities of the job, the group and its tasks.
    pub(crate) affinities: Vec<Arc<Affinity>>,
    /// Drivers that the node must have, sorted.
    pub(crate) drivers: Vec<String>,
    /// Network modes other than the host's (`bridge`, `cni/…`) that the node must offer.
    pub(crate) network_modes: Vec<String>,
    /// Total resources of an allocation, without ports.
    pub(crate) ask: Capacity,
    pub(crate) tasks: Vec<ScheduledTask>,
    pub(crate) networks: Vec<NetworkResource>,
    /// Ports that all these networks need, if any.
    pub(crate) ports: Option<PortNeeds>,
    /// The rollout policy for new versions; `None` if the group has no deployments.
    pub(crate) update: Option<UpdatePolicy>,
    /// Equal for two versions of a group if and only if an allocation can be updated in place from one to the other.
    pub(crate) shape: [u8; 32],
}

/// Rollout policy of a service's group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpdatePolicy {
    /// Maximum number of allocations that are replaced at a time; at least one.
    pub(crate) parallel_max: usize,
    pub(crate) auto_revert: bool,
    pub(crate) auto_promote: bool,
    pub(crate) progress_deadline_ns: i64,
}

/// Resources of a task.
#[derive(Clone, Debug)]
pub(crate) struct ScheduledTask {
    pub(crate) name: String,
    pub(crate) cpu_mhz: i64,
    pub(crate) memory_mb: i64,
    pub(crate) networks: Vec<NetworkResource>,
}

/// The ports of its node that an allocation needs.
#[derive(Clone, Debug)]
pub(crate) struct PortNeeds {
    pub(crate) fixed: Vec<FixedPort>,
    /// Number of dynamic ports.
    pub(crate) dynamic: usize,
}

/// A static port.
#[derive(Clone, Debug)]
pub(crate) struct FixedPort {
    /// `None` if the number is not a valid port or occurs twice in the group: no node can provide it.
    pub(crate) number: Option<u16>,
    pub(crate) label: String,
    /// The number as given in the job.
    pub(crate) value: i64,
}

/// Constraints on single nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraints {
    /// Constraints that have the same result for all nodes of a class.
    pub(crate) of_classes: Vec<Constraint>,
    /// Constraints whose result may differ between nodes of one class.
    pub(crate) of_nodes: Vec<Constraint>,
}

/// Restrictions on allocations that share a node or a node property.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exclusions {
    /// At most one allocation per node.
    pub(crate) distinct_hosts: bool,
    /// Limits on allocations per value of a node attribute.
    pub(crate) distinct_properties: Vec<DistinctProperty>,
}

/// `distinct_property`: at most `limit` allocations for one value of the target.
#[derive(Clone, Debug)]
pub(crate) struct DistinctProperty {
    pub(crate) target: Target,
    /// The target as given in the job.
    pub(crate) text: String,
    pub(crate) limit: u64,
}

/// Maximum count of a group, because an allocation's name index is a `u32`; greater counts are reduced to it.
const COUNT_MAX: i64 = u32::MAX as i64;

impl ScheduledJob {
    /// Builds the scheduler's form from a version's row and specification. Never fails: no node meets an invalid
    /// constraint, and validation has already reported it to the job's author.
    pub fn from_spec(row: &Job, spec: &JobSpec) -> ScheduledJob {
        let (constraints, exclusions) = split_constraints(&spec.constraints);
        // Parsed once and shared by all groups.
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

    /// Returns the total length in bytes of the constraints and affinities that a decision may evaluate for each node.
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

    /// Returns the total count of all groups.
    pub fn allocs_wanted(&self) -> usize {
        self.groups.iter().fold(0, |wanted: usize, group| wanted.saturating_add(group.count as usize))
    }

    /// Returns the names and globs of the datacenters that the job may run in. Its blocked evaluation waits for changes in these.
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
    /// Returns the policy, or `None` if it disables deployments.
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
    /// Returns the ports that these networks need together, if any.
    fn of<'a>(networks: impl Iterator<Item = &'a NetworkResource> + Clone) -> Option<PortNeeds> {
        let mut numbers = BTreeSet::new();
        let mut fixed = Vec::new();
        for port in networks.clone().flat_map(|network| &network.reserved_ports) {
            // A duplicate number is not available to the second port.
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

/// Separates constraints on single nodes from those that depend on other allocations.
fn split_constraints(constraints: &[job::Constraint]) -> (Constraints, Exclusions) {
    let mut on_nodes = Constraints::default();
    let mut exclusions = Exclusions::default();
    for constraint in constraints {
        match constraint.operand.as_str() {
            "distinct_hosts" => exclusions.distinct_hosts |= constraint.right != "false",
            "distinct_property" => exclusions.distinct_properties.push(DistinctProperty {
                target: Target::parse(&constraint.left),
                text: constraint.left.clone(),
                // The default is one. An invalid number means that no node fits.
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
