//! Tests of the client against a small HTTP server that gives a fixed answer and records the requests.

use crate::{Client, Error, Options, Query, RegisterOptions};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it was received.
#[derive(Debug, Clone, Default)]
struct Seen {
    line: String,
    headers: Vec<String>,
    body: String,
}

/// Answers every request with one status and body, and with the headers of a read.
async fn serve(status: u16, body: &'static str) -> (Client, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, status, body, Arc::clone(&kept)));
        }
    });
    (Client::new(Options::at(address)).unwrap(), seen)
}

async fn answer(stream: TcpStream, status: u16, body: &'static str, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    let mut request = Seen::default();
    while let Ok(1..) = stream.read_line(&mut request.line).await {
        let mut bytes = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(length) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                bytes = length.trim().parse().unwrap();
            }
            request.headers.push(header.trim().to_owned());
        }
        let mut content = vec![0; bytes];
        stream.read_exact(&mut content).await.unwrap();
        request.body = String::from_utf8(content).unwrap();
        request.line = request.line.trim().to_owned();
        seen.lock().unwrap().push(std::mem::take(&mut request));
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nX-Nomad-Index: 42\r\nX-Nomad-LastContact: 7\r\nX-Nomad-KnownLeader: true\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
    }
}

fn only(seen: &Mutex<Vec<Seen>>) -> Seen {
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen[0].clone()
}

#[tokio::test]
async fn a_read_carries_its_options_and_brings_its_headers() {
    let (client, seen) = serve(200, "[]").await;
    let options = Options {
        token: Some("secret".to_owned()),
        region: Some("eu".to_owned()),
        namespace: Some("n s".to_owned()),
        ..Options::at(client.address())
    };
    let client = Client::new(options).unwrap();
    let query = Query { stale: true, ..Query::default() }
        .after(9)
        .for_at_most(Duration::from_secs(2))
        .with_prefix("a/b");
    let answer = client.jobs(&query).await.unwrap();
    assert_eq!((answer.meta.index, answer.meta.last_contact_ms, answer.meta.known_leader), (42, 7, true));
    let request = only(&seen);
    assert_eq!(
        request.line,
        "GET /v1/jobs?region=eu&namespace=n+s&index=9&wait=2000ms&stale=true&prefix=a%2Fb HTTP/1.1"
    );
    assert!(
        request.headers.iter().any(|header| header.eq_ignore_ascii_case("X-Nomad-Token: secret")),
        "{request:?}"
    );
}

#[tokio::test]
async fn a_query_goes_before_the_clients_namespace() {
    let (client, seen) = serve(200, "[]").await;
    let client =
        Client::new(Options { namespace: Some("a".to_owned()), ..Options::at(client.address()) }).unwrap();
    client.nodes(&Query { namespace: Some("*".to_owned()), ..Query::default() }).await.unwrap();
    assert_eq!(only(&seen).line, "GET /v1/nodes?namespace=* HTTP/1.1");
}

#[tokio::test]
async fn ids_are_encoded_as_one_segment() {
    for (id, wanted) in [("a/b c", "a%2Fb%20c"), ("ü?#%", "%C3%BC%3F%23%25"), ("a-b_c.d~1", "a-b_c.d~1")] {
        let (client, seen) = serve(200, r#"{"JobID": "x"}"#).await;
        client.job_summary(id, &Query::default()).await.unwrap();
        assert_eq!(only(&seen).line, format!("GET /v1/job/{wanted}/summary HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_registration_wraps_the_job_and_the_index_to_enforce() {
    let answer = r#"{"EvalID": "e", "EvalCreateIndex": 5, "JobModifyIndex": 4, "Warnings": "w", "Index": 5}"#;
    let (client, seen) = serve(200, answer).await;
    let options = RegisterOptions { enforce_job_modify_index: Some(3), ..RegisterOptions::default() };
    let registered = client.register_job(&json!({"ID": "j"}), &options).await.unwrap();
    assert_eq!(
        (registered.eval_id.as_str(), registered.job_modify_index, registered.warnings.as_str()),
        ("e", 4, "w")
    );
    let request = only(&seen);
    assert_eq!(request.line, "PUT /v1/jobs HTTP/1.1");
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, json!({"Job": {"ID": "j"}, "EnforceIndex": true, "JobModifyIndex": 3}));
}

#[tokio::test]
async fn a_deregistration_says_whether_to_purge() {
    let (client, seen) = serve(200, r#"{"EvalID": ""}"#).await;
    client.deregister_job("j", Some("n"), true).await.unwrap();
    assert_eq!(only(&seen).line, "DELETE /v1/job/j?namespace=n&purge=true HTTP/1.1");
}

#[tokio::test]
async fn refusals_keep_status_and_text() {
    let (client, _) = serve(404, "job not found\n").await;
    let error = client.job("j", &Query::default()).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), "Unexpected response code: 404 (job not found)");
    let (client, _) = serve(500, "").await;
    assert_eq!(client.leader().await.unwrap_err().status(), Some(500));
}

#[tokio::test]
async fn answers_that_are_none_are_errors_with_the_path() {
    let (client, _) = serve(200, "{").await;
    let error = client.evaluation("e", &Query::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Decode { path, .. } if path == "/v1/evaluation/e"), "{error}");
    let (client, _) = serve(200, "").await;
    assert!(client.get::<serde_json::Value>("/v1/x", &Query::default()).await.unwrap().value.is_null());
}

#[tokio::test]
async fn nobody_at_home_is_an_error_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(Options::at(&address)).unwrap().leader().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("no answer from {address}: ")), "{error}");
    assert_eq!(error.status(), None);
}

