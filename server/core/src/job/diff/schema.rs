//! How each kind of document in a specification is shown in a diff: what its objects are called and in
//! which order they stand, how the items of its lists are told apart, and what is not shown.
//!
//! A member that is not listed is shown as it is: a value as a field of its name, what is inside a map
//! or a list as fields `Name[key]` and `Name[0]`.

use serde_json::Value;

use Identity::{Content, Key, Member};
use Shape::{Flat, List, Object, Texts};

/// How the members of one kind of document are shown.
pub(super) struct Schema {
    /// Members that are shown as objects, in the order of the diff.
    pub(super) children: &'static [(&'static str, Shape<'static>)],
    /// Members that are not shown.
    pub(super) hidden: &'static [&'static str],
    /// Lists that are shown as one field, their items with commas between.
    pub(super) joined: &'static [&'static str],
    /// Members that are not listed are objects where they hold objects or texts.
    pub(super) nested: bool,
    /// What decides between added, deleted and edited.
    pub(super) type_by: TypeBy,
}

/// What decides between added, deleted and edited.
pub(super) enum TypeBy {
    /// Whether the document is there.
    Presence,
    /// What became of its fields: one that only gained values was added.
    Fields,
}

/// What a member is shown as, and the name of that.
#[derive(Clone, Copy)]
pub(super) enum Shape<'a> {
    /// One object.
    Object(&'a str, &'static Schema),
    /// As many objects as the list or map has items.
    List(&'a str, &'static Schema, Identity),
    /// One object with a field for each text of the list; their order does not count.
    Texts(&'a str),
    /// One object with all that is inside as fields.
    Flat(&'a str),
}

/// By what two items of a list are the same one.
#[derive(Clone, Copy)]
pub(super) enum Identity {
    /// By all that they say: such an item is never edited, another comes in its place.
    Content,
    /// By this member.
    Member(&'static str),
    /// By their key in the map.
    Key,
}

impl Schema {
    /// The members of the document that are shown and say something.
    pub(super) fn members<'v>(
        &self,
        document: Option<&'v Value>,
    ) -> impl Iterator<Item = (&'v str, &'v Value)> {
        let members = document.and_then(Value::as_object).into_iter().flatten();
        members
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, value)| !value.is_null() && !self.hidden.contains(name))
    }

    /// What the member is shown as if it is listed.
    pub(super) fn listed(&self, name: &str) -> Option<Shape<'static>> {
        self.children.iter().find(|(listed, _)| *listed == name).map(|(_, shape)| *shape)
    }

    /// What the member is shown as, unless it is shown as a field.
    pub(super) fn shape<'v>(&self, name: &'v str, value: &Value) -> Option<Shape<'v>> {
        if let Some(shape) = self.listed(name) {
            let fits = match shape {
                Shape::Object(..) | Shape::Flat(_) | Shape::List(_, _, Identity::Key) => value.is_object(),
                Shape::Texts(_) | Shape::List(..) => value.is_array(),
            };
            return fits.then_some(shape);
        }
        match value {
            Value::Object(_) if self.nested => Some(Shape::Object(name, &FREE)),
            Value::Array(items) if self.nested && items.iter().all(Value::is_object) => {
                Some(Shape::List(name, &FREE, Identity::Content))
            }
            Value::Array(items) if self.nested && !items.iter().any(holds_others) => Some(Shape::Texts(name)),
            _ => None,
        }
    }
}

