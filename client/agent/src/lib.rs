//! The node agent: fingerprints this machine, keeps a session with one of the servers, and runs the
//! allocations assigned to it. Task processes belong to a separate supervisor process (see `supervisor`), so tasks
//! survive the end of the agent, and the next agent finds them again.
//!
//! By design the agent listens on no port (servers use the session that the agent opened), has no database (a few
//! small files per allocation), and makes no placement decisions.

mod agent;
mod alloc;
mod beneath;
mod divided_spec;
mod environment;
mod error;
mod files;
mod fingerprint;
mod format;
mod identity;
mod interpolate;
mod limits;
mod network;
mod options;
mod reports;
mod servers;
mod session;
mod spec;
mod standing;
mod stats;
mod supervisor;
mod text;

pub use agent::run;
pub use error::Error;
pub use options::{AgentOptions, SupervisorProgram};
pub use standing::Standing;
pub use stats::NodeStats;
pub use supervisor::supervisor_main;