#[test]
fn addresses_that_are_none_are_refused() {
    for address in ["", "127.0.0.1:4646", "https://127.0.0.1", "unix:///x"] {
        assert!(matches!(Client::new(Options::at(address)), Err(Error::Address { .. })), "{address}");
    }
}

#[tokio::test]
async fn stubs_are_read_from_what_servers_send() {
    let jobs = r#"[{"CreateIndex": 1, "Datacenters": null, "ID": "j", "JobModifyIndex": 2, "Priority": 50,
        "JobSummary": {"JobID": "j", "Children": {"Dead": 1, "Pending": 0, "Running": 0}, "Summary": {"g": {"Running": 3, "Lost": 1}}},
        "Multiregion": null, "Status": "running", "Type": "service", "SubmitTime": 5, "ParentID": ""}]"#;
    let job = serve(200, jobs).await.0.jobs(&Query::default()).await.unwrap().value.remove(0);
    assert_eq!((job.id.as_str(), job.job_type.as_str(), job.status.as_str()), ("j", "service", "running"));
    assert_eq!(job.job_summary.unwrap().summary["g"].running, 3);

    let evaluation = r#"{"ID": "e", "Status": "complete", "BlockedEval": "b", "QueuedAllocations": {"g": 1},
        "FailedTGAllocs": {"g": {"NodesEvaluated": 1, "DimensionExhausted": {"cpu": 1}, "ClassFiltered": null, "CoalescedFailures": 2}}}"#;
    let evaluation = serve(200, evaluation).await.0.evaluation("e", &Query::default()).await.unwrap().value;
    assert!(evaluation.is_over());
    assert_eq!(evaluation.failed_groups["g"].dimension_exhausted["cpu"], 1);

    let allocations = r#"[{"ID": "a", "EvalID": "e", "ClientStatus": "failed", "TaskStates": {"t": {"State": "dead", "Failed": true,
        "StartedAt": null, "Events": [{"Type": "Terminated", "DisplayMessage": "Exit Code: 1", "Time": 9}]}}}]"#;
    let allocation = serve(200, allocations)
        .await
        .0
        .job_allocations("j", &Query::default())
        .await
        .unwrap()
        .value
        .remove(0);
    assert_eq!(allocation.task_states["t"].events[0].display_message, "Exit Code: 1");

    let node = r#"{"ID": "n", "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 2048}, "Disk": {"DiskMB": 9}, "Networks": []},
        "Drivers": {"raw_exec": {"Detected": true, "Healthy": true}}, "Events": null}"#;
    let node = serve(200, node).await.0.node("n", &Query::default()).await.unwrap().value;
    let resources = node.node_resources.unwrap();
    assert_eq!((resources.cpu_mhz(), resources.memory_mb(), resources.disk_mb()), (4000, 2048, 9));

    let raft = r#"{"Index": 0, "Servers": [{"Address": "127.0.0.1:4647", "ID": "x", "Leader": true, "Voter": true, "RaftProtocol": "3"}]}"#;
    let raft = serve(200, raft).await.0.raft_configuration(&Query::default()).await.unwrap().value;
    assert!(raft.servers[0].leader && raft.servers[0].voter);

    let members = r#"{"ServerName": "s", "ServerDC": "dc1", "Members": [{"Name": "s.global", "Addr": "127.0.0.1", "Port": 4648, "Status": "alive", "Tags": {"region": "global"}}]}"#;
    let members = serve(200, members).await.0.agent_members().await.unwrap();
    assert_eq!((members.server_dc.as_str(), members.members[0].port), ("dc1", 4648));
}

#[tokio::test]
async fn metrics_come_as_json_or_text() {
    let (client, seen) = serve(200, "# HELP x\nx 1\n").await;
    assert_eq!(client.metrics_for_prometheus().await.unwrap(), "# HELP x\nx 1\n");
    assert_eq!(only(&seen).line, "GET /v1/metrics?format=prometheus HTTP/1.1");
    assert_eq!(serve(200, r#"{"Gauges": []}"#).await.0.metrics().await.unwrap(), json!({"Gauges": []}));
}

#[tokio::test]
async fn a_search_names_prefix_and_context_in_its_body() {
    let answer =
        r#"{"Matches":{"jobs":["a1"],"nodes":null},"Truncations":{"jobs":true,"nodes":false},"Index":9}"#;
    let (client, seen) = serve(200, answer).await;
    let found = client.search("a", "all", Some("n")).await.unwrap();
    assert_eq!(
        (Some(vec!["a1".to_owned()]), None),
        (found.matches["jobs"].clone(), found.matches["nodes"].clone())
    );
    assert_eq!((true, 9), (found.truncations["jobs"], found.index));
    let sent = only(&seen);
    assert_eq!(sent.line, "POST /v1/search?namespace=n HTTP/1.1");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&sent.body).unwrap(),
        json!({"Prefix": "a", "Context": "all"})
    );
}
