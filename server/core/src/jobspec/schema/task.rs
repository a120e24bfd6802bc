//! Tasks and what stands in them.

use super::service::SERVICE;
use super::shared::{NETWORK, RESTART, VAULT};
use super::{
    Absent, Kind, Schema, affinities, block, constraints, duration, field, flag, integer, many, meta, one,
    text,
};

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
        one("resources", "Resources", &RESOURCES),
        one("logs", "LogConfig", &LOGS),
        many("artifact", "Artifacts", &ARTIFACT),
        many("template", "Templates", &TEMPLATE),
        one("vault", "Vault", &VAULT),
        one("restart", "RestartPolicy", &RESTART),
        one("dispatch_payload", "DispatchPayload", &DISPATCH_PAYLOAD),
        one("lifecycle", "Lifecycle", &LIFECYCLE),
        many("volume_mount", "VolumeMounts", &VOLUME_MOUNT),
        one("csi_plugin", "CSIPluginConfig", &CSI_PLUGIN).or(Absent::Omitted),
        flag("leader", "Leader").or(Absent::False),
        duration("kill_timeout", "KillTimeout"),
        text("kill_signal", "KillSignal").or(Absent::Empty),
        duration("shutdown_delay", "ShutdownDelay").or(Absent::Zero),
        text("kind", "Kind").or(Absent::Empty),
    ],
    constants: &[("ScalingPolicies", Absent::Null)],
    finish: None,
};

static RESOURCES: Schema = block(
    "resources block",
    &[
        integer("cpu", "CPU"),
        integer("memory", "MemoryMB"),
        integer("disk", "DiskMB"),
        integer("iops", "IOPS"),
        many("network", "Networks", &NETWORK),
        many("device", "Devices", &DEVICE),
    ],
);

static DEVICE: Schema = Schema {
    what: "device",
    label: Some("Name"),
    fields: &[integer("count", "Count"), constraints(), affinities()],
    constants: &[],
    finish: None,
};

static LOGS: Schema =
    block("logs block", &[integer("max_files", "MaxFiles"), integer("max_file_size", "MaxFileSizeMB")]);

static ARTIFACT: Schema = block(
    "artifact",
    &[
        text("source", "GetterSource"),
        text("destination", "RelativeDest"),
        text("mode", "GetterMode"),
        field("options", "GetterOptions", Kind::TextMap),
        field("headers", "GetterHeaders", Kind::TextMap),
    ],
);

static TEMPLATE: Schema = block(
    "template",
    &[
        text("source", "SourcePath"),
        text("data", "EmbeddedTmpl"),
        text("destination", "DestPath"),
        text("change_mode", "ChangeMode").or(Absent::Text("restart")),
        text("change_signal", "ChangeSignal"),
        duration("splay", "Splay").or(Absent::Nanoseconds(5_000_000_000)),
        text("perms", "Perms").or(Absent::Text("0644")),
        text("left_delimiter", "LeftDelim"),
        text("right_delimiter", "RightDelim"),
        flag("env", "Envvars"),
        duration("vault_grace", "VaultGrace"),
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
        flag("read_only", "ReadOnly"),
        text("propagation_mode", "PropagationMode"),
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
