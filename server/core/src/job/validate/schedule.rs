//! Validation of periodic and parameterized jobs.

use std::collections::BTreeSet;

use ordu_proto::api::job::{JobSpec, ParameterizedJobConfig, PeriodicConfig};

use crate::job::JobKind;
use crate::job::faults::Faults;
use crate::periodic::{check_spec, check_time_zone};

pub(super) fn check(job: &JobSpec, faults: &mut Faults) {
    if let Some(periodic) = job.periodic.as_ref().filter(|periodic| periodic.enabled != Some(false)) {
        if JobKind::of(job) != Some(JobKind::Batch) {
            faults.add("Periodic can only be used with \"batch\" scheduler");
        }
        faults.add_part(check_periodic(periodic));
    }
    if let Some(parameterized) = &job.parameterized_job {
        if JobKind::of(job) != Some(JobKind::Batch) {
            faults.add("Parameterized job can only be used with \"batch\" scheduler");
        }
        faults.add_part(check_parameterized(parameterized));
    }
}

fn check_periodic(periodic: &PeriodicConfig) -> Faults {
    let mut faults = Faults::new();
    let spec = periodic.spec.as_deref().unwrap_or_default();
    if spec.is_empty() {
        faults.add("Must specify a spec");
    }
    if let Err(fault) = check_time_zone(periodic.time_zone.as_deref().unwrap_or_default()) {
        faults.add(fault.to_string());
    }
    match periodic.spec_type.as_deref().unwrap_or("cron") {
        "cron" => {
            if !spec.is_empty()
                && let Err(fault) = check_spec(spec)
            {
                faults.add(fault.to_string());
            }
        }
        other => faults.add(format!("Unknown periodic specification type {other:?}")),
    }
    faults
}

fn check_parameterized(parameterized: &ParameterizedJobConfig) -> Faults {
    let mut faults = Faults::new();
    if !matches!(parameterized.payload.as_str(), "optional" | "required" | "forbidden") {
        faults.add(format!("Unknown payload requirement: {:?}", parameterized.payload));
    }
    let required: BTreeSet<&str> = parameterized.meta_required.iter().map(String::as_str).collect();
    let optional: BTreeSet<&str> = parameterized.meta_optional.iter().map(String::as_str).collect();
    let both: Vec<&str> = required.intersection(&optional).copied().collect();
    if !both.is_empty() {
        let both = both.join(" ");
        faults.add(format!(
            "Required and optional meta keys should be disjoint. Following keys exist in both: [{both}]"
        ));
    }
    faults
}
