//! ordu.
