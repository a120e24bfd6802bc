//! Tests of recovery on disk, without running servers.

use bytes::Bytes;
use openraft::entry::RaftEntry;
use ordu_core::command::{Proposal, envelope};
use ordu_core::state::{Id, read as rows};
use ordu_proto::command::{ClusterInit, JobRegister};
use ordu_proto::state::Job;
use ordu_store::types::{Command as Payload, IoFlushed};

use super::*;

const OTHERS: [u64; 2] = [2, 3];
/// The term of all entries. `VOTED_IN` is a later term that the server has voted in.
const TERM: u64 = 4;
const VOTED_IN: u64 = 9;
/// The last entry applied to the tables. `LAST` is the last one in the log.
const APPLIED: u64 = 3;
const LAST: u64 = 6;

fn log_id(index: u64) -> LogId {
    codec::log_id_from_pb(&pb::LogId { term: TERM, index })
}

fn server(id: u64) -> Server {
    Server { name: format!("server-{id}.global"), rpc_addr: format!("10.0.0.{id}:4647"), ..Server::default() }
}

/// Makes the log: the first voters, the cluster id, and jobs.
fn entries(id: u64, cluster_id: &[u8]) -> Vec<Entry> {
    let voters: BTreeMap<u64, Server> = [id, OTHERS[0], OTHERS[1]].map(|it| (it, server(it % 10))).into();
    let membership = Membership::new(vec![voters.keys().copied().collect()], voters).unwrap();
    let command = |index: u64, command: Proposal| {
        let bytes = envelope(None, 0, i64::try_from(index).unwrap() * 1_000, command).encode_to_vec();
        Entry::new(log_id(index), EntryPayload::Normal(Payload(Bytes::from(bytes))))
    };
    let register = |index: u64| {
        let job = Job {
            namespace: "default".into(),
            id: format!("job-{index}"),
            r#type: "service".into(),
            ..Job::default()
        };
        let eval_id: Id = u128::from(index).to_be_bytes();
        let register = JobRegister {
            job: Some(job),
            spec_json: format!("{{\"ID\":\"job-{index}\"}}").into(),
            eval_id: eval_id.to_vec(),
            ..JobRegister::default()
        };
        command(index, register.into())
    };
    let init = ClusterInit { cluster_id: cluster_id.to_vec(), feature_level: 0 };
    let first = [Entry::new(log_id(0), EntryPayload::Membership(membership)), command(1, init.into())];
    first.into_iter().chain((2..=LAST).map(register)).collect()
}

/// Makes the data directory of a server in a cluster of three, whose tables have only the first half of its
/// log.
async fn prepare(data_dir: &Path) -> Identity {
    let storage = Storage::open(data_dir).unwrap();
    let drawn = storage.identity.load().unwrap();
    let cluster_id = cluster_id_of(&[drawn.server_id, OTHERS[0], OTHERS[1]]);
    let identity = Identity { cluster_id: cluster_id.clone(), ..drawn };
    storage.identity.save(&identity).unwrap();
    let id = identity.server_id;
    let seen = state_machine::seen(&*storage.tables, id).unwrap();
    let mut log = LogStore::open(storage.log.clone(), id, &seen).unwrap();
    let all = entries(id, &cluster_id);
    log.append(all.clone(), IoFlushed::noop()).await.unwrap();
    let vote = pb::VoteState { term: VOTED_IN, voted_for: Some(OTHERS[0]), committed: false };
    log.save_vote(&codec::vote_from_pb(&vote).unwrap()).await.unwrap();
    let own = Own { server_id: id, progress: log.progress() };
    let (mut machine, _) = state_machine::open(storage.tables.clone(), own, Arc::new(NoOne)).unwrap();
    apply(&mut machine, all[..=usize::try_from(APPLIED).unwrap()].to_vec()).await.unwrap();
    storage.tables.checkpoint().unwrap();
    let in_use = storage.in_use();
    drop((storage, log, machine));
    in_use.closed().await.unwrap();
    identity
}

async fn look_at(data_dir: &Path) -> Recovery {
    match Recovery::look(data_dir).await.unwrap() {
        Looked::Recoverable(recovery) => *recovery,
        Looked::Completed => panic!("nothing was begun"),
    }
}

