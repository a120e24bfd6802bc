//! Canonical form of a job: every optional member is set, with defaults passed on from the job to its groups and from
//! groups to their tasks. Registrations with the same meaning have the same canonical form; canonicalising is
//! idempotent.

mod implied;
mod service;
mod task;

use ordu_proto::api::job::{
    Affinity, DEFAULT_NAMESPACE, DEFAULT_PRIORITY, DEFAULT_REGION, EphemeralDisk, JobSpec, NetworkResource,
    PeriodicConfig, ScalingPolicy, Spread, TaskGroup, UpdateStrategy,
};

use super::{JobKind, defaults};

/// Facts about a job that its parts need.
struct JobFacts {
    id: String,
    name: String,
    namespace: String,
    kind: Option<JobKind>,
}

/// Brings a job into its canonical form. Invalid values are kept for `validate` to report.
pub fn canonicalise(job: &mut JobSpec) {
    fill_facts(job);
    // Secrets are used during the registration only; never store or return them.
    job.consul_token.clear();
    job.vault_token.clear();

    if job.update.is_some() || JobKind::of(job) == Some(JobKind::Service) {
        defaults::fill_update(job.update.get_or_insert_default(), &defaults::update());
    }
    fill_weights(&mut job.affinities, &mut job.spreads);
    if let Some(periodic) = &mut job.periodic {
        fill_periodic(periodic);
    }
    if let Some(parameterized) = &mut job.parameterized_job
        && parameterized.payload.is_empty()
    {
        parameterized.payload.push_str("optional");
    }

    let facts = JobFacts {
        id: job.id.clone(),
        name: job.name().to_owned(),
        namespace: job.namespace().to_owned(),
        kind: JobKind::of(job),
    };
    let mut groups = std::mem::take(&mut job.task_groups);
    for group in &mut groups {
        inherit(group, job);
        canonicalise_group(group, &facts);
        implied::add_constraints(group);
    }
    job.task_groups = groups;

    // The groups have inherited the strategy; the rest only paces the updates of system jobs.
    let update = job.update.take().unwrap_or_default();
    job.update = Some(UpdateStrategy {
        stagger: Some(update.stagger_ns()),
        max_parallel: Some(update.max_parallel()),
        ..defaults::no_update()
    });
    job.reschedule = None;
    job.migrate = None;
}

fn fill_facts(job: &mut JobSpec) {
    if job.name.is_none() {
        job.name = Some(job.id.clone());
    }
    fill_text(&mut job.namespace, DEFAULT_NAMESPACE);
    fill_text(&mut job.region, DEFAULT_REGION);
    job.job_type.get_or_insert_with(|| JobKind::Service.as_str().to_owned());
    job.priority.get_or_insert(DEFAULT_PRIORITY);
}

/// Sets a member that is absent or empty to `text`.
fn fill_text(member: &mut Option<String>, text: &str) {
    if member.as_deref().is_none_or(str::is_empty) {
        *member = Some(text.to_owned());
    }
}

fn fill_weights(affinities: &mut [Affinity], spreads: &mut [Spread]) {
    for affinity in affinities {
        affinity.weight = Some(affinity.weight());
    }
    for spread in spreads {
        spread.weight = Some(spread.weight());
    }
}

fn fill_periodic(periodic: &mut PeriodicConfig) {
    periodic.enabled.get_or_insert(true);
    periodic.spec.get_or_insert_default();
    periodic.spec_type.get_or_insert_with(|| "cron".to_owned());
    periodic.prohibit_overlap.get_or_insert(false);
    fill_text(&mut periodic.time_zone, "UTC");
}

/// Inherits the job's policies where the group sets none.
fn inherit(group: &mut TaskGroup, job: &JobSpec) {
    if let Some(from) = &job.update {
        match &mut group.update {
            Some(own) => defaults::fill_update(own, from),
            None if *from != defaults::no_update() => group.update = Some(from.clone()),
            None => {}
        }
    }
    if let Some(from) = &job.reschedule {
        defaults::fill_reschedule(group.reschedule_policy.get_or_insert_default(), from);
    }
    if let Some(from) = &job.migrate {
        defaults::fill_migrate(group.migrate.get_or_insert_default(), from);
    }
}

fn canonicalise_group(group: &mut TaskGroup, job: &JobFacts) {
    let least = group.scaling.as_ref().and_then(|scaling| scaling.min);
    let count = *group.count.get_or_insert_with(|| least.unwrap_or(1));
    if let Some(scaling) = &mut group.scaling {
        fill_scaling(scaling, count, "horizontal");
        for (key, value) in [("Namespace", &job.namespace), ("Job", &job.id), ("Group", &group.name)] {
            scaling.target.insert(key.to_owned(), value.clone());
        }
    }

    if let Some(update) = &mut group.update {
        defaults::fill_update(update, &defaults::update());
    }
    if job.kind != Some(JobKind::System) || group.reschedule_policy.is_some() {
        let policy = group.reschedule_policy.get_or_insert_default();
        defaults::fill_reschedule(policy, &defaults::reschedule(job.kind));
    }
    if job.kind == Some(JobKind::Service) || group.migrate.is_some() {
        defaults::fill_migrate(group.migrate.get_or_insert_default(), &defaults::migrate());
    }
    let restart = group.restart_policy.get_or_insert_default();
    defaults::fill_restart(restart, &defaults::restart(job.kind));
    let restart = restart.clone();

    let disk = group.ephemeral_disk.get_or_insert_default();
    disk.size_mb.get_or_insert(EphemeralDisk::DEFAULT_SIZE_MB);
    disk.sticky.get_or_insert(false);
    disk.migrate.get_or_insert(false);

    fill_weights(&mut group.affinities, &mut group.spreads);
    fill_networks(&mut group.networks);
    for service in &mut group.services {
        service::canonicalise(service, job, &group.name, None);
    }
    for task in &mut group.tasks {
        task::canonicalise(task, job, &group.name, &restart);
    }
}

fn fill_scaling(scaling: &mut ScalingPolicy, count: i64, policy_type: &str) {
    scaling.min.get_or_insert(count);
    scaling.enabled.get_or_insert(true);
    if scaling.policy_type.is_empty() {
        scaling.policy_type.push_str(policy_type);
    }
}

fn fill_networks(networks: &mut [NetworkResource]) {
    for network in networks {
        network.mbits.get_or_insert(0);
        for port in network.reserved_ports.iter_mut().chain(&mut network.dynamic_ports) {
            if port.host_network.is_empty() {
                port.host_network.push_str("default");
            }
        }
    }
}
