//! Blocking queries: what wakes them, what does not, and how many there are.

use futures::future::join_all;

use super::*;
use crate::watch::Key;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_query_answers_with_news_and_no_sooner() {
    let api = Fixture::start().await;
    api.register("watched", 50).await;
    api.settled("watched").await;
    let first = api.get("/v1/job/watched").await;
    let target = format!("/v1/job/watched?index={}&wait=60s", first.index());
    let many = join_all((0..100).map(|_| api.get(&target)));
    let change = async {
        api.waiting(100).await;
        // A change of another job must not wake them.
        api.register("other", 50).await;
        api.settled("other").await;
        api.waiting(100).await;
        api.register("watched", 60).await
    };
    let (_, woken) = tokio::join!(change, many);
    for one in woken {
        assert!(one.index() > first.index());
        assert_eq!(60, one.json()["Priority"]);
    }
    api.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_query_answers_with_what_there_is_when_its_time_is_over() {
    let api = Fixture::start().await;
    api.register("watched", 50).await;
    api.settled("watched").await;
    let present = api.get("/v1/job/watched").await;
    let started = Instant::now();
    let late = api.get(&format!("/v1/job/watched?index={}&wait=300ms", present.index())).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!((StatusCode::OK, present.index(), present.json()), (late.status, late.index(), late.json()));
    // A change that is already there is answered at once, and as a confirmed read.
    let news = api.get(&format!("/v1/job/watched?index={}&wait=60s", present.index() - 1)).await;
    assert_eq!(("0", present.json()), (news.headers["x-nomad-lastcontact"].to_str().unwrap(), news.json()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_can_be_waited_for() {
    let api = Fixture::start().await;
    let missing = api.get("/v1/job/later").await;
    assert_eq!(StatusCode::NOT_FOUND, missing.status);
    let target = format!("/v1/job/later?index={}&wait=60s", missing.index().max(1));
    let change = async {
        api.waiting(1).await;
        api.register("later", 50).await
    };
    let (_, found) = tokio::join!(change, api.get(&target));
    assert_eq!((StatusCode::OK, json!("later")), (found.status, found.json()["ID"].clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_blocking_queries_are_counted_as_such() {
    let api = Fixture::start().await;
    // A watch that is not a blocking query, as a node's session has.
    let _session = api.server.context().watches.watch(vec![Key::table(Table::Jobs)]);
    api.waiting(0).await;
    let query = api.get("/v1/jobs?index=1000000&wait=60s");
    let counted = async {
        api.waiting(1).await;
        for _ in 0..3 {
            api.register("any", 50).await;
        }
        // The query woke up and waits again, since its index is far ahead.
        api.waiting(1).await;
    };
    tokio::select! {
        early = query => panic!("answered with {} before its time", early.index()),
        () = counted => {}
    }
    api.waiting(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_only_look_alike_have_answers_of_their_own() {
    let api = Fixture::start().await;
    for id in ["a", "b"] {
        api.register(id, 50).await;
        api.settled(id).await;
    }
    let index = api.get("/v1/jobs").await.index();
    // The second has a parameter with another name, which no route reads.
    let filtered = format!("/v1/jobs?filter=ID%3D%3D%22a%22&index={index}&wait=1s");
    let unfiltered = format!("/v1/jobs?filter%3DID%3D=%22a%22&index={index}&wait=1s");
    let (filtered, unfiltered) = tokio::join!(api.get(&filtered), api.get(&unfiltered));
    let ids = |asked: &Asked| {
        let jobs = asked.json();
        jobs.as_array().unwrap().iter().map(|job| job["ID"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]),
        (ids(&filtered), ids(&unfiltered))
    );
}
