//! ordu-agent.
