//! The right that each route requires, and the refusal of callers who lack it.

use std::collections::BTreeMap;

use ordu_core::job;
use ordu_core::state::{key, read};
use ordu_proto::command::JobRegister;
use ordu_proto::state::{Allocation, Deployment, Evaluation};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::access::Rights;
use crate::http::{Access, NamespaceOf, RowsOf, routes};

/// The right that Nomad's documentation names for each of its routes, by methods and path.
const DOCUMENTED: &[(&str, &str, &str)] = &[
    ("GET", "/v1/jobs", "namespace:list-jobs"),
    ("WRITE", "/v1/jobs", "namespace:submit-job"),
    ("GET", "/v1/job/:id", "namespace:read-job"),
    ("WRITE", "/v1/job/:id", "namespace:submit-job"),
    ("DELETE", "/v1/job/:id", "namespace:submit-job"),
    ("ANY", "/v1/job/:id/summary", "namespace:read-job"),
    ("ANY", "/v1/job/:id/versions", "namespace:read-job"),
    ("GET", "/v1/job/:id/allocations", "namespace:read-job"),
    ("GET", "/v1/job/:id/evaluations", "namespace:read-job"),
    ("GET", "/v1/job/:id/deployments", "namespace:read-job"),
    ("GET", "/v1/job/:id/deployment", "namespace:read-job"),
    ("WRITE", "/v1/job/:id/dispatch", "namespace:dispatch-job"),
    ("WRITE", "/v1/job/:id/periodic/force", "namespace:dispatch-job or namespace:submit-job"),
    ("WRITE", "/v1/job/:id/revert", "namespace:submit-job"),
    ("WRITE", "/v1/job/:id/stable", "namespace:submit-job"),
    ("WRITE", "/v1/job/:id/plan", "namespace:submit-job"),
    ("WRITE", "/v1/job/:id/evaluate", "namespace:read-job"),
    ("WRITE", "/v1/jobs/parse", "namespace:parse-job or namespace:submit-job"),
    ("WRITE", "/v1/validate/job", "namespace:read-job"),
    ("GET", "/v1/allocations", "namespace:read-job"),
    ("GET", "/v1/allocation/:id", "namespace:read-job"),
    ("GET", "/v1/evaluations", "namespace:read-job"),
    ("GET", "/v1/evaluation/:id", "namespace:read-job"),
    (
        "GET",
        "/v1/evaluation/:id/allocations",
        "none; rows of namespaces without namespace:read-job are left out",
    ),
    ("GET", "/v1/deployments", "namespace:read-job"),
    ("GET", "/v1/deployment/:id", "namespace:read-job"),
    ("GET", "/v1/nodes", "node:read"),
    ("GET", "/v1/node/:id", "node:read"),
    (
        "GET",
        "/v1/node/:id/allocations",
        "node:read; rows of namespaces without namespace:read-job are left out",
    ),
    ("WRITE", "/v1/search", "node:read or namespace:read-job"),
    ("GET", "/v1/status/leader", "none"),
    ("GET", "/v1/status/peers", "none"),
    ("GET", "/v1/regions", "none"),
    ("GET", "/v1/agent/self", "agent:read"),
    ("GET", "/v1/agent/members", "node:read"),
    ("GET", "/v1/agent/servers", "agent:read"),
    ("GET", "/v1/agent/health", "none"),
    ("GET", "/v1/metrics", "none"),
    ("PUT", "/v1/system/reconcile/summaries", "management"),
    ("GET", "/v1/operator/raft/configuration", "management"),
    ("DELETE", "/v1/operator/raft/peer", "management"),
    ("WRITE", "/v1/operator/raft/transfer-leadership", "management"),
    ("GET", "/v1/operator/autopilot/configuration", "operator:read"),
    ("WRITE", "/v1/operator/autopilot/configuration", "operator:write"),
    ("GET", "/v1/operator/autopilot/health", "operator:read"),
];

/// Public routes that Nomad does not have.
const OWN_AND_PUBLIC: &[&str] = &["/v1/openapi.json"];

