//! ordu-store.
