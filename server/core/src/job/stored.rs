//! Stored specifications in `apply`. It reads and edits only the members named here and copies all others verbatim, so
//! that servers of different releases, which know different members, decide alike and store the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::splice::Object;

/// Members of a specification on which decisions in `apply` depend. Reading another member changes the meaning of log
/// entries, so it requires a feature level that all servers of the cluster support.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct SpecFacts {
    pub(crate) periodic: Option<PeriodicFacts>,
    pub(crate) parameterized_job: Option<ParameterFacts>,
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) task_groups: Vec<GroupFacts>,
}

/// Members of a schedule that can suppress launches.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PeriodicFacts {
    pub(crate) enabled: Option<bool>,
    pub(crate) prohibit_overlap: Option<bool>,
}

/// Payload and metadata that a dispatch must or may have.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ParameterFacts {
    pub(crate) payload: String,
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) meta_required: Vec<String>,
    #[serde(deserialize_with = "null_as_empty")]
    pub(crate) meta_optional: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct GroupFacts {
    pub(crate) name: String,
    pub(crate) count: Option<i64>,
    pub(crate) reschedule_policy: Option<RescheduleFacts>,
}

/// Members that decide whether failed allocations may be rescheduled.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RescheduleFacts {
    pub(crate) attempts: Option<i64>,
    pub(crate) unlimited: Option<bool>,
}

impl SpecFacts {
    /// Decodes a stored specification.
    pub(crate) fn read(json: &[u8]) -> Result<SpecFacts, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Returns the names of the groups.
    pub(crate) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.task_groups.iter().map(|group| &*group.name)
    }
}

/// Returns the bytes of a specification's schedule. Schedules are equal exactly if these are.
pub(crate) fn written_schedule(json: &[u8]) -> Option<&str> {
    serde_json::from_slice::<Object<'_>>(json).ok()?.get("Periodic").map(RawValue::get)
}

/// A stored specification with edits.
pub(crate) struct SpecEdit<'a> {
    spec: Object<'a>,
    /// Size before the edits.
    bytes: usize,
}

impl<'a> SpecEdit<'a> {
    /// Starts editing a stored specification.
    pub(crate) fn of(json: &'a [u8]) -> Result<SpecEdit<'a>, serde_json::Error> {
        Ok(SpecEdit { spec: serde_json::from_slice(json)?, bytes: json.len() })
    }

    /// Sets the job's ID and name to `id`.
    pub(crate) fn set_id(&mut self, id: &str) {
        self.spec.set("ID", &id);
        self.spec.set("Name", &id);
    }

    /// Removes the schedule.
    pub(crate) fn clear_schedule(&mut self) {
        self.spec.set("Periodic", &None::<&str>);
    }

    /// Adds metadata; replaces entries with the same key.
    pub(crate) fn add_meta(&mut self, meta: &BTreeMap<String, String>) -> Result<(), serde_json::Error> {
        if !meta.is_empty() {
            let own: Option<Object<'a>> = self.spec.read("Meta")?;
            self.spec.set_object("Meta", own.unwrap_or_default().with_texts(meta));
        }
        Ok(())
    }

    /// Sets the count of each group whose name is in `counts`.
    pub(crate) fn set_counts(
        &mut self,
        counts: &BTreeMap<&str, Option<i64>>,
    ) -> Result<(), serde_json::Error> {
        let Some(mut groups) = self.spec.read::<Vec<Object<'a>>>("TaskGroups")? else { return Ok(()) };
        for group in &mut groups {
            let name: Option<String> = group.read("Name")?;
            if let Some(count) = counts.get(name.as_deref().unwrap_or_default()) {
                group.set("Count", count);
            }
        }
        self.spec.set_list("TaskGroups", groups);
        Ok(())
    }

    /// Returns the edited specification in its stored form.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.bytes + 256);
        self.spec.write(&mut json);
        json
    }
}

fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
