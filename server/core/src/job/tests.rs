//! Tests of the job model as a whole: against documents of the API and for internal consistency.

mod bodies;
mod canonical;
mod deployments;
mod diffs;
mod documents;
mod everything;
mod hostile;
mod properties;
mod refusals;
mod registrations;
mod splices;
mod warnings;

use serde_json::{Value, json};

use super::{RegisterRequest, canonicalise, decode_register};

/// Returns a small valid job of the given type with one group `g` of one task `t`.
fn small_job(job_type: &str) -> Value {
    json!({
        "ID": "small", "Name": "small", "Type": job_type, "Datacenters": ["dc1"],
        "TaskGroups": [{
            "Name": "g", "Count": 1,
            "Tasks": [{
                "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"},
                "Resources": {"CPU": 20, "MemoryMB": 10},
            }],
        }],
    })
}

/// Decodes the registration of the job and canonicalises it.
fn register(job: &Value) -> RegisterRequest {
    let body = json!({ "Job": job }).to_string();
    let mut request = decode_register(body.as_bytes()).unwrap();
    canonicalise(&mut request.job);
    request
}

/// Replaces or adds the values at the given JSON pointers.
fn edited(mut document: Value, edits: &[(&str, Value)]) -> Value {
    for (pointer, value) in edits {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {pointer}"));
        match parent {
            Value::Object(members) => drop(members.insert(name.to_owned(), value.clone())),
            Value::Array(items) if name == "-" => items.push(value.clone()),
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{pointer} stands in {other}"),
        }
    }
    document
}
