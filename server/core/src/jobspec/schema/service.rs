//! Schema of services and their checks.

use super::connect::CONNECT;
use super::{Absent, Kind, Schema, duration, field, flag, integer, many, meta, one, text, texts};

pub(super) static SERVICE: Schema = Schema {
    what: "service",
    label: None,
    fields: &[
        text("id", "Id").or(Absent::Empty),
        text("name", "Name").or(Absent::Empty),
        texts("tags", "Tags"),
        texts("canary_tags", "CanaryTags"),
        text("port", "PortLabel").or(Absent::Empty),
        text("address_mode", "AddressMode").or(Absent::Empty).filled(Absent::Text("auto")),
        flag("enable_tag_override", "EnableTagOverride").or(Absent::False),
        text("task", "TaskName").or(Absent::Empty),
        meta(),
        field("canary_meta", "CanaryMeta", Kind::TextMap),
        many("check", "Checks", &CHECK),
        one("check_restart", "CheckRestart", &CHECK_RESTART),
        one("connect", "Connect", &CONNECT),
    ],
    constants: &[],
    finish: None,
};

static CHECK: Schema = Schema {
    what: "check",
    label: None,
    fields: &[
        text("id", "Id").or(Absent::Empty),
        text("name", "Name").or(Absent::Empty),
        text("type", "Type").or(Absent::Empty),
        text("command", "Command").or(Absent::Empty),
        texts("args", "Args"),
        text("path", "Path").or(Absent::Empty),
        text("protocol", "Protocol").or(Absent::Empty),
        text("port", "PortLabel").or(Absent::Empty),
        flag("expose", "Expose").or(Absent::False),
        text("address_mode", "AddressMode").or(Absent::Empty),
        duration("interval", "Interval").or(Absent::Zero),
        duration("timeout", "Timeout").or(Absent::Zero),
        text("initial_status", "InitialStatus").or(Absent::Empty),
        flag("tls_skip_verify", "TLSSkipVerify").or(Absent::False),
        field("header", "Header", Kind::TextsMap),
        text("method", "Method").or(Absent::Empty),
        one("check_restart", "CheckRestart", &CHECK_RESTART),
        text("grpc_service", "GRPCService").or(Absent::Empty),
        flag("grpc_use_tls", "GRPCUseTLS").or(Absent::False),
        text("task", "TaskName").or(Absent::Empty),
        integer("success_before_passing", "SuccessBeforePassing").or(Absent::Zero),
        integer("failures_before_critical", "FailuresBeforeCritical").or(Absent::Zero),
    ],
    constants: &[],
    finish: None,
};

static CHECK_RESTART: Schema = Schema {
    what: "check_restart block",
    label: None,
    fields: &[
        integer("limit", "Limit").or(Absent::Zero),
        duration("grace", "Grace"),
        flag("ignore_warnings", "IgnoreWarnings").or(Absent::False),
    ],
    constants: &[],
    finish: None,
};
