//! A job's specification divided by its task groups. An allocation keeps, in memory and on disk, only the part that
//! concerns it: of a job with many groups, whole copies would take memory by the square of their number.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The member with the task groups.
const GROUPS: &str = "TaskGroups";

/// A specification in parts of unparsed JSON.
pub(crate) struct DividedSpec {
    /// The job's members except for its groups.
    job: BTreeMap<String, Box<RawValue>>,
    /// The groups by name.
    groups: BTreeMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: String,
}

impl DividedSpec {
    /// Divides a specification. Errors are messages for the operator.
    pub(crate) fn divide(json: &[u8]) -> Result<Self, String> {
        let unreadable = |error| format!("the job's specification cannot be read: {error}");
        let mut job: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(json).map_err(unreadable)?;
        let all: Option<Vec<Box<RawValue>>> = match job.remove(GROUPS) {
            Some(groups) => serde_json::from_str(groups.get()).map_err(unreadable)?,
            None => None,
        };
        let mut groups = BTreeMap::new();
        for group in all.unwrap_or_default() {
            let Named { name } = serde_json::from_str(group.get()).map_err(unreadable)?;
            groups.insert(name, group);
        }
        Ok(Self { job, groups })
    }

    /// Returns the specification with this group only; with none if the job has no such group. It has the form of a
    /// whole specification, so earlier releases can read it.
    pub(crate) fn of_group(&self, name: &str) -> Vec<u8> {
        let members = self.job.iter().map(|(name, value)| (name.as_str(), value.get()));
        let group = self.groups.get(name).map_or("", |group| group.get());
        let groups = format!("[{group}]");
        let mut json = String::from("{");
        for (name, value) in members.chain([(GROUPS, groups.as_str())]) {
            let separator = if json.len() > 1 { "," } else { "" };
            json.extend([separator, &serde_json::Value::from(name).to_string(), ":", value]);
        }
        json.push('}');
        json.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_allocation_keeps_the_job_s_members_and_its_own_group() {
        let groups: Vec<Value> = ["a", "b \"x\""].map(|name| json!({"Name": name, "Tasks": [name]})).into();
        let whole = json!({"ID": "j", "Meta": {"k\n": 1.50}, "TaskGroups": groups, "Zone": null});
        let divided = DividedSpec::divide(whole.to_string().as_bytes()).unwrap();
        for (name, kept) in [("a", &groups[..1]), ("b \"x\"", &groups[1..]), ("c", &[])] {
            let found: Value = serde_json::from_slice(&divided.of_group(name)).unwrap();
            let mut expected = whole.clone();
            expected["TaskGroups"] = kept.into();
            assert_eq!(found, expected);
            let again = DividedSpec::divide(found.to_string().as_bytes()).unwrap();
            assert_eq!(again.of_group(name), divided.of_group(name));
        }
    }

    #[test]
    fn jobs_without_groups_are_divided_and_what_is_no_job_is_refused() {
        for json in [r#"{}"#, r#"{"TaskGroups":null}"#, r#"{"TaskGroups":[]}"#] {
            assert_eq!(DividedSpec::divide(json.as_bytes()).unwrap().of_group("g"), br#"{"TaskGroups":[]}"#);
        }
        for json in ["", "[", "[]", r#"{"TaskGroups":[{}]}"#, r#"{"TaskGroups":7}"#] {
            assert!(DividedSpec::divide(json.as_bytes()).is_err(), "{json}");
        }
    }
}
