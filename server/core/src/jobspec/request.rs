//! The request to parse a jobspec: what its body says, and the answer to it.

use crate::hcl::Variables;
use crate::job::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// The body of `POST /v1/jobs/parse`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ParseRequest {
    /// The jobspec.
    #[serde(rename = "JobHCL")]
    pub job_hcl: String,
    /// It is HCL1: nothing in its strings is evaluated.
    #[serde(rename = "hclv1")]
    pub hcl1: bool,
    /// Values for its variables, as a document: `name = value`, line by line.
    #[serde(rename = "Variables")]
    pub variables: String,
    /// Answer with the canonical form.
    #[serde(rename = "Canonicalize")]
    pub canonicalize: bool,
}

impl ParseRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The text of the refusal with status 400.
    pub fn decode(body: &[u8]) -> Result<ParseRequest, String> {
        if body.trim_ascii().is_empty() {
            return Err("Request body is empty".to_owned());
        }
        let request: ParseRequest = decode::from_slice(body)?;
        if request.job_hcl.is_empty() {
            return Err("Job spec is empty".to_owned());
        }
        Ok(request)
    }

    /// The body of the answer.
    ///
    /// # Errors
    /// The text of the refusal with status 400.
    pub fn answer(&self) -> Result<Json, String> {
        if self.hcl1 {
            return super::parse_hcl1_document(&self.job_hcl, self.canonicalize)
                .map_err(|error| error.to_string());
        }
        let mut variables = Variables::new();
        variables.read(&self.variables).map_err(|error| format!("Variables: {error}"))?;
        super::parse_document(&self.job_hcl, &variables, self.canonicalize).map_err(|error| error.to_string())
    }
}
