//! Finds the one job, node, allocation or evaluation that the user means.

use crate::commands::CommandError;
use ordu_client::{Client, JobStub, Query};
use serde::Deserialize;

/// Characters of a complete id.
const ID_CHARACTERS: usize = 36;

/// The member that all listed objects have in common.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(rename = "ID")]
    id: String,
}

/// Returns the only id in a list that begins with what was typed.
///
/// # Errors
/// No id does, or several do.
pub(crate) async fn id(client: &Client, list: &str, what: &str, typed: &str) -> Result<String, CommandError> {
    if typed.len() == ID_CHARACTERS {
        return Ok(typed.to_owned());
    }
    if typed.len() < 2 || !typed.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(CommandError::Told(format!(
            "{typed:?} is not the beginning of the id of {what}: at least two of 0-9, a-f"
        )));
    }
    // Servers only search for whole bytes.
    let digits = typed.bytes().filter(u8::is_ascii_hexdigit).count();
    let sent = if digits % 2 == 1 { &typed[..typed.len() - 1] } else { typed };
    let listed: Vec<Listed> = client.get(list, &Query::default().with_prefix(sent)).await?.value;
    let lower = typed.to_ascii_lowercase();
    let mut found: Vec<String> =
        listed.into_iter().map(|one| one.id).filter(|id| id.starts_with(&lower)).collect();
    match found.len() {
        0 => Err(CommandError::Told(format!("No {what} with an id that begins with {typed:?}"))),
        1 => Ok(found.swap_remove(0)),
        _ => Err(CommandError::Told(format!(
            "{typed:?} is the beginning of several ids of {what}s:\n{}",
            found.join("\n")
        ))),
    }
}

/// Returns the job with this id, or the only one whose id begins so; and whether the id was complete.
///
/// # Errors
/// There is no such job, or there are several.
pub(crate) async fn job(client: &Client, typed: &str) -> Result<(JobStub, bool), CommandError> {
    let mut jobs = client.jobs(&Query::default().with_prefix(typed)).await?.value;
    if let Some(exact) = jobs.iter().position(|job| job.id == typed) {
        return Ok((jobs.swap_remove(exact), true));
    }
    match jobs.len() {
        0 => Err(CommandError::Told(format!("No job with an id that begins with {typed:?}"))),
        1 => Ok((jobs.swap_remove(0), false)),
        _ => {
            let ids: Vec<String> = jobs.into_iter().map(|job| job.id).collect();
            Err(CommandError::Told(format!(
                "{typed:?} is the beginning of several jobs' ids:\n{}",
                ids.join("\n")
            )))
        }
    }
}
