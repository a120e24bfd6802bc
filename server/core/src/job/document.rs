//! Writes the API's documents of a job from rows and stored bytes. Jobs are read often, so the stored specification is
//! copied without parsing it.

use std::collections::BTreeMap;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use ordu_proto::state;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// Members of a job that its row holds. The stored specification contains none of them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RowMembers<'a> {
    stop: bool,
    #[serde(rename = "ParentID")]
    parent_id: &'a str,
    dispatched: bool,
    payload: Option<Base64<'a>>,
    #[serde(rename = "NomadTokenID")]
    nomad_token_id: &'a str,
    status: &'a str,
    status_description: &'a str,
    stable: bool,
    version: u64,
    submit_time: i64,
    create_index: u64,
    modify_index: u64,
    job_modify_index: u64,
}

/// Bytes that serialise as base64.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// Appends the job as in `GET /v1/job/:id`: members of the row, then those of the specification.
pub fn job_document(row: &state::Job, spec: &state::JobSpec, out: &mut Vec<u8>) {
    let spec_json = &*spec.json;
    let members = RowMembers {
        stop: row.stop,
        parent_id: &row.parent_id,
        dispatched: row.dispatched,
        payload: Some(Base64(&spec.payload)).filter(|payload| !payload.0.is_empty()),
        nomad_token_id: "",
        status: &row.status,
        status_description: &row.status_description,
        stable: row.stable,
        version: row.version,
        submit_time: row.submit_time_ns,
        create_index: row.create_index,
        modify_index: row.modify_index,
        job_modify_index: row.job_modify_index,
    };
    out.reserve(spec_json.len() + 512);
    append(&members, out);
    if let Some(rest @ [b'"', ..]) = spec_json.strip_prefix(b"{") {
        out.pop();
        out.push(b',');
        out.extend_from_slice(rest);
    }
}

/// An entry of `GET /v1/jobs`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct JobStub<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "ParentID")]
    parent_id: &'a str,
    name: &'a str,
    datacenters: &'a [String],
    multiregion: (),
    #[serde(rename = "Type")]
    job_type: &'a str,
    priority: i32,
    periodic: bool,
    parameterized_job: bool,
    stop: bool,
    status: &'a str,
    status_description: &'a str,
    job_summary: SummaryDocument<'a>,
    create_index: u64,
    modify_index: u64,
    job_modify_index: u64,
    submit_time: i64,
}

impl<'a> JobStub<'a> {
    /// Names of the entry's members.
    pub const MEMBERS: &'static [&'static str] = &[
        "ID",
        "ParentID",
        "Name",
        "Datacenters",
        "Multiregion",
        "Type",
        "Priority",
        "Periodic",
        "ParameterizedJob",
        "Stop",
        "Status",
        "StatusDescription",
        "JobSummary",
        "CreateIndex",
        "ModifyIndex",
        "JobModifyIndex",
        "SubmitTime",
    ];

    /// Builds the entry of a job.
    pub fn of(row: &'a state::Job, summary: &'a state::JobSummary) -> JobStub<'a> {
        JobStub {
            id: &row.id,
            parent_id: &row.parent_id,
            name: &row.name,
            datacenters: &row.datacenters,
            multiregion: (),
            job_type: &row.r#type,
            priority: row.priority,
            periodic: row.periodic,
            parameterized_job: row.parameterized,
            stop: row.stop,
            status: &row.status,
            status_description: &row.status_description,
            job_summary: SummaryDocument::of(summary),
            create_index: row.create_index,
            modify_index: row.modify_index,
            job_modify_index: row.job_modify_index,
            submit_time: row.submit_time_ns,
        }
    }
}

/// Summary of a job, as in `GET /v1/job/:id/summary`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SummaryDocument<'a> {
    #[serde(rename = "JobID")]
    job_id: &'a str,
    namespace: &'a str,
    summary: BTreeMap<&'a str, GroupSummary>,
    children: Children,
    create_index: u64,
    modify_index: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct GroupSummary {
    queued: i64,
    complete: i64,
    failed: i64,
    running: i64,
    starting: i64,
    lost: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Children {
    pending: i64,
    running: i64,
    dead: i64,
}

impl<'a> SummaryDocument<'a> {
    /// Builds the document of a row.
    pub fn of(row: &'a state::JobSummary) -> SummaryDocument<'a> {
        let group = |group: &state::TaskGroupSummary| GroupSummary {
            queued: group.queued,
            complete: group.complete,
            failed: group.failed,
            running: group.running,
            starting: group.starting,
            lost: group.lost,
        };
        SummaryDocument {
            job_id: &row.job_id,
            namespace: &row.namespace,
            summary: row.groups.iter().map(|(name, counts)| (name.as_str(), group(counts))).collect(),
            children: Children {
                pending: row.children_pending,
                running: row.children_running,
                dead: row.children_dead,
            },
            create_index: row.create_index,
            modify_index: row.modify_index,
        }
    }
}

/// Appends the job's entry in `GET /v1/jobs`.
pub fn job_stub(row: &state::Job, summary: &state::JobSummary, out: &mut Vec<u8>) {
    append(&JobStub::of(row, summary), out);
}

/// Appends the summary as in `GET /v1/job/:id/summary`.
pub fn summary_document(summary: &state::JobSummary, out: &mut Vec<u8>) {
    append(&SummaryDocument::of(summary), out);
}

/// Appends a document as JSON.
pub(super) fn append(document: &impl Serialize, out: &mut Vec<u8>) {
    // The documents contain only strings, numbers and maps with string keys, and writing to a vector cannot fail.
    serde_json::to_writer(out, document).expect("the documents are JSON by their types");
}
