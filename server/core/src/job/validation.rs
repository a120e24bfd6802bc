//! Dry-run validation of a job.

use schemars::JsonSchema;
use serde::Serialize;

use super::bodies::RegisterRequest;
use super::faults::Faults;
use super::{canonicalise, warnings};

/// Answer of `POST /v1/validate/job`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ValidationDocument<'a> {
    driver_config_validated: bool,
    validation_errors: Option<&'a [String]>,
    error: String,
    warnings: String,
}

/// Writes the answer of `POST /v1/validate/job` with all errors and warnings of the job. The HTTP status is always 200.
/// For `lacks_driver` see [`warnings`].
pub fn validation_document(mut request: RegisterRequest, lacks_driver: &dyn Fn(&str) -> bool) -> Vec<u8> {
    canonicalise(&mut request.job);
    let faults = request.validate().err();
    let document = ValidationDocument {
        // The server accepts any driver configuration: only the driver on the node can validate it.
        driver_config_validated: true,
        validation_errors: faults.as_ref().map(Faults::texts),
        error: faults.as_ref().map(Faults::to_string).unwrap_or_default(),
        warnings: warnings(&request.job, lacks_driver).to_string(),
    };
    serde_json::to_vec(&document).expect("texts are JSON")
}
