//! The job specification: how a registration is read, made canonical, validated and stored, and how
//! the API's documents of a job are written from what is stored.
//!
//! The way of a registration is [`decode_register`] → [`canonicalise`] → [`validate`] →
//! [`spec_json`] and [`job_row`]. The way back is [`job_document`] and [`job_stub`], which do not parse
//! the stored specification.

mod canonicalise;
mod defaults;
mod document;
mod faults;
mod lenient;
mod register;
mod spec;
mod validate;
mod warnings;

pub use canonicalise::canonicalise;
pub use document::{JobStub, SummaryDocument, job_document, job_stub, summary_document};
pub use faults::{Faults, Warnings};
pub use register::{RegisterRequest, decode_job, decode_register};
pub use spec::{group_counts, job_row, parse_spec, spec_json};
pub use validate::validate;
pub use warnings::warnings;

#[cfg(test)]
mod tests;
