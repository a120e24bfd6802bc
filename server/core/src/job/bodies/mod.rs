//! Decodes the bodies of job requests, as tolerantly as Nomad does, and rejects invalid ones with the error texts that
//! clients match.

mod launch;
mod register;
mod versions;

use std::fmt;

use serde::Deserialize;

pub use launch::{
    DispatchRequest, EvaluateRequest, JobDispatchRequest, JobEvaluateRequest, decode_dispatch,
    decode_evaluate,
};
pub use register::{
    JobPlanRequest, JobRegisterRequest, JobValidateRequest, PlanRequest, RegisterRequest, decode_job,
    decode_plan, decode_register, decode_update, decode_validate,
};
pub use versions::{
    JobRevertRequest, JobStabilityRequest, RevertRequest, StableRequest, decode_revert, decode_stable,
};

use super::decode;
use super::validate::{PRIORITY_MAX, PRIORITY_MIN};

/// Why a body is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// HTTP status of the answer.
    pub status: u16,
    /// Text of the answer.
    pub text: String,
}

impl BodyError {
    fn bad_request(text: impl Into<String>) -> BodyError {
        BodyError { status: 400, text: text.into() }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for String {
    fn from(error: BodyError) -> String {
        error.text
    }
}

/// Returns the priority that a request gives its evaluation.
///
/// # Errors
/// Fails if an evaluation cannot have it.
pub fn check_eval_priority(priority: i64) -> Result<i32, BodyError> {
    let text = || format!("Eval priority must be between {PRIORITY_MIN} and {PRIORITY_MAX} inclusively");
    let is_one = (PRIORITY_MIN..=PRIORITY_MAX).contains(&priority);
    i32::try_from(priority).ok().filter(|_| is_one).ok_or_else(|| BodyError::bad_request(text()))
}

/// Decodes a body that must not be empty.
pub(crate) fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, BodyError> {
    if body.trim_ascii().is_empty() {
        return Err(BodyError::bad_request("Request body is empty"));
    }
    decode::from_slice(body).map_err(BodyError::bad_request)
}

/// Decodes base64.
fn read_bytes(text: &str) -> Result<Vec<u8>, BodyError> {
    decode::decode_base64(text).map_err(BodyError::bad_request)
}

/// Checks that the job named in the body is that of the path.
fn check_same(named: &str, id: &str, text: &str) -> Result<(), BodyError> {
    if named == id { Ok(()) } else { Err(BodyError::bad_request(text)) }
}
