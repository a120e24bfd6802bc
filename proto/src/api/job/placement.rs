//! Where a job's groups may, should and should not all go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// What a node must be. A side in `${…}` is looked up on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Constraint {
    /// Left side.
    #[serde(rename = "LTarget")]
    pub left: String,
    /// Right side.
    #[serde(rename = "RTarget")]
    pub right: String,
    /// `=`, `!=`, `<`, `version`, `regexp`, `set_contains`, `distinct_hosts`, …
    #[serde(rename = "Operand")]
    pub operand: String,
}

/// What a node had better be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Affinity {
    /// Left side.
    #[serde(rename = "LTarget")]
    pub left: String,
    /// Right side.
    #[serde(rename = "RTarget")]
    pub right: String,
    /// As of a constraint, and `set_contains_all`, `set_contains_any`.
    #[serde(rename = "Operand")]
    pub operand: String,
    /// -100 to 100 and not 0; negative ones repel.
    #[serde(rename = "Weight")]
    pub weight: Option<i8>,
}

impl Affinity {
    /// The weight, 50 where nothing is said.
    pub fn weight(&self) -> i8 {
        self.weight.unwrap_or(50)
    }
}

/// Spread allocations over the values of an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Spread {
    /// The attribute, `${node.datacenter}` for one.
    pub attribute: String,
    /// 0 to 100: how much this spread counts beside others.
    pub weight: Option<i8>,
    /// The share that each value is to have; even shares where none is named.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<SpreadTarget>>")]
    pub spread_target: Vec<SpreadTarget>,
}

impl Spread {
    /// The weight, 50 where nothing is said.
    pub fn weight(&self) -> i8 {
        self.weight.unwrap_or(50)
    }
}

/// The share of one value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadTarget {
    /// The attribute's value.
    pub value: String,
    /// 0 to 100.
    pub percent: u8,
}
