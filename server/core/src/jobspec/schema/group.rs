//! Schema of task groups.

use super::super::read::Object;
use super::network::NETWORK;
use super::policy::{
    INHERITED_VAULT, MIGRATE, RESCHEDULE, RESTART, SCALING, SPREAD, UPDATE, inherit_vault, inherited_vault,
};
use super::service::SERVICE;
use super::task::TASK;
use super::{
    Absent, Kind, Schema, affinities, block, constraints, duration, field, flag, integer, many, meta, one,
    text, texts,
};
use crate::hcl::{Error, Position};

pub(super) static GROUP: Schema = Schema {
    what: "group",
    label: Some("Name"),
    fields: &[
        integer("count", "Count"),
        constraints(),
        affinities(),
        many("spread", "Spreads", &SPREAD),
        meta(),
        many("task", "Tasks", &TASK),
        one("restart", "RestartPolicy", &RESTART),
        one("reschedule", "ReschedulePolicy", &RESCHEDULE),
        one("update", "Update", &UPDATE),
        one("migrate", "Migrate", &MIGRATE),
        one("ephemeral_disk", "EphemeralDisk", &EPHEMERAL_DISK).filled(Absent::Object),
        many("network", "Networks", &NETWORK),
        many("service", "Services", &SERVICE),
        field("volume", "Volumes", Kind::ByName(&VOLUME)),
        one("scaling", "Scaling", &SCALING),
        inherited_vault(),
        one("consul", "Consul", &CONSUL).or(Absent::Omitted),
        duration("shutdown_delay", "ShutdownDelay"),
        duration("stop_after_client_disconnect", "StopAfterClientDisconnect"),
    ],
    constants: &[],
    finish: Some(finish),
};

static EPHEMERAL_DISK: Schema = block(
    "ephemeral_disk block",
    &[
        flag("sticky", "Sticky").filled(Absent::False),
        flag("migrate", "Migrate").filled(Absent::False),
        integer("size", "SizeMB").filled(Absent::Integer(DISK_MB)),
    ],
);

/// Default size of an allocation's disk, megabytes.
const DISK_MB: i64 = ordu_proto::api::job::EphemeralDisk::DEFAULT_SIZE_MB;

static CONSUL: Schema = block("consul block", &[text("namespace", "Namespace").or(Absent::Empty)]);

static VOLUME: Schema = Schema {
    what: "volume",
    label: Some("Name"),
    fields: &[
        text("type", "Type").or(Absent::Empty),
        text("source", "Source").or(Absent::Empty),
        flag("read_only", "ReadOnly").or(Absent::False),
        one("mount_options", "MountOptions", &MOUNT_OPTIONS),
    ],
    constants: &[],
    finish: None,
};

static MOUNT_OPTIONS: Schema = block(
    "mount_options block",
    &[text("fs_type", "FSType").or(Absent::Empty), texts("mount_flags", "MountFlags")],
);

fn finish(group: &mut Object, _: Position) -> Result<(), Error> {
    if let Some(vault) = group.remove(INHERITED_VAULT) {
        inherit_vault(&vault, group.get_mut("Tasks"));
    }
    Ok(())
}
