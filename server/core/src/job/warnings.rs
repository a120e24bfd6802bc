//! Warnings about an accepted job.

mod inert;

use ordu_proto::api::job::{JobSpec, Task, TaskGroup, UpdateStrategy};

use super::faults::{Faults, Warnings};

/// Returns the warnings about a canonical job. Their `Display` is the member `Warnings` of the API's answers.
/// `lacks_driver` tells whether the cluster has nodes, but none with the driver of this name.
pub fn warnings(job: &JobSpec, lacks_driver: &dyn Fn(&str) -> bool) -> Warnings {
    let mut texts = Vec::new();
    for group in &job.task_groups {
        if let Err(part) = of_group(job, group).into_result() {
            texts.push(format!("Group {:?} has warnings: {part}", group.name));
        }
    }
    let promotes = |group: &&TaskGroup| group.update.as_ref().is_some_and(UpdateStrategy::auto_promote);
    let promoting = job.task_groups.iter().filter(promotes).count();
    if promoting > 0 && promoting < job.task_groups.len() {
        texts.push("auto_promote must be true for all groups to enable automatic promotion".to_owned());
    }
    Warnings { of_nomad: texts, of_cluster: inert::texts(job, lacks_driver) }
}

fn of_group(job: &JobSpec, group: &TaskGroup) -> Faults {
    let mut warnings = Faults::new();
    if let Some(update) = &group.update {
        let (parallel, count) = (update.max_parallel(), group.count());
        let counts_elsewhere = job.multiregion.is_some() && count == 0;
        if parallel > count && !counts_elsewhere {
            warnings.add(format!(
                "Update max parallel count is greater than task group count ({parallel} > {count}). A destructive change would result in the simultaneous replacement of all allocations."
            ));
        }
    }
    if group.networks.first().is_some_and(|network| network.mbits() > 0) {
        warnings
            .add("mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block");
    }
    for task in &group.tasks {
        warnings.add_part(of_task(task));
    }
    warnings
}

/// Returns the warnings about a task, each with the task's name.
fn of_task(task: &Task) -> Faults {
    let mut warnings = Faults::new();
    let mut add = |text: &str| warnings.add(format!("Task {:?}: {text}", task.name));
    if let Some(resources) = &task.resources {
        if resources.iops.is_some_and(|iops| iops != 0) {
            add("IOPS has been deprecated as of Nomad 0.9.0. Please remove IOPS from resource stanza.");
        }
        if !resources.networks.is_empty() {
            add(
                "task network resources have been deprecated as of Nomad 0.12.0. Please configure networking via group network block.",
            );
        }
    }
    for (index, template) in task.templates.iter().enumerate() {
        if template.vault_grace.is_some_and(|grace_ns| grace_ns != 0) {
            let mut part = Faults::new();
            part.add(format!("Template[{index}] VaultGrace has been deprecated as of Nomad 0.11 and ignored since Vault 0.5. Please remove VaultGrace / vault_grace from template stanza."));
            add(&part.to_string());
        }
    }
    warnings
}
