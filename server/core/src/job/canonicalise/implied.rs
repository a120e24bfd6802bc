//! Implicit constraints, derived from the features that a group's tasks use.

use std::collections::BTreeSet;

use ordu_proto::api::job::{Constraint, TaskGroup};

const VAULT_VERSION: &str = "${attr.vault.version}";
const SIGNALS: &str = "${attr.os.signals}";

/// Adds the implicit constraints of the group unless they are present.
pub(super) fn add_constraints(group: &mut TaskGroup) {
    let uses_vault = group.tasks.iter().any(|task| task.vault.is_some());
    if uses_vault && !group.constraints.iter().any(|constraint| constraint.left == VAULT_VERSION) {
        group.constraints.push(constraint(VAULT_VERSION, "semver", ">= 0.6.1"));
    }
    let signals = signals_of(group);
    if !signals.is_empty() {
        let needed = constraint(SIGNALS, "set_contains", &Vec::from_iter(signals).join(","));
        if !group.constraints.contains(&needed) {
            group.constraints.push(needed);
        }
    }
}

/// Returns the signals that a node must be able to send to the group's tasks.
fn signals_of(group: &TaskGroup) -> BTreeSet<&str> {
    let mut signals = BTreeSet::new();
    let on_change = |mode: &Option<String>| mode.as_deref() == Some("signal");
    for task in &group.tasks {
        signals.insert(task.kill_signal.as_str());
        if let Some(vault) = &task.vault
            && on_change(&vault.change_mode)
        {
            signals.extend(vault.change_signal.as_deref());
        }
        for template in task.templates.iter().filter(|template| on_change(&template.change_mode)) {
            signals.extend(template.change_signal.as_deref());
        }
    }
    signals.remove("");
    signals
}

fn constraint(left: &str, operand: &str, right: &str) -> Constraint {
    Constraint { left: left.to_owned(), operand: operand.to_owned(), right: right.to_owned() }
}
