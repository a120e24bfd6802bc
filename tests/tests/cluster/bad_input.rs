//! Invalid requests are refused with a message and change nothing.

use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, Shape};
use ordu_tests::http::{Client, Connection};
use ordu_tests::jobs::{parameterized, periodic, registration, unplaceable, unplaceable_batch};
use ordu_tests::observe::register;

/// The documented limit of a request body, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;
/// The limit of request bodies that do not contain a job.
const SMALL_BODY_BYTES_MAX: usize = 64 << 10;
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// A request, the permitted statuses of its answer, and words that the answer must contain.
type Refusal<'a> = (&'a str, String, Option<&'a [u8]>, &'a [u16], &'a str);

async fn check(client: Client, (method, path, body, statuses, words): Refusal<'_>) {
    let what = format!(
        "{method} {path} {}",
        String::from_utf8_lossy(&body.unwrap_or_default()[..body.map_or(0, |b| b.len().min(80))])
    );
    let response = client.send(method, &path, body).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let text = response.text();
    assert!(statuses.contains(&response.status), "{what}: {} {text}", response.status);
    assert!(!text.trim().is_empty() && text.contains(words), "{what}: {text:?} does not say {words:?}");
    assert!(text.len() < 2_000, "{what}: a refusal of {} bytes", text.len());
}

/// Returns everything that shows a change: the indexes of the tables and their rows.
async fn state(client: Client) -> String {
    let mut parts = Vec::new();
    for path in ["/v1/jobs", "/v1/evaluations", "/v1/allocations"] {
        let response = client.get(path).await.expect("the server answers");
        assert_eq!(response.status, 200);
        parts.push(format!("{path} {} {}", response.index(), response.text()));
    }
    parts.join("\n")
}

