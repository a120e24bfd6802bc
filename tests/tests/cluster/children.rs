//! Dispatched children: one per token, however many callers dispatch it, each with its own payload and meta.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use ordu_tests::http::{Client, Response};
use ordu_tests::jobs::{job, parameterized, unplaceable_batch};
use ordu_tests::observe::{RUN_WITHIN, list, register, texts_of};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Largest payload, in bytes; Nomad's limit.
const PAYLOAD_BYTES_MAX: usize = 16 << 10;

async fn dispatch(client: Client, parent: &str, body: &Value) -> io::Result<Response> {
    client.post(&format!("/v1/job/{parent}/dispatch"), body).await
}

async fn children_of(client: Client, parent: &str) -> BTreeSet<String> {
    let children = list(client, &format!("/v1/jobs?prefix={parent}/dispatch-")).await;
    texts_of(&children.expect("the server answers"), "ID").into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatches_with_one_token_make_one_child_however_many_there_are_at_once() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    register(cluster.client(0), &parameterized(unplaceable_batch("parent"), &[])).await;
    let (mut made, mut first_made) = (BTreeSet::new(), None);
    for count in [2, 50] {
        let mut callers = JoinSet::new();
        for caller in 0..count {
            let client = cluster.client(caller % cluster.servers.len());
            callers.spawn(async move {
                // The token may be in the body or in the query.
                let (query, body) = match caller % 2 {
                    0 => (String::new(), json!({ "IdempotencyToken": format!("token-{count}") })),
                    _ => (format!("?idempotency_token=token-{count}"), json!({})),
                };
                let path = format!("/v1/job/parent/dispatch{query}");
                client.post(&path, &body).await.expect("the server answers")
            });
        }
        let answers = callers.join_all().await;
        let (mut first, mut evaluated) = (None, 0);
        for answer in answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
            let mut told = answer.json();
            // The index is that of each answer's own log entry, and only the launch evaluates the child; everything
            // else describes the child.
            evaluated += usize::from(told["EvalID"] != "");
            for member in ["Index", "EvalID", "EvalCreateIndex"] {
                told[member] = Value::Null;
            }
            assert_eq!(*first.get_or_insert_with(|| told.clone()), told, "of {count} at once");
        }
        assert_eq!(1, evaluated, "of {count} at once");
        let told = first.expect("there were answers");
        let child = told["DispatchedJobID"].as_str().unwrap_or_default().to_owned();
        first_made.get_or_insert_with(|| child.clone());
        made.insert(child);
        assert_eq!(children_of(cluster.client(2), "parent").await, made, "after {count} at once");
        // The token also returns the same child later and at any server.
        for server in 0..cluster.servers.len() {
            let body = json!({ "IdempotencyToken": format!("token-{count}") });
            let again = dispatch(cluster.client(server), "parent", &body).await.expect("the server answers");
            for member in ["DispatchedJobID", "JobCreateIndex"] {
                assert_eq!(again.json()[member], told[member], "{member} at server {server}");
            }
            assert_eq!(again.json()["EvalID"], "", "at server {server}");
        }
    }
    assert_eq!(made.len(), 2, "each token has a child of its own");
    // Without a token each dispatch creates a new child.
    for _ in 0..2 {
        let answer = dispatch(cluster.client(1), "parent", &json!({})).await.expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(children_of(cluster.client(0), "parent").await.len(), 4);
    // Purging a child releases its token.
    let gone = first_made.expect("there were answers");
    made.remove(&gone);
    let purged = cluster.client(0).delete(&format!("/v1/job/{gone}?purge=true")).await;
    assert_eq!(purged.expect("the server answers").status, 200);
    let body = json!({ "IdempotencyToken": "token-2" });
    let anew = dispatch(cluster.client(1), "parent", &body).await.expect("the server answers").json();
    assert_ne!(anew["DispatchedJobID"], gone.as_str());
    assert!(!made.contains(anew["DispatchedJobID"].as_str().unwrap_or_default()), "{anew}");
    assert_eq!(children_of(cluster.client(0), "parent").await.len(), 4);
    cluster.wait_for_equal_states().await;
}

