//! Tests of new servers that find each other.

use std::time::Duration;

use super::{Servers, rpc};

#[tokio::test(start_paused = true)]
async fn of_five_fresh_servers_that_expect_three_all_get_into_one_cluster() {
    for seed in 0..5 {
        let mut servers = Servers::seeded(seed);
        for place in 0..5 {
            // Each server knows only the next one in a ring, and learns of the others by hearsay.
            servers.start(&format!("server-{place}"), 3, vec![rpc((place + 1) % 5)]).await;
        }
        servers.wait_for_voters(&[0, 1, 2, 3, 4]).await;
        let clusters = servers
            .running
            .iter()
            .map(|server| server.context().state.machine().cluster().cluster_id.clone());
        let clusters: std::collections::BTreeSet<_> = clusters.collect();
        assert_eq!(1, clusters.len(), "seed {seed}: {clusters:?}");
    }
}

/// Seeds of every test run; `ORDU_FORMING_SEEDS` adds a number of further seeds.
fn seeds() -> impl Iterator<Item = u64> {
    let more = std::env::var("ORDU_FORMING_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    (0..6).chain((0..more).map(|number| 1_000 + number))
}

#[tokio::test(start_paused = true)]
async fn servers_of_one_name_form_no_cluster_until_they_have_names_of_their_own() {
    // The ids decide on whom servers settle when one has gone.
    for seed in seeds() {
        let mut servers = Servers::seeded(seed);
        for name in ["same", "same", "other"] {
            servers.start(name, 3, (0..3).map(rpc).collect()).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        for server in &servers.running {
            let members = server.context().cluster.members();
            assert!(members.is_empty(), "seed {seed}: a cluster of two servers of one name");
        }
        // The second of the two is gone for good, and another server starts.
        servers.wires.cut(1);
        servers.start("third", 3, vec![rpc(0), rpc(2)]).await;
        servers.wait_for_voters(&[0, 2, 3]).await;
    }
}