async fn quiet_cluster() -> (Cluster, usize) {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    register(client, &unplaceable("there")).await;
    ordu_tests::harness::eventually(
        "its evaluation has ended",
        ordu_tests::harness::SETTLE_WITHIN,
        async || {
            let found = client.json("/v1/job/there/evaluations").await.map_err(|error| error.to_string())?;
            let done = found.as_array().is_some_and(|evals| {
                !evals.is_empty()
                    && evals.iter().all(|eval| eval["Status"] != "pending")
                    && evals.iter().any(|eval| eval["Status"] == "blocked")
            });
            ordu_tests::harness::holds(done, || found.to_string())
        },
    )
    .await;
    (cluster, follower)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_in_words_and_change_nothing() {
    let (cluster, follower) = quiet_cluster().await;
    let client = cluster.client(follower);
    let before = state(client).await;

    let faults: &[u16] = &[400, 422];
    let cases: Vec<Refusal<'_>> = vec![
        // Bodies.
        ("POST", "/v1/jobs".into(), Some(b"{nope"), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(b"\xff\xfe\x00"), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(b""), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(b"[]"), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(b"7"), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(b"{}"), &[400], "Job must be specified"),
        ("POST", "/v1/jobs".into(), Some(br#"{"Job": 7}"#), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(br#"{"Job": {"ID": 7}}"#), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(br#"{"Job": {"ID": "x", "TaskGroups": "many"}}"#), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(br#"{"Job": {"ID": "x", "Priority": "high"}}"#), &[400], ""),
        ("POST", "/v1/jobs".into(), Some(br#"{"Job": {"ID": "x", "Priority": 1e99}}"#), &[400], ""),
        ("PUT", "/v1/job/there".into(), Some(b"{}"), &[400], "Job must be specified"),
        (
            "PUT",
            "/v1/job/there".into(),
            Some(br#"{"Job": {"ID": "other"}}"#),
            &[400],
            "Job ID does not match",
        ),
        ("POST", "/v1/job/there/evaluate".into(), Some(b"nonsense"), &[400], ""),
        // Invalid jobs.
        (
            "POST",
            "/v1/jobs".into(),
            Some(br#"{"Job": {"ID": "x", "Name": "x"}}"#),
            faults,
            "Missing job task groups",
        ),
        (
            "POST",
            "/v1/jobs".into(),
            Some(br#"{"Job": {"ID": "a b", "Name": "x"}}"#),
            faults,
            "Job ID contains a space",
        ),
        (
            "POST",
            "/v1/jobs".into(),
            Some(br#"{"Job": {"ID": "x", "Type": "nonsense"}}"#),
            faults,
            "Invalid job type",
        ),
        // Objects that do not exist.
        ("GET", "/v1/job/none".into(), None, &[404], "job not found"),
        ("GET", "/v1/job/none/summary".into(), None, &[404], "job not found"),
        ("GET", "/v1/job/none/versions".into(), None, &[404], "job versions not found"),
        ("POST", "/v1/job/none/evaluate".into(), Some(br#"{"JobID": "none"}"#), &[404], "job not found"),
        ("GET", format!("/v1/allocation/{NO_ID}"), None, &[404], "alloc not found"),
        ("GET", format!("/v1/evaluation/{NO_ID}"), None, &[404], "eval not found"),
        ("GET", format!("/v1/node/{NO_ID}"), None, &[404], "node not found"),
        ("GET", "/v1/allocation/abc".into(), None, &[400, 404], "UUID must be 36 characters"),
        // Methods.
        ("PATCH", "/v1/jobs".into(), None, &[405], "Invalid method"),
        ("DELETE", "/v1/jobs".into(), None, &[405], "Invalid method"),
        ("PATCH", "/v1/job/there".into(), None, &[405], "Invalid method"),
        ("POST", "/v1/job/there/allocations".into(), None, &[405], "Invalid method"),
        ("DELETE", "/v1/job/there/evaluate".into(), None, &[405], "Invalid method"),
        ("POST", "/v1/nodes".into(), None, &[405], "Invalid method"),
        ("DELETE", "/v1/allocations".into(), None, &[405], "Invalid method"),
        // Query parameters.
        ("GET", "/v1/jobs?index=abc".into(), None, &[400], "Invalid index"),
        ("GET", "/v1/jobs?index=-1".into(), None, &[400], "Invalid index"),
        ("GET", "/v1/jobs?index=1&wait=abc".into(), None, &[400], "Invalid wait time"),
        ("DELETE", "/v1/job/there?purge=maybe".into(), None, &[400], "Failed to parse value of \"purge\""),
        ("GET", "/v1/jobs?region=elsewhere".into(), None, &[400, 404], "No path to region"),
    ];
    assert!(cases.len() > 30);
    for case in cases {
        check(client, case).await;
    }
    let unknown = client.get("/v1/nonsense").await.expect("the server answers");
    assert_eq!(unknown.status, 404);
    assert_eq!(state(client).await, before, "a refused request changed something");
}

/// Bodies that no route accepts.
const BAD_BODIES: [&[u8]; 8] =
    [b"", b"  ", b"{nope", b"\xff\xfe\x00", b"[]", b"7", b"\"text\"", b"{\"JobID\": [1]}"];

/// Returns requests to `path` that are wrong for any route.
fn wrong_bodies(path: &str) -> Vec<Refusal<'_>> {
    BAD_BODIES.iter().map(|body| ("POST", path.to_owned(), Some(*body), &[400][..], "")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_job_is_refused_in_words_where_it_makes_no_sense() {
    let (cluster, follower) = quiet_cluster().await;
    let client = cluster.client(follower).with_timeout(Duration::from_secs(30));
    for job in [
        parameterized(unplaceable_batch("parent"), &["known"]),
        periodic(unplaceable_batch("yearly"), "0 0 1 1 *"),
    ] {
        register(client, &job).await;
    }
    let before = state(client).await;
    let (small, large) = (vec![b' '; SMALL_BODY_BYTES_MAX + 1], vec![b' '; BODY_BYTES_MAX + 1]);
    let long_token = format!(r#"{{"IdempotencyToken": "{}"}}"#, "x".repeat(1_025));
    let deep = format!(r#"{{"Job": {}{}}}"#, r#"{"Meta":"#.repeat(2_000), "}".repeat(2_000));

    let faults: &[u16] = &[400];
    let mut cases: Vec<Refusal<'_>> = Vec::new();
    for path in ["/v1/job/parent/dispatch", "/v1/job/there/revert", "/v1/job/there/stable"] {
        cases.extend(wrong_bodies(path));
        cases.push(("POST", path.into(), Some(&small), &[413], "larger than"));
    }
    for path in ["/v1/job/there/plan", "/v1/jobs/parse", "/v1/validate/job"] {
        cases.extend(wrong_bodies(path));
        cases.push(("POST", path.into(), Some(&large), &[413], "larger than"));
        cases.push(("POST", path.into(), Some(deep.as_bytes()), &[400], ""));
    }
    let (dispatch, plan) = (|| "/v1/job/parent/dispatch".to_owned(), || "/v1/job/there/plan".to_owned());
    cases.extend([
        ("POST", dispatch(), Some(&br#"{"Payload": 7}"#[..]), &[400][..], ""),
        ("POST", dispatch(), Some(br#"{"Payload": "$$$"}"#), &[400], "illegal base64 data at input byte 0"),
        ("POST", dispatch(), Some(br#"{"Meta": ["a"]}"#), &[400], ""),
        ("POST", dispatch(), Some(br#"{"Meta": {"known": 7}}"#), &[400], ""),
        (
            "POST",
            dispatch(),
            Some(br#"{"Meta": {"other": "x"}}"#),
            faults,
            "unpermitted metadata keys: [other]",
        ),
        ("POST", dispatch(), Some(br#"{"JobID": "other"}"#), &[400], "Job ID does not match"),
        ("POST", dispatch(), Some(long_token.as_bytes()), &[400], "idempotency token"),
        ("POST", dispatch(), Some(br#"{"Region": "elsewhere"}"#), faults, "No path to region"),
        ("POST", "/v1/job/there/dispatch".into(), Some(b"{}"), faults, "not a parameterized job"),
        ("POST", "/v1/job/none/dispatch".into(), Some(b"{}"), &[404], "parameterized job not found"),
        ("PUT", "/v1/job/there/periodic/force".into(), None, faults, "can't force launch non-periodic job"),
        ("PUT", "/v1/job/none/periodic/force".into(), None, &[404], "job not found"),
        ("POST", "/v1/job/there/revert".into(), Some(br#"{"JobID": "there", "JobVersion": -1}"#), &[400], ""),
        (
            "POST",
            "/v1/job/there/revert".into(),
            Some(br#"{"JobID": "there", "JobVersion": 1e30}"#),
            &[400],
            "",
        ),
        (
            "POST",
            "/v1/job/there/stable".into(),
            Some(br#"{"JobID": "there", "JobVersion": "first"}"#),
            &[400],
            "",
        ),
        ("POST", plan(), Some(b"{}"), &[400], "Job must be specified"),
        ("POST", plan(), Some(br#"{"Job": {"Name": "there"}}"#), &[400], "Job must have a valid ID"),
        ("POST", plan(), Some(br#"{"Job": {"ID": "other"}}"#), &[400], "Job ID does not match"),
        ("POST", plan(), Some(br#"{"Job": {"ID": "there"}, "Diff": "perhaps"}"#), &[400], ""),
        ("POST", plan(), Some(br#"{"Job": {"ID": "there"}}"#), faults, "Missing job task groups"),
        ("POST", "/v1/jobs/parse".into(), Some(br#"{"JobHCL": ""}"#), &[400], "Job spec is empty"),
        ("POST", "/v1/jobs/parse".into(), Some(br#"{"JobHCL": "job {"}"#), &[400], ""),
        ("POST", "/v1/jobs/parse".into(), Some(br#"{"JobHCL": 7}"#), &[400], ""),
        ("POST", "/v1/validate/job".into(), Some(b"{}"), &[400], "Job must be specified"),
        ("GET", "/v1/job/none/versions?diffs=true".into(), None, &[404], "job versions not found"),
        ("GET", "/v1/job/there/versions?diffs=perhaps".into(), None, faults, "diffs"),
    ]);
    for path in ["dispatch", "periodic/force", "revert", "stable", "plan"] {
        for method in ["GET", "DELETE", "PATCH"] {
            // Where a route has no GET, the path reads the job with that name.
            let refused: Refusal<'_> = (method, format!("/v1/job/there/{path}"), None, &[404, 405], "");
            cases.push(refused);
        }
    }
    for (method, path) in [
        ("GET", "/v1/jobs/parse"),
        ("DELETE", "/v1/validate/job"),
        ("GET", "/v1/system/reconcile/summaries"),
        ("POST", "/v1/system/reconcile/summaries"),
    ] {
        cases.push((method, path.into(), None, &[405], "Invalid method"));
    }
    for case in cases {
        check(client, case).await;
    }
    assert_eq!(state(client).await, before, "a refused request changed something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_over_the_bound_are_refused_however_they_are_sent() {
    let (cluster, follower) = quiet_cluster().await;
    let client = cluster.client(follower).with_timeout(Duration::from_secs(30));
    let before = state(client).await;
    let mut job = unplaceable("large");
    job["Meta"] = serde_json::json!({ "filling": "x".repeat(BODY_BYTES_MAX) });
    let body = registration(&job).to_string();

    let refused = client.send("POST", "/v1/jobs", Some(body.as_bytes())).await.expect("the server answers");
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(!refused.text().trim().is_empty(), "a refusal without a reason");

    // A chunked body, without a length in the head.
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: ordu\r\nTransfer-Encoding: chunked\r\n\r\n";
    let request = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let mut connection = Connection::open(client.address()).await.expect("the server is there");
    let answer = connection.exchange(request.as_bytes()).await.expect("the server answers");
    assert_eq!(answer.status, 413);

    // A body with an excessive Content-Length is refused before it arrives.
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: ordu\r\nContent-Length: 99999999999\r\n\r\n{";
    let mut connection = Connection::open(client.address()).await.expect("the server is there");
    let answer = tokio::time::timeout(Duration::from_secs(10), connection.exchange(head.as_bytes())).await;
    assert_eq!(answer.expect("a claim is answered at once").expect("the server answers").status, 413);
    assert_eq!(state(client).await, before, "a refused request changed something");

    // A body just below the limit is accepted.
    job["Meta"] = serde_json::json!({ "filling": "x".repeat(BODY_BYTES_MAX - 4_096) });
    register(client, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http_does_not_harm_the_server() {
    let (cluster, follower) = quiet_cluster().await;
    let client = cluster.client(follower);
    let before = state(client).await;
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)).into_bytes();
    let many_headers = format!("GET /v1/jobs HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000)).into_bytes();
    let binary = b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec();
    // Empty lines may precede a request, so the server waits for the head up to the usual timeout.
    for (garbage, may_wait) in
        [(long_line, false), (many_headers, false), (binary, false), (b"\r\n\r\n\r\n".to_vec(), true)]
    {
        let mut connection = Connection::open(client.address()).await.expect("the server is there");
        let within = Duration::from_secs(if may_wait { 1 } else { 20 });
        // The server must refuse the request or close the connection, never accept it.
        match tokio::time::timeout(within, connection.exchange(&garbage)).await {
            Ok(Ok(answer)) => {
                assert!((400..600).contains(&answer.status), "garbage was answered with {}", answer.status);
            }
            Ok(Err(_)) => {}
            Err(_) => assert!(may_wait, "neither refused nor closed: {:?}…", &garbage[..20]),
        }
        assert_eq!(client.get("/v1/jobs").await.expect("the server still answers").status, 200);
    }
    assert_eq!(state(client).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_query_without_news_answers_the_present_in_time() {
    let (cluster, follower) = quiet_cluster().await;
    let client = cluster.client(follower);
    let first = client.get("/v1/job/there").await.expect("the server answers");
    let started = Instant::now();
    let second = client.get(&format!("/v1/job/there?index={}&wait=1s", first.index())).await;
    let second = second.expect("the server answers");
    assert!(started.elapsed() >= Duration::from_millis(900), "it did not wait: {:?}", started.elapsed());
    assert_eq!((second.status, second.index(), second.text()), (200, first.index(), first.text()));
}
