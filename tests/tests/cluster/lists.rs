//! Pages of lists: following the tokens at any server returns every row once, in order, in both directions.

use std::collections::BTreeSet;
use std::time::Duration;

use ordu_tests::harness::{Cluster, eventually, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::{job, registration, unplaceable};
use ordu_tests::observe::{
    RUN_WITHIN, list, register, texts_of, wait_for_blocking_queries, wait_until_decided,
};
use serde_json::Value;
use tokio::task::JoinSet;

const JOBS: usize = 300;
const TASKS: usize = 24;
const ROWS_ON_PAGE: usize = 7;
/// Ids that need escaping in a path, a query or a header.
const ODD_IDS: [&str; 4] = ["50%", "größe", "a/b.c&d=e", "plus+und#"];

/// Escapes a text for a query.
fn in_query(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// Follows the tokens from the first page to the last; returns all rows.
async fn walk(client: Client, path: &str, pages_max: usize) -> Vec<Value> {
    let join = if path.contains('?') { '&' } else { '?' };
    let (mut rows, mut token) = (Vec::new(), None::<String>);
    for _ in 0..=pages_max {
        let at = token.map(|token| format!("&next_token={}", in_query(&token))).unwrap_or_default();
        let asked = format!("{path}{join}per_page={ROWS_ON_PAGE}{at}");
        let page = client.get(&asked).await.expect("the server answers");
        assert_eq!(page.status, 200, "{asked}: {}", page.text());
        let Value::Array(found) = page.json() else { panic!("{asked} is no list: {}", page.text()) };
        token = page.header("X-Nomad-NextToken").map(str::to_owned);
        let is_full = found.len() == ROWS_ON_PAGE;
        assert!(is_full || (token.is_none() && !found.is_empty()), "{asked}: a page of {}", found.len());
        rows.extend(found);
        if token.is_none() {
            return rows;
        }
    }
    panic!("{path}: there is no end after {pages_max} pages");
}

/// Checks that the pages of a list contain exactly its rows, in both directions, with and without a filter.
async fn check_pages(client: Client, path: &str, filter: &str, passes: impl Fn(&Value) -> bool) -> usize {
    let whole = list(client, path).await.expect("the server answers");
    let ids = texts_of(&whole, "ID");
    assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == ids.len(), "{path}: {ids:?}");
    let filtered: Vec<Value> = whole.iter().filter(|row| passes(row)).cloned().collect();
    assert!(filtered.len() > ROWS_ON_PAGE && filtered.len() < whole.len(), "{filter} says nothing");
    for (query, rows) in [("?".to_owned(), &whole), (format!("?filter={}&", in_query(filter)), &filtered)] {
        let pages_max = rows.len() / ROWS_ON_PAGE + 1;
        let forward = walk(client, &format!("{path}{query}reverse=false"), pages_max).await;
        assert_eq!(texts_of(&forward, "ID"), texts_of(rows, "ID"), "{path}{query}");
        assert!(forward == *rows, "{path}{query}: a row on a page is another than in the list");
        let mut backward = walk(client, &format!("{path}{query}reverse=true"), pages_max).await;
        backward.reverse();
        assert_eq!(texts_of(&backward, "ID"), texts_of(rows, "ID"), "{path}{query} backwards");
    }
    whole.len()
}

async fn register_many(cluster: &Cluster) {
    let mut writers = JoinSet::new();
    for writer in 0..6 {
        let client = cluster.client(writer % cluster.servers.len());
        writers.spawn(async move {
            for number in (writer..JOBS).step_by(6) {
                let mut job = unplaceable(&format!("job-{number:03}"));
                job["Priority"] = if number % 3 == 0 { 70 } else { 50 }.into();
                register(client, &job).await;
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("every registration is accepted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_give_every_row_once_and_in_order_in_both_directions_and_filtered() {
    let mut cluster = Cluster::start_three().await;
    register_many(&cluster).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    for id in ODD_IDS {
        register(client, &unplaceable(id)).await;
    }
    let mut many = job("many", "batch", "dc1", "/bin/true", &[]);
    many["TaskGroups"][0]["Count"] = TASKS.into();
    register(client, &many).await;
    eventually("all tasks have ended", RUN_WITHIN, async || {
        let allocations = list(client, "/v1/job/many/allocations").await?;
        let ended = allocations.iter().filter(|alloc| alloc["ClientStatus"] == "complete").count();
        holds(ended == TASKS, || format!("{ended} of {TASKS}"))
    })
    .await;
    wait_until_decided(client).await;

    let is_urgent = |row: &Value| row["Priority"] == 70;
    let jobs = check_pages(client, "/v1/jobs", "Priority == 70", is_urgent).await;
    assert_eq!(jobs, JOBS + ODD_IDS.len() + 1);
    let waits = |row: &Value| row["Status"] == "blocked" && row["JobID"] != "job-007";
    let filter = r#"Status == "blocked" and JobID != "job-007""#;
    // Each registration has its own evaluation and a blocked one; the job that ran has one.
    let evaluations = check_pages(client, "/v1/evaluations", filter, waits).await;
    assert_eq!(evaluations, 2 * (JOBS + ODD_IDS.len()) + 1);
    let is_early = |row: &Value| row["Name"].as_str().is_some_and(|name| name.contains("[1"));
    let allocations = check_pages(client, "/v1/allocations", r#"Name contains "[1""#, is_early).await;
    assert_eq!(allocations, TASKS);

    // A prefix that only some ids share, and pages whose first row was deleted in the meantime.
    let tens = walk(client, "/v1/jobs?prefix=job-12", 2).await;
    assert_eq!(tens, list(client, "/v1/jobs?prefix=job-12").await.expect("the server answers"));
    let page = client.get("/v1/jobs?prefix=job-12&per_page=4").await.expect("the server answers");
    let token = page.header("X-Nomad-NextToken").expect("there are more").to_owned();
    let gone = client.delete("/v1/job/job-124?purge=true").await.expect("the server answers");
    assert_eq!(gone.status, 200, "{}", gone.text());
    for (reverse, expected) in [(false, ["job-125", "job-126"]), (true, ["job-123", "job-122"])] {
        let path = format!("/v1/jobs?prefix=job-12&per_page=2&reverse={reverse}&next_token={token}");
        assert_eq!(
            texts_of(&list(client, &path).await.expect("the server answers"), "ID"),
            expected,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_page_can_be_asked_by_is_refused_in_a_sentence() {
    let shape = ordu_tests::harness::Shape { nodes: 0, ..Default::default() };
    let mut cluster = Cluster::start(shape).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    register(cluster.client(leader), &unplaceable("there")).await;
    wait_until_decided(cluster.client(follower)).await;
    for path in ["/v1/jobs", "/v1/evaluations", "/v1/allocations", "/v1/deployments"] {
        for (query, words) in [
            ("per_page=many", "per_page"),
            ("per_page=-1", "per_page"),
            ("per_page=1.5", "per_page"),
            ("per_page=99999999999999999999", "per_page"),
            ("next_token=%21", "Invalid next token"),
            ("per_page=2&next_token=12.34", "Invalid next token"),
            ("next_token=..%2F..%2Fetc%FF", "Invalid next token"),
            ("reverse=perhaps", "reverse"),
            ("filter=ID+%3D%3D", "filter expression"),
            ("filter=%28%28%28", "filter expression"),
            ("filter=ID+matches+%22%5B%22", "filter expression"),
        ] {
            // A token of namespace and id is valid for jobs, even if there is no job with that id.
            if path == "/v1/jobs" && query.ends_with("12.34") {
                continue;
            }
            let asked = format!("{path}?{query}");
            let mut texts = BTreeSet::new();
            for server in [leader, follower] {
                let refused = cluster.client(server).get(&asked).await.expect("the server answers");
                let text = refused.text();
                assert_eq!(refused.status, 400, "{asked}: {text}");
                assert!(text.contains(words) && text.contains(' ') && text.len() < 500, "{asked}: {text:?}");
                texts.insert(text);
            }
            assert_eq!(texts.len(), 1, "{asked}: {texts:?}");
        }
    }
    // A deeply nested filter gets an answer too.
    let deep = format!("/v1/jobs?filter={}", "%28".repeat(4_000));
    let refused = cluster.client(follower).get(&deep).await.expect("the server answers");
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_on_a_page_is_woken_and_sees_its_news() {
    let shape = ordu_tests::harness::Shape { nodes: 0, ..Default::default() };
    let mut cluster = Cluster::start(shape).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let client = cluster.client(follower).with_timeout(Duration::from_secs(40));
    for id in ["b", "d", "f", "h"] {
        register(client, &unplaceable(id)).await;
    }
    wait_until_decided(client).await;
    for (path, news) in [
        ("/v1/jobs?per_page=2&next_token=default.d", "e"),
        ("/v1/jobs?per_page=3&reverse=true", "g"),
        ("/v1/jobs?per_page=9&filter=ID+%3D%3D+%22c%22", "c"),
        ("/v1/evaluations?per_page=100&filter=JobID+%3D%3D+%22i%22", "i"),
    ] {
        let member = if path.starts_with("/v1/jobs") { "ID" } else { "JobID" };
        let now = client.get(path).await.expect("the server answers");
        assert_eq!(now.status, 200, "{path}: {}", now.text());
        let index = now.index();
        let has_news = |rows: &Value| rows.as_array().into_iter().flatten().any(|row| row[member] == news);
        assert!(!has_news(&now.json()), "{path} has {news} already");
        let waiter = async {
            let mut index = index;
            loop {
                let asked = format!("{path}&index={index}&wait=30s");
                let woken = client.get(&asked).await.expect("the server answers");
                assert_eq!(woken.status, 200, "{asked}: {}", woken.text());
                assert!(woken.index() > index, "{asked} was answered without news");
                index = woken.index();
                if has_news(&woken.json()) {
                    return;
                }
            }
        };
        let writer = async {
            wait_for_blocking_queries(client, 1).await;
            let body = registration(&unplaceable(news));
            let written = cluster.client(leader).post("/v1/jobs", &body).await.expect("the server answers");
            assert_eq!(written.status, 200, "{}", written.text());
        };
        tokio::join!(waiter, writer);
        wait_until_decided(client).await;
    }
}
