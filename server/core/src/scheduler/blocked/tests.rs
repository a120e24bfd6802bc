//! What wakes a blocked evaluation, what does not, and what was missed meanwhile.

use super::*;

fn id(number: u8) -> Vec<u8> {
    vec![number; 16]
}

/// Blocked evaluation `number` of job `job`, decided on index 10, that found class `full` fit and class
/// `wrong` unfit.
fn eval(number: u8, job: &str) -> Evaluation {
    Evaluation {
        id: id(number),
        namespace: "default".into(),
        job_id: job.into(),
        snapshot_index: 10,
        class_eligibility: [("full".into(), true), ("wrong".into(), false)].into(),
        ..Default::default()
    }
}

fn dc(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn blocked(evals: &[Evaluation]) -> BlockedEvals {
    let mut blocked = BlockedEvals::new();
    for eval in evals {
        assert_eq!(blocked.block(eval.clone(), &dc("dc1")), Blocking::default());
    }
    blocked
}

fn ids(evals: Vec<Evaluation>) -> Vec<Vec<u8>> {
    evals.into_iter().map(|eval| eval.id).collect()
}

#[test]
fn only_changes_that_could_help_wake() {
    let cases = [
        ("a class that was found fit", "full", "dc1", true),
        ("a class that was found unfit", "wrong", "dc1", false),
        ("a class that was not met", "new", "dc1", true),
        ("another datacenter", "new", "dc2", false),
    ];
    for (name, class, datacenter, wakes) in cases {
        let mut blocked = blocked(&[eval(1, "a")]);
        assert_eq!(!blocked.unblock(class, datacenter, 11).is_empty(), wakes, "{name}");
        assert_eq!(blocked.stats().blocked, usize::from(!wakes), "{name}");
    }
}

#[test]
fn what_asks_for_single_nodes_is_woken_by_any_in_its_datacenters() {
    let escaped = Evaluation { escaped_computed_class: true, ..eval(1, "a") };
    let mut blocked = blocked(&[escaped]);
    assert_eq!(blocked.stats().escaped, 1);
    assert!(blocked.unblock("wrong", "dc2", 11).is_empty());
    assert_eq!(blocked.unblock("wrong", "dc1", 12).len(), 1);
}

#[test]
fn a_change_while_a_worker_had_it_is_not_missed() {
    let cases = [
        ("fit class, later", "full", "dc1", 11, true),
        ("fit class, seen already", "full", "dc1", 10, false),
        ("unfit class", "wrong", "dc1", 11, false),
        ("class not met", "new", "dc1", 11, true),
        ("another datacenter", "full", "dc2", 11, false),
    ];
    for (name, class, datacenter, index, missed) in cases {
        let mut blocked = BlockedEvals::new();
        blocked.unblock(class, datacenter, index);
        let blocking = blocked.block(eval(1, "a"), &dc("dc1"));
        assert_eq!(blocking.ready.is_some(), missed, "{name}");
        assert_eq!(blocked.contains(&id(1)), !missed, "{name}");
    }
}

#[test]
fn changes_that_were_forgotten_count_as_missed() {
    let mut blocked = BlockedEvals::new();
    for number in 0..=REMEMBERED_CLASSES_MAX as u64 {
        blocked.unblock(&format!("class-{number}"), "dc2", 11 + number);
    }
    assert!(blocked.remembered <= REMEMBERED_CLASSES_MAX);
    assert!(blocked.block(eval(1, "a"), &dc("dc1")).ready.is_some());
    let later = Evaluation { snapshot_index: 100_000, ..eval(2, "b") };
    assert!(blocked.block(later, &dc("dc1")).ready.is_none());
}

#[test]
fn of_two_of_a_job_the_newer_stays_blocked() {
    let newer = Evaluation { create_index: 20, ..eval(2, "a") };
    let mut tracker = blocked(&[eval(1, "a"), eval(3, "b")]);
    let blocking = tracker.block(newer.clone(), &dc("dc1"));
    assert_eq!(blocking.duplicate.map(|eval| eval.id), Some(id(1)));
    let blocking = tracker.block(eval(4, "a"), &dc("dc1"));
    assert_eq!(blocking.duplicate.map(|eval| eval.id), Some(id(4)), "an older one that comes late gives way");
    assert_eq!(tracker.stats().blocked, 2);
    assert_eq!(tracker.block(newer, &dc("dc1")), Blocking::default(), "the same again is no duplicate");
    assert_eq!(ids(tracker.unblock("full", "dc1", 11)).len(), 2);
}

#[test]
fn a_job_that_needs_no_room_is_not_woken() {
    let mut blocked = blocked(&[eval(1, "a")]);
    assert_eq!(blocked.untrack("default", "a").map(|eval| eval.id), Some(id(1)));
    assert!(blocked.untrack("default", "a").is_none());
    assert!(blocked.unblock("full", "dc1", 11).is_empty());
    assert!(blocked.by_datacenter.is_empty() && blocked.by_job.is_empty());
}

#[test]
fn refused_plans_are_taken_up_without_a_change() {
    let refused = Evaluation { triggered_by: TRIGGER_MAX_PLANS.into(), ..eval(2, "b") };
    let mut blocked = blocked(&[eval(1, "a"), refused]);
    assert_eq!(ids(blocked.unblock_refused_plans()), [id(2)]);
    assert!(blocked.contains(&id(1)));
}

#[test]
fn a_new_leader_looks_again_where_there_are_nodes_that_might_do() {
    let cases = [
        ("none", vec![], false),
        ("another datacenter", vec![("new", "dc2")], false),
        ("unfit", vec![("wrong", "dc1")], false),
        ("might do", vec![("wrong", "dc1"), ("full", "dc1")], true),
    ];
    for (name, classes, ready) in cases {
        let mut blocked = BlockedEvals::new();
        let blocking = blocked.restore(eval(1, "a"), &dc("dc1"), classes.into_iter());
        assert_eq!(blocking.ready.is_some(), ready, "{name}");
        assert_eq!(blocked.contains(&id(1)), !ready, "{name}");
    }
}
