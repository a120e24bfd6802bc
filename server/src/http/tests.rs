//! Tests of the API on one in-memory server, called without a socket.

mod access;
mod browsers;
mod connections;
mod jobs;
mod lists;
mod metrics;
mod search;
mod unreadable;
mod watching;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use ordu_core::state::{Table, Write};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::server::Server;
use crate::testing::one_server;

const DEADLINE: Duration = Duration::from_secs(20);

/// Repeats `look` until it succeeds; panics with its error after `DEADLINE`.
async fn eventually<T>(look: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(missing) => assert!(Instant::now() < deadline, "{missing}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Asked {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn index(&self) -> u64 {
        self.headers["x-nomad-index"].to_str().unwrap().parse().unwrap()
    }
}

struct Fixture {
    server: Server,
    api: Router,
}

impl Fixture {
    async fn start() -> Self {
        let server = one_server().await;
        let api = super::service(server.context().clone());
        let fixture = Self { server, api };
        eventually(async || {
            let leader = fixture.get("/v1/status/leader").await.json();
            (leader != "").then_some(()).ok_or_else(|| "no leader".to_owned())
        })
        .await;
        fixture
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Asked {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.api.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Asked { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, target: &str) -> Asked {
        self.send("GET", target, &[], "").await
    }

    async fn register(&self, id: &str, priority: u64) -> Value {
        let asked = self.send("POST", "/v1/jobs", &[], &registration(id, priority).to_string()).await;
        assert_eq!(StatusCode::OK, asked.status, "{}", asked.text());
        asked.json()
    }

    /// Writes rows directly into the database, bypassing the log.
    fn put(&self, rows: impl IntoIterator<Item = (Table, Vec<u8>, Vec<u8>)>) {
        let write = |(table, key, value)| Write { table, key, value: Some(value) };
        self.server.context().state.db().commit(rows.into_iter().map(write).collect()).unwrap();
    }

    /// Waits until the job has no pending and at most one blocked evaluation, so that its index no longer
    /// changes. (All but the newest of several blocked evaluations are cancelled after a while.)
    async fn settled(&self, id: &str) {
        eventually(async || {
            let evals = self.get(&format!("/v1/job/{id}/evaluations")).await.json();
            let with =
                |status: &str| evals.as_array().unwrap().iter().filter(|it| it["Status"] == status).count();
            let is_settled = with("pending") == 0 && with("blocked") <= 1;
            is_settled.then_some(()).ok_or_else(|| evals.to_string())
        })
        .await;
    }

    /// Waits until exactly `queries` blocking queries are held open.
    async fn waiting(&self, queries: usize) {
        eventually(async || {
            let metrics = self.get("/v1/metrics").await.json();
            let mut gauges = metrics["Gauges"].as_array().unwrap().iter();
            let held = gauges.find(|gauge| gauge["Name"] == "ordu_http_blocking_queries").unwrap();
            let wait = held["Value"] == json!(queries as f64);
            wait.then_some(()).ok_or_else(|| format!("{held} of {queries} blocking queries wait"))
        })
        .await;
    }
}

fn registration(id: &str, priority: u64) -> Value {
    json!({"Job": {
        "ID": id, "Name": id, "Type": "batch", "Priority": priority, "Datacenters": ["nowhere"],
        "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"},
            "Resources": {"CPU": 20, "MemoryMB": 10},
        }]}],
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_registered_read_changed_and_purged() {
    let api = Fixture::start().await;
    let empty = api.get("/v1/jobs").await;
    assert_eq!((json!([]), 0), (empty.json(), empty.index()));
    assert_eq!("true", empty.headers["x-nomad-knownleader"]);
    assert_eq!("0", empty.headers["x-nomad-lastcontact"]);

    let id = "some/job";
    let registered = api.register(id, 50).await;
    assert_eq!(36, registered["EvalID"].as_str().unwrap().len());
    assert_eq!((&json!(0), &json!(false), &json!("")), {
        (&registered["LastContact"], &registered["KnownLeader"], &registered["Warnings"])
    });
    api.settled("some%2Fjob").await;
    for path in ["/v1/job/some/job", "/v1/job/some%2Fjob", "/v1/job/some/job?stale"] {
        let read = api.get(path).await;
        assert_eq!(StatusCode::OK, read.status, "{path}: {}", read.text());
        let job = read.json();
        assert_eq!((&json!(id), &json!(50), &json!(0)), (&job["ID"], &job["Priority"], &job["Version"]));
        assert_eq!(job["ModifyIndex"], read.index());
    }
    assert_eq!(1, api.get("/v1/jobs?prefix=some").await.json().as_array().unwrap().len());
    assert_eq!(json!([]), api.get("/v1/jobs?prefix=other").await.json());
    assert_eq!(1, api.get("/v1/jobs?namespace=*&prefix=some/").await.json().as_array().unwrap().len());
    let summary = api.send("POST", "/v1/job/some/job/summary", &[], "").await.json();
    assert_eq!(id, summary["JobID"]);

    api.register(id, 51).await;
    let versions = api.get("/v1/job/some/job/versions?diffs=true").await;
    let document = versions.json();
    let numbers: Vec<&Value> =
        document["Versions"].as_array().unwrap().iter().map(|version| &version["Version"]).collect();
    assert_eq!(vec![&json!(1), &json!(0)], numbers);
    let changed = &document["Diffs"][0]["Fields"][0];
    assert_eq!((&json!("Priority"), &json!("51")), (&changed["Name"], &changed["New"]));
    assert_eq!(
        (Some(1), &json!(versions.index())),
        (document["Diffs"].as_array().map(Vec::len), &document["Index"])
    );
    assert_eq!(Value::Null, api.get("/v1/job/some/job/versions").await.json()["Diffs"]);

    let evals = api.get("/v1/job/some/job/evaluations").await.json();
    let eval = evals[0]["ID"].as_str().unwrap().to_owned();
    assert_eq!(eval, api.get(&format!("/v1/evaluation/{eval}")).await.json()["ID"]);
    let listed = api.get(&format!("/v1/evaluations?prefix={}", &eval[..8])).await.json();
    assert!(listed.as_array().unwrap().iter().any(|listed| listed["ID"] == *eval));
    assert_eq!(json!([]), api.get("/v1/job/some/job/allocations?all=true").await.json());
    assert_eq!(json!([]), api.get("/v1/job/some/job/deployments").await.json());
    assert_eq!(Value::Null, api.get("/v1/job/some/job/deployment").await.json());
    let evaluated = api.send("PUT", "/v1/job/some/job/evaluate", &[], r#"{"JobID":"some/job"}"#).await;
    assert_eq!(36, evaluated.json()["EvalID"].as_str().unwrap().len());

    let purged = api.send("DELETE", "/v1/job/some/job?purge=true", &[], "").await;
    assert_eq!((StatusCode::OK, &json!("")), (purged.status, &purged.json()["VolumeEvalID"]));
    for (path, text) in
        [("", "job not found"), ("/summary", "job not found"), ("/versions", "job versions not found")]
    {
        let gone = api.get(&format!("/v1/job/some/job{path}")).await;
        assert_eq!((StatusCode::NOT_FOUND, text), (gone.status, gone.text().as_str()));
        assert!(gone.index() >= purged.index(), "{path}: {} before {}", gone.index(), purged.index());
        assert_eq!("text/plain; charset=utf-8", gone.headers["content-type"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_around_the_jobs_is_told() {
    let api = Fixture::start().await;
    for (path, expected) in [
        ("/v1/status/leader", json!("127.0.0.1:4647")),
        ("/v1/status/peers", json!(["127.0.0.1:4647"])),
        ("/v1/agent/servers", json!(["127.0.0.1:4647"])),
        ("/v1/regions", json!(["global"])),
        ("/v1/agent/health", json!({"server": {"message": "ok", "ok": true}})),
        ("/v1/nodes", json!([])),
        ("/v1/allocations", json!([])),
    ] {
        assert_eq!(expected, api.get(path).await.json(), "{path}");
    }
    let itself = api.get("/v1/agent/self").await.json();
    assert_eq!(("one.global", "dc1"), {
        (itself["member"]["Name"].as_str().unwrap(), itself["member"]["Tags"]["dc"].as_str().unwrap())
    });
    for (part, figures) in [
        (
            "nomad",
            json!({
                "server": "true", "leader": "true", "leader_addr": "127.0.0.1:4647", "bootstrap": "true", "known_regions": "1",
            }),
        ),
        (
            "raft",
            json!({"state": "Leader", "last_contact": "0", "num_peers": "0", "last_snapshot_index": "0"}),
        ),
        ("runtime", json!({"kernel.name": "linux"})),
    ] {
        for (name, figure) in figures.as_object().unwrap() {
            assert_eq!(figure, &itself["stats"][part][name], "{part}.{name}");
        }
    }
    let raft = &itself["stats"]["raft"];
    for name in ["term", "last_log_term", "last_log_index", "commit_index", "applied_index", "fsm_pending"] {
        let figure: u64 =
            raft[name].as_str().unwrap_or_else(|| panic!("{name} is not in {raft}")).parse().unwrap();
        assert_eq!(name == "fsm_pending", figure == 0, "{name} is {figure}");
    }
    assert_eq!(raft["term"], raft["last_log_term"]);
    assert!(itself["stats"]["runtime"]["cpu_count"].as_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(Value::Null, itself["stats"]["client"], "no node agent runs in this process");
    // Clients go by the version of Nomad's API; Ordu's own version is reported beside it.
    let (api_version, own) = (json!("1.0.18"), json!(env!("CARGO_PKG_VERSION")));
    for (told, version) in [
        (&itself["config"]["Version"]["Version"], &api_version),
        (&itself["member"]["Tags"]["build"], &api_version),
        (&itself["config"]["Version"]["Revision"], &own),
        (&itself["member"]["Tags"]["ordu.version"], &own),
        (&itself["stats"]["ordu"]["version"], &own),
    ] {
        assert_eq!(version, told);
    }
    let members = api.get("/v1/agent/members").await.json();
    assert_eq!(itself["member"]["Name"], members["Members"][0]["Name"]);
    assert_eq!((&json!("dc1"), &json!("alive")), (&members["ServerDC"], &members["Members"][0]["Status"]));
    let raft = api.get("/v1/operator/raft/configuration").await.json();
    assert_eq!((&json!(true), &json!(true)), (&raft["Servers"][0]["Leader"], &raft["Servers"][0]["Voter"]));
    let hash = api.get("/v1/operator/ordu/state-hash").await.json();
    assert_eq!(64, hash["Hash"].as_str().unwrap().len());
    assert!(hash["Index"].as_u64().unwrap() > 0);
    let metrics = api.get("/v1/metrics").await.json();
    assert!(metrics["Gauges"].as_array().unwrap().iter().any(|gauge| gauge["Name"] == "ordu_raft_leads"));
    let text = api.get("/v1/metrics?format=prometheus").await;
    assert!(text.text().contains("\nordu_raft_leads 1\n"), "{}", text.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_in_nomad_s_words() {
    let api = Fixture::start().await;
    let other = registration("other", 50).to_string();
    for (method, target, body, status, text) in [
        ("PATCH", "/v1/jobs", "", 405, "Invalid method"),
        ("GET", "/v1/nonsense", "", 404, "404 page not found"),
        ("POST", "/v1/jobs", "", 400, "Request body is empty"),
        ("POST", "/v1/jobs", "{}", 400, "Job must be specified"),
        ("POST", "/v1/jobs", r#"{"Job":{"ID":""}}"#, 400, "Missing job ID"),
        ("POST", "/v1/job/one", &other, 400, "Job ID does not match name"),
        ("POST", "/v1/job/none/evaluate", "", 404, "job not found"),
        ("POST", "/v1/job/none/evaluate", "nonsense", 400, "invalid character"),
        ("DELETE", "/v1/job/none?purge=maybe", "", 400, "Failed to parse value of \"purge\""),
        ("POST", "/v1/jobs?namespace=*", &other, 400, "is in nonexistent namespace \"*\""),
        ("PUT", "/v1/job/other/plan?namespace=a.b", &other, 400, "is in nonexistent namespace \"a.b\""),
        ("DELETE", "/v1/job/none?namespace=*", "", 400, "invalid namespace \"*\""),
        ("PUT", "/v1/job/none/evaluate?namespace=*", "", 400, "invalid namespace \"*\""),
        ("PUT", "/v1/job/none/periodic/force?namespace=*", "", 400, "invalid namespace \"*\""),
        ("PUT", "/v1/job/none/dispatch", r#"{"Namespace":"a.b"}"#, 400, "invalid namespace \"a.b\""),
        (
            "PUT",
            "/v1/job/none/revert?namespace=a%20b",
            r#"{"JobID":"none"}"#,
            400,
            "invalid namespace \"a b\"",
        ),
        ("PUT", "/v1/job/none/stable?namespace=%2f", r#"{"JobID":"none"}"#, 400, "invalid namespace \"/\""),
        ("GET", "/v1/jobs?index=abc", "", 400, "Invalid index"),
        ("GET", "/v1/jobs?wait=abc", "", 400, "Invalid wait time"),
        ("GET", "/v1/jobs?region=elsewhere", "", 400, "No path to region"),
        ("GET", "/v1/job/%ff", "", 400, "percent-encoding"),
        (
            "GET",
            "/v1/allocation/abc",
            "",
            400,
            "alloc lookup failed: index error: UUID must be 36 characters",
        ),
        ("GET", "/v1/allocations?prefix=abc", "", 400, "Input (without hyphens) must be even length"),
        ("GET", "/v1/node/00000000-0000-0000-0000-000000000000", "", 404, "node not found"),
        ("GET", "/v1/evaluation/00000000-0000-0000-0000-000000000000", "", 404, "eval not found"),
        ("GET", "/v1/agent/health?type=x", "", 400, "\"x\""),
    ] {
        let asked = api.send(method, target, &[], body).await;
        assert_eq!(status, asked.status.as_u16(), "{method} {target} {body}: {}", asked.text());
        assert!(asked.text().contains(text), "{method} {target} {body}: {}", asked.text());
    }
    assert_eq!(0, api.get("/v1/jobs").await.index());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_compressed_for_those_who_take_it() {
    let api = Fixture::start().await;
    api.register("large", 50).await;
    let plain = api.get("/v1/job/large?stale").await;
    let packed = api.send("GET", "/v1/job/large?stale", &[("accept-encoding", "gzip")], "").await;
    assert_eq!("gzip", packed.headers["content-encoding"]);
    assert!(packed.body.len() < plain.body.len());
    let pretty = api.get("/v1/job/large?stale&pretty").await;
    assert!(pretty.text().starts_with("{\n    \"") && pretty.text().ends_with("}\n"));
    assert_eq!(plain.json()["ID"], pretty.json()["ID"]);
}
