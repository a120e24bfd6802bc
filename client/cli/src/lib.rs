//! The one binary's parts: the agent's configuration.

pub mod config;
