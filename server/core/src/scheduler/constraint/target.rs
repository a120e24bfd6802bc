//! One side of a constraint: a literal, or a property of the node in `${…}`.

use std::borrow::Cow;

use crate::scheduler::class::UNIQUE_PREFIX;
use crate::scheduler::view::NodeFacts;
use crate::state::id::IdText;

/// One side of a constraint or affinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Literal(String),
    NodeId,
    NodeName,
    Datacenter,
    NodeClass,
    Attribute(String),
    Meta(String),
    /// An unknown property in `${…}`, which no node has.
    Unknown,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Target {
        let Some(inner) = text.strip_prefix("${") else { return Target::Literal(text.to_owned()) };
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        match inner {
            "node.unique.id" => Target::NodeId,
            "node.unique.name" => Target::NodeName,
            "node.datacenter" => Target::Datacenter,
            "node.class" => Target::NodeClass,
            _ => match inner.split_once('.') {
                Some(("attr", key)) => Target::Attribute(key.to_owned()),
                Some(("meta", key)) => Target::Meta(key.to_owned()),
                _ => Target::Unknown,
            },
        }
    }

    /// Returns the value on this node, if any.
    pub(crate) fn resolve<'a>(&'a self, node: &'a NodeFacts) -> Option<Cow<'a, str>> {
        let value = match self {
            Target::Literal(text) => text,
            Target::NodeId => return Some(Cow::Owned(uuid_text(&node.id))),
            Target::NodeName => &node.name,
            Target::Datacenter => &node.class.datacenter,
            Target::NodeClass => &node.class.node_class,
            Target::Attribute(key) => node.attribute(key)?,
            Target::Meta(key) => node.meta(key)?,
            Target::Unknown => return None,
        };
        Some(Cow::Borrowed(value))
    }

    /// Returns whether the value may differ between nodes of one computed class.
    pub(crate) fn escapes_class(&self) -> bool {
        match self {
            Target::NodeId | Target::NodeName => true,
            Target::Attribute(key) | Target::Meta(key) => key.starts_with(UNIQUE_PREFIX),
            Target::Literal(_) | Target::Datacenter | Target::NodeClass | Target::Unknown => false,
        }
    }
}

/// Formats sixteen bytes as a UUID in the API's form: 8-4-4-4-12 hexadecimal digits.
pub(crate) fn uuid_text(id: &[u8]) -> String {
    IdText(id).to_string()
}
