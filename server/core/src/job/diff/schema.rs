//! Defines how each kind of document in a specification appears in a diff: names and order of its objects, matching of
//! list items, and hidden members.
//!
//! A member that is not listed appears as it is: a plain value as a field of its name, values nested in a map or a list
//! as fields `Name[key]` and `Name[0]`.

use serde_json::Value;

use Identity::{Content, Key, Member};
use Shape::{Flat, List, Object, Texts};

/// Presentation of one kind of document.
pub(super) struct Schema {
    /// Members shown as objects, in the order of the diff.
    pub(super) children: &'static [(&'static str, Shape<'static>)],
    /// Members not shown.
    pub(super) hidden: &'static [&'static str],
    /// Lists shown as one field with comma-separated items.
    pub(super) joined: &'static [&'static str],
    /// Whether unlisted members that contain objects or lists of texts are shown as objects.
    pub(super) nested: bool,
    /// How the type of change is determined.
    pub(super) type_by: TypeBy,
}

/// How the type of change (added, deleted, edited) is determined.
pub(super) enum TypeBy {
    /// By the presence of the document on each side.
    Presence,
    /// By its fields: a document whose fields were all added counts as added.
    Fields,
}

/// Presentation of a member, and its name there.
#[derive(Clone, Copy)]
pub(super) enum Shape<'a> {
    /// One object.
    Object(&'a str, &'static Schema),
    /// One object for each item of the list or map.
    List(&'a str, &'static Schema, Identity),
    /// One object with a field for each text of the list, regardless of order.
    Texts(&'a str),
    /// One object with all nested values as fields.
    Flat(&'a str),
}

/// How items of two lists are matched.
#[derive(Clone, Copy)]
pub(super) enum Identity {
    /// By content: items are never edited, only added and deleted.
    Content,
    /// By the value of this member.
    Member(&'static str),
    /// By the key in the map.
    Key,
}

impl Schema {
    /// Returns the members of the document that are neither hidden nor null.
    pub(super) fn members<'v>(
        &self,
        document: Option<&'v Value>,
    ) -> impl Iterator<Item = (&'v str, &'v Value)> {
        let members = document.and_then(Value::as_object).into_iter().flatten();
        members
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, value)| !value.is_null() && !self.hidden.contains(name))
    }

    /// Returns the presentation of a listed member.
    pub(super) fn listed(&self, name: &str) -> Option<Shape<'static>> {
        self.children.iter().find(|(listed, _)| *listed == name).map(|(_, shape)| *shape)
    }

    /// Returns the presentation of a member, or `None` if it is shown as a field.
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
    /// Whether a change between values of both shapes is an edit rather than a replacement.
    pub(super) fn alike(self, other: Shape<'_>) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

fn holds_others(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// Documents with plain values and maps of them.
const VALUES: Schema =
    Schema { children: &[], hidden: &[], joined: &[], nested: false, type_by: TypeBy::Fields };

/// Documents with plain values and objects.
const OBJECTS: Schema = Schema { type_by: TypeBy::Presence, ..VALUES };

/// Free-form JSON.
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
    // Groups are compared separately and have inherited the default policies.
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
    // Nomad's diff omits the migrate strategy of groups.
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
    // Nomad's diff shows restart policies of groups only.
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
        // Chosen by the servers.
        ("DynamicPorts", List("Dynamic Port", &Schema { hidden: &["Value"], ..VALUES }, Content)),
        ("DNS", Object("DNS", &Schema { joined: &["Servers", "Searches", "Options"], ..OBJECTS })),
    ],
    // Chosen by the servers.
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
    // Set by the servers.
    hidden: &["ID", "Target", "CreateIndex", "ModifyIndex"],
    ..OBJECTS
};

/// A group has a single scaling policy, so its type is hidden.
const GROUP_SCALING: Schema =
    Schema { hidden: &["Type", "ID", "Target", "CreateIndex", "ModifyIndex"], ..SCALING };
