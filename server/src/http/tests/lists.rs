//! Every list of rows supports pages and filters, and describes them.

use ordu_proto::command::NodeRegister;
use ordu_proto::state::Node;
use schemars::SchemaGenerator;

use super::*;
use crate::http::{Contents, routes};

fn is_list(schema: crate::http::SchemaOf) -> bool {
    schema(&mut SchemaGenerator::default()).as_value()["type"] == "array"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_of_rows_takes_pages_and_filters_and_says_so() {
    let api = Fixture::start().await;
    let mut lists = 0;
    for route in routes() {
        let Contents::Json(schema) = route.description.answer else { continue };
        if !route.blocks || !is_list(schema) {
            continue;
        }
        lists += 1;
        for name in ["per_page", "next_token", "reverse", "filter"] {
            assert!(route.params().any(|param| param.name == name), "{} does not tell {name}", route.path);
            let path = route.path.replace(":id", "00000000-0000-0000-0000-000000000000");
            // Every route that reads the parameter refuses a malformed value.
            let refused = api.get(&format!("{path}?{name}=%28%28")).await;
            assert_eq!(StatusCode::BAD_REQUEST, refused.status, "{path} does not look at {name}");
        }
    }
    assert!(lists >= 10, "{lists} lists");
}

async fn register_node(api: &Fixture, number: u8, status_name: &str) {
    let node = Node {
        id: vec![number; 16],
        name: status_name.to_owned(),
        datacenter: "dc1".to_owned(),
        ..Node::default()
    };
    let command = NodeRegister { node: Some(node), eval_seed: vec![number; 16] };
    api.server.context().writer.write(command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_listed_by_pages_and_by_a_filter() {
    let api = Fixture::start().await;
    for (number, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "a")] {
        register_node(&api, number, name).await;
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    for _ in 0..2 {
        let page =
            api.get(&format!("/v1/nodes?filter=Name%20==%20%22a%22&per_page=2&next_token={token}")).await;
        assert_eq!(StatusCode::OK, page.status, "{}", page.text());
        seen.extend(page.json().as_array().unwrap().iter().map(|node| node["ID"].clone()));
        let next = page.headers.get("x-nomad-nexttoken");
        token = next.map(|token| token.to_str().unwrap().to_owned()).unwrap_or_default();
    }
    let ids = [1, 3, 4].map(|number| json!(crate::http::ids::IdText(&[number; 16])));
    assert_eq!((&ids[..], ""), (&seen[..], &*token));
    let last = api.get("/v1/nodes?reverse=true&per_page=1").await.json();
    assert_eq!(json!(crate::http::ids::IdText(&[4; 16])), last[0]["ID"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_job_is_listed_by_pages_and_by_a_filter() {
    let api = Fixture::start().await;
    for priority in [50, 51, 52] {
        api.register("job", priority).await;
        api.settled("job").await;
    }
    let all = api.get("/v1/job/job/evaluations").await.json();
    let all = all.as_array().unwrap();
    assert!(all.len() >= 3, "{all:?}");
    let first = api.get("/v1/job/job/evaluations?per_page=1").await;
    assert_eq!(json!([all[0]]), first.json());
    assert_eq!(all[1]["ID"], first.headers["x-nomad-nexttoken"].to_str().unwrap());
    let rest = format!("/v1/job/job/evaluations?next_token={}", all[1]["ID"].as_str().unwrap());
    assert_eq!(&all[1..], api.get(&rest).await.json().as_array().unwrap());
    let of_one = api.get("/v1/job/job/evaluations?filter=Priority%20==%2051").await.json();
    let expected: Vec<&Value> = all.iter().filter(|eval| eval["Priority"] == 51).collect();
    assert!(!expected.is_empty());
    assert_eq!(json!(expected), of_one);
}