#[tokio::test]
async fn all_that_the_log_has_is_kept_and_the_server_is_another_one_and_the_only_voter() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path();
    let former = prepare(data_dir).await;
    let recovery = look_at(data_dir).await;
    let found = recovery.found().clone();
    assert_eq!((former.server_id, &former.cluster_id), (found.server_id, &found.cluster_id));
    let entry = |index| Position { term: TERM, index };
    assert_eq!((Some(entry(APPLIED)), entry(LAST)), (found.applied, found.last));
    let counted = (found.jobs, found.allocations, found.nodes, found.time_ns);
    assert_eq!((5, 0, 0, 6_000), counted);
    assert_eq!(3, found.members.iter().filter(|member| member.voter).count());

    let formed = recovery.form().await.unwrap();
    let identity = IdentityFile::new(data_dir).load().unwrap();
    let wanted = Identity {
        server_id: formed.server_id,
        cluster_id: formed.cluster_id.clone(),
        is_prepared: true,
        ..Identity::draw()
    };
    assert_eq!(wanted, identity);
    assert!(former.server_id != identity.server_id && former.cluster_id != identity.cluster_id);
    assert_eq!(former, IdentityFile::new(&formed.aside).load().unwrap(), "what was there is set aside");

    let storage = Storage::open(data_dir).unwrap();
    let seen = state_machine::seen(&*storage.tables, identity.server_id).unwrap();
    let mut log = LogStore::open(storage.log.clone(), identity.server_id, &seen).unwrap();
    let at = codec::log_id_from_pb(&pb::LogId { term: VOTED_IN + 1, index: LAST + INDEXES_LEFT_OUT });
    let state = log.get_log_state().await.unwrap();
    assert_eq!((Some(at), Some(at)), (state.last_log_id, state.last_purged_log_id));
    let vote = log.read_vote().await.unwrap().unwrap();
    assert_eq!((VOTED_IN + 1, identity.server_id), (vote.leader_id.term, vote.leader_id.voted_for));
    let own = Own { server_id: identity.server_id, progress: log.progress() };
    let (_, state) = state_machine::open(storage.tables.clone(), own, Arc::new(NoOne)).unwrap();
    let position = state.read(state_machine::position).unwrap();
    assert_eq!(Some(at), position.last_log_id);
    assert_eq!(Some(position.clone()), storage.tables.current_snapshot().unwrap().map(|it| it.meta));
    let members: Vec<_> =
        position.last_membership.membership().nodes().map(|(id, it)| (*id, it.clone())).collect();
    assert_eq!(vec![(identity.server_id, server(former.server_id % 10))], members);
    assert_eq!(identity.cluster_id, state.machine().cluster().cluster_id);
    for index in 2..=LAST {
        let job = state.read(|reader| rows::job(reader, "default", &format!("job-{index}")).unwrap());
        assert!(job.is_some(), "job-{index}");
    }
}

#[tokio::test]
async fn a_look_changes_nothing_and_what_was_formed_can_be_recovered_from_again() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path();
    let former = prepare(data_dir).await;
    drop(look_at(data_dir).await);
    assert_eq!(former, IdentityFile::new(data_dir).load().unwrap());
    assert!(!data_dir.join(replacement::RECOVERING).exists());

    let held = look_at(data_dir).await;
    let refused = Recovery::look(data_dir).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("is in use by another process"), "{refused}");
    let first = held.form().await.unwrap();
    let again = look_at(data_dir).await;
    assert_eq!((first.server_id, 5), (again.found().server_id, again.found().jobs));
    assert_eq!(LAST + INDEXES_LEFT_OUT, again.found().last.index);
    let second = again.form().await.unwrap();
    assert!(first.cluster_id != second.cluster_id && first.aside != second.aside);
}

#[tokio::test]
async fn a_directory_that_holds_nothing_of_a_cluster_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path();
    let refused =
        async || Recovery::look(data_dir).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused().await.contains("holds no server's data"), "{}", refused().await);
    assert!(std::fs::read_dir(data_dir).unwrap().next().is_none(), "and nothing is made there");
    drop(Storage::open(data_dir).unwrap());
    assert!(refused().await.contains("in no cluster yet"), "{}", refused().await);
    let identity = IdentityFile::new(data_dir).load().unwrap();
    IdentityFile::new(data_dir).save(&Identity { cluster_id: vec![7; 16], ..identity }).unwrap();
    assert!(refused().await.contains("has no entry of its cluster's log"), "{}", refused().await);
}
