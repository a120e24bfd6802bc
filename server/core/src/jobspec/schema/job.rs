//! Schema of the job.

use super::super::read::{self, Object};
use super::group::GROUP;
use super::policy::{INHERITED_VAULT, MIGRATE, RESCHEDULE, SPREAD, UPDATE, inherit_vault, inherited_vault};
use super::task::TASK;
use super::{
    Absent, Schema, affinities, block, constant, constraints, flag, integer, many, meta, one, text, texts,
};
use crate::hcl::{Error, Position};
use ordu_proto::api::job::{DEFAULT_NAMESPACE, DEFAULT_PRIORITY, DEFAULT_REGION, TYPE_SERVICE};
use serde_json::Value as Json;

/// Temporary member for tasks outside of groups.
const LONE_TASKS: &str = "~tasks";

pub(in super::super) static JOB: Schema = Schema {
    what: "job",
    label: None,
    fields: &[
        text("id", "ID"),
        text("name", "Name"),
        text("region", "Region").filled(Absent::Text(DEFAULT_REGION)),
        text("namespace", "Namespace").filled(Absent::Text(DEFAULT_NAMESPACE)),
        text("type", "Type").filled(Absent::Text(TYPE_SERVICE)),
        integer("priority", "Priority").filled(Absent::Integer(DEFAULT_PRIORITY)),
        flag("all_at_once", "AllAtOnce").filled(Absent::False),
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
        one("multiregion", "Multiregion", &MULTIREGION),
        many("group", "TaskGroups", &GROUP),
        many("task", LONE_TASKS, &TASK).or(Absent::Omitted),
        inherited_vault(),
        text("vault_token", "VaultToken").filled(Absent::Empty),
        text("consul_token", "ConsulToken").filled(Absent::Empty),
    ],
    constants: &[
        constant("CreateIndex", Absent::Null, Absent::Zero),
        constant("Dispatched", Absent::False, Absent::Omitted),
        constant("JobModifyIndex", Absent::Null, Absent::Zero),
        constant("ModifyIndex", Absent::Null, Absent::Zero),
        constant("NomadTokenID", Absent::Null, Absent::Empty),
        constant("ParentID", Absent::Null, Absent::Empty),
        constant("Payload", Absent::Null, Absent::Omitted),
        constant("Stable", Absent::Null, Absent::False),
        constant("Status", Absent::Null, Absent::Empty),
        constant("StatusDescription", Absent::Null, Absent::Empty),
        constant("Stop", Absent::Null, Absent::False),
        constant("SubmitTime", Absent::Null, Absent::Omitted),
        constant("VaultNamespace", Absent::Null, Absent::Empty),
        constant("Version", Absent::Null, Absent::Zero),
    ],
    finish: Some(finish),
};

static PERIODIC: Schema = Schema {
    what: "periodic block",
    label: None,
    fields: &[
        text("cron", "Spec").filled(Absent::Empty),
        flag("enabled", "Enabled").filled(Absent::True),
        flag("prohibit_overlap", "ProhibitOverlap").filled(Absent::False),
        text("time_zone", "TimeZone").filled(Absent::Text("UTC")),
    ],
    constants: &[constant("SpecType", Absent::Text("cron"), Absent::Omitted)],
    finish: None,
};

static PARAMETERIZED: Schema = block(
    "parameterized block",
    &[
        text("payload", "Payload").or(Absent::Empty).filled(Absent::Text("optional")),
        texts("meta_required", "MetaRequired"),
        texts("meta_optional", "MetaOptional"),
    ],
);

static MULTIREGION: Schema = block(
    "multiregion block",
    &[one("strategy", "Strategy", &STRATEGY).filled(Absent::Object), many("region", "Regions", &REGION)],
);

static STRATEGY: Schema = block(
    "strategy block",
    &[
        integer("max_parallel", "MaxParallel").filled(Absent::Zero),
        text("on_failure", "OnFailure").filled(Absent::Empty),
    ],
);

static REGION: Schema = Schema {
    what: "region",
    label: Some("Name"),
    fields: &[
        integer("count", "Count").filled(Absent::Integer(1)),
        texts("datacenters", "Datacenters"),
        meta(),
    ],
    constants: &[],
    finish: None,
};

/// Puts each task outside of groups into a group of its own with the task's name, before the written groups.
fn finish(job: &mut Object, _: Position) -> Result<(), Error> {
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
    Ok(())
}
