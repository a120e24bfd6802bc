//! Schema of policy blocks: update, migrate, restart, reschedule, spread, vault, scaling. `canonical` completes the
//! first four, with inherited values and the defaults of the job's type.

use super::super::read::Object;
use super::{
    Absent, Constant, Field, Kind, Schema, WEIGHT, block, constant, duration, field, flag, integer,
    integer_in, many, one, text, texts,
};
use crate::hcl::{Body, Dialect, Error, Label, Position};
use serde_json::Value as Json;

pub(super) static UPDATE: Schema = block(
    "update block",
    &[
        duration("stagger", "Stagger"),
        integer("max_parallel", "MaxParallel"),
        text("health_check", "HealthCheck"),
        duration("min_healthy_time", "MinHealthyTime"),
        duration("healthy_deadline", "HealthyDeadline"),
        duration("progress_deadline", "ProgressDeadline"),
        flag("auto_revert", "AutoRevert"),
        flag("auto_promote", "AutoPromote"),
        integer("canary", "Canary"),
    ],
);

pub(super) static MIGRATE: Schema = block(
    "migrate block",
    &[
        integer("max_parallel", "MaxParallel"),
        text("health_check", "HealthCheck"),
        duration("min_healthy_time", "MinHealthyTime"),
        duration("healthy_deadline", "HealthyDeadline"),
    ],
);

pub(super) static RESTART: Schema = block(
    "restart block",
    &[
        integer("attempts", "Attempts"),
        duration("interval", "Interval"),
        duration("delay", "Delay"),
        text("mode", "Mode"),
    ],
);

pub(super) static RESCHEDULE: Schema = block(
    "reschedule block",
    &[
        integer("attempts", "Attempts"),
        duration("interval", "Interval"),
        duration("delay", "Delay"),
        text("delay_function", "DelayFunction"),
        duration("max_delay", "MaxDelay"),
        flag("unlimited", "Unlimited"),
    ],
);

pub(super) static SPREAD: Schema = block(
    "spread block",
    &[
        text("attribute", "Attribute").or(Absent::Empty),
        integer_in("weight", "Weight", -128, 127).filled(Absent::Integer(WEIGHT)),
        many("target", "SpreadTarget", &SPREAD_TARGET),
    ],
);

static SPREAD_TARGET: Schema = Schema {
    what: "target",
    label: Some("Value"),
    fields: &[integer_in("percent", "Percent", 0, 255).or(Absent::Zero)],
    constants: &[],
    finish: None,
};

/// Temporary member for the vault block of a job or a group, which their tasks inherit at the end.
pub(super) const INHERITED_VAULT: &str = "~vault";

pub(super) const fn inherited_vault() -> Field {
    one("vault", INHERITED_VAULT, &VAULT).or(Absent::Omitted)
}

pub(super) static VAULT: Schema = block(
    "vault block",
    &[
        texts("policies", "Policies"),
        text("namespace", "Namespace").filled(Absent::Empty),
        flag("env", "Env").or(Absent::True),
        text("change_mode", "ChangeMode").or(Absent::Text("restart")),
        text("change_signal", "ChangeSignal").filled(Absent::Text("SIGHUP")),
    ],
);

/// Copies the vault block of a group or a job to the tasks without one.
pub(super) fn inherit_vault(vault: &Json, tasks: Option<&mut Json>) {
    for task in tasks.and_then(Json::as_array_mut).into_iter().flatten() {
        if task["Vault"].is_null() {
            task["Vault"] = vault.clone();
        }
    }
}

/// Scaling of a group's count.
pub(super) static SCALING: Schema = Schema {
    what: "scaling block",
    label: None,
    fields: &[
        integer("min", "Min"),
        MAX,
        ENABLED,
        text("type", "Type").or(Absent::Text("horizontal")),
        POLICY,
    ],
    constants: SERVERS_OWN,
    finish: Some(|scaling, position| check_scaling(scaling, "horizontal", position)),
};

/// Scaling of one of a task's resources.
pub(super) static TASK_SCALING: Schema = Schema {
    what: "scaling block",
    label: Some("Name"),
    fields: &[
        integer("min", "Min").filled(Absent::Zero),
        MAX,
        ENABLED,
        text("type", "Type").or(Absent::Empty),
        POLICY,
    ],
    constants: SERVERS_OWN,
    finish: None,
};

const MAX: Field = integer("max", "Max");
const ENABLED: Field = flag("enabled", "Enabled").filled(Absent::True);
const POLICY: Field = field("policy", "Policy", Kind::Free);
const SERVERS_OWN: &[Constant] = &[
    constant("ID", Absent::Empty, Absent::Omitted),
    constant("Namespace", Absent::Empty, Absent::Omitted),
    constant("Target", Absent::Null, Absent::Omitted),
    constant("CreateIndex", Absent::Zero, Absent::Omitted),
    constant("ModifyIndex", Absent::Zero, Absent::Omitted),
];

/// `scaling "cpu" { … }`, `scaling "mem" { … }`
pub(super) fn task_scaling(
    body: &Body,
    label: Option<&Label>,
    dialect: Dialect,
) -> Result<Option<Object>, Error> {
    let Some(label) = label else {
        let text = "the scaling of a task names its resource: `scaling \"cpu\" { … }`";
        return Err(Error::at(body.position, text));
    };
    let kind = match label.text.to_ascii_lowercase().as_str() {
        "cpu" => "vertical_cpu",
        "mem" => "vertical_mem",
        _ => return Err(Error::at(label.position, "what is scaled of a task is \"cpu\" or \"mem\"")),
    };
    let mut scaling = super::super::read::object(&TASK_SCALING, body, dialect)?;
    if scaling.get("Type").is_some_and(|written| written == "") {
        scaling.insert("Type".to_owned(), kind.into());
    }
    check_scaling(&mut scaling, kind, body.position)?;
    Ok(Some(scaling))
}

fn check_scaling(scaling: &mut Object, kind: &str, position: Position) -> Result<(), Error> {
    if scaling["Max"].is_null() {
        return Err(Error::at(position, "a scaling block says its `max`"));
    }
    if scaling["Type"] != kind {
        return Err(Error::at(position, format!("the `type` of this scaling block can only be {kind:?}")));
    }
    Ok(())
}
