//! Jobs that would cost the servers too much are refused or fail with a message, and the cluster stays functional.

use ordu_tests::harness::Cluster;
use ordu_tests::jobs::{registration, sleeper, unplaceable};
use ordu_tests::observe::{register, running_allocations};

/// Returns this many different words, separated by commas.
fn words(word: &str, count: usize) -> String {
    (0..count).map(|number| format!("{word}{number}")).collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_whose_constraints_would_take_minutes_are_refused_and_the_cluster_goes_on() {
    let mut cluster = Cluster::start_three().await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    // The first case once stopped whole clusters: it searches for 120,000 words among 120,000 others.
    let cases = [
        ("sets", words("left", 120_000), "set_contains_any", words("right", 120_000)),
        ("versions", vec!["1"; 40_000].join("."), "version", vec!["> 1.1"; 20_000].join(",")),
        ("expressions", "x".repeat(1_000_000), "regexp", "(x+x+)+y".to_owned()),
    ];
    for (id, left, operand, right) in cases {
        let mut job = unplaceable(id);
        job["Constraints"] = serde_json::json!([{"LTarget": left, "Operand": operand, "RTarget": right}]);
        let refused = client.post("/v1/jobs", &registration(&job)).await.expect("it is answered");
        let text = refused.text();
        assert_eq!(400, refused.status, "{id}: {text}");
        assert!(text.contains("bytes in one side of a constraint or affinity"), "{id}: {text}");
    }
    let job = sleeper("after");
    register(client, &job.job).await;
    running_allocations(client, "after", 1).await;
}
