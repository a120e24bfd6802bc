//! Which changes wake a blocked evaluation, including changes missed while it was with a worker.

use super::*;

fn id(number: u8) -> Vec<u8> {
    vec![number; 16]
}

/// Returns blocked evaluation `number` of job `job`, decided at index 10, which found class
/// `full` eligible and class `wrong` ineligible.
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
        assert_eq!(blocked.block(eval.clone(), &dc("dc1")), None);
    }
    blocked
}

/// Takes all woken evaluations.
fn woken(blocked: &mut BlockedEvals) -> Vec<Vec<u8>> {
    blocked.take_woken(usize::MAX).into_iter().map(|eval| eval.id).collect()
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
        blocked.unblock(class, datacenter, 11);
        assert_eq!(!woken(&mut blocked).is_empty(), wakes, "{name}");
        assert_eq!(blocked.stats().blocked, usize::from(!wakes), "{name}");
    }
}

#[test]
fn what_asks_for_single_nodes_is_woken_by_any_in_its_datacenters() {
    let escaped = Evaluation { escaped_computed_class: true, ..eval(1, "a") };
    let mut blocked = blocked(&[escaped]);
    blocked.unblock("wrong", "dc2", 11);
    assert!(woken(&mut blocked).is_empty());
    blocked.unblock("wrong", "dc1", 12);
    assert_eq!(woken(&mut blocked).len(), 1);
}

#[test]
fn a_glob_waits_for_every_datacenter_that_it_matches() {
    let cases = [
        ("all", vec!["*"], "dc1", true),
        ("some", vec!["dc*"], "dc1", true),
        ("others", vec!["eu-*"], "dc1", false),
        ("a glob beside a name", vec!["eu-1", "d*1"], "dc1", true),
        ("a name beside a glob", vec!["dc1", "eu-*"], "dc1", true),
        ("a name that only looks alike", vec!["dc"], "dc1", false),
    ];
    for (name, datacenters, datacenter, wakes) in cases {
        let datacenters: Vec<String> = datacenters.into_iter().map(str::to_owned).collect();

        let mut blocked = BlockedEvals::new();
        assert_eq!(blocked.block(eval(1, "a"), &datacenters), None);
        blocked.unblock("new", datacenter, 11);
        blocked.unblock("new", datacenter, 12);
        assert_eq!(woken(&mut blocked).len(), usize::from(wakes), "{name}");
        assert_eq!(blocked.untrack("default", "a").is_some(), !wakes, "{name}");
        assert!(blocked.by_glob.is_empty() && blocked.by_datacenter.is_empty(), "{name}");

        let mut blocked = BlockedEvals::new();
        blocked.unblock("new", datacenter, 11);
        assert_eq!(blocked.block(eval(1, "a"), &datacenters), None);
        assert_eq!(!woken(&mut blocked).is_empty(), wakes, "{name}, while a worker had it");

        let mut blocked = BlockedEvals::new();
        let classes = [("new", datacenter)].into_iter();
        assert_eq!(blocked.restore(eval(1, "a"), &datacenters, classes), None);
        assert_eq!(!woken(&mut blocked).is_empty(), wakes, "{name}, at a new leader");
    }
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
        assert_eq!(blocked.block(eval(1, "a"), &dc("dc1")), None);
        assert_eq!(!woken(&mut blocked).is_empty(), missed, "{name}");
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
    blocked.block(eval(1, "a"), &dc("dc1"));
    assert_eq!(woken(&mut blocked), [id(1)]);
    let later = Evaluation { snapshot_index: 100_000, ..eval(2, "b") };
    blocked.block(later, &dc("dc1"));
    assert!(woken(&mut blocked).is_empty());
}

#[test]
fn of_two_of_a_job_the_newer_stays_blocked() {
    let newer = Evaluation { create_index: 20, ..eval(2, "a") };
    let mut tracker = blocked(&[eval(1, "a"), eval(3, "b")]);
    let mut block = |eval| tracker.block(eval, &dc("dc1")).map(|duplicate| duplicate.id);
    assert_eq!(block(newer.clone()), Some(id(1)));
    assert_eq!(block(eval(4, "a")), Some(id(4)), "an older one that comes late gives way");
    assert_eq!(block(newer), None, "the same again is no duplicate");
    assert_eq!(tracker.stats().blocked, 2);
    tracker.unblock("full", "dc1", 11);
    assert_eq!(woken(&mut tracker).len(), 2);
}

