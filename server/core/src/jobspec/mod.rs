//! Converts HCL jobspecs to jobs of the API: from `job "id" { … }` to the JSON of a registration.
//!
//! `schema` declares what a jobspec may contain; `read` is the generic reader that follows it. Omitted values stay
//! null, as in Nomad's answers, except for a few defaults that Nomad's parser sets as well. `canonical` sets the other
//! defaults on request.

mod canonical;
mod constraint;
mod read;
mod request;
mod schema;
#[cfg(test)]
mod tests;

pub use crate::hcl::{Error, Variables};
pub use request::ParseRequest;

use crate::hcl::{Block, Body, Document, Entry, Position};
use serde_json::Value as Json;

/// Parses a jobspec, whose variables take their defaults, and returns the job as JSON of the API.
///
/// # Errors
/// The first error, with its line and column: invalid HCL, not exactly one job, an unknown key, a value of the wrong
/// type, an expression that fails.
pub fn parse(text: &str) -> Result<Json, Error> {
    parse_document(text, &Variables::new(), false)
}

/// Parses a jobspec with the given variables and returns the answer of `POST /v1/jobs/parse`: the specification with
/// the members that belong to the servers, optionally in canonical form.
///
/// # Errors
/// The first error, with its line and column.
pub fn parse_document(text: &str, variables: &Variables, canonicalize: bool) -> Result<Json, Error> {
    job(&crate::hcl::parse_with(text, variables)?, canonicalize)
}

/// Like [`parse_document`] for an HCL1 jobspec: strings are literal.
///
/// # Errors
/// The first error, with its line and column.
pub fn parse_hcl1_document(text: &str, canonicalize: bool) -> Result<Json, Error> {
    job(&crate::hcl::parse_hcl1(text)?, canonicalize)
}

fn job(document: &Document, canonicalize: bool) -> Result<Json, Error> {
    let block = only_job(&document.body)?;
    let label = match block.labels.as_slice() {
        [label] => label,
        [] => return Err(Error::at(block.position, "a job has a name: `job \"name\" { … }`")),
        [_, second, ..] => return Err(Error::at(second.position, "a job has one name, not several")),
    };
    let mut job = read::object(&schema::JOB, &block.body, document.dialect)?;
    for key in ["ID", "Name"] {
        if job.get(key).is_none_or(Json::is_null) {
            job.insert(key.to_owned(), label.text.as_str().into());
        }
    }
    if canonicalize {
        // HCL1 layout dates from before Nomad 1.0, when services had no default update strategy. The registered job is
        // the same either way.
        canonical::canonicalise(&mut job, document.old_layout.is_none());
    }
    Ok(Json::Object(job))
}

fn only_job(document: &Body) -> Result<&Block, Error> {
    let mut job: Option<&Block> = None;
    for entry in &document.entries {
        match entry {
            Entry::Block(block) if block.kind == "job" => {
                if let Some(first) = job {
                    let line = first.position.line;
                    let text = format!("a jobspec holds one job, and there is one on line {line} already");
                    return Err(Error::at(block.position, text));
                }
                job = Some(block);
            }
            other => {
                let text = format!("`{}` has no place beside the `job` block", read::shortened(other.key()));
                return Err(Error::at(other.position(), text));
            }
        }
    }
    job.ok_or_else(|| Error::at(Position { line: 1, column: 1 }, "there is no `job` block"))
}
