//! Tests of autopilot's configuration, reported server health, and forced operations.

use std::collections::BTreeSet;
use std::time::Duration;

use ordu_core::autopilot::DEFAULT;
use ordu_core::state::read;
use ordu_proto::command::AutopilotSet;
use ordu_proto::server::{PeerChoice, ServerHealth, peer_choice};
use ordu_proto::state::AutopilotConfig;
use tokio::time::timeout;

use super::super::{Force, autopilot};
use super::{SERVER_STABILIZATION_TIME, Servers, eventually, lastingly, rpc};

/// Longer than a leader takes to detect failed servers, and than the default time before a learner votes.
const LONG: Duration = Duration::from_secs(30);

impl Servers {
    /// Sets the autopilot configuration through a server that does not lead.
    async fn set_autopilot(&self, config: AutopilotConfig) {
        let command = AutopilotSet { config: Some(config), enforced_modify_index: None };
        let writer = self.running[self.leader().await].context().writer;
        writer.write(command).await.unwrap();
    }

    /// Waits until these are the voters according to the leader; other servers may be cut off.
    async fn wait_until_voters_are(&self, places: &[usize]) {
        eventually(&format!("the servers {places:?} are the voters"), || {
            let leader = self.running.iter().find(|server| server.context().cluster.is_leader())?;
            (leader.uniform_voters()? == self.ids(places)).then_some(())
        })
        .await;
    }

    /// Waits until the leader considers the server in `place` failed; the leader must have led for a while.
    async fn wait_until_failed(&self, place: usize) {
        let id = self.running[place].id();
        eventually(&format!("server {place} has failed by the leader's word"), || {
            let contexts = self.running.iter().map(|server| server.context());
            let cluster = contexts.map(|context| context.cluster).find(|cluster| cluster.is_leader())?;
            let metrics = cluster.metrics();
            let members = cluster.members_of(&metrics);
            members.iter().any(|it| it.id == id && cluster.has_failed(&metrics, it)).then_some(())
        })
        .await;
    }

    /// Returns the servers' health as seen by the leader.
    fn health(&self) -> Option<Vec<ServerHealth>> {
        let leader = self.running.iter().find(|server| server.context().cluster.is_leader())?;
        Some(autopilot::health(&leader.context()).unwrap())
    }

    /// Waits until exactly the servers in `places` are healthy.
    async fn wait_until_healthy(&self, places: &[usize]) -> Vec<ServerHealth> {
        let healthy = self.ids(places);
        eventually(&format!("the servers {places:?} are healthy, and no others"), || {
            let health = self.health()?;
            let told: BTreeSet<u64> = health.iter().filter(|it| it.healthy).map(|it| it.id).collect();
            (told == healthy).then_some(health)
        })
        .await
    }

