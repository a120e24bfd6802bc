//! The HTTP API's JSON types.
pub mod job;