#[test]
fn a_job_that_needs_no_room_is_not_woken() {
    let mut blocked = blocked(&[eval(1, "a")]);
    assert_eq!(blocked.untrack("default", "a").map(|eval| eval.id), Some(id(1)));
    assert!(blocked.untrack("default", "a").is_none());
    blocked.unblock("full", "dc1", 11);
    assert!(woken(&mut blocked).is_empty());
    assert!(blocked.by_datacenter.is_empty() && blocked.by_job.is_empty());
}

#[test]
fn refused_plans_are_taken_up_without_a_change() {
    let refused = Evaluation { triggered_by: TRIGGER_MAX_PLANS.into(), ..eval(2, "b") };
    let mut blocked = blocked(&[eval(1, "a"), refused]);
    blocked.unblock_refused_plans();
    assert_eq!(woken(&mut blocked), [id(2)]);
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
        assert_eq!(blocked.restore(eval(1, "a"), &dc("dc1"), classes.into_iter()), None);
        assert_eq!(!woken(&mut blocked).is_empty(), ready, "{name}");
        assert_eq!(blocked.contains(&id(1)), !ready, "{name}");
    }
}

#[test]
fn those_that_are_awake_are_taken_in_the_order_in_which_they_were_woken() {
    let urgent = Evaluation { priority: 90, ..eval(9, "z") };
    let mut blocked = blocked(&[eval(2, "b"), eval(1, "a"), urgent.clone()]);
    let other = Evaluation { class_eligibility: [("new".into(), false)].into(), ..eval(3, "c") };
    blocked.block(other, &dc("dc1"));
    blocked.unblock("wrong", "dc1", 11);
    assert_eq!(blocked.take_woken(1)[0].id, id(3));
    blocked.unblock("full", "dc1", 12);
    assert_eq!(blocked.take_woken(1), [urgent]);
    assert_eq!(blocked.stats().blocked, 2, "who is awake is still blocked until it is taken");
    let again = blocked.take_woken(1).remove(0);
    // The evaluation found no room, but a change happened meanwhile: it is woken again, after
    // the one that has not been taken yet.
    blocked.block(again.clone(), &dc("dc1"));
    let last = woken(&mut blocked);
    assert_eq!((last.len(), &last[1]), (2, &again.id));
    assert_eq!(blocked.stats(), BlockedStats::default());
    assert!(blocked.by_datacenter.is_empty() && blocked.woken.is_empty());
}

#[test]
fn the_oldest_is_told_whether_it_sleeps_or_not_until_it_goes() {
    let made = |number, job, seconds| Evaluation { create_time_ns: seconds, ..eval(number, job) };
    let mut blocked = blocked(&[made(1, "a", 7), made(2, "b", 5)]);
    assert_eq!(BlockedStats { blocked: 2, oldest_ns: Some(5) }, blocked.stats());
    blocked.unblock("full", "dc1", 11);
    assert_eq!(Some(5), blocked.stats().oldest_ns);
    blocked.untrack("default", "b");
    assert_eq!(BlockedStats { blocked: 1, oldest_ns: Some(7) }, blocked.stats());
}

#[test]
fn who_is_awake_and_gives_way_or_is_not_needed_is_not_taken() {
    let mut blocked = blocked(&[eval(1, "a"), eval(2, "b")]);
    blocked.unblock("full", "dc1", 11);
    blocked.untrack("default", "a");
    let newer = Evaluation { create_index: 20, snapshot_index: 20, ..eval(3, "b") };
    assert_eq!(blocked.block(newer, &dc("dc1")).map(|eval| eval.id), Some(id(2)));
    assert!(woken(&mut blocked).is_empty() && blocked.contains(&id(3)));
}
