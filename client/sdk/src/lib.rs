//! ordu-client.
