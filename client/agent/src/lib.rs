//! The node agent: says what this machine is, keeps one session with any of the servers, and runs what
//! they assign to it. Tasks belong to a supervisor process beside the agent (see `supervisor`), so an
//! agent may end or be killed and the next one finds everything again.
//!
//! What is deliberately absent: the agent listens on no port (servers call it on the session that it
//! opened), has no database (a small file or two an allocation), and decides nothing about placement.

mod agent;
mod alloc;
mod beneath;
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
mod supervisor;
mod text;

pub use agent::run;
pub use error::Error;
pub use options::{AgentOptions, SupervisorProgram};
pub use standing::Standing;
pub use supervisor::supervisor_main;
