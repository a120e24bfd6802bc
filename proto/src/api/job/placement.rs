//! Placement rules of a job: constraints, affinities and spreads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// A condition that a node must meet. An operand written as `${…}` is looked up on the node.
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

/// A condition that makes a node preferred or avoided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Affinity {
    /// Left side.
    #[serde(rename = "LTarget")]
    pub left: String,
    /// Right side.
    #[serde(rename = "RTarget")]
    pub right: String,
    /// As for a constraint, and also `set_contains_all` and `set_contains_any`.
    #[serde(rename = "Operand")]
    pub operand: String,
    /// -100 to 100, but not 0; a negative weight makes matching nodes avoided.
    #[serde(rename = "Weight")]
    pub weight: Option<i8>,
}

impl Affinity {
    /// The weight; 50 if not set.
    pub fn weight(&self) -> i8 {
        self.weight.unwrap_or(50)
    }
}

/// Spread allocations over the values of an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Spread {
    /// The attribute, for example `${node.datacenter}`.
    pub attribute: String,
    /// 0 to 100: the weight of this spread relative to others.
    pub weight: Option<i8>,
    /// The desired share of each value; equal shares if empty.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<SpreadTarget>>")]
    pub spread_target: Vec<SpreadTarget>,
}

impl Spread {
    /// The weight; 50 if not set.
    pub fn weight(&self) -> i8 {
        self.weight.unwrap_or(50)
    }
}

/// The desired share of one value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpreadTarget {
    /// The attribute's value.
    pub value: String,
    /// 0 to 100.
    pub percent: u8,
}
