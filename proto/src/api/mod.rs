//! The HTTP API's JSON types.

pub mod job;

/// The version of Nomad whose API is spoken. Clients go by what an agent says of its version: a later one is
/// said once that version's API is whole.
pub const NOMAD_VERSION: &str = "1.0.18";