/// Callers that dispatch with a new token each time and repeat the request until it is answered.
struct Stream {
    stop: watch::Sender<bool>,
    callers: JoinSet<()>,
    /// The child of each token.
    answered: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Stream {
    fn start(servers: &[SocketAddr], parent: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut callers, answered) = (JoinSet::new(), Arc::<Mutex<BTreeMap<_, _>>>::default());
        for caller in 0..6 {
            let (servers, parent, stopped) = (servers.to_vec(), parent.to_owned(), stopped.clone());
            let answered = Arc::clone(&answered);
            callers.spawn(async move {
                for number in 0_usize.. {
                    if *stopped.borrow() {
                        return;
                    }
                    let token = format!("token-{caller}-{number}");
                    let child = until_answered(&servers, caller + number, &parent, &token).await;
                    answered.lock().unwrap_or_else(PoisonError::into_inner).insert(token, child);
                }
            });
        }
        Self { stop, callers, answered }
    }

    fn answered(&self) -> BTreeMap<String, String> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn wait_for(&self, count: usize) {
        eventually_now(&format!("{count} dispatches are answered"), SETTLE_WITHIN, || {
            let answered = self.answered().len();
            holds(answered >= count, || format!("{answered} so far"))
        })
        .await;
    }

    async fn finish(mut self) -> BTreeMap<String, String> {
        // Sending succeeds as long as a caller is running.
        let _ = self.stop.send(true);
        while let Some(caller) = self.callers.join_next().await {
            caller.expect("a caller does not panic");
        }
        self.answered()
    }
}

