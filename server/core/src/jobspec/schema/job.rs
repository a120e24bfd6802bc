//! The job itself.

use super::super::read::{self, Object};
use super::group::GROUP;
use super::shared::{INHERITED_VAULT, MIGRATE, RESCHEDULE, SPREAD, UPDATE, inherit_vault, inherited_vault};
use super::task::TASK;
use super::{Absent, Schema, affinities, block, constraints, flag, integer, many, meta, one, text, texts};
use serde_json::Value as Json;

/// Tasks that stand in the job without a group.
const LONE_TASKS: &str = "~tasks";

pub(in super::super) static JOB: Schema = Schema {
    what: "job",
    label: None,
    fields: &[
        text("id", "ID"),
        text("name", "Name"),
        text("region", "Region"),
        text("namespace", "Namespace"),
        text("type", "Type"),
        integer("priority", "Priority"),
        flag("all_at_once", "AllAtOnce"),
        texts("datacenters", "Datacenters"),
        constraints(),
        affinities(),
        many("spread", "Spreads", &SPREAD),
        meta(),
        one("update", "Update", &UPDATE),
        one("migrate", "Migrate", &MIGRATE),
        one("reschedule", "Reschedule", &RESCHEDULE),
        one("periodic", "Periodic", &PERIODIC),
        one("parameterized", "ParameterizedJob", &PARAMETERIZED),
        many("group", "TaskGroups", &GROUP),
        many("task", LONE_TASKS, &TASK).or(Absent::Omitted),
        inherited_vault(),
        text("vault_token", "VaultToken"),
        text("consul_token", "ConsulToken"),
    ],
    constants: &[
        ("CreateIndex", Absent::Null),
        ("Dispatched", Absent::False),
        ("JobModifyIndex", Absent::Null),
        ("ModifyIndex", Absent::Null),
        ("Multiregion", Absent::Null),
        ("NomadTokenID", Absent::Null),
        ("ParentID", Absent::Null),
        ("Payload", Absent::Null),
        ("Stable", Absent::Null),
        ("Status", Absent::Null),
        ("StatusDescription", Absent::Null),
        ("Stop", Absent::Null),
        ("SubmitTime", Absent::Null),
        ("VaultNamespace", Absent::Null),
        ("Version", Absent::Null),
    ],
    finish: Some(finish),
};

static PERIODIC: Schema = Schema {
    what: "periodic block",
    label: None,
    fields: &[
        text("cron", "Spec"),
        flag("enabled", "Enabled"),
        flag("prohibit_overlap", "ProhibitOverlap"),
        text("time_zone", "TimeZone"),
    ],
    constants: &[("SpecType", Absent::Text("cron"))],
    finish: None,
};

static PARAMETERIZED: Schema = block(
    "parameterized block",
    &[
        text("payload", "Payload").or(Absent::Empty),
        texts("meta_required", "MetaRequired"),
        texts("meta_optional", "MetaOptional"),
    ],
);

/// A task without a group stands in one of its own, of its name, before the written ones.
fn finish(job: &mut Object) {
    if let Some(Json::Array(tasks)) = job.remove(LONE_TASKS) {
        let group_of = |task: Json| {
            let mut group = read::empty(&GROUP);
            group.insert("Name".to_owned(), task["Name"].clone());
            group.insert("Tasks".to_owned(), Json::Array(vec![task]));
            Json::Object(group)
        };
        let mut groups: Vec<Json> = tasks.into_iter().map(group_of).collect();
        if let Some(Json::Array(written)) = job.remove("TaskGroups") {
            groups.extend(written);
        }
        job.insert("TaskGroups".to_owned(), Json::Array(groups));
    }
    if let Some(vault) = job.remove(INHERITED_VAULT) {
        for group in job.get_mut("TaskGroups").and_then(Json::as_array_mut).into_iter().flatten() {
            inherit_vault(&vault, group.get_mut("Tasks"));
        }
    }
}