#[test]
fn each_route_needs_what_nomad_documents_and_only_those_that_are_named_here_need_nothing() {
    let mut documented: BTreeMap<(&str, &str), &str> =
        DOCUMENTED.iter().map(|(methods, path, right)| ((*methods, *path), *right)).collect();
    for route in routes() {
        let told = route.access.to_string();
        match documented.remove(&(route.methods.name(), route.path)) {
            Some(right) => {
                let told = told.split(" in ").next().unwrap_or_default();
                assert_eq!(right, told, "{} {}", route.methods.name(), route.path);
            }
            None => {
                let is_public = route.access == Access::Public;
                assert_eq!(OWN_AND_PUBLIC.contains(&route.path), is_public, "{} needs nothing", route.path);
            }
        }
        if let Access::Namespace(capabilities, _) | Access::Rows(capabilities, _) = route.access {
            assert!(!capabilities.is_empty(), "{}: nobody could ever have it", route.path);
        }
        // A namespace named in the body requires a route with a body; that of a row requires a path with an id.
        match route.access {
            Access::Namespace(_, NamespaceOf::Body | NamespaceOf::Job) => {
                assert!(route.description.body.is_some(), "{} has no body", route.path);
            }
            Access::Namespace(_, NamespaceOf::Row) => {
                assert!(route.blocks && route.path.contains(":id"), "{} finds no row", route.path);
            }
            Access::Rows(..) => assert!(route.blocks, "{} lists no rows", route.path),
            _ => {}
        }
    }
    assert!(documented.is_empty(), "no such routes: {documented:?}");
}

pub(super) const OPEN: &str = "open";
pub(super) const CLOSED: &str = "closed";

fn id(number: u8) -> Vec<u8> {
    vec![number; 16]
}

pub(super) fn text(number: u8) -> String {
    crate::http::ids::text(&[number; 16])
}

impl Fixture {
    /// Starts a server on which `judge` decides about each right and its namespace. The namespaces `open` and
    /// `closed` each have one row of everything that has a namespace, with the ids 1 and 2.
    pub(super) async fn judged_by(judge: fn(Access, Option<&str>) -> bool) -> Self {
        let mut api = Self::start().await;
        for namespace in [OPEN, CLOSED] {
            // Written as a command, because a request may name no namespace but the default.
            let mut spec = job::decode_register(job_in(namespace).to_string().as_bytes()).unwrap().job;
            job::canonicalise(&mut spec);
            let (row, spec_json) = (Some(job::job_row(&spec, false)), job::spec_json(&spec));
            let command = JobRegister { job: row, spec_json, ..JobRegister::default() };
            api.server.context().writer.write(command).await.unwrap();
        }
        for (number, namespace) in [(1, OPEN), (2, CLOSED)] {
            let (id, namespace) = (id(number), namespace.to_owned());
            let alloc = Allocation {
                id: id.clone(),
                namespace: namespace.clone(),
                job_id: "job".to_owned(),
                node_id: self::id(9),
                ..Allocation::default()
            };
            let eval = Evaluation { id: id.clone(), namespace: namespace.clone(), ..Evaluation::default() };
            let deployment = Deployment { id: id.clone(), namespace, ..Deployment::default() };
            api.put([
                (
                    Table::AllocsByNode,
                    key::by_id(&self::id(9), &id),
                    read::node_alloc(&alloc).encode_to_vec(),
                ),
                (Table::AllocsByEval, key::by_id(&self::id(9), &id), Vec::new()),
                (Table::Allocs, id.clone(), alloc.encode_to_vec()),
                (Table::Evals, id.clone(), eval.encode_to_vec()),
                (Table::Deployments, id, deployment.encode_to_vec()),
            ]);
        }
        let context = api.server.context().clone();
        api.api = crate::http::router(context, CancellationToken::new(), Rights::Judged(judge));
        api
    }

    /// Returns the namespaces of a list's entries.
    async fn namespaces_of(&self, path: &str) -> Vec<String> {
        let asked = self.get(path).await;
        assert_eq!(StatusCode::OK, asked.status, "{path}: {}", asked.text());
        let list = asked.json();
        let of = |entry: &Value| {
            let named = entry["Namespace"].as_str().or_else(|| entry["JobSummary"]["Namespace"].as_str());
            named.unwrap().to_owned()
        };
        list.as_array().unwrap_or_else(|| panic!("{path}: {list}")).iter().map(of).collect()
    }
}

