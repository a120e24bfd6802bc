//! Schema of tasks and their blocks.

use super::network::NETWORK;
use super::policy::{RESTART, TASK_SCALING, VAULT, task_scaling};
use super::service::SERVICE;
use super::{
    Absent, Kind, Schema, affinities, block, constraints, duration, field, flag, integer, integer_in, many,
    meta, one, text,
};
use ordu_proto::api::job::Resources;

pub(super) static TASK: Schema = Schema {
    what: "task",
    label: Some("Name"),
    fields: &[
        text("driver", "Driver").or(Absent::Empty),
        text("user", "User").or(Absent::Empty),
        field("config", "Config", Kind::Free),
        field("env", "Env", Kind::TextMap),
        meta(),
        constraints(),
        affinities(),
        many("service", "Services", &SERVICE),
        one("resources", "Resources", &RESOURCES).filled(Absent::Object),
        one("logs", "LogConfig", &LOGS).filled(Absent::Object),
        many("artifact", "Artifacts", &ARTIFACT),
        many("template", "Templates", &TEMPLATE),
        one("vault", "Vault", &VAULT),
        one("restart", "RestartPolicy", &RESTART),
        one("dispatch_payload", "DispatchPayload", &DISPATCH_PAYLOAD),
        one("lifecycle", "Lifecycle", &LIFECYCLE),
        many("volume_mount", "VolumeMounts", &VOLUME_MOUNT),
        one("csi_plugin", "CSIPluginConfig", &CSI_PLUGIN).or(Absent::Omitted),
        flag("leader", "Leader").or(Absent::False),
        duration("kill_timeout", "KillTimeout").filled(Absent::Integer(KILL_TIMEOUT_NS)),
        text("kill_signal", "KillSignal").or(Absent::Empty),
        duration("shutdown_delay", "ShutdownDelay").or(Absent::Zero),
        text("kind", "Kind").or(Absent::Empty),
        field("scaling", "ScalingPolicies", Kind::ManyBy(task_scaling, &TASK_SCALING)),
    ],
    constants: &[],
    finish: None,
};

/// Default time between a task's stop signal and its kill, nanoseconds.
pub(super) const KILL_TIMEOUT_NS: i64 = 5_000_000_000;

pub(super) static RESOURCES: Schema = block(
    "resources block",
    &[
        integer("cpu", "CPU").filled(Absent::Integer(Resources::DEFAULT_CPU_MHZ)),
        integer("memory", "MemoryMB").filled(Absent::Integer(Resources::DEFAULT_MEMORY_MB)),
        integer("disk", "DiskMB"),
        integer("iops", "IOPS"),
        many("network", "Networks", &NETWORK),
        many("device", "Devices", &DEVICE),
    ],
);

static DEVICE: Schema = Schema {
    what: "device",
    label: Some("Name"),
    fields: &[
        integer_in("count", "Count", 0, i64::MAX).filled(Absent::Integer(1)),
        constraints(),
        affinities(),
    ],
    constants: &[],
    finish: None,
};

pub(super) static LOGS: Schema = block(
    "logs block",
    &[
        integer("max_files", "MaxFiles").filled(Absent::Integer(10)),
        integer("max_file_size", "MaxFileSizeMB").filled(Absent::Integer(10)),
    ],
);

static ARTIFACT: Schema = block(
    "artifact",
    &[
        text("source", "GetterSource").filled(Absent::Empty),
        text("destination", "RelativeDest"),
        text("mode", "GetterMode").filled(Absent::Text("any")),
        field("options", "GetterOptions", Kind::TextMap),
        field("headers", "GetterHeaders", Kind::TextMap),
    ],
);

/// Default limit of the random delay of a template change, nanoseconds.
const SPLAY_NS: i64 = 5_000_000_000;

static TEMPLATE: Schema = block(
    "template",
    &[
        text("source", "SourcePath").filled(Absent::Empty),
        text("data", "EmbeddedTmpl").filled(Absent::Empty),
        text("destination", "DestPath").filled(Absent::Empty),
        text("change_mode", "ChangeMode").or(Absent::Text("restart")),
        text("change_signal", "ChangeSignal"),
        duration("splay", "Splay").or(Absent::Integer(SPLAY_NS)),
        text("perms", "Perms").or(Absent::Text("0644")),
        text("left_delimiter", "LeftDelim").filled(Absent::Text("{{")),
        text("right_delimiter", "RightDelim").filled(Absent::Text("}}")),
        flag("env", "Envvars").filled(Absent::False),
        duration("vault_grace", "VaultGrace").filled(Absent::Zero),
    ],
);

static DISPATCH_PAYLOAD: Schema = block("dispatch_payload block", &[text("file", "File").or(Absent::Empty)]);

static LIFECYCLE: Schema = block(
    "lifecycle block",
    &[text("hook", "Hook").or(Absent::Empty), flag("sidecar", "Sidecar").or(Absent::False)],
);

static VOLUME_MOUNT: Schema = block(
    "volume_mount",
    &[
        text("volume", "Volume"),
        text("destination", "Destination"),
        flag("read_only", "ReadOnly").filled(Absent::False),
        text("propagation_mode", "PropagationMode").filled(Absent::Text("private")),
    ],
);

static CSI_PLUGIN: Schema = block(
    "csi_plugin block",
    &[
        text("id", "ID").or(Absent::Empty),
        text("type", "Type").or(Absent::Empty),
        text("mount_dir", "MountDir").or(Absent::Empty),
    ],
);
