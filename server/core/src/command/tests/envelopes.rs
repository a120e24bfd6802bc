//! Rules for every command: request ids, fences, time, feature levels.

use ordu_proto::command::{ClusterInit, Done, FeatureLevelRaise, JobRegistered};

use super::super::{Answer, FEATURE_LEVEL, Fatal};
use super::*;
use crate::limits::ANSWERED_REQUESTS_MAX;

fn with_id(request: u64, command: impl Into<Proposal>) -> Vec<u8> {
    envelope(Some(id(request)), 0, 5, command).encode_to_vec()
}

fn outcome(mut applied: Vec<Applied>) -> Outcome {
    applied.remove(0).outcome
}

fn done(index: u64) -> Outcome {
    Outcome::Answered(Done { index }.to_encoded())
}

#[test]
fn a_retry_finds_the_first_answer_in_its_batch_after_it_and_after_a_reload() {
    let mut world = World::new();
    let first = with_id(1, registered("a", "{1}", 1));
    let retry = with_id(1, registered("a", "{2}", 2));
    let mut both = world.batch(&[first, retry.clone()]);
    let (second, first) = (both.pop().unwrap(), both.pop().unwrap());
    assert_eq!(first.outcome, second.outcome);
    assert!(!first.changes.is_empty() && second.changes.is_empty());
    let hash = world.hash();
    assert_eq!(first.outcome, outcome(world.batch(std::slice::from_ref(&retry))));
    world.reload();
    assert_eq!(first.outcome, outcome(world.batch(&[retry])));
    assert_eq!((hash, 0), (world.hash(), world.job("a").version));
}

#[test]
fn a_refusal_is_remembered_too() {
    let mut world = World::new();
    let enforced = JobRegister {
        enforce_index: true,
        enforced_job_modify_index: 5,
        ..register(job("a"), "{}", Some(1))
    };
    let first = outcome(world.batch(&[with_id(1, enforced)]));
    assert!(matches!(first, Outcome::Refused(_)));
    assert_eq!(first, outcome(world.batch(&[with_id(1, registered("a", "{}", 1))])));
    assert!(!world.has_job("a"));
}

#[test]
fn the_oldest_answers_make_room_for_new_ones() {
    let mut world = World::new();
    let command = || EvalUpdate::default();
    let many: Vec<Vec<u8>> =
        (1..=ANSWERED_REQUESTS_MAX as u64).map(|request| with_id(request, command())).collect();
    world.batch(&many);
    let rows = |world: &World| world.tables.iter().filter(|(table, ..)| *table == Table::Requests).count();
    assert_eq!(ANSWERED_REQUESTS_MAX, rows(&world));
    world.batch(&[with_id(0, command())]);
    assert_eq!(ANSWERED_REQUESTS_MAX, rows(&world));
    for reload in [false, true] {
        if reload {
            world.reload();
        }
        // The answer of the newest request in `many` is kept; that of its oldest has been dropped.
        let found = outcome(world.batch(&[with_id(ANSWERED_REQUESTS_MAX as u64, command())]));
        assert_eq!(found, done(10 + ANSWERED_REQUESTS_MAX as u64));
    }
    let again = outcome(world.batch(&[with_id(1, command())]));
    assert_eq!(again, done(world.index));
    assert_eq!(ANSWERED_REQUESTS_MAX, rows(&world));
}

#[test]
fn a_request_whose_answer_may_have_been_dropped_takes_no_effect_a_second_time() {
    let mut world = World::new();
    let since = |earliest_index, request, spec: &str| {
        let mut envelope = envelope(Some(id(request)), 0, 5, registered("a", spec, 1));
        envelope.head.earliest_index = earliest_index;
        envelope.encode_to_vec()
    };
    let earliest = world.index + 1;
    let first = since(earliest, 1, "{1}");
    assert!(outcome(world.batch(std::slice::from_ref(&first))).answer::<JobRegistered>().is_some());
    let many: Vec<Vec<u8>> = (2..=ANSWERED_REQUESTS_MAX as u64 + 1)
        .map(|request| with_id(request, EvalUpdate::default()))
        .collect();
    world.batch(&many);
    let before = world.state_rows();
    for reload in [false, true] {
        if reload {
            world.reload();
        }
        assert_eq!(Outcome::TooLate, outcome(world.batch(std::slice::from_ref(&first))));
        assert_eq!(before, world.state_rows(), "it left a trace");
    }
    // This request cannot have been answered before the drop, so it is applied as usual.
    let later = since(earliest + 1, ANSWERED_REQUESTS_MAX as u64 + 2, "{2}");
    assert!(outcome(world.batch(&[later])).answer::<JobRegistered>().is_some());
}