/// Returns a body that every route with a body can read: the job `job` in this namespace.
fn job_in(namespace: &str) -> Value {
    let mut body = registration("job", 50);
    body["Job"]["Namespace"] = namespace.into();
    body["JobID"] = "job".into();
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_do_nothing_is_refused_on_every_route_that_is_not_public() {
    let api = Fixture::judged_by(|_, _| false).await;
    let mut refused = 0;
    for route in routes() {
        let id = if route.path.starts_with("/v1/job/") { "job".to_owned() } else { text(1) };
        let path = route.path.replace(":id", &id);
        let method = route.methods.names()[0];
        let body = if route.body_bytes_max > 0 { job_in(OPEN).to_string() } else { String::new() };
        for query in ["", "?namespace=open", "?namespace=closed"] {
            let asked = api.send(method, &format!("{path}{query}"), &[], &body).await;
            let what = format!("{method} {path}{query}: {} {}", asked.status, asked.text());
            match route.access {
                Access::Public => assert_ne!(StatusCode::FORBIDDEN, asked.status, "{what}"),
                // The list is answered, but without its rows.
                Access::Rows(_, RowsOf::Evaluation) => assert_eq!("[]", asked.text(), "{what}"),
                _ => {
                    assert_eq!((403, "Permission denied"), (asked.status.as_u16(), &*asked.text()), "{what}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_is_needed_in_the_namespace_that_counts() {
    let api = Fixture::judged_by(|_, namespace| namespace != Some(CLOSED)).await;
    let (in_open, in_closed) = (job_in(OPEN).to_string(), job_in(CLOSED).to_string());
    let (body_open, body_closed) =
        (r#"{"JobID":"job","Namespace":"open"}"#, r#"{"JobID":"job","Namespace":"closed"}"#);
    let (row_open, row_closed) = (text(1), text(2));
    for (method, path, body, status) in [
        ("GET", "/v1/jobs?namespace=open", "", 200),
        ("GET", "/v1/jobs?namespace=closed", "", 403),
        ("GET", "/v1/job/job?namespace=open", "", 200),
        ("GET", "/v1/job/job?namespace=closed", "", 403),
        ("GET", "/v1/job/none?namespace=closed", "", 403),
        ("DELETE", "/v1/job/none?namespace=closed", "", 403),
        ("PUT", "/v1/job/job/periodic/force?namespace=closed", "", 403),
        ("PUT", "/v1/jobs/parse?namespace=closed", r#"{"JobHCL":"job \"a\" {}"}"#, 403),
        // The job's namespace, unless the query or the body names one that is not the default.
        ("PUT", "/v1/validate/job", &in_open, 200),
        ("PUT", "/v1/validate/job", &in_closed, 403),
        ("PUT", "/v1/validate/job?namespace=open", &in_closed, 200),
        ("PUT", "/v1/validate/job?namespace=default", &in_closed, 403),
        ("PUT", "/v1/validate/job?namespace=closed", &in_open, 403),
        ("PUT", "/v1/jobs?namespace=closed", &in_open, 403),
        ("PUT", "/v1/job/job", &in_closed, 403),
        ("PUT", "/v1/job/job/plan", &in_open, 400),
        ("PUT", "/v1/job/job/plan", &in_closed, 403),
        // The body's namespace, unless the query names one.
        ("PUT", "/v1/job/job/evaluate", body_open, 200),
        ("PUT", "/v1/job/job/evaluate", body_closed, 403),
        ("PUT", "/v1/job/job/evaluate?namespace=open", body_closed, 200),
        ("PUT", "/v1/job/job/evaluate?namespace=closed", body_open, 403),
        ("PUT", "/v1/job/job/dispatch", body_closed, 403),
        ("PUT", "/v1/job/job/revert", body_closed, 403),
        ("PUT", "/v1/job/job/stable", body_closed, 403),
        // The row's namespace, whatever the query names.
        ("GET", &format!("/v1/allocation/{row_open}"), "", 200),
        ("GET", &format!("/v1/allocation/{row_closed}"), "", 403),
        ("GET", &format!("/v1/evaluation/{row_open}?namespace=closed"), "", 200),
        ("GET", &format!("/v1/evaluation/{row_closed}?namespace=open"), "", 403),
        ("GET", &format!("/v1/deployment/{row_open}"), "", 200),
        ("GET", &format!("/v1/deployment/{row_closed}"), "", 403),
        ("GET", &format!("/v1/deployment/{}", text(7)), "", 404),
    ] {
        let asked = api.send(method, path, &[], body).await;
        assert_eq!(status, asked.status.as_u16(), "{method} {path} {body}: {}", asked.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_leave_out_the_rows_that_a_caller_may_not_see() {
    let api = Fixture::judged_by(|_, namespace| namespace != Some(CLOSED)).await;
    let mut lists = 0;
    for route in routes() {
        let Access::Rows(_, of) = route.access else { continue };
        if of == RowsOf::Search {
            // It answers with ids alone, see `search`.
            continue;
        }
        lists += 1;
        let path = route.path.replace(":id", &text(9));
        let path = if of == RowsOf::Query { format!("{path}?namespace=*") } else { path };
        let shown = api.namespaces_of(&path).await;
        assert!(!shown.is_empty() && shown.iter().all(|namespace| namespace == OPEN), "{path}: {shown:?}");
    }
    assert!(lists >= 6, "{lists}");
    // A caller with all rights sees all rows.
    let all = Fixture::judged_by(|_, _| true).await;
    assert_eq!([OPEN, CLOSED], *all.namespaces_of("/v1/allocations?namespace=*").await);
    assert_eq!([CLOSED], *all.namespaces_of("/v1/allocations?namespace=closed").await);
}
