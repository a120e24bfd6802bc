//! The job specification: canonical form, validation, encoding.
