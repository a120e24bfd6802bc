//! Blocks that stand in several places: update, restart, reschedule, migrate, spread, network, vault.

use super::super::read::Object;
use super::{Absent, Field, Kind, Schema, block, duration, field, flag, integer, many, one, text, texts};
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
        integer("weight", "Weight"),
        many("target", "SpreadTarget", &SPREAD_TARGET),
    ],
);

static SPREAD_TARGET: Schema = Schema {
    what: "target",
    label: Some("Value"),
    fields: &[integer("percent", "Percent").or(Absent::Zero)],
    constants: &[],
    finish: None,
};

/// Inherited by the tasks below it; see the end of groups and jobs.
pub(super) const INHERITED_VAULT: &str = "~vault";

pub(super) const fn inherited_vault() -> Field {
    one("vault", INHERITED_VAULT, &VAULT).or(Absent::Omitted)
}

pub(super) static VAULT: Schema = block(
    "vault block",
    &[
        texts("policies", "Policies"),
        text("namespace", "Namespace"),
        flag("env", "Env").or(Absent::True),
        text("change_mode", "ChangeMode").or(Absent::Text("restart")),
        text("change_signal", "ChangeSignal"),
    ],
);

/// Gives the vault block of a group, or of a job, to the tasks that have none of their own.
pub(super) fn inherit_vault(vault: &Json, tasks: Option<&mut Json>) {
    for task in tasks.and_then(Json::as_array_mut).into_iter().flatten() {
        if task["Vault"].is_null() {
            task["Vault"] = vault.clone();
        }
    }
}

pub(super) static NETWORK: Schema = Schema {
    what: "network block",
    label: None,
    fields: &[
        text("mode", "Mode").or(Absent::Empty),
        text("device", "Device").or(Absent::Empty),
        text("cidr", "CIDR").or(Absent::Empty),
        text("ip", "IP").or(Absent::Empty),
        integer("mbits", "MBits"),
        one("dns", "DNS", &DNS),
        many("port", "DynamicPorts", &PORT),
    ],
    constants: &[("ReservedPorts", Absent::Null)],
    finish: Some(part_ports),
};

static DNS: Schema = block(
    "dns block",
    &[texts("servers", "Servers"), texts("searches", "Searches"), texts("options", "Options")],
);

static PORT: Schema = Schema {
    what: "port",
    label: Some("Label"),
    fields: &[
        integer("static", "Value").or(Absent::Zero),
        integer("to", "To").or(Absent::Zero),
        text("host_network", "HostNetwork").or(Absent::Empty),
    ],
    constants: &[],
    finish: None,
};

/// Ports with a number of their own are reserved ports, the others are dynamic ones.
fn part_ports(network: &mut Object) {
    let Some(Json::Array(ports)) = network.remove("DynamicPorts") else {
        network.insert("DynamicPorts".to_owned(), Json::Null);
        return;
    };
    let (reserved, dynamic): (Vec<Json>, Vec<Json>) = ports.into_iter().partition(|port| port["Value"] != 0);
    let list = |ports: Vec<Json>| if ports.is_empty() { Json::Null } else { Json::Array(ports) };
    network.insert("ReservedPorts".to_owned(), list(reserved));
    network.insert("DynamicPorts".to_owned(), list(dynamic));
}

pub(super) static SCALING: Schema = Schema {
    what: "scaling block",
    label: None,
    fields: &[
        integer("min", "Min"),
        integer("max", "Max"),
        flag("enabled", "Enabled"),
        text("type", "Type").or(Absent::Empty),
        field("policy", "Policy", Kind::Free),
    ],
    constants: &[
        ("ID", Absent::Empty),
        ("Namespace", Absent::Empty),
        ("Target", Absent::Null),
        ("CreateIndex", Absent::Zero),
        ("ModifyIndex", Absent::Zero),
    ],
    finish: None,
};
