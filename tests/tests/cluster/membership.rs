//! Servers discover each other, also after address changes; servers are added, replaced and removed.

use std::collections::BTreeMap;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::unplaceable;
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{register, wait_for_jobs};

fn without_nodes() -> Shape {
    Shape { nodes: 0, ..Shape::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_name_the_same_three_peers_and_one_leader() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let leader = cluster.leader().await;
    let expected = cluster.client(leader).json("/v1/status/peers").await.expect("the leader answers");
    assert_eq!(expected.as_array().map(Vec::len), Some(3), "{expected}");
    for server in 0..cluster.servers.len() {
        let client = cluster.client(server);
        eventually("every server names the same peers", SETTLE_WITHIN, async || {
            let mut peers = client.json("/v1/status/peers").await.map_err(|error| error.to_string())?;
            let mut expected = expected.clone();
            for list in [&mut peers, &mut expected].into_iter().filter_map(|list| list.as_array_mut()) {
                list.sort_by_key(|peer| peer.to_string());
            }
            holds(peers == expected, || format!("{peers}, not {expected}"))
        })
        .await;
        let raft = client.json("/v1/operator/raft/configuration").await.expect("the server answers");
        let servers: Vec<_> = raft["Servers"].as_array().into_iter().flatten().collect();
        assert_eq!(servers.len(), 3, "{raft}");
        assert!(servers.iter().all(|server| server["Voter"] == true), "{raft}");
        assert_eq!(servers.iter().filter(|server| server["Leader"] == true).count(), 1, "{raft}");
        let members = client.json("/v1/agent/members").await.expect("the server answers");
        let alive =
            members["Members"].as_array().into_iter().flatten().filter(|m| m["Status"] == "alive").count();
        assert_eq!(alive, 3, "{members}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_at_another_address_is_a_member_again() {
    let mut cluster = Cluster::start(without_nodes()).await;
    // Move the leader, so that both it and its followers must learn new addresses.
    let moved = cluster.leader().await;
    register(cluster.client(moved), &unplaceable("before")).await;
    cluster.servers[moved].kill();
    cluster.leader().await;
    cluster.move_server(moved);
    cluster.start_server(moved);
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("after")).await;
    let both = ["after", "before"].map(str::to_owned).into();
    wait_for_jobs(cluster.client(moved), "", &both).await;
    cluster.wait_for_equal_states().await;

    // The moved server is a full member: when another one is down, it is needed for the quorum.
    let gone = (0..cluster.servers.len()).find(|number| *number != moved).unwrap_or(0);
    cluster.servers[gone].kill();
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("by-two")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_all_come_back_at_other_addresses_are_one_cluster_again() {
    let mut cluster = Cluster::start(without_nodes()).await;
    register(cluster.client(0), &unplaceable("before")).await;
    for server in &mut cluster.servers {
        server.kill();
    }
    for number in 0..cluster.servers.len() {
        cluster.move_server(number);
    }
    for number in 0..cluster.servers.len() {
        cluster.start_server(number);
    }
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("after")).await;
    let both = ["after", "before"].map(str::to_owned).into();
    for number in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(number), "", &both).await;
    }
    cluster.wait_for_equal_states().await;
}

/// Returns the servers of the raft configuration, as reported by a server.
async fn raft_servers(client: Client) -> Result<Vec<serde_json::Value>, String> {
    let raft = client.json("/v1/operator/raft/configuration").await.map_err(|error| error.to_string())?;
    raft["Servers"].as_array().cloned().ok_or_else(|| raft.to_string())
}

/// Server ids by address.
pub(crate) type Voters = BTreeMap<String, String>;

/// Waits until all running servers report exactly each other as voters, in a configuration other than `before`.
pub(crate) async fn wait_for_voters(cluster: &mut Cluster, before: &Voters) -> Voters {
    let running: Vec<usize> =
        (0..cluster.servers.len()).filter(|number| cluster.servers[*number].is_started()).collect();
    let clients: Vec<_> = running.iter().map(|number| cluster.client(*number)).collect();
    eventually("every server votes", SETTLE_WITHIN, async || {
        let mut told = Vec::new();
        for client in &clients {
            let servers = raft_servers(*client).await?;
            let all_vote = servers.iter().all(|server| server["Voter"] == true);
            let text =
                |server: &serde_json::Value, key: &str| server[key].as_str().unwrap_or_default().to_owned();
            let ids: Voters =
                servers.iter().map(|server| (text(server, "Address"), text(server, "ID"))).collect();
            holds(all_vote && servers.len() == running.len() && ids.len() == running.len(), || {
                format!("{} servers run: {servers:?}", running.len())
            })?;
            told.push(ids);
        }
        let agree = told.iter().all(|ids| *ids == told[0]) && told[0] != *before;
        holds(agree, || format!("{told:?} after {before:?}")).map(|()| told[0].clone())
    })
    .await
}

