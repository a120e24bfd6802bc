//! Search by prefix: what it finds, how it is cut, what it refuses, and who may see what.

use super::access::{CLOSED, OPEN, text};
use super::*;

impl Fixture {
    async fn search(&self, query: &str, body: &Value) -> Asked {
        self.send("POST", &format!("/v1/search{query}"), &[], &body.to_string()).await
    }

    /// Returns what a search finds, and whether that is cut.
    async fn found(&self, prefix: &str, context: &str) -> (Value, Value) {
        let asked = self.search("", &json!({"Prefix": prefix, "Context": context})).await;
        assert_eq!(StatusCode::OK, asked.status, "{}", asked.text());
        assert_eq!(asked.index(), asked.json()["Index"].as_u64().unwrap());
        (asked.json()["Matches"].clone(), asked.json()["Truncations"].clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_found_by_a_prefix_and_cut_at_twenty() {
    let api = Fixture::start().await;
    for number in 0..22 {
        api.register(&format!("find-{number:02}"), 50).await;
    }
    api.register("found", 50).await;
    let first: Vec<String> = (0..20).map(|number| format!("find-{number:02}")).collect();
    let (cut, whole) = (json!({"jobs": true}), json!({"jobs": false}));
    for (prefix, matches, truncations) in [
        ("fou", json!({"jobs": ["found"]}), &whole),
        ("find-", json!({"jobs": first}), &cut),
        ("", json!({"jobs": first}), &cut),
        ("find-2", json!({"jobs": ["find-20", "find-21"]}), &whole),
        ("zzzz", json!({"jobs": null}), &whole),
    ] {
        assert_eq!((matches, truncations.clone()), api.found(prefix, "jobs").await, "{prefix}");
    }
    let exactly: Vec<String> = (0..10).map(|number| format!("find-0{number}")).collect();
    assert_eq!((json!({"jobs": exactly}), whole), api.found("find-0", "jobs").await);

    // A prefix that begins no UUID leaves the contexts of UUIDs out.
    let (matches, truncations) = api.found("found", "all").await;
    let nothing =
        ["plugins", "scaling_policy", "volumes", "namespaces"].map(|context| (context, Value::Null));
    let mut expected: serde_json::Map<String, Value> =
        nothing.into_iter().map(|(context, none)| (context.to_owned(), none)).collect();
    expected.insert("jobs".into(), json!(["found"]));
    assert_eq!(Value::from(expected), matches);
    assert_eq!(5, truncations.as_object().unwrap().len());

    let document = api.search("", &json!({"Prefix": "fou", "Context": "jobs"})).await;
    assert_eq!("true", document.headers["x-nomad-knownleader"]);
    assert_eq!(
        (json!(true), json!(0)),
        (document.json()["KnownLeader"].clone(), document.json()["LastContact"].clone())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uuids_are_found_by_any_number_of_their_characters() {
    let api = Fixture::start().await;
    api.register("found", 50).await;
    api.settled("found").await;
    let eval = api.get("/v1/job/found/evaluations").await.json()[0]["ID"].as_str().unwrap().to_owned();
    for characters in 1..=36 {
        let (matches, truncations) = api.found(&eval[..characters], "evals").await;
        assert!(matches["evals"].as_array().unwrap().contains(&json!(eval)), "{characters}: {matches}");
        assert_eq!(json!({"evals": false}), truncations);
    }
    assert_eq!(json!({"evals": [eval]}), api.found(&eval.to_ascii_uppercase(), "evals").await.0);
    let (matches, _) = api.found(&eval, "all").await;
    assert_eq!((&json!([eval]), &Value::Null, 9), {
        (&matches["evals"], &matches["nodes"], matches.as_object().unwrap().len())
    });
    // Another last digit than the evaluation has: its whole bytes are the same.
    let other = if &eval[2..3] == "0" { "1" } else { "0" };
    let (matches, _) = api.found(&format!("{}{other}", &eval[..2]), "evals").await;
    assert!(!matches["evals"].as_array().is_some_and(|found| found.contains(&json!(eval))), "{matches}");
    assert_eq!((json!({}), json!({})), api.found("not-a-uuid", "evals").await);
    assert_eq!(
        (json!({"namespaces": ["default"]}), json!({"namespaces": false})),
        api.found("def", "namespaces").await
    );
    assert_eq!((json!({"volumes": null}), json!({"volumes": false})), api.found("v", "volumes").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_cannot_be_is_refused_in_nomad_s_words() {
    let api = Fixture::start().await;
    let known = "context must be one of [allocs jobs nodes evals deployment plugins volumes scaling_policy namespaces] or \
                 'all' for all contexts; got";
    for (method, body, status, words) in [
        ("POST", "", 400, "Request body is empty".to_owned()),
        ("GET", "", 405, "Invalid method".to_owned()),
        ("PUT", r#"{"Prefix": "v", "Context": "planets"}"#, 400, format!("{known} \"planets\"")),
        ("POST", r#"{"Prefix": "v"}"#, 400, format!("{known} \"\"")),
        ("POST", r#"{"Prefix": "a\u0000b", "Context": "jobs"}"#, 400, "null character".to_owned()),
        ("POST", r#"{"Context": "jobs", "Region": "elsewhere"}"#, 400, "No path to region".to_owned()),
    ] {
        let asked = api.send(method, "/v1/search", &[], body).await;
        assert_eq!(status, asked.status.as_u16(), "{method} {body}");
        assert!(asked.text().contains(&words), "{method} {body}: {}", asked.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_waits_for_a_change_of_what_it_searches() {
    let api = Fixture::start().await;
    api.register("first", 50).await;
    api.settled("first").await;
    let body = json!({"Prefix": "sec", "Context": "jobs"});
    let before = api.search("", &body).await;
    let query = format!("?index={}&wait=60s", before.index());
    let change = async {
        api.waiting(1).await;
        api.register("second", 50).await
    };
    let (_, after) = tokio::join!(change, api.search(&query, &body));
    assert_eq!(json!({"jobs": ["second"]}), after.json()["Matches"]);
    assert!(after.index() > before.index());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_leaves_out_what_its_caller_may_not_see() {
    use crate::http::Access;
    let both = json!([text(1), text(2)]);
    let all = json!({"Prefix": "", "Context": "all"});
    let everywhere = Fixture::judged_by(|_, _| true).await;
    assert_eq!(both, everywhere.search("?namespace=*", &all).await.json()["Matches"]["allocs"]);
    assert_eq!(
        json!([text(2)]),
        everywhere.search("?namespace=closed", &all).await.json()["Matches"]["evals"]
    );

    let open =
        Fixture::judged_by(|access, namespace| !matches!(access, Access::Node(_)) && namespace == Some(OPEN))
            .await;
    let matches = open.search("?namespace=*", &all).await.json()["Matches"].clone();
    assert_eq!((&json!([text(1)]), &json!(["job"])), (&matches["allocs"], &matches["jobs"]));
    assert_eq!(None, matches.get("nodes"), "{matches}");
    let of_nodes = json!({"Prefix": "", "Context": "nodes"});
    for (query, body) in [("?namespace=open", &of_nodes), ("?namespace=closed", &all), ("", &all)] {
        assert_eq!(StatusCode::FORBIDDEN, open.search(query, body).await.status, "{query} {body}");
    }
    let named = |namespace: &str| json!({"Prefix": "", "Context": "jobs", "Namespace": namespace});
    assert_eq!(json!({"jobs": ["job"]}), open.search("", &named(OPEN)).await.json()["Matches"]);
    assert_eq!(StatusCode::FORBIDDEN, open.search("", &named(CLOSED)).await.status);
    assert_eq!(StatusCode::OK, open.search("?namespace=open", &named(CLOSED)).await.status);

    let nodes = Fixture::judged_by(|access, _| matches!(access, Access::Node(_))).await;
    assert_eq!(json!({"nodes": null}), nodes.search("", &all).await.json()["Matches"]);
    assert_eq!(StatusCode::FORBIDDEN, nodes.search("", &json!({"Context": "jobs"})).await.status);
}
