//! Validation of constraints, affinities and spreads.

use std::collections::BTreeSet;

use ordu_proto::api::job::{Affinity, Constraint, JobSpec, Spread};

use super::number;
use crate::job::JobKind;
use crate::job::faults::Faults;
use crate::limits::{
    CONSTRAINT_SIDE_BYTES_MAX, JOB_CONSTRAINTS_BYTES_MAX, JOB_REGEXES_MAX, REGEX_CACHE_BYTES_MAX,
    REGEX_COMPILED_BYTES_MAX,
};
use crate::regexp::Pattern;
use crate::version::{Dialect, Requirement};

/// Whether the constraints and affinities of the job and all its parts are within the size limits.
pub(super) fn check_bounds(faults: &mut Faults, job: &JobSpec) -> bool {
    let groups = || job.task_groups.iter();
    let tasks = || groups().flat_map(|group| &group.tasks);
    let devices =
        || tasks().filter_map(|task| task.resources.as_ref()).flat_map(|resources| &resources.devices);
    let constraints = job.constraints.iter().chain(groups().flat_map(|group| &group.constraints));
    let constraints = constraints.chain(tasks().flat_map(|task| &task.constraints));
    let constraints = constraints.chain(devices().flat_map(|device| &device.constraints));
    let affinities = job.affinities.iter().chain(groups().flat_map(|group| &group.affinities));
    let affinities = affinities.chain(tasks().flat_map(|task| &task.affinities));
    let affinities = affinities.chain(devices().flat_map(|device| &device.affinities));
    let constraints = constraints.map(|it| (&it.left, &it.operand, &it.right));
    let affinities = affinities.map(|it| (&it.left, &it.operand, &it.right));
    let (mut regexes, mut bytes, mut longest) = (0, 0, 0);
    for (left, operand, right) in constraints.chain(affinities) {
        regexes += usize::from(operand == "regexp");
        bytes += left.len() + right.len();
        longest = longest.max(left.len()).max(right.len());
    }
    let bounds = [
        (regexes, JOB_REGEXES_MAX, "regular expressions in its constraints and affinities"),
        (bytes, JOB_CONSTRAINTS_BYTES_MAX, "bytes of constraints and affinities"),
        (longest, CONSTRAINT_SIDE_BYTES_MAX, "bytes in one side of a constraint or affinity"),
    ];
    for (count, max, what) in bounds.into_iter().filter(|(count, max, _)| count > max) {
        faults.add(format!("the job has {count} {what}, and at most {max} are allowed"));
    }
    faults.is_empty()
}

/// Checks the constraints and affinities of a job or a group.
pub(super) fn check(faults: &mut Faults, job: &JobSpec, constraints: &[Constraint], affinities: &[Affinity]) {
    for (number, constraint) in (1..).zip(constraints) {
        faults.add_part_of(check_constraint(constraint), || format!("Constraint {number}"));
    }
    check_affinities(faults, job, affinities);
}

/// Checks the constraints and affinities of a task, which must not depend on other allocations of the job.
pub(super) fn check_of_task(
    faults: &mut Faults,
    job: &JobSpec,
    constraints: &[Constraint],
    affinities: &[Affinity],
) {
    for (number, constraint) in (1..).zip(constraints) {
        faults.add_part_of(check_constraint(constraint), || format!("Constraint {number}"));
        if looks_at_others(constraint) {
            let operand = &constraint.operand;
            faults.add(format!("Constraint {number} has disallowed Operand at task level: {operand}"));
        }
    }
    check_affinities(faults, job, affinities);
}

/// Checks the constraints and affinities of a device.
pub(super) fn check_of_device(faults: &mut Faults, constraints: &[Constraint], affinities: &[Affinity]) {
    for (number, constraint) in (1..).zip(constraints) {
        if looks_at_others(constraint) {
            let operand = &constraint.operand;
            faults
                .add(format!("Constraint {number} validation failed: using unsupported operand {operand:?}"));
        } else {
            faults.add_part_of(check_constraint(constraint), || format!("Constraint {number}"));
        }
    }
    for (number, affinity) in (1..).zip(affinities) {
        faults.add_part_of(check_affinity(affinity), || format!("Affinity {number}"));
    }
}

fn looks_at_others(constraint: &Constraint) -> bool {
    matches!(constraint.operand.as_str(), "distinct_hosts" | "distinct_property")
}

fn check_affinities(faults: &mut Faults, job: &JobSpec, affinities: &[Affinity]) {
    if JobKind::of(job) == Some(JobKind::System) {
        if !affinities.is_empty() {
            faults.add("System jobs may not have an affinity stanza");
        }
        return;
    }
    for (number, affinity) in (1..).zip(affinities) {
        faults.add_part_of(check_affinity(affinity), || format!("Affinity {number}"));
    }
}

/// Checks the spreads of a job or a group.
pub(super) fn check_spreads(faults: &mut Faults, job: &JobSpec, spreads: &[Spread]) {
    if JobKind::of(job) == Some(JobKind::System) {
        if !spreads.is_empty() {
            faults.add("System jobs may not have a spread stanza");
        }
        return;
    }
    for (number, spread) in (1..).zip(spreads) {
        faults.add_part_of(check_spread(spread), || format!("Spread {number}"));
    }
}

