//! ordu-tests.
