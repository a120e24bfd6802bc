//! The HTTP API's JSON types.

pub mod job;

/// The Nomad version whose API this is. Clients decide by an agent's version which features to use, so a later
/// version must not be announced before its API is complete.
pub const NOMAD_VERSION: &str = "1.0.18";
