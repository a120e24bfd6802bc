//! Canonical form in which a parsed jobspec is returned: defaults are set and inherited values repeated. Unlike the
//! canonical form that is stored, it keeps secrets and policies that are only inherited, and adds no implicit
//! constraints.

use super::read::{self, Object};
use super::schema::{self, Absent, Kind, Schema};
use crate::job::{JobKind, defaults};
use serde::Serialize;
use serde_json::Value as Json;

/// Brings a parsed job into its canonical form. With `implied_update`, a service without an update strategy gets the
/// default one.
pub(super) fn canonicalise(job: &mut Object, implied_update: bool) {
    fill(&schema::JOB, job);
    let kind = job.get("Type").and_then(Json::as_str).and_then(JobKind::parse);
    let update = document(&defaults::update());
    match job.get_mut("Update") {
        Some(Json::Object(own)) => fill_from(own, &update),
        Some(absent) if implied_update && kind == Some(JobKind::Service) => *absent = update.clone(),
        _ => {}
    }
    let above = Above {
        job_name: job.get("Name").and_then(Json::as_str).unwrap_or_default().to_owned(),
        update: job.get("Update").cloned().unwrap_or_default(),
        reschedule: job.get("Reschedule").cloned().unwrap_or_default(),
        migrate: job.get("Migrate").cloned().unwrap_or_default(),
        kind,
    };
    for group in objects(job.get_mut("TaskGroups")) {
        above.canonicalise_group(group, &update);
    }
}

/// Values that groups inherit from the job.
struct Above {
    job_name: String,
    kind: Option<JobKind>,
    update: Json,
    reschedule: Json,
    migrate: Json,
}

impl Above {
    fn canonicalise_group(&self, group: &mut Object, update: &Json) {
        let is_service = self.kind == Some(JobKind::Service);
        if self.update != document(&defaults::no_update()) {
            inherit(group, "Update", &self.update);
        }
        if let Some(Json::Object(own)) = group.get_mut("Update") {
            fill_from(own, update);
        }
        inherit(group, "ReschedulePolicy", &self.reschedule);
        default(
            group,
            "ReschedulePolicy",
            &document(&defaults::reschedule(self.kind)),
            self.kind != Some(JobKind::System),
        );
        inherit(group, "Migrate", &self.migrate);
        default(group, "Migrate", &document(&defaults::migrate()), is_service);
        default(group, "RestartPolicy", &document(&defaults::restart(self.kind)), true);
        fill_count(group);

        let name = format!("{}-{}", self.job_name, text(group, "Name"));
        for service in objects(group.get_mut("Services")) {
            canonicalise_service(service, &name);
        }
        let restart = group.get("RestartPolicy").cloned().unwrap_or_default();
        for task in objects(group.get_mut("Tasks")) {
            inherit(task, "RestartPolicy", &restart);
            canonicalise_task(task, &name);
        }
    }
}

/// Sets a missing count to the minimum of the scaling policy, and a missing minimum to the count.
fn fill_count(group: &mut Object) {
    let least = group.get("Scaling").and_then(|scaling| scaling.get("Min")).and_then(Json::as_i64);
    let count = match group.get("Count").and_then(Json::as_i64) {
        Some(count) => count,
        None => least.unwrap_or(1),
    };
    group.insert("Count".to_owned(), count.into());
    if let (Some(Json::Object(scaling)), None) = (group.get_mut("Scaling"), least) {
        scaling.insert("Min".to_owned(), count.into());
    }
}

fn canonicalise_task(task: &mut Object, group: &str) {
    let name = format!("{group}-{}", text(task, "Name"));
    for service in objects(task.get_mut("Services")) {
        canonicalise_service(service, &name);
    }
    for artifact in objects(task.get_mut("Artifacts")) {
        if artifact.get("RelativeDest").is_none_or(Json::is_null) {
            let source = text(artifact, "GetterSource");
            let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let name = if text(artifact, "GetterMode") == "file" { name } else { "" };
            let destination = format!("local/{name}");
            artifact.insert("RelativeDest".to_owned(), destination.into());
        }
    }
    for template in objects(task.get_mut("Templates")) {
        let signal = match template.get("ChangeSignal").and_then(Json::as_str) {
            Some(signal) => signal.to_ascii_uppercase(),
            None if text(template, "ChangeMode") == "signal" => "SIGHUP".to_owned(),
            None => String::new(),
        };
        template.insert("ChangeSignal".to_owned(), signal.into());
    }
    let says_nothing = |lifecycle: &Json| lifecycle["Hook"] == "" && lifecycle["Sidecar"] == false;
    if task.get("Lifecycle").is_some_and(says_nothing) {
        task.insert("Lifecycle".to_owned(), Json::Null);
    }
}

