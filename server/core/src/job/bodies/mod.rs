//! What the bodies of requests about jobs say, or why they say nothing: read with the tolerance that
//! clients are used to, refused in the words that clients match.

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

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// The status of the answer.
    pub status: u16,
    /// The text of the answer.
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

fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, BodyError> {
    if body.trim_ascii().is_empty() {
        return Err(BodyError::bad_request("Request body is empty"));
    }
    decode::from_slice(body).map_err(BodyError::bad_request)
}

/// The bytes that a body carries as base64.
fn read_bytes(text: &str) -> Result<Vec<u8>, BodyError> {
    decode::decode_base64(text).map_err(BodyError::bad_request)
}

/// A job that a body names has to be the one of the path.
fn check_same(named: &str, id: &str, text: &str) -> Result<(), BodyError> {
    if named == id { Ok(()) } else { Err(BodyError::bad_request(text)) }
}
