//! Where a node stands with its servers, for whoever runs the agent.

/// Where a node stands with its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It has not taken its data directory yet, and may fail.
    #[default]
    Starting,
    /// It runs, and no server has its session.
    Alone,
    /// A server has taken it in.
    Registered {
        /// That server's RPC address.
        server: String,
    },
    /// The servers' state is older than what it has acted on, and it is not ready until it takes that.
    Held {
        /// The RPC address of the server that says so.
        server: String,
    },
}