#[test]
fn what_a_deposed_leader_proposed_takes_no_effect() {
    let mut world = World::new();
    let before = world.state_rows();
    let fenced = |term| envelope(None, term, 5, registered("a", "{1}", 1)).encode_to_vec();
    for term in [world.term - 1, world.term + 1] {
        let answer = outcome(world.batch(&[fenced(term)]));
        assert!(matches!(answer, Outcome::Refused(ref refusal) if refusal.status == 409));
        assert_eq!(before, world.state_rows());
    }
    outcome(world.batch(&[fenced(world.term)]));
    assert!(world.has_job("a"));
}

#[test]
fn time_never_runs_backwards() {
    let mut world = World::new();
    for (proposed, expected) in [(100, 100), (50, 100), (-7, 100), (101, 101)] {
        world.batch(&[
            envelope(None, 0, proposed, registered("a", &format!("{proposed}"), 1)).encode_to_vec()
        ]);
        assert_eq!((expected, expected), (world.machine.cluster().time_ns, world.job("a").submit_time_ns));
    }
    world.reload();
    assert_eq!(101, world.machine.cluster().time_ns);
}

#[test]
fn what_this_release_does_not_know_is_fatal() {
    let mut world = World::new();
    let known = envelope(None, 0, 5, registered("a", "{1}", 1));
    let mut newer = known.clone();
    newer.head.feature_level = FEATURE_LEVEL + 1;
    // A command with a number that no release uses: field 999, an empty message.
    let unknown = [known.head.encode_to_vec(), vec![0xba, 0x3e, 0]].concat();
    // A raise to a level that this release does not know.
    let level = FEATURE_LEVEL + 1;
    let raise = FeatureLevelRaise { level };
    let begin = ClusterInit { cluster_id: vec![1; 16], feature_level: level };
    let raise = envelope(None, 0, 5, raise).encode_to_vec();
    let begin = envelope(None, 0, 5, begin).encode_to_vec();
    let cases = [
        (raise, true),
        (begin, true),
        (newer.encode_to_vec(), true),
        (unknown, true),
        (Vec::new(), true),
        (vec![0xff], false),
    ];
    for (bytes, is_too_new) in cases {
        let mut tx = Tx::new(&world.tables, Default::default());
        let at = LogPosition { term: 1, index: 11 };
        let fatal = world.machine.apply(&mut tx, at, bytes.into()).unwrap_err();
        assert_eq!(is_too_new, matches!(fatal, Fatal::TooNew { index: 11, .. }), "{fatal}");
        assert_eq!(!is_too_new, matches!(fatal, Fatal::Undecodable { index: 11, .. }), "{fatal}");
        assert!(tx.finish().0.is_empty());
    }
}

#[test]
fn the_first_cluster_id_stays() {
    let mut world = World::new();
    let init = |byte| ClusterInit { cluster_id: vec![byte; 16], feature_level: 0 };
    world.accept(init(1));
    world.accept(init(1));
    assert_eq!(409, world.refused(init(2)).0);
    world.reload();
    assert_eq!(
        (vec![1; 16], 1),
        (world.machine.cluster().cluster_id.clone(), world.machine.cluster().feature_level)
    );
}

#[test]
fn the_cluster_s_level_rises_and_never_falls() {
    let mut world = World::new();
    assert_eq!(1, world.machine.feature_level());
    let raise = |level| FeatureLevelRaise { level };
    for (level, reached) in [(FEATURE_LEVEL, FEATURE_LEVEL), (0, FEATURE_LEVEL), (1, FEATURE_LEVEL)] {
        world.accept(raise(level));
        world.reload();
        assert_eq!(reached, world.machine.feature_level(), "after {level}");
    }
    // A cluster that is created at a level has it from the start, on every server.
    let mut world = World::new();
    world.accept(ClusterInit { cluster_id: vec![1; 16], feature_level: FEATURE_LEVEL });
    assert_eq!(FEATURE_LEVEL, world.machine.cluster().feature_level);
}
