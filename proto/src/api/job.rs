//! The job as the API spells it.
