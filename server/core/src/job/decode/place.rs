//! Describes where a document has a value of the wrong type, and which type. The texts are those of Nomad, which name
//! the Go types of its source.

use std::cell::{Cell, RefCell};
use std::fmt::Write;

use crate::limits::{JOB_DEPTH_MAX, JOB_PARTS_MAX};

/// Type that a decoder expects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Bool,
    /// An integer, with the name of its Rust type: `i64`.
    Whole(&'static str),
    Float,
    Text,
    List,
    Map,
    Struct(&'static str, &'static [&'static str]),
    /// Any value, chosen by the user.
    Any,
}

/// Path to the current value. It is filled from the innermost step outwards while an error propagates.
#[derive(Default)]
pub(super) struct Place {
    steps: RefCell<Vec<Step>>,
    mismatch: RefCell<Option<Mismatch>>,
    depth: Cell<usize>,
    parts: Cell<usize>,
}

pub(super) enum Step {
    /// A member of a struct.
    Member {
        of: &'static str,
        name: &'static str,
    },
    /// A key of a map, chosen by the user.
    Key(String),
    Item(usize),
}

/// A value whose type differs from the expected one.
struct Mismatch {
    found: String,
    wanted: Wanted,
}

/// Nomad's names of types, where they differ from ours.
const TYPE_NAMES: [(&str, &str); 4] = [
    ("CsiPluginConfig", "TaskCSIPluginConfig"),
    ("DnsConfig", "DNSConfig"),
    ("JobSpec", "Job"),
    ("Lifecycle", "TaskLifecycle"),
];

/// Types that belong to Nomad's package `structs` rather than `api`.
const OF_STRUCTS: [&str; 5] =
    ["EvalOptions", "JobDispatchRequest", "JobEvaluateRequest", "JobRevertRequest", "JobStabilityRequest"];

/// Go types of members, where ours do not determine them.
const MEMBER_TYPES: [(&str, &str); 34] = [
    ("Affinities", "[]*api.Affinity"),
    ("Artifacts", "[]*api.TaskArtifact"),
    ("Checks", "[]api.ServiceCheck"),
    ("Config", "map[string]interface {}"),
    ("Constraints", "[]*api.Constraint"),
    ("Delay", "time.Duration"),
    ("Devices", "[]*api.RequestedDevice"),
    ("DynamicPorts", "[]api.Port"),
    ("Grace", "time.Duration"),
    ("Header", "map[string][]string"),
    ("HealthyDeadline", "time.Duration"),
    ("Interval", "time.Duration"),
    ("KillTimeout", "time.Duration"),
    ("MaxClientDisconnect", "time.Duration"),
    ("MaxDelay", "time.Duration"),
    ("MinHealthyTime", "time.Duration"),
    ("Networks", "[]*api.NetworkResource"),
    ("Payload", "[]uint8"),
    ("ProgressDeadline", "time.Duration"),
    ("ReservedPorts", "[]api.Port"),
    ("ScalingPolicies", "[]*api.ScalingPolicy"),
    ("Services", "[]*api.Service"),
    ("ShutdownDelay", "time.Duration"),
    ("Splay", "time.Duration"),
    ("SpreadTarget", "[]*api.SpreadTarget"),
    ("Spreads", "[]*api.Spread"),
    ("Stagger", "time.Duration"),
    ("StopAfterClientDisconnect", "time.Duration"),
    ("TaskGroups", "[]*api.TaskGroup"),
    ("Tasks", "[]*api.Task"),
    ("Templates", "[]*api.Template"),
    ("Timeout", "time.Duration"),
    ("VolumeMounts", "[]*api.VolumeMount"),
    ("Volumes", "map[string]*api.VolumeRequest"),
];

impl Place {
    pub(super) fn step_out(&self, step: Step) {
        self.steps.borrow_mut().push(step);
    }

    pub(super) fn record(&self, found: String, wanted: Wanted) {
        *self.mismatch.borrow_mut() = Some(Mismatch { found, wanted });
    }

    /// Enters a nesting level. Returns false if the nesting is too deep.
    pub(super) fn enter(&self) -> bool {
        self.depth.set(self.depth.get() + 1);
        self.depth.get() <= JOB_DEPTH_MAX
    }

    /// Counts an object of a known kind. Returns false if there are too many.
    pub(super) fn count_part(&self) -> bool {
        self.parts.set(self.parts.get() + 1);
        self.parts.get() <= JOB_PARTS_MAX
    }

    pub(super) fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }

    /// Returns the error text for the answer.
    pub(super) fn describe(&self, error: &serde_json::Error) -> String {
        let steps = self.steps.borrow();
        let exact = path(steps.iter().rev(), true);
        match self.mismatch.borrow().as_ref() {
            Some(Mismatch { found, wanted }) => {
                let (members, wanted) = (path(steps.iter().rev(), false), type_of(*wanted, &steps));
                let member = steps.iter().find_map(|step| match step {
                    Step::Member { of, .. } => Some(bare_name(of)),
                    _ => None,
                });
                let mut text = match member {
                    Some(of) => {
                        format!(
                            "json: cannot unmarshal {found} into Go struct field {of}.{members} of type {wanted}"
                        )
                    }
                    None => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
                };
                // Nomad's text does not include list indexes.
                if exact != members {
                    text.push_str(&format!(", at {exact}"));
                }
                text
            }
            None if exact.is_empty() => format!("json: {error}"),
            None => format!("json: {error}, in {exact}"),
        }
    }
}

/// Formats the steps as a path; with list indexes and map keys only if `is_exact`.
fn path<'s>(steps: impl Iterator<Item = &'s Step>, is_exact: bool) -> String {
    let mut path = String::new();
    for step in steps {
        // Writing to a `String` cannot fail.
        let _ = match step {
            Step::Member { name, .. } if path.is_empty() => write!(path, "{name}"),
            Step::Member { name, .. } => write!(path, ".{name}"),
            Step::Item(index) if is_exact => write!(path, "[{index}]"),
            Step::Key(key) if is_exact => write!(path, "[{key:?}]"),
            Step::Item(_) | Step::Key(_) => Ok(()),
        };
    }
    path
}

/// Returns the Go type expected at the end of the path.
fn type_of(wanted: Wanted, steps: &[Step]) -> String {
    let member = match steps.first() {
        Some(Step::Member { name, .. }) => *name,
        _ => "",
    };
    let of_member = MEMBER_TYPES.iter().find(|(name, _)| *name == member).map(|(_, name)| *name);
    let name = match wanted {
        Wanted::Bool => "bool",
        Wanted::Whole("i64") => of_member.unwrap_or("int"),
        Wanted::Whole("i8") => "int8",
        Wanted::Whole("u8") => "uint8",
        Wanted::Whole("u64") => "uint64",
        Wanted::Whole(width) => width,
        Wanted::Float => "float64",
        Wanted::Text => of_member.unwrap_or("string"),
        Wanted::List => of_member.unwrap_or("[]string"),
        Wanted::Map => of_member.unwrap_or("map[string]string"),
        Wanted::Struct(name, _) if OF_STRUCTS.contains(&name) => return format!("structs.{name}"),
        Wanted::Struct(name, _) => return format!("api.{}", bare_name(name)),
        Wanted::Any => "interface {}",
    };
    name.to_owned()
}

/// Returns Nomad's name of one of our types.
fn bare_name(ours: &'static str) -> &'static str {
    TYPE_NAMES.iter().find(|(name, _)| *name == ours).map_or(ours, |(_, name)| *name)
}
