//! The agent's connection state, published to the process that runs the agent.

/// Connection state of a node agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// The agent has not opened its data directory yet, and may fail to.
    #[default]
    Starting,
    /// The agent runs without a session.
    Alone,
    /// A server has registered the node.
    Registered {
        /// That server's RPC address.
        server: String,
    },
    /// The servers' state is older than the state this node has acted on. The node is not ready until it accepts the
    /// older state.
    Held {
        /// The RPC address of the server that reported the older state.
        server: String,
    },
}
