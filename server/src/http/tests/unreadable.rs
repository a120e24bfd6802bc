//! Rows that cannot be decoded: lists leave them out, and only requests for one of them fail.

use ordu_core::state::{key, read};
use ordu_proto::state::{Allocation, Deployment, Node};
use prost::Message;

use super::*;

const GARBAGE: [u8; 3] = [0xff; 3];

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

fn text(number: u8) -> String {
    crate::http::ids::text(&id(number))
}

impl Fixture {
    async fn listed(&self, path: &str, member: &str) -> Vec<String> {
        let asked = self.get(path).await;
        assert_eq!(StatusCode::OK, asked.status, "{path}: {}", asked.text());
        let list = asked.json();
        let entries = list.as_array().unwrap_or_else(|| panic!("{path}: {list}")).iter();
        entries.map(|entry| entry[member].as_str().unwrap().to_owned()).collect()
    }

    async fn fails(&self, path: &str) {
        let asked = self.get(path).await;
        assert_eq!(StatusCode::INTERNAL_SERVER_ERROR, asked.status, "{path}: {}", asked.text());
        assert!(asked.text().contains("cannot be decoded"), "{path}: {}", asked.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_on_without_the_rows_that_cannot_be_decoded() {
    let api = Fixture::start().await;
    let node = id(90);
    let mut rows = Vec::new();
    for (number, job) in [(1, "good"), (2, "good"), (3, "bad")] {
        let alloc = Allocation {
            id: id(number).to_vec(),
            namespace: "default".to_owned(),
            job_id: job.to_owned(),
            node_id: node.to_vec(),
            ..Allocation::default()
        };
        let deployment = Deployment {
            id: id(number).to_vec(),
            namespace: "default".to_owned(),
            job_id: job.to_owned(),
            ..Deployment::default()
        };
        rows.extend([
            (Table::Allocs, alloc.id.clone(), alloc.encode_to_vec()),
            (Table::AllocsByNode, key::by_id(&node, &alloc.id), read::node_alloc(&alloc).encode_to_vec()),
            (Table::AllocsByJob, key::by_job("default", job, &alloc.id), Vec::new()),
            (Table::AllocsByEval, key::by_id(&id(80), &alloc.id), Vec::new()),
            (Table::Deployments, deployment.id.clone(), deployment.encode_to_vec()),
            (Table::DeploymentsByJob, key::deployment_by_job("default", job, 0, &id(number)), Vec::new()),
        ]);
    }
    rows.extend([90, 91].map(|number| {
        let node = Node { id: id(number).to_vec(), ..Node::default() };
        (Table::Nodes, node.id.clone(), node.encode_to_vec())
    }));
    for job in ["good", "bad"] {
        api.register(job, 50).await;
        api.settled(job).await;
    }
    // Written only now, when no scheduler is running that would read these rows.
    api.put(rows);
    let created = api.get("/v1/job/bad").await.json()["CreateIndex"].as_u64().unwrap();
    let evals = api.listed("/v1/job/good/evaluations", "ID").await;
    let bad_eval = ordu_core::state::id::parse_id(&evals[0]).unwrap();

    // Break the job's specification, then its summary: the job is still listed.
    api.put([(Table::JobSpecs, key::job_spec("default", "bad", created, 0), GARBAGE.to_vec())]);
    assert_eq!(["good"], *api.listed("/v1/jobs?filter=Region%20==%20%22global%22", "ID").await);
    // For an allocation without a version of its job, the specification is looked up at index 0.
    api.put([(Table::JobSpecs, key::job_spec("default", "bad", 0, 0), GARBAGE.to_vec())]);
    assert_eq!([text(1), text(2)], *api.listed(&format!("/v1/node/{}/allocations", text(90)), "ID").await);
    assert_eq!(json!([]), api.get("/v1/job/bad/versions?diffs=true").await.json()["Versions"]);
    api.put([(Table::JobSummaries, key::job("default", "bad"), GARBAGE.to_vec())]);
    assert_eq!(["bad", "good"], *api.listed("/v1/jobs", "ID").await);
    for path in ["/v1/job/bad", "/v1/job/bad/summary", &format!("/v1/allocation/{}", text(3))] {
        api.fails(path).await;
    }

    api.put([
        (Table::Jobs, key::job("default", "bad"), GARBAGE.to_vec()),
        (Table::Evals, bad_eval.to_vec(), GARBAGE.to_vec()),
        (Table::Allocs, id(2).to_vec(), GARBAGE.to_vec()),
        (Table::Deployments, id(2).to_vec(), GARBAGE.to_vec()),
        (Table::Nodes, id(91).to_vec(), GARBAGE.to_vec()),
    ]);
    assert_eq!(["good"], *api.listed("/v1/jobs", "ID").await);
    assert_eq!(evals[1..], *api.listed("/v1/job/good/evaluations", "ID").await);
    assert!(!api.listed("/v1/evaluations", "ID").await.contains(&evals[0]));
    assert_eq!([text(90)], *api.listed("/v1/nodes", "ID").await);
    let of_good = [text(1)];
    for path in [
        "/v1/job/good/allocations?all=true",
        "/v1/job/good/deployments?all=true",
        &format!("/v1/node/{}/allocations", text(90)),
    ] {
        assert_eq!(of_good, *api.listed(path, "ID").await, "{path}");
    }
    for path in ["/v1/allocations", "/v1/deployments", &format!("/v1/evaluation/{}/allocations", text(80))] {
        assert_eq!([text(1), text(3)], *api.listed(path, "ID").await, "{path}");
    }
    assert_eq!([text(3)], *api.listed("/v1/job/bad/allocations", "ID").await);
    for path in [
        "/v1/job/bad",
        &format!("/v1/evaluation/{}", evals[0]),
        &format!("/v1/allocation/{}", text(2)),
        &format!("/v1/deployment/{}", text(2)),
        &format!("/v1/node/{}", text(91)),
    ] {
        api.fails(path).await;
    }
    let told = api.server.context().state.db().set_aside().describe().unwrap();
    assert!(told.contains("rows of the state cannot be decoded"), "{told}");
}
