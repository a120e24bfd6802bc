//! ordu-server.
