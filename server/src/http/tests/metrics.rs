//! Metrics of one server, in both formats.

use super::*;

#[tokio::test]
async fn a_leader_tells_what_there_is_to_do_and_a_server_without_a_disk_nothing_of_one() {
    let fixture = Fixture::start().await;
    fixture.register("waits", 50).await;
    fixture.settled("waits").await;
    // The evaluation is written before the broker learns of it.
    let text = eventually(async || {
        let text = fixture.get("/v1/metrics?format=prometheus").await.text();
        if text.contains(r#"ordu_evaluations{state="blocked"} 1"#) { Ok(text) } else { Err(text) }
    })
    .await;
    for line in [
        r#"ordu_evaluations{state="ready"} 0"#,
        r#"ordu_evaluation_oldest_seconds{state="due"} 0"#,
        "ordu_plans_waiting 0",
        "ordu_raft_voters 1",
        "ordu_raft_voters_needed 1",
        "ordu_raft_entries_behind 0",
        r#"ordu_nodes{status="ready"} 0"#,
        r#"ordu_allocations{client_status="running"} 0"#,
        r#"ordu_plans_total{result="failed"} 0"#,
        // Under Nomad's names too, where they mean the same.
        "nomad_nomad_broker_total_ready 0",
        "nomad_nomad_broker_total_unacked 0",
        "nomad_nomad_broker_total_blocked 0",
        "nomad_nomad_broker_total_waiting 0",
        "nomad_nomad_blocked_evals_total_blocked 1",
        "nomad_nomad_plan_queue_depth 0",
        "nomad_nomad_heartbeat_active 0",
        "nomad_nomad_job_status_pending 1",
        "nomad_nomad_job_status_running 0",
        "nomad_nomad_job_status_dead 0",
        "# TYPE ordu_raft_sync_seconds histogram",
        "# TYPE ordu_plans_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    for name in ["ordu_disk_free_bytes", "ordu_disk_free_bytes_min", "ordu_snapshot_age_seconds"] {
        assert!(!text.contains(&format!("# TYPE {name} ")), "{text}");
    }
    let names = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(names("# TYPE "), names("# HELP "));
    let metrics = fixture.get("/v1/metrics").await.json();
    let told = |kind: &str, name: &str| {
        metrics[kind].as_array().unwrap().iter().filter(|metric| metric["Name"] == name).count()
    };
    assert_eq!(1, told("Gauges", "nomad.nomad.blocked_evals.total_blocked"));
    assert_eq!((1, 5), (told("Gauges", "ordu_raft_term"), told("Gauges", "ordu_evaluations")));
    assert_eq!((4, 1), (told("Counters", "ordu_plans_total"), told("Samples", "ordu_state_apply_seconds")));
}
