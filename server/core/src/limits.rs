//! A bound on everything, by name.
