//! The answer to "would this job be accepted?".

use schemars::JsonSchema;
use serde::Serialize;

use super::bodies::RegisterRequest;
use super::faults::Faults;
use super::{canonicalise, warnings};

/// The answer of `POST /v1/validate/job`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ValidationDocument<'a> {
    driver_config_validated: bool,
    validation_errors: Option<&'a [String]>,
    error: String,
    warnings: String,
}

/// The answer of `POST /v1/validate/job`: every fault and every warning of the job, which the request
/// brings as it came. Its status is 200 whatever the job is like.
pub fn validation_document(mut request: RegisterRequest) -> Vec<u8> {
    canonicalise(&mut request.job);
    let faults = request.validate().err();
    let document = ValidationDocument {
        // A driver's own words are for the driver to judge, on the node.
        driver_config_validated: true,
        validation_errors: faults.as_ref().map(Faults::texts),
        error: faults.as_ref().map(Faults::to_string).unwrap_or_default(),
        warnings: warnings(&request.job).to_string(),
    };
    serde_json::to_vec(&document).expect("texts are JSON")
}
