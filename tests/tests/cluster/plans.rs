//! Plans: any server predicts the effect of a registration without changing anything.

use ordu_tests::harness::{Cluster, Shape};
use ordu_tests::http::Client;
use ordu_tests::jobs::{job, sleeper, unplaceable};
use ordu_tests::observe::{register, running_allocations, state_hash, wait_until_decided};
use serde_json::{Value, json};

/// Returns the answer to a plan, without ids and times, which differ each time.
async fn plan(client: Client, job: &Value) -> Value {
    let path = format!("/v1/job/{}/plan", job["ID"].as_str().unwrap_or_default());
    let answer = client.post(&path, &json!({ "Job": job, "Diff": true })).await.expect("the server answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut answer = answer.json();
    if let Some(failed) = answer["FailedTGAllocs"].as_object_mut() {
        failed.values_mut().for_each(|group| group["AllocationTime"] = Value::Null);
    }
    for eval in answer["CreatedEvals"].as_array_mut().into_iter().flatten() {
        for member in ["ID", "PreviousEval", "CreateTime", "ModifyTime"] {
            eval[member] = Value::Null;
        }
    }
    answer
}

/// Returns a server's table indexes and rows, and the hash of its state.
async fn facts(client: Client) -> Vec<Value> {
    let mut facts = vec![state_hash(client).await];
    for path in ["/v1/jobs", "/v1/evaluations", "/v1/allocations", "/v1/deployments"] {
        let read = client.get(&format!("{path}?stale")).await.expect("the server answers");
        facts.push(json!([path, read.index(), read.text()]));
    }
    facts
}

fn field<'d>(diff: &'d Value, name: &str) -> &'d Value {
    let fields = diff["Fields"].as_array().into_iter().flatten();
    fields.into_iter().find(|field| field["Name"] == name).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_plans_alike_and_nothing_is_changed_by_it() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    register(client, &unplaceable("there")).await;
    wait_until_decided(client).await;
    cluster.wait_for_equal_states().await;
    let clients: Vec<Client> = (0..cluster.servers.len()).map(|server| cluster.client(server)).collect();
    let mut before = Vec::new();
    for client in &clients {
        before.push(facts(*client).await);
    }

    let mut changed = unplaceable("there");
    changed["Priority"] = 77.into();
    changed["TaskGroups"][0]["Count"] = 3.into();
    let mut stopped = unplaceable("there");
    stopped["Stop"] = true.into();
    for (job, kind) in [
        (unplaceable("new"), "Added"),
        (unplaceable("there"), "None"),
        (changed.clone(), "Edited"),
        (stopped, "Edited"),
    ] {
        let mut answers = Vec::new();
        for client in &clients {
            answers.push(plan(*client, &job).await);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "servers differ: {answers:?}");
        assert_eq!(answers[0]["Diff"]["Type"], kind, "{}", answers[0]);
    }
    let answer = plan(client, &changed).await;
    let priority = field(&answer["Diff"], "Priority");
    assert_eq!((&priority["Old"], &priority["New"]), (&"50".into(), &"77".into()), "{answer}");
    let group = &answer["Diff"]["TaskGroups"][0];
    assert_eq!(field(group, "Count")["New"], "3", "{group}");
    assert!(answer["FailedTGAllocs"]["group"].is_object(), "no node is there: {answer}");

    for (server, client) in clients.iter().enumerate() {
        assert_eq!(facts(*client).await, before[server], "server {server} has another state");
    }
    // With the index from the plan, the job is registered as planned, unless it was changed in between.
    let index = answer["JobModifyIndex"].clone();
    let body = json!({ "Job": changed, "EnforceIndex": true, "JobModifyIndex": index });
    let registered = client.post("/v1/jobs", &body).await.expect("the server answers");
    assert_eq!(registered.status, 200, "{}", registered.text());
    let again = client.post("/v1/jobs", &body).await.expect("the server answers");
    assert!(again.text().contains("Enforcing job modify index"), "{} {}", again.status, again.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_tells_what_would_become_of_what_runs_and_leaves_it_running() {
    let mut cluster = Cluster::start_three().await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let client = cluster.client(follower);
    let sleeper = sleeper("runs");
    let seconds = sleeper.command_line.rsplit(' ').next().unwrap_or_default().to_owned();
    let runs = job("runs", "batch", "dc1", "/bin/sleep", &[&seconds]);
    register(client, &runs).await;
    let running = running_allocations(client, "runs", 1).await;
    wait_until_decided(client).await;

    let mut more = runs.clone();
    more["TaskGroups"][0]["Count"] = 3.into();
    let mut other = runs.clone();
    other["TaskGroups"][0]["Tasks"][0]["Config"]["args"] = json!(["1"]);
    let mut none = runs.clone();
    none["TaskGroups"][0]["Count"] = 0.into();
    for (job, updates) in [
        (&runs, json!({ "Ignore": 1 })),
        (&more, json!({ "Place": 2, "InPlaceUpdate": 1 })),
        (&other, json!({ "DestructiveUpdate": 1 })),
        (&none, json!({ "Stop": 1 })),
    ] {
        let answer = plan(client, job).await;
        assert_eq!(plan(cluster.client(leader), job).await, answer);
        let told = &answer["Annotations"]["DesiredTGUpdates"]["group"];
        let counted = told.as_object().into_iter().flatten().filter(|(_, count)| **count != json!(0));
        assert_eq!(
            Value::Object(counted.map(|(n, c)| (n.clone(), c.clone())).collect()),
            updates,
            "{answer}"
        );
    }
    let after = running_allocations(client, "runs", 1).await;
    assert_eq!(after[0]["ID"], running[0]["ID"]);
    assert_eq!(after[0]["ModifyIndex"], running[0]["ModifyIndex"]);
    let job = client.json("/v1/job/runs").await.expect("the server answers");
    assert_eq!(job["Version"], 0);
}