    fn choice(&self, place: usize) -> PeerChoice {
        PeerChoice { by: Some(peer_choice::By::Id(self.running[place].id())) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_begins_with_what_its_servers_were_told_and_keeps_to_what_is_set() {
    let told = AutopilotConfig { max_trailing_logs: 7, min_quorum: 3, ..DEFAULT };
    let servers = Servers::form_with(3, told).await;
    let stored = |server: &super::Running| server.context().state.read(read::autopilot).unwrap();
    let first = eventually("it is stored at every server", || {
        let all: Option<Vec<AutopilotConfig>> = servers.running.iter().map(stored).collect();
        all.filter(|all| all.iter().all(|config| *config == all[0])).map(|all| all[0])
    })
    .await;
    let AutopilotConfig { create_index, modify_index, .. } = first;
    assert_eq!(AutopilotConfig { create_index, modify_index, ..told }, first);
    assert!(create_index > 0 && create_index == modify_index, "{first:?}");

    servers.set_autopilot(DEFAULT).await;
    let dead = servers.leader().await;
    servers.wires.cut(dead);
    let others: Vec<usize> = (0..3).filter(|place| *place != dead).collect();
    eventually("another server leads, and keeps to it", || {
        let mut others = others.iter().map(|place| &servers.running[*place]);
        let leader = others.find(|server| server.context().cluster.is_leader())?;
        let config = stored(leader)?;
        assert_eq!(create_index, config.create_index);
        (config.max_trailing_logs == DEFAULT.max_trailing_logs).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_has_failed_stays_where_the_configuration_says_so() {
    // Whether dead servers are removed, the minimum number of voters, and whether the failed voter stays.
    for (cleanup_dead_servers, min_quorum, stays) in [(false, 0, true), (true, 4, true), (true, 3, false)] {
        let mut servers = Servers::form(3).await;
        servers.set_autopilot(AutopilotConfig { cleanup_dead_servers, min_quorum, ..DEFAULT }).await;
        let dead = servers.follower().await;
        servers.wires.cut(dead);
        let living: Vec<usize> = (0..3).filter(|place| *place != dead).collect();
        let join: Vec<String> = living.iter().map(|place| rpc(*place)).collect();
        servers.wait_until_failed(dead).await;
        servers.start("replacement", 3, join.clone()).await;
        let with_the_dead = [living[0], living[1], 3, dead];
        let voters = if stays { &with_the_dead[..] } else { &with_the_dead[..3] };
        servers.wait_until_voters_are(voters).await;
        servers.stay_voters(voters, LONG).await;

        // The next server finds four voters, or the configuration allows removing the dead one.
        servers.set_autopilot(AutopilotConfig { min_quorum, ..DEFAULT }).await;
        servers.start("another", 3, join).await;
        servers.wait_until_voters_are(&[living[0], living[1], 3, 4]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_s_former_self_goes_whatever_the_configuration_says() {
    let mut servers = Servers::form(3).await;
    servers.set_autopilot(AutopilotConfig { cleanup_dead_servers: false, min_quorum: 9, ..DEFAULT }).await;
    let dead = servers.follower().await;
    servers.wires.cut(dead);
    let living: Vec<usize> = (0..3).filter(|place| *place != dead).collect();
    let join = living.iter().map(|place| rpc(*place)).collect();
    servers.start(&format!("server-{dead}"), 3, join).await;
    servers.wait_until_voters_are(&[living[0], living[1], 3]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_votes_after_the_time_that_is_set_and_at_once_when_it_is_made_shorter() {
    let mut servers = Servers::form(3).await;
    let long = i64::try_from((10 * SERVER_STABILIZATION_TIME).as_nanos()).unwrap();
    servers.set_autopilot(AutopilotConfig { server_stabilization_time_ns: long, ..DEFAULT }).await;
    servers.start("server-3", 3, vec![rpc(0)]).await;
    servers.wait_for_members(4).await;
    servers.stay_voters(&[0, 1, 2], 5 * SERVER_STABILIZATION_TIME).await;
    servers.set_autopilot(AutopilotConfig { server_stabilization_time_ns: 0, ..DEFAULT }).await;
    let voting = servers.wait_for_voters(&[0, 1, 2, 3]);
    timeout(SERVER_STABILIZATION_TIME / 2, voting).await.expect("it was well for long enough");
}

#[tokio::test(start_paused = true)]
async fn the_leader_tells_who_is_not_healthy_and_since_when() {
    let mut servers = Servers::form(3).await;
    let before = servers.wait_until_healthy(&[0, 1, 2]).await;
    let leader = servers.leader().await;
    let (leads, has) = (servers.running[leader].id(), before[0].last_index);
    for health in &before {
        assert_eq!(
            (health.id == leads, true, true),
            (health.leader, health.voter, health.alive),
            "{health:?}"
        );
        assert!(health.last_index > 0 && health.last_term > 0 && has > 0, "{health:?}");
    }
    let sick = servers.follower().await;
    servers.wires.cut(sick);
    let others: Vec<usize> = (0..3).filter(|place| *place != sick).collect();
    let since = |all: &[ServerHealth], place: usize| {
        let id = servers.running[place].id();
        all.iter().find(|health| health.id == id).map(|health| health.stable_since_ns).unwrap()
    };
    let cut = servers.wait_until_healthy(&others).await;
    assert!(since(&cut, sick) > since(&before, sick));
    assert_eq!(since(&cut, others[0]), since(&before, others[0]), "nothing has changed there");
    servers.wires.heal();
    let healed = servers.wait_until_healthy(&[0, 1, 2]).await;
    assert!(since(&healed, sick) > since(&cut, sick));

    servers.set_autopilot(AutopilotConfig { last_contact_threshold_ns: 3_600_000_000_000, ..DEFAULT }).await;
    servers.wires.cut(sick);
    eventually("it is heard of no more, which no threshold makes good", || {
        let health = servers.health()?;
        let it = health.into_iter().find(|health| health.id == servers.running[sick].id())?;
        (!it.alive && !it.healthy).then_some(())
    })
    .await;
    // A learner is reported, too, and votes after it has been healthy for a while.
    servers.start("server-3", 3, vec![rpc(others[0])]).await;
    eventually("the learner is healthy", || {
        let health = servers.health()?;
        health.iter().any(|it| !it.voter && it.healthy).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lives_is_removed_by_force_alone_and_joins_again() {
    let servers = Servers::form(3).await;
    let leader = servers.leader().await;
    let (removed, changes) = (servers.follower().await, servers.changes().await);
    let others: Vec<usize> = (0..3).filter(|place| *place != removed).collect();
    let refused = changes.remove(servers.choice(removed), Force::default()).await.unwrap_err();
    assert!(refused.message().contains("-force-living"), "{}", refused.message());
    let force = Force { living: true, ..Force::default() };
    let refused = changes.remove(servers.choice(leader), force).await.unwrap_err();
    assert!(refused.message().contains("leads: hand leadership"), "{}", refused.message());
    servers.stay_voters(&[0, 1, 2], Duration::from_secs(1)).await;
    changes.remove(servers.choice(removed), force).await.unwrap();
    assert_eq!(Some(servers.ids(&others)), servers.running[leader].uniform_voters());
    servers.wait_for_voters(&[0, 1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn the_living_are_left_in_a_minority_by_force_alone_and_go_on_when_others_are_back() {
    let servers = Servers::form(3).await;
    let (leader, changes) = (servers.leader().await, servers.changes().await);
    let (away, living) = ((leader + 1) % 3, (leader + 2) % 3);
    servers.wires.cut(away);
    servers.wait_until_failed(away).await;
    let living_alone = Force { living: true, ..Force::default() };
    let refused = changes.remove(servers.choice(living), living_alone).await.unwrap_err();
    let words = refused.message();
    assert!(
        words.contains("1 of 2 voters would be alive") && words.contains("-force-without-majority"),
        "{words}"
    );
    servers.stay_voters(&[0, 1, 2], Duration::from_secs(1)).await;

    let choice = servers.choice(living);
    let force = Force { living: true, without_majority: true };
    let removal = tokio::spawn(async move { changes.remove(choice, force).await });
    lastingly("nothing is decided without a majority", LONG, || !removal.is_finished()).await;
    servers.wires.heal();
    eventually("it is removed, or another server leads", || removal.is_finished().then_some(())).await;
    // The removed server is alive, and asks to join.
    servers.wait_for_voters(&[0, 1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_quorum_that_is_lost_is_not_mended_by_a_removal_and_the_way_out_is_told() {
    let servers = Servers::form(3).await;
    let (leader, changes) = (servers.leader().await, servers.changes().await);
    let dead = [(leader + 1) % 3, (leader + 2) % 3];
    dead.iter().for_each(|place| servers.wires.cut(*place));
    let cluster = servers.running[leader].context().cluster;
    eventually("it has lost its quorum", || (!cluster.known_leader()).then_some(())).await;
    for force in [Force::default(), Force { living: true, without_majority: true }] {
        let refused = changes.remove(servers.choice(dead[0]), force).await.unwrap_err();
        assert!(refused.message().contains("`ordu server recover`"), "{}", refused.message());
    }
    servers.wires.heal();
    servers.wait_for_voters(&[0, 1, 2]).await;
}
