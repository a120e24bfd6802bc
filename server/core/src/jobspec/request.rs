//! Request and answer of parsing a jobspec.

use crate::hcl::Variables;
use crate::job::decode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// Body of `POST /v1/jobs/parse`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ParseRequest {
    /// The jobspec.
    #[serde(rename = "JobHCL")]
    pub job_hcl: String,
    /// Parse as HCL1: strings are literal.
    #[serde(rename = "hclv1")]
    pub hcl1: bool,
    /// Values of variables, as a document with one `name = value` a line.
    #[serde(rename = "Variables")]
    pub variables: String,
    /// Return the canonical form.
    #[serde(rename = "Canonicalize")]
    pub canonicalize: bool,
}

impl ParseRequest {
    /// Decodes the body of a request.
    ///
    /// # Errors
    /// The text of an answer with status 400.
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

    /// Returns the body of the answer. What the jobspec draws by chance comes from `seed`.
    ///
    /// # Errors
    /// The text of an answer with status 400.
    pub fn answer(&self, seed: u128) -> Result<Json, String> {
        if self.hcl1 {
            return super::parse_hcl1_document(&self.job_hcl, self.canonicalize)
                .map_err(|error| error.to_string());
        }
        let mut variables = Variables::new().with_seed(seed);
        variables.read(&self.variables).map_err(|error| format!("Variables: {error}"))?;
        super::parse_document(&self.job_hcl, &variables, self.canonicalize).map_err(|error| error.to_string())
    }
}