/// Asks one server after another with a short timeout, so that several servers process the same token concurrently.
async fn until_answered(servers: &[SocketAddr], first: usize, parent: &str, token: &str) -> String {
    let mut at = first;
    let body = json!({ "IdempotencyToken": token });
    eventually(&format!("{token} is answered"), SETTLE_WITHIN, || {
        at += 1;
        let client = Client::new(servers[at % servers.len()]).with_timeout(Duration::from_millis(300));
        let body = &body;
        async move {
            let answer = dispatch(client, parent, body).await.map_err(|error| error.to_string())?;
            holds(answer.status == 200, || format!("{} {}", answer.status, answer.text()))?;
            Ok::<_, String>(answer.json()["DispatchedJobID"].as_str().unwrap_or_default().to_owned())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_token_has_one_child_though_leaders_die_and_callers_ask_again() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    register(cluster.client(0), &parameterized(unplaceable_batch("parent"), &[])).await;
    let stream = Stream::start(&cluster.http_addresses(), "parent");
    for _ in 0..2 {
        let before = stream.answered().len();
        stream.wait_for(before + 40).await;
        let leader = cluster.leader().await;
        cluster.servers[leader].kill();
        let before = stream.answered().len();
        stream.wait_for(before + 40).await;
        cluster.start_server(leader);
        cluster.leader().await;
    }
    let answered = stream.finish().await;
    cluster.wait_for_equal_states().await;
    let children: BTreeSet<String> = answered.values().cloned().collect();
    assert_eq!(children.len(), answered.len(), "two tokens have one child");
    for server in 0..cluster.servers.len() {
        let found = children_of(cluster.client(server), "parent").await;
        assert_eq!(
            found, children,
            "server {server}: children, and those that the tokens were answered with"
        );
    }
    // Each child's first evaluation comes from its dispatch, and there is no other with this trigger.
    let evaluations = list(cluster.client(0), "/v1/evaluations").await.expect("the server answers");
    let dispatched: Vec<Value> =
        evaluations.into_iter().filter(|eval| eval["TriggeredBy"] == "job-register").collect();
    assert_eq!(dispatched.len(), children.len(), "evaluations by dispatches");
    assert_eq!(texts_of(&dispatched, "JobID").into_iter().collect::<BTreeSet<_>>(), children);
    for (token, child) in answered.iter().step_by(17) {
        let again = dispatch(cluster.client(1), "parent", &json!({ "IdempotencyToken": token })).await;
        assert_eq!(again.expect("the server answers").json()["DispatchedJobID"], child.as_str(), "{token}");
    }
}

/// Returns payloads as bytes and in base64.
fn payloads() -> Vec<(Vec<u8>, String)> {
    let longest = (b"abc".repeat(PAYLOAD_BYTES_MAX / 3), "YWJj".repeat(PAYLOAD_BYTES_MAX / 3));
    vec![
        (b"two\nlines\n".to_vec(), "dHdvCmxpbmVzCg==".to_owned()),
        (b"\x00\xff${HOME}$(id)".to_vec(), "AP8ke0hPTUV9JChpZCk=".to_owned()),
        ([longest.0, b"a".to_vec()].concat(), longest.1 + "YQ=="),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_run_with_their_payloads_and_their_meta_and_the_parent_counts_them() {
    let mut cluster = Cluster::start_three().await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    let folder = cluster.root().path().display().to_string();
    // The node resolves the file's name, the task's shell the child's meta.
    let script = format!("cat ${{NOMAD_TASK_DIR}}/in.txt > \"{folder}/out-$NOMAD_META_colour\"");
    let mut parent = job("parent", "batch", "dc1", "/bin/sh", &["-c", &script]);
    parent["TaskGroups"][0]["Tasks"][0]["DispatchPayload"] = json!({ "File": "in.txt" });
    register(client, &parameterized(parent, &["colour"])).await;

    for (number, (_, encoded)) in payloads().iter().enumerate() {
        let body = json!({ "Payload": encoded, "Meta": { "colour": format!("colour-{number}") } });
        let answer = dispatch(client, "parent", &body).await.expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.json()["DispatchedJobID"].as_str().unwrap_or_default().to_owned();
        let child = client.json(&format!("/v1/job/{id}")).await.expect("the child is there at once");
        assert_eq!(child["Payload"], encoded.as_str());
        assert_eq!(child["Meta"]["colour"], format!("colour-{number}"));
        assert_eq!((&child["ParentID"], &child["Dispatched"]), (&"parent".into(), &true.into()));
    }
    let children = eventually("all children have ended and are counted", RUN_WITHIN, async || {
        let summary = client.json("/v1/job/parent/summary").await.map_err(|error| error.to_string())?;
        let counted = json!({ "Pending": 0, "Running": 0, "Dead": payloads().len() });
        holds(summary["Children"] == counted, || summary.to_string())?;
        list(client, "/v1/jobs?prefix=parent/dispatch-").await
    })
    .await;
    for child in texts_of(&children, "ID") {
        let summary = client.json(&format!("/v1/job/{child}/summary")).await.expect("the server answers");
        assert_eq!(summary["Summary"]["group"]["Complete"], 1, "{summary}");
    }
    for (number, (expected, _)) in payloads().into_iter().enumerate() {
        let found = std::fs::read(format!("{folder}/out-colour-{number}")).expect("the child has written");
        assert!(found == expected, "payload {number}: {} bytes, not {}", found.len(), expected.len());
    }
    // A payload that is one byte longer is refused and creates no child.
    let (longest, _) = payloads().remove(2);
    let body = json!({ "Payload": "YWJj".repeat(longest.len() / 3) + "YWI=" });
    let refused = dispatch(client, "parent", &body).await.expect("the server answers");
    assert_eq!(
        refused.text(),
        format!("Payload exceeds maximum size; {} > {PAYLOAD_BYTES_MAX}", longest.len() + 1)
    );
    assert_eq!(children_of(client, "parent").await.len(), payloads().len());
    cluster.wait_for_equal_states().await;
}
