//! Jobspecs in HCL as the API's job: `job "id" { … }` to the JSON that is registered.
//!
//! What a jobspec may hold is data (`schema`); one reader (`read`) walks it. What the author left out stays
//! null, as in Nomad's answers, but for the few defaults that Nomad's own reader writes; `canonical` says
//! the rest where it is asked for.

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

/// Reads a jobspec whose variables have their defaults and gives the job back as the API's JSON.
///
/// # Errors
/// The first fault, with its line and column: not HCL, not exactly one job, a key that a jobspec does
/// not have, a value of the wrong type, an expression that cannot be evaluated.
pub fn parse(text: &str) -> Result<Json, Error> {
    parse_document(text, &Variables::new(), false)
}

/// Reads a jobspec with values for its variables, and gives the job back as `POST /v1/jobs/parse` answers
/// it: the specification together with the members that the servers own, in the canonical form if it is
/// asked for.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse_document(text: &str, variables: &Variables, canonicalize: bool) -> Result<Json, Error> {
    job(&crate::hcl::parse_with(text, variables)?, canonicalize)
}

/// The same for a jobspec in HCL1: nothing in its strings is evaluated.
///
/// # Errors
/// The first fault, with its line and column.
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
    let mut job = read::object(&schema::JOB, &block.body)?;
    for key in ["ID", "Name"] {
        if job.get(key).is_none_or(Json::is_null) {
            job.insert(key.to_owned(), label.text.as_str().into());
        }
    }
    if canonicalize {
        // A layout that only HCL1 knows comes from the time before 1.0, when services that said nothing
        // of updates had none. For the job that is registered it makes no difference.
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
