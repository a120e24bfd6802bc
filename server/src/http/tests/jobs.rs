//! Writes of jobs: what is refused, what is written, and what the answer says.

use ordu_proto::command::NodeRegister;
use ordu_proto::state::{DriverInfo, Node};

use super::*;

/// A job that no node can run, with more members.
fn job_with(id: &str, members: &Value) -> Value {
    let mut body = registration(id, 50);
    body["Job"].as_object_mut().unwrap().extend(members.as_object().cloned().unwrap_or_default());
    body
}

impl Fixture {
    async fn put_json(&self, path: &str, body: &Value) -> Asked {
        self.send("PUT", path, &[], &body.to_string()).await
    }

    async fn eval_priority(&self, written: &Value) -> Value {
        let id = written["EvalID"].as_str().unwrap();
        self.get(&format!("/v1/evaluation/{id}")).await.json()["Priority"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_a_job_that_is_not_there_writes_nothing() {
    let api = Fixture::start().await;
    for path in
        ["/v1/job/never", "/v1/job/never?purge=true", "/v1/job/a%2Fb", "/v1/job/never?namespace=other"]
    {
        let asked = api.send("DELETE", path, &[], "").await;
        assert_eq!(StatusCode::OK, asked.status, "{path}");
        let told = asked.json();
        assert_eq!(
            (&json!(""), &json!(0), &json!(0)),
            (&told["EvalID"], &told["Index"], &told["JobModifyIndex"])
        );
    }
    assert_eq!(json!([]), api.get("/v1/evaluations?namespace=*").await.json(), "nothing is written");
    api.register("there", 50).await;
    let stopped = api.send("DELETE", "/v1/job/there", &[], "").await.json();
    assert_ne!("", stopped["EvalID"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_a_namespace_that_is_not_there_is_refused_by_every_request_that_carries_it() {
    let api = Fixture::start().await;
    let text = |namespace: &str| {
        format!("1 error occurred:\n\t* job \"a\" is in nonexistent namespace \"{namespace}\"\n\n")
    };
    let body = job_with("a", &json!({"Namespace": "nowhere"}));
    for (path, body, namespace) in [
        ("/v1/jobs", &body, "nowhere"),
        ("/v1/job/a", &body, "nowhere"),
        ("/v1/job/a/plan", &body, "nowhere"),
        ("/v1/jobs?namespace=*", &registration("a", 50), "*"),
    ] {
        let asked = api.put_json(path, body).await;
        assert_eq!((StatusCode::BAD_REQUEST, text(namespace)), (asked.status, asked.text()), "{path}");
    }
    assert_eq!(text("nowhere"), api.put_json("/v1/validate/job", &body).await.json()["Error"]);
    assert_eq!(json!([]), api.get("/v1/jobs?namespace=*").await.json());
    api.register("a", 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_action_of_a_job_is_refused_unless_it_is_the_end_of_a_job_s_id() {
    let api = Fixture::start().await;
    api.register("a", 50).await;
    let scale = json!({"Count": 3, "Target": {"Group": "g"}});
    let text = "there is no job \"a/scale\", and a job has no action \"scale\"";
    for (method, body) in [("PUT", &scale), ("POST", &registration("a/scale", 50)), ("DELETE", &json!({}))] {
        let asked = api.send(method, "/v1/job/a/scale", &[], &body.to_string()).await;
        assert_eq!((StatusCode::NOT_FOUND, text), (asked.status, &*asked.text()), "{method}");
    }
    assert_eq!(StatusCode::NOT_FOUND, api.get("/v1/job/a%2Fscale").await.status, "nothing was registered");
    // A slash that is written as %2F is part of the ID.
    assert_eq!(StatusCode::OK, api.put_json("/v1/job/a%2Fscale", &registration("a/scale", 50)).await.status);
    assert_eq!(StatusCode::OK, api.put_json("/v1/job/a/scale", &registration("a/scale", 60)).await.status);
    assert_eq!(60, api.get("/v1/job/a/scale").await.json()["Priority"]);
    assert_eq!(StatusCode::OK, api.send("DELETE", "/v1/job/a/scale", &[], "").await.status);
    assert_eq!(true, api.get("/v1/job/a/scale").await.json()["Stop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evaluations_are_listed_by_job_and_status() {
    let api = Fixture::start().await;
    for id in ["a", "b"] {
        api.register(id, 50).await;
        api.register(id, 60).await;
    }
    let jobs_of = async |query: &str| {
        let list = api.get(&format!("/v1/evaluations?{query}")).await.json();
        let mut jobs: Vec<String> =
            list.as_array().unwrap().iter().map(|it| it["JobID"].as_str().unwrap().to_owned()).collect();
        jobs.sort();
        jobs.dedup();
        jobs
    };
    eventually(async || {
        let ended = jobs_of("status=complete").await;
        (ended == ["a", "b"]).then_some(()).ok_or_else(|| format!("complete are those of {ended:?}"))
    })
    .await;
    assert_eq!(["b"], *jobs_of("job=b").await);
    assert_eq!(["b"], *jobs_of("job=b&status=complete&per_page=1").await);
    for nothing in ["job=c", "job=a&status=failed", "status=unheard-of", "job=a&namespace=other"] {
        assert!(jobs_of(nothing).await.is_empty(), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_and_a_stop_give_their_evaluation_its_priority() {
    let api = Fixture::start().await;
    let mut body = registration("a", 50);
    body["EvalPriority"] = json!(70);
    let registered = api.put_json("/v1/jobs", &body).await.json();
    assert_eq!(70, api.eval_priority(&registered).await);
    let stopped = api.send("DELETE", "/v1/job/a?eval_priority=90", &[], "").await.json();
    assert_eq!(90, api.eval_priority(&stopped).await);
    let text = "Eval priority must be between 1 and 100 inclusively";
    for invalid in [-1, 101] {
        body["EvalPriority"] = json!(invalid);
        let asked = api.put_json("/v1/jobs", &body).await;
        assert_eq!((StatusCode::BAD_REQUEST, text), (asked.status, &*asked.text()), "{invalid}");
    }
    for (invalid, said) in
        [("0", text), ("101", text), ("high", "Failed to parse value of \"eval_priority\" (high)")]
    {
        let asked = api.send("DELETE", &format!("/v1/job/a?eval_priority={invalid}"), &[], "").await;
        assert!(
            asked.status == StatusCode::BAD_REQUEST && asked.text().starts_with(said),
            "{}",
            asked.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_kept_where_a_registration_asks_for_that() {
    let api = Fixture::start().await;
    let of_counts = |counts: &[(&str, u64)]| {
        let group = |(name, count): &(&str, u64)| {
            let task = json!({"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}});
            json!({"Name": name, "Count": count, "Tasks": [task]})
        };
        job_with("a", &json!({"TaskGroups": counts.iter().map(group).collect::<Vec<_>>()}))
    };
    assert_eq!(StatusCode::OK, api.put_json("/v1/jobs", &of_counts(&[("g", 3), ("gone", 2)])).await.status);
    let mut body = of_counts(&[("g", 1), ("new", 4)]);
    body["PreserveCounts"] = json!(true);
    assert_eq!(StatusCode::OK, api.put_json("/v1/job/a", &body).await.status);
    let groups = api.get("/v1/job/a").await.json()["TaskGroups"].clone();
    assert_eq!([3, 4], [&groups[0]["Count"], &groups[1]["Count"]].map(|count| count.as_u64().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_has_the_prefix_it_asks_for_and_a_second_one_with_its_token_evaluates_nothing() {
    let api = Fixture::start().await;
    let parent = job_with("p", &json!({"Type": "batch", "ParameterizedJob": {}}));
    assert_eq!(StatusCode::OK, api.put_json("/v1/jobs", &parent).await.status);
    let body = json!({"IdPrefixTemplate": "nightly", "IdempotencyToken": "once"});
    let first = api.put_json("/v1/job/p/dispatch", &body).await.json();
    let child = first["DispatchedJobID"].as_str().unwrap();
    assert!(child.starts_with("p/dispatch-nightly-"), "{first}");
    assert!(first["EvalID"] != "" && first["EvalCreateIndex"] == first["JobCreateIndex"], "{first}");
    let second = api.put_json("/v1/job/p/dispatch", &body).await.json();
    assert_eq!((child, &json!("")), (second["DispatchedJobID"].as_str().unwrap(), &second["EvalID"]));
    assert_eq!(
        (&json!(0), &first["JobCreateIndex"]),
        (&second["EvalCreateIndex"], &second["JobCreateIndex"])
    );
    for prefix in ["with space", "zero\0", &"x".repeat(1_000)] {
        let asked = api.put_json("/v1/job/p/dispatch", &json!({"IdPrefixTemplate": prefix})).await;
        assert_eq!(StatusCode::BAD_REQUEST, asked.status, "{}", asked.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_asks_for_in_vain_is_told_by_its_registration_its_plan_and_its_validation() {
    let api = Fixture::start().await;
    let mut node = Node { id: vec![7; 16], ..Node::default() };
    node.drivers
        .insert("exec".to_owned(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() });
    let registration = NodeRegister { node: Some(node), ..NodeRegister::default() };
    api.server.context().writer.write(registration).await.unwrap();
    let task = json!({"Name": "t", "Driver": "docker", "Config": {"image": "x"}, "Templates": [{"DestPath": "local/a", "EmbeddedTmpl": "x"}]});
    let job = job_with("a", &json!({"TaskGroups": [{"Name": "g", "Tasks": [task]}]}));
    for path in ["/v1/jobs", "/v1/job/a/plan", "/v1/validate/job"] {
        let told = api.put_json(path, &job).await.json()["Warnings"].as_str().unwrap().to_owned();
        for words in [
            "No node has the driver",
            "\"docker\" for task \"t\" of group \"g\"",
            "Templates are not supported",
        ] {
            assert!(told.contains(words), "{path}: {told}");
        }
    }
}
