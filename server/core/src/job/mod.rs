//! The job specification: decoding, canonicalising, validating and storing registrations, and writing the API's
//! documents of stored jobs.
//!
//! A registration passes through [`decode_register`] → [`canonicalise`] → [`RegisterRequest::validate`] → [`spec_json`]
//! and [`job_row`]. [`job_document`] and [`job_stub`] write the answers without parsing the stored specification. The
//! bodies of other job requests have a `decode_…` each.

mod bodies;
mod canonicalise;
pub(crate) mod decode;
pub(crate) mod defaults;
mod deployment;
mod diff;
mod document;
mod faults;
mod kind;
mod spec;
mod splice;
mod stored;
mod time;
mod validate;
mod validation;
mod warnings;

pub(crate) use bodies::read as read_body;
pub use bodies::{
    BodyError, DispatchRequest, EvaluateRequest, JobDispatchRequest, JobEvaluateRequest, JobPlanRequest,
    JobRegisterRequest, JobRevertRequest, JobStabilityRequest, JobValidateRequest, PlanRequest,
    RegisterRequest, RevertRequest, StableRequest, check_eval_priority, decode_dispatch, decode_evaluate,
    decode_job, decode_plan, decode_register, decode_revert, decode_stable, decode_update, decode_validate,
};
pub use canonicalise::canonicalise;
pub use deployment::{DeploymentDocument, deployment_document};
pub use diff::{DiffSide, annotate, job_diff};
pub use document::{JobStub, SummaryDocument, job_document, job_stub, summary_document};
pub use faults::{Faults, Span, Warnings};
pub use kind::JobKind;
pub use spec::{group_counts, job_row, parse_spec, spec_json};
pub(crate) use stored::{ParameterFacts, SpecEdit, SpecFacts, written_schedule};
pub use time::rfc3339;
pub(crate) use validate::check_total;
pub use validate::{InvalidNamespace, check_namespace, validate};
pub use validation::{ValidationDocument, validation_document};
pub use warnings::warnings;

#[cfg(test)]
mod tests;
