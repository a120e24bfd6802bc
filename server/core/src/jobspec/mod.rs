//! Jobspecs in HCL as the API's job: `job "id" { … }` to the JSON that is registered.
//!
//! What a jobspec may hold is data (`schema`); one reader (`read`) walks it. Nothing is canonicalised
//! here: what the author left out stays null, as in Nomad's answers, but for the few defaults that
//! Nomad's own reader writes.

mod constraint;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use crate::hcl::Error;

use crate::hcl::{Block, Body, Dialect, Entry, Position};

/// Reads a jobspec and gives the job back as the API's JSON.
///
/// # Errors
/// The first fault, with its line and column: not HCL, not exactly one job, a key that a jobspec does
/// not have, a value of the wrong type, an expression that is not supported.
pub fn parse(text: &str) -> Result<serde_json::Value, Error> {
    let document = crate::hcl::parse(text, Dialect::Jobspec)?;
    let block = only_job(&document)?;
    let label = match block.labels.as_slice() {
        [label] => label,
        [] => return Err(Error::at(block.position, "a job has a name: `job \"name\" { … }`")),
        [_, second, ..] => return Err(Error::at(second.position, "a job has one name, not several")),
    };
    let mut job = read::object(&schema::JOB, &block.body)?;
    for key in ["ID", "Name"] {
        if job.get(key).is_none_or(serde_json::Value::is_null) {
            job.insert(key.to_owned(), label.text.as_str().into());
        }
    }
    Ok(serde_json::Value::Object(job))
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
                let text = format!("`{}` has no place beside the `job` block", other.key());
                return Err(Error::at(other.position(), text));
            }
        }
    }
    job.ok_or_else(|| Error::at(Position { line: 1, column: 1 }, "there is no `job` block"))
}