fn check_constraint(constraint: &Constraint) -> Faults {
    let mut faults = Faults::new();
    let (operand, right) = (constraint.operand.as_str(), constraint.right.as_str());
    match operand {
        "" => {
            faults.add("Missing constraint operand");
            faults.add("Unknown constraint type \"\"");
        }
        "distinct_hosts" => return faults,
        "set_contains" | "set_contains_all" | "set_contains_any" => {
            if right.is_empty() {
                faults.add("Set contains constraint requires an RTarget");
            }
        }
        "regexp" => check_regex(right, &mut faults),
        "version" => check_version(right, Dialect::Version, "Version constraint", &mut faults),
        "semver" => check_version(right, Dialect::Semver, "Semver constraint", &mut faults),
        "distinct_property" => check_distinct_property(right, &mut faults),
        "is_set" | "is_not_set" => {
            if !right.is_empty() {
                faults.add(format!("Operator {operand:?} does not support an RTarget"));
            }
        }
        _ if compares(operand) => {
            if right.is_empty() {
                faults.add(format!("Operator {operand:?} requires an RTarget"));
            }
        }
        _ => faults.add(format!("Unknown constraint type {operand:?}")),
    }
    if constraint.left.is_empty() {
        faults.add("No LTarget provided but is required by constraint");
    }
    faults
}

fn check_affinity(affinity: &Affinity) -> Faults {
    let mut faults = Faults::new();
    let (operand, right) = (affinity.operand.as_str(), affinity.right.as_str());
    match operand {
        "" => {
            faults.add("Missing affinity operand");
            faults.add("Unknown affinity operator \"\"");
        }
        "set_contains" | "set_contains_all" | "set_contains_any" => {
            if right.is_empty() {
                faults.add("Set contains operators require an RTarget");
            }
        }
        "regexp" => check_regex(right, &mut faults),
        "version" => check_version(right, Dialect::Version, "Version affinity", &mut faults),
        "semver" => check_version(right, Dialect::Semver, "Semver affinity", &mut faults),
        _ if compares(operand) => {
            if right.is_empty() {
                faults.add(format!("Operator {operand:?} requires an RTarget"));
            }
        }
        _ => faults.add(format!("Unknown affinity operator {operand:?}")),
    }
    if affinity.left.is_empty() {
        faults.add("No LTarget provided but is required");
    }
    match affinity.weight() {
        0 => faults.add("Affinity weight cannot be zero"),
        -100..=100 => {}
        _ => faults.add("Affinity weight must be within the range [-100,100]"),
    }
    faults
}

fn check_spread(spread: &Spread) -> Faults {
    let mut faults = Faults::new();
    if spread.attribute.is_empty() {
        faults.add("Missing spread attribute");
    }
    if !(1..=100).contains(&spread.weight()) {
        faults.add("Spread stanza must have a positive weight from 0 to 100");
    }
    let mut sum: u32 = 0;
    let mut known = BTreeSet::new();
    for target in &spread.spread_target {
        if !known.insert(&target.value) {
            faults.add(format!("Spread target value {:?} already defined", target.value));
        }
        if target.percent > 100 {
            faults.add(format!(
                "Spread target percentage for value {:?} must be between 0 and 100",
                target.value
            ));
        }
        sum = sum.saturating_add(u32::from(target.percent));
    }
    if sum > 100 {
        faults.add(format!("Sum of spread target percentages must not be greater than 100%; got {sum}%"));
    }
    faults
}

fn compares(operand: &str) -> bool {
    matches!(operand, "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=")
}

/// Whether the text contains a `${…}`, whose value only the node knows.
fn is_interpolated(text: &str) -> bool {
    text.contains("${")
}

fn check_regex(pattern: &str, faults: &mut Faults) {
    if is_interpolated(pattern) {
        return;
    }
    let compiled = Pattern::parse(pattern)
        .and_then(|pattern| pattern.compile(REGEX_COMPILED_BYTES_MAX, REGEX_CACHE_BYTES_MAX));
    if let Err(malformed) = compiled {
        faults.add(format!("Regular expression failed to compile: error parsing regexp: {malformed}"));
    }
}

fn check_version(text: &str, dialect: Dialect, what: &str, faults: &mut Faults) {
    if !is_interpolated(text)
        && let Err(malformed) = Requirement::parse(text, dialect)
    {
        faults.add(format!("{what} is invalid: Malformed constraint: {malformed}"));
    }
}

fn check_distinct_property(right: &str, faults: &mut Faults) {
    if right.is_empty() {
        return;
    }
    match number::parse(right, 10, u64::MAX) {
        Ok(0) => faults.add("Distinct Property must have an allowed count of 1 or greater: 0 < 1"),
        Ok(_) => {}
        Err(error) => faults.add(format!("Failed to convert RTarget {right:?} to uint64: {error}")),
    }
}