fn canonicalise_service(service: &mut Object, name: &str) {
    if text(service, "Name").is_empty() {
        service.insert("Name".to_owned(), name.into());
    }
    let restart = service.get("CheckRestart").cloned().unwrap_or_default();
    for check in objects(service.get_mut("Checks")) {
        for count in ["SuccessBeforePassing", "FailuresBeforeCritical"] {
            if check.get(count).and_then(Json::as_i64).is_some_and(|count| count < 0) {
                check.insert(count.to_owned(), 0.into());
            }
        }
        canonicalise_check_restart(check, &restart);
    }
}

/// Merges the restart settings of a check with those of its service; the check's take precedence.
fn canonicalise_check_restart(check: &mut Object, of_service: &Json) {
    let own = check.entry("CheckRestart").or_insert(Json::Null);
    if own.is_null() {
        own.clone_from(of_service);
    }
    let Json::Object(own) = own else { return };
    if let Json::Object(of_service) = of_service {
        for (member, nothing) in [("Limit", Json::from(0)), ("IgnoreWarnings", Json::from(false))] {
            if own.get(member) == Some(&nothing) {
                own.insert(member.to_owned(), of_service.get(member).cloned().unwrap_or(nothing));
            }
        }
        fill_from(own, &Json::Object(of_service.clone()));
    }
    if own.get("Grace").is_none_or(Json::is_null) {
        own.insert("Grace".to_owned(), defaults::CHECK_RESTART_GRACE_NS.into());
    }
}

/// Sets the defaults of the schema, here and in all nested objects.
fn fill(schema: &Schema, object: &mut Object) {
    for constant in schema.constants {
        fill_member(object, constant.api, &constant.absent, &constant.canonical);
    }
    for field in schema.fields {
        fill_member(object, field.api, &field.absent, &field.canonical);
        let Some(value) = object.get_mut(field.api) else { continue };
        match &field.kind {
            Kind::One(schema) => {
                if let (Json::Null, Absent::Object) = (&*value, &field.canonical) {
                    *value = Json::Object(read::empty(schema));
                }
                if let Json::Object(inner) = value {
                    fill(schema, inner);
                }
            }
            Kind::Many(schema) | Kind::ManyBy(_, schema) => {
                objects(Some(value)).for_each(|inner| fill(schema, inner));
            }
            Kind::ByName(schema) => {
                let named = value.as_object_mut().into_iter().flat_map(Object::values_mut);
                named.filter_map(Json::as_object_mut).for_each(|inner| fill(schema, inner));
            }
            _ => {}
        }
    }
}

fn fill_member(object: &mut Object, api: &str, absent: &Absent, canonical: &Absent) {
    let Some(value) = canonical.to_json() else { return };
    let says_nothing = |found: &Json| found.is_null() || (matches!(absent, Absent::Empty) && found == "");
    if object.get(api).is_some_and(says_nothing) {
        object.insert(api.to_owned(), value);
    }
}

/// Inherits the member from `above`: the whole member, or its fields that are absent here.
fn inherit(object: &mut Object, api: &str, above: &Json) {
    default(object, api, above, above.is_object());
}

/// Sets absent fields of the member to `defaults`. Creates an absent member if it `has_to_be` present.
fn default(object: &mut Object, api: &str, defaults: &Json, has_to_be: bool) {
    match object.get_mut(api) {
        Some(Json::Object(own)) => fill_from(own, defaults),
        Some(absent) if has_to_be => absent.clone_from(defaults),
        _ => {}
    }
}

/// Copies each member that is absent or null here.
fn fill_from(own: &mut Object, from: &Json) {
    for (api, value) in from.as_object().into_iter().flatten() {
        if own.get(api).is_none_or(Json::is_null) {
            own.insert(api.clone(), value.clone());
        }
    }
}

fn objects(list: Option<&mut Json>) -> impl Iterator<Item = &mut Object> {
    list.and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut)
}

fn text<'o>(object: &'o Object, api: &str) -> &'o str {
    object.get(api).and_then(Json::as_str).unwrap_or_default()
}

/// Serialises a policy as in the API. Policies contain only strings, numbers and flags, so this cannot fail.
fn document(policy: &impl Serialize) -> Json {
    serde_json::to_value(policy).unwrap_or_default()
}