pub(crate) async fn wait_for_more(load: &Load) {
    let before = load.acknowledged();
    eventually_now("writes go on", SETTLE_WITHIN, || {
        holds(load.acknowledged() > before + 20, || format!("{} acknowledged", load.acknowledged()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_added_and_one_that_is_replaced_vote_while_writes_go_on() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let load = Load::start(&cluster.http_addresses(), "change", Pressure { connections: 2, per_second: 40 });
    let of_three = wait_for_voters(&mut cluster, &Voters::new()).await;

    let fourth = cluster.add_server();
    cluster.start_server(fourth);
    let of_four = wait_for_voters(&mut cluster, &of_three).await;
    wait_for_more(&load).await;

    // A fresh disk under the same name makes it a new server that replaces the former one.
    let replaced = cluster.follower().await;
    cluster.servers[replaced].kill();
    cluster.wipe_server(replaced);
    cluster.start_server(replaced);
    let of_new_four = wait_for_voters(&mut cluster, &of_four).await;
    let stayed = of_new_four.iter().filter(|(address, id)| of_four.get(*address) == Some(*id));
    assert_eq!(3, stayed.count(), "{of_four:?}, then {of_new_four:?}");
    wait_for_more(&load).await;

    let two = [cluster.add_server(), cluster.add_server()];
    for number in two {
        cluster.start_server(number);
    }
    wait_for_voters(&mut cluster, &of_new_four).await;
    wait_for_more(&load).await;
    let record = load.finish().await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "change", &record.acknowledged).await;
    }
    cluster.wait_for_equal_states().await;

    // A quorum of six is four.
    for number in two {
        cluster.servers[number].kill();
    }
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("by-four")).await;

    // Remove them by hand, and then one more; a quorum of three is two again.
    for number in two {
        remove_when_failed(&cluster, cluster.rpc_address(number)).await;
    }
    cluster.servers[fourth].stop();
    remove_when_failed(&cluster, cluster.rpc_address(fourth)).await;
    wait_for_voters(&mut cluster, &Voters::new()).await;
    for server in &cluster.servers[..3] {
        assert!(server.log_text().contains("a server is not heard of any more"), "{}", server.log_text());
    }
    let leader = cluster.leader().await;
    let gone = (0..3).find(|number| *number != leader).unwrap_or_default();
    cluster.servers[gone].kill();
    register(cluster.client(leader), &unplaceable("by-two")).await;
}

/// Removes a server. The leader refuses that until it considers the server failed.
async fn remove_when_failed(cluster: &Cluster, address: String) {
    let running = (0..3).find(|number| cluster.servers[*number].is_started()).unwrap_or_default();
    let client = cluster.client(running);
    eventually("a server is removed", SETTLE_WITHIN, async || {
        let path = format!("/v1/operator/raft/peer?address={address}");
        let answer = client.delete(&path).await.map_err(|error| error.to_string())?;
        holds(answer.status == 200, || format!("{}: {}", answer.status, answer.text()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_come_and_go_again_leave_the_cluster_as_it_was() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let load = Load::start(&cluster.http_addresses(), "visited", Pressure { connections: 2, per_second: 40 });
    let of_three = wait_for_voters(&mut cluster, &Voters::new()).await;
    let client = cluster.client(0);
    for _ in 0..10 {
        let three = [cluster.add_server(), cluster.add_server(), cluster.add_server()];
        let addresses = three.map(|number| cluster.rpc_address(number));
        for number in three {
            cluster.start_server(number);
        }
        eventually("they are taken in, and do not vote", SETTLE_WITHIN, async || {
            let servers = raft_servers(client).await?;
            let new = servers.iter().filter(|server| {
                server["Voter"] == false && addresses.iter().any(|address| server["Address"] == **address)
            });
            let voters = servers.iter().filter(|server| server["Voter"] == true).count();
            assert_eq!(3, voters, "{servers:?}");
            holds(new.count() == three.len(), || format!("{servers:?}"))
        })
        .await;
        for number in three {
            cluster.servers[number].kill();
        }
        wait_for_more(&load).await;
    }
    assert_eq!(of_three, wait_for_voters(&mut cluster, &Voters::new()).await, "none is left of them");
    let record = load.finish().await;
    for server in 0..3 {
        wait_for_jobs(cluster.client(server), "visited", &record.acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_where_an_operator_wants_it_and_who_lives_is_not_removed() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let follower = cluster.follower().await;
    // Any server forwards the request.
    let client = cluster.client(follower);
    let to = cluster.rpc_address(follower);
    let went = client.send("PUT", &format!("/v1/operator/raft/transfer-leadership?address={to}"), None).await;
    let went = went.expect("the server answers");
    assert_eq!(200, went.status, "{}", went.text());
    assert_eq!(follower, cluster.leader().await);
    let noop = client.send("PUT", &format!("/v1/operator/raft/transfer-leadership?address={to}"), None).await;
    assert!(noop.expect("the server answers").text().contains("\"Noop\":true"));

    let other = cluster.follower().await;
    let cases = [
        (format!("?address={}", cluster.rpc_address(other)), 409, "stop it"),
        (format!("?address={to}"), 409, "stop it"),
        (format!("?address={to}&force_living=true"), 409, "hand leadership to another server"),
        (format!("?address={to}&force_living=perhaps"), 400, "force_living"),
        ("?id=7".to_owned(), 404, "no server has the id 7; there are "),
        ("?id=a".to_owned(), 400, "is no server's id"),
        ("?id=7&address=a".to_owned(), 400, "not by both"),
        (String::new(), 400, "?id or by ?address"),
    ];
    for server in [follower, other] {
        for (named, status, words) in &cases {
            let answer = cluster.client(server).delete(&format!("/v1/operator/raft/peer{named}")).await;
            let answer = answer.expect("the server answers");
            let said = (answer.status, answer.text());
            assert!(said.0 == *status && said.1.contains(words), "{named}: {said:?}");
        }
    }
    wait_for_voters(&mut cluster, &Voters::new()).await;
}
