//! Validation of a task group.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{JobSpec, ScalingPolicy, Task, TaskGroup};

use super::{network, placement, policy, service, task};
use crate::job::JobKind;
use crate::job::faults::Faults;

const DISK_MB_MIN: i64 = 10;

pub(super) fn check(job: &JobSpec, group: &TaskGroup) -> Faults {
    let mut faults = Faults::new();
    if group.name.is_empty() {
        faults.add("Missing task group name");
    } else if group.name.contains('\0') {
        faults.add("Task group name contains null character");
    }
    if group.count() < 0 {
        faults.add("Task group count can't be negative");
    }
    if group.tasks.is_empty() {
        faults.add("Missing tasks for task group");
    }
    placement::check(&mut faults, job, &group.constraints, &group.affinities);
    check_policies(job, group, &mut faults);
    check_task_names(group, &mut faults);
    for (name, volume) in &group.volumes {
        if !matches!(volume.volume_type.as_str(), "host" | "csi") {
            faults.add(format!("Volume {name} has unrecognised type {}", volume.volume_type));
        } else if volume.source.is_empty() {
            faults.add(format!("Volume {name} has an empty source"));
        }
    }
    add(&mut faults, network::check(group), "Task group network validation failed");
    add(&mut faults, service::check_of_group(group), "Task group service validation failed");
    add(&mut faults, service::check_scripts_of_group(group), "Task group service check validation failed");
    if let Some(scaling) = &group.scaling {
        let part = check_scaling(job, scaling, group);
        add(&mut faults, part, "Task group scaling policy validation failed");
    }
    let with_proxy = group.services.iter().filter(|service| service.has_sidecar());
    let with_proxy: BTreeSet<&str> = with_proxy.map(|service| service.name.as_str()).collect();
    for task in &group.tasks {
        check_mounts(group, task, &mut faults);
        let part = task::check(job, group, &with_proxy, task);
        faults.add_part_of(part, || format!("Task {}", task.name));
    }
    faults
}

fn add(faults: &mut Faults, part: Faults, what: &str) {
    if !part.is_empty() {
        faults.add(format!("{what}: {part}"));
    }
}

fn check_policies(job: &JobSpec, group: &TaskGroup, faults: &mut Faults) {
    let kind = JobKind::of(job);
    match &group.restart_policy {
        Some(restart) => faults.add_part(policy::check_restart(restart)),
        None => faults.add(format!("Task Group {} should have a restart policy", group.name)),
    }
    placement::check_spreads(faults, job, &group.spreads);
    match &group.reschedule_policy {
        Some(_) if kind == Some(JobKind::System) => {
            faults.add("System jobs should not have a reschedule policy");
        }
        Some(reschedule) => faults.add_part(policy::check_reschedule(reschedule)),
        None if kind == Some(JobKind::System) => {}
        None => faults.add(format!("Task Group {} should have a reschedule policy", group.name)),
    }
    if group.disk_mb() < DISK_MB_MIN {
        faults.add(format!("minimum DiskMB value is {DISK_MB_MIN}; got {}", group.disk_mb()));
    }
    if let Some(update) = &group.update {
        if !matches!(kind, Some(JobKind::Service | JobKind::System)) {
            faults.add(format!("Job type {:?} does not allow update block", job.job_type()));
        }
        faults.add_part(policy::check_update(update));
    }
    if let Some(migrate) = &group.migrate {
        if kind == Some(JobKind::Service) {
            faults.add_part(policy::check_migrate(migrate));
        } else {
            faults.add(format!("Job type {:?} does not allow migrate block", job.job_type()));
        }
    }
}

fn check_task_names(group: &TaskGroup, faults: &mut Faults) {
    let mut numbers = BTreeMap::new();
    for (number, task) in (1..).zip(&group.tasks) {
        if task.name.is_empty() {
            faults.add(format!("Task {number} missing name"));
        } else if let Some(earlier) = numbers.get(task.name.as_str()) {
            faults.add(format!("Task {number} redefines '{}' from task {earlier}", task.name));
        } else {
            numbers.insert(task.name.as_str(), number);
        }
    }
    if group.tasks.iter().filter(|task| task.leader).count() > 1 {
        faults.add("Only one task may be marked as leader");
    }
}

fn check_mounts(group: &TaskGroup, task: &Task, faults: &mut Faults) {
    for (index, mount) in task.volume_mounts.iter().enumerate() {
        let volume = mount.volume.as_deref().unwrap_or_default();
        if volume.is_empty() {
            faults
                .add(format!("Task {} has a volume mount ({index}) referencing an empty volume", task.name));
        } else if !group.volumes.contains_key(volume) {
            faults.add(format!(
                "Task {} has a volume mount ({index}) referencing undefined volume {volume}",
                task.name
            ));
        }
    }
}

fn check_scaling(job: &JobSpec, scaling: &ScalingPolicy, group: &TaskGroup) -> Faults {
    let mut faults = Faults::new();
    let mut add = |fault: &str| faults.add(format!("Scaling policy invalid: {fault}"));
    // -1 stands for an absent maximum.
    let (min, max) = (scaling.min.unwrap_or(0), scaling.max.unwrap_or(-1));
    if scaling.policy_type.is_empty() {
        add("missing scaling policy type");
    } else if scaling.policy_type != "horizontal" {
        add(&format!("scaling policy type \"{}\" is not valid", scaling.policy_type));
    }
    if max < 0 {
        add("maximum count must be specified and non-negative");
    } else if max < min {
        add("maximum count must not be less than minimum count");
    }
    if min < 0 {
        add("minimum count must be specified and non-negative");
    }
    if max < group.count() {
        add("task group count must not be greater than maximum count in scaling policy");
    }
    // In a multiregion job, the counts come from the regions.
    let is_counted_elsewhere = job.is_multiregion() && group.count() == 0;
    if group.count() < min && !is_counted_elsewhere {
        add("task group count must not be less than minimum count in scaling policy");
    }
    faults
}