impl Shape<'_> {
    /// Whether values of both shapes can be one thing that was edited.
    pub(super) fn alike(self, other: Shape<'_>) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

fn holds_others(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// Values and maps of values.
const VALUES: Schema =
    Schema { children: &[], hidden: &[], joined: &[], nested: false, type_by: TypeBy::Fields };

/// Values and objects.
const OBJECTS: Schema = Schema { type_by: TypeBy::Presence, ..VALUES };

/// JSON that is kept as it came.
pub(super) const FREE: Schema = Schema { nested: true, ..OBJECTS };

pub(super) const JOB: Schema = Schema {
    children: &[
        ("Datacenters", Texts("Datacenters")),
        ("Constraints", CONSTRAINTS),
        ("Affinities", AFFINITIES),
        ("Spreads", SPREADS),
        ("Periodic", Object("Periodic", &VALUES)),
        ("ParameterizedJob", Object("ParameterizedJob", &PARAMETERIZED)),
        ("Multiregion", Object("Multiregion", &MULTIREGION)),
    ],
    // The groups have their own place; of the default policies they have taken what they need.
    hidden: &["ID", "TaskGroups", "Update", "Reschedule", "Migrate", "ConsulToken", "VaultToken"],
    ..OBJECTS
};

pub(super) const GROUP: Schema = Schema {
    children: &[
        ("Constraints", CONSTRAINTS),
        ("Affinities", AFFINITIES),
        ("Spreads", SPREADS),
        ("RestartPolicy", Object("RestartPolicy", &VALUES)),
        ("ReschedulePolicy", Object("ReschedulePolicy", &VALUES)),
        ("EphemeralDisk", Object("EphemeralDisk", &VALUES)),
        ("Update", Object("Update", &Schema { hidden: &["Stagger"], ..VALUES })),
        ("Networks", NETWORKS),
        ("Services", SERVICES),
        ("Volumes", List("Volume", &VOLUME, Key)),
        ("Scaling", Object("Scaling", &GROUP_SCALING)),
    ],
    // The API tells nothing of how a group is moved.
    hidden: &["Name", "Tasks", "Migrate"],
    ..OBJECTS
};

pub(super) const TASK: Schema = Schema {
    children: &[
        ("Constraints", CONSTRAINTS),
        ("Affinities", AFFINITIES),
        ("Config", Flat("Config")),
        ("Resources", Object("Resources", &RESOURCES)),
        ("LogConfig", Object("LogConfig", &VALUES)),
        ("DispatchPayload", Object("DispatchPayload", &VALUES)),
        ("Artifacts", List("Artifact", &VALUES, Content)),
        ("Services", SERVICES),
        ("Vault", Object("Vault", &VAULT)),
        ("Templates", List("Template", &VALUES, Content)),
        ("Lifecycle", Object("Lifecycle", &VALUES)),
        ("CSIPluginConfig", Object("CSIPluginConfig", &VALUES)),
        ("VolumeMounts", List("VolumeMount", &VALUES, Content)),
        ("ScalingPolicies", List("Scaling", &SCALING, Member("Type"))),
    ],
    // The API tells of restarts at the group only.
    hidden: &["Name", "RestartPolicy"],
    ..OBJECTS
};

const CONSTRAINTS: Shape<'static> = List("Constraint", &VALUES, Content);
const AFFINITIES: Shape<'static> = List("Affinity", &VALUES, Content);
const SPREADS: Shape<'static> = List("Spread", &SPREAD, Content);
const NETWORKS: Shape<'static> = List("Network", &NETWORK, Content);
const SERVICES: Shape<'static> = List("Service", &SERVICE, Member("Name"));

const SPREAD: Schema =
    Schema { children: &[("SpreadTarget", List("SpreadTarget", &VALUES, Content))], ..OBJECTS };

const PARAMETERIZED: Schema = Schema {
    children: &[("MetaOptional", Texts("MetaOptional")), ("MetaRequired", Texts("MetaRequired"))],
    ..OBJECTS
};

const MULTIREGION: Schema =
    Schema { children: &[("Regions", List("Region", &FREE, Member("Name")))], ..FREE };

const RESOURCES: Schema = Schema {
    children: &[("Networks", NETWORKS), ("Devices", List("Device", &DEVICE, Member("Name")))],
    ..OBJECTS
};

const DEVICE: Schema =
    Schema { children: &[("Constraints", CONSTRAINTS), ("Affinities", AFFINITIES)], ..OBJECTS };

const NETWORK: Schema = Schema {
    children: &[
        ("ReservedPorts", List("Static Port", &VALUES, Content)),
        // The servers choose the number.
        ("DynamicPorts", List("Dynamic Port", &Schema { hidden: &["Value"], ..VALUES }, Content)),
        ("DNS", Object("DNS", &Schema { joined: &["Servers", "Searches", "Options"], ..OBJECTS })),
    ],
    // The servers choose these.
    hidden: &["Device", "CIDR", "IP"],
    ..OBJECTS
};

const SERVICE: Schema = Schema {
    children: &[
        ("Tags", Texts("Tags")),
        ("CanaryTags", Texts("CanaryTags")),
        ("Checks", List("Check", &CHECK, Member("Name"))),
        ("CheckRestart", Object("CheckRestart", &VALUES)),
        ("Connect", Object("ConsulConnect", &CONNECT)),
    ],
    ..OBJECTS
};

const CHECK: Schema = Schema {
    children: &[("Header", Flat("Header")), ("CheckRestart", Object("CheckRestart", &VALUES))],
    ..OBJECTS
};

const CONNECT: Schema =
    Schema { children: &[("SidecarService", Object("SidecarService", &SIDECAR_SERVICE))], ..FREE };

const SIDECAR_SERVICE: Schema =
    Schema { children: &[("Proxy", Object("ConsulProxy", &CONSUL_PROXY))], ..FREE };

const CONSUL_PROXY: Schema = Schema {
    children: &[("Upstreams", List("ConsulUpstreams", &FREE, Content)), ("Config", Flat("Config"))],
    ..FREE
};

const VOLUME: Schema = Schema { children: &[("MountOptions", Object("MountOptions", &FREE))], ..OBJECTS };

const VAULT: Schema = Schema { children: &[("Policies", Texts("Policies"))], ..OBJECTS };

const SCALING: Schema = Schema {
    children: &[("Policy", Flat("Policy"))],
    // The servers write these.
    hidden: &["ID", "Target", "CreateIndex", "ModifyIndex"],
    ..OBJECTS
};

/// A group is scaled in one way only.
const GROUP_SCALING: Schema =
    Schema { hidden: &["Type", "ID", "Target", "CreateIndex", "ModifyIndex"], ..SCALING };
