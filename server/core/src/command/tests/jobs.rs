//! Registration, deregistration and evaluation of jobs, and the retention of versions and specifications.

use ordu_proto::command::{JobDeregistered, JobEvaluate, JobRegistered, SummariesReconcile};

use super::super::Reconciled;
use super::*;
use crate::limits::ENTRY_ROWS_READ_MAX;

fn answered(outcome: Outcome) -> JobRegistered {
    outcome.answer().expect("a registration is answered as one")
}

#[test]
fn a_new_job_and_its_evaluation_are_one_entry() {
    let mut world = World::new();
    let answer = answered(world.accept(registered("a", "{1}", 1)));
    assert_eq!((11, 11, 11), (answer.index, answer.eval_create_index, answer.job_modify_index));
    assert_eq!(id(1).to_vec(), answer.eval_id);
    let job = world.job("a");
    assert_eq!((0, 11, 11, 11), (job.version, job.create_index, job.modify_index, job.job_modify_index));
    assert_eq!(("pending", 2_000), (job.status.as_str(), job.submit_time_ns));
    let eval = world.eval(1);
    assert_eq!((EvalStatus::Pending, "job-register"), (eval.status(), eval.triggered_by.as_str()));
    assert_eq!((11, 11, 11), (eval.create_index, eval.modify_index, eval.job_modify_index));
    let summary = world.summary("a").unwrap();
    assert_eq!((11, 11, 1), (summary.create_index, summary.modify_index, summary.open_evaluations));
    assert_eq!(TaskGroupSummary::default(), summary.groups["g"]);
    for table in [Table::Jobs, Table::JobVersions, Table::JobSummaries, Table::Evals] {
        assert_eq!(11, world.index_of(table), "{}", table.name());
    }
    assert_eq!(0, world.index_of(Table::Allocs));
}

#[test]
fn an_unchanged_job_is_evaluated_and_not_written() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    let before = world.job("a");
    let answer = answered(world.accept(registered("a", "{1}", 2)));
    assert_eq!((12, 11, 12), (answer.index, answer.job_modify_index, answer.eval_create_index));
    assert_eq!(before, world.job("a"));
    assert_eq!((11, 12), (world.index_of(Table::Jobs), world.index_of(Table::Evals)));
    assert_eq!(1, read::job_versions(&world.tables, "default", "a").unwrap().len());
}

#[test]
fn a_changed_job_is_a_new_version() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    let answer = answered(world.accept(registered("a", "{2}", 2)));
    let job = world.job("a");
    assert_eq!(
        (1, 11, 12, 12),
        (job.version, job.create_index, job.job_modify_index, answer.job_modify_index)
    );
    assert_eq!(b"{2}".to_vec(), read::spec_of(&world.tables, &job).unwrap().json);
    assert!(world.has_spec("a", 11, 0));
}

#[test]
fn a_stopped_job_that_is_registered_again_runs_again() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    world.accept(deregister("a", false, 2));
    assert_eq!(
        ("dead".to_owned(), true, 1),
        (world.status("a"), world.job("a").stop, world.job("a").version)
    );
    world.accept(registered("a", "{1}", 3));
    let job = world.job("a");
    assert_eq!(("pending", false, 2), (job.status.as_str(), job.stop, job.version));
}

#[test]
fn an_enforced_index_is_compared_where_the_log_is_total() {
    let cases: [(bool, u64, Option<&str>); 5] = [
        (false, 0, None),
        (true, 11, None),
        (true, 0, Some("Enforcing job modify index 0: job already exists")),
        (true, 7, Some("Enforcing job modify index 7: job exists with conflicting job modify index: 11")),
        (false, 7, Some("Enforcing job modify index 7: job does not exist")),
    ];
    for (exists, enforced, refusal) in cases {
        let mut world = World::new();
        if exists {
            world.accept(registered("a", "{1}", 1));
        }
        let command = JobRegister {
            enforce_index: true,
            enforced_job_modify_index: enforced,
            ..register(job("a"), "{2}", Some(2))
        };
        match refusal {
            Some(text) => {
                assert_eq!((500, text.to_owned()), world.refused(command));
                assert!(read::eval(&world.tables, &id(2)).unwrap().is_none());
            }
            None => drop(world.accept(command)),
        }
    }
}

type Change = fn(&mut Job);

#[test]
fn what_a_job_is_cannot_change() {
    let cases: [(Change, Change, &str); 5] = [
        (|_| {}, |job| job.r#type = "batch".into(), "cannot update job from type \"service\" to \"batch\""),
        (|job| job.periodic = true, |_| {}, "cannot update periodic job to being non-periodic"),
        (|_| {}, |job| job.periodic = true, "cannot update non-periodic job to being periodic"),
        (
            |job| job.parameterized = true,
            |_| {},
            "cannot update parameterized job to being non-parameterized",
        ),
        (
            |_| {},
            |job| job.parameterized = true,
            "cannot update non-parameterized job to being parameterized",
        ),
    ];
    for (before, after, text) in cases {
        let mut world = World::new();
        let (mut first, mut second) = (job("a"), job("a"));
        before(&mut first);
        after(&mut second);
        world.accept(register(first, "{1}", None));
        let refused = world.refused(register(second, "{2}", Some(2)));
        assert_eq!((500, text.to_owned()), refused);
    }
}

#[test]
fn a_periodic_job_runs_until_it_is_stopped_and_is_not_evaluated() {
    let mut world = World::new();
    let periodic = Job { periodic: true, ..job("a") };
    let answer = answered(world.accept(register(periodic, "{1}", None)));
    assert_eq!((Vec::new(), 0), (answer.eval_id, answer.eval_create_index));
    assert_eq!("running", world.status("a"));
    let answer = world.answer(deregister("a", false, 2));
    assert_eq!((Vec::new(), 12), (answer.eval_id, answer.eval_create_index));
    assert_eq!("dead", world.status("a"));
}

#[test]
fn stopping_writes_a_version_once_and_answers_the_truth_after() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    for (eval, index) in [(2, 12), (3, 13)] {
        let answer = world.accept(deregister("a", false, eval)).answer::<JobDeregistered>().unwrap();
        assert_eq!((index, index, 12), (answer.index, answer.eval_create_index, answer.job_modify_index));
        assert_eq!((1, 12), (world.job("a").version, world.job("a").job_modify_index));
        assert_eq!("job-deregister", world.eval(eval).triggered_by);
    }
}

#[test]
fn a_purge_removes_all_but_what_still_counts() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    world.accept(registered("ab", "{1}", 2));
    world.accept(deregister("a", true, 3));
    assert!(!world.has_job("a") && world.has_job("ab"));
    assert!(read::job_versions(&world.tables, "default", "a").unwrap().is_empty());
    assert!(!world.has_spec("a", 11, 0) && world.has_spec("ab", 12, 0));
    assert!(world.summary("a").unwrap().purged, "two evaluations are still open");
    for eval in [1, 3] {
        world.accept(eval_status(&world, eval, EvalStatus::Complete));
    }
    assert_eq!(None, world.summary("a"));
}

#[test]
fn a_job_of_the_same_id_after_a_purge_is_another_job() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1000)));
    world.accept(registered("a", "{1}", 1));
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 10)])]));
    world.accept(report(50, ClientStatus::Running));
    let former = world.job("a").create_index;
    world.accept(deregister("a", true, 2));
    assert!(world.has_spec("a", former, 0), "an allocation runs by it");
    world.accept(registered("a", "{2}", 3));
    let job = world.job("a");
    assert_eq!((0, world.index), (job.version, job.create_index));
    assert_eq!(TaskGroupSummary::default(), world.group("a"));
    world.accept(report(50, ClientStatus::Failed));
    assert_eq!(TaskGroupSummary::default(), world.group("a"), "the former job's allocation is not counted");
    assert_eq!(0, world.summary("a").unwrap().live_allocations);
}

#[test]
fn an_unknown_job_is_evaluated_when_it_is_stopped() {
    for purge in [false, true] {
        let mut world = World::new();
        let answer = world.accept(deregister("no", purge, 1)).answer::<JobDeregistered>().unwrap();
        assert_eq!((11, 11), (answer.eval_create_index, answer.job_modify_index));
        assert_eq!((50, "service"), (world.eval(1).priority, world.eval(1).r#type.as_str()));
        assert!(!world.has_job("no"));
        world.accept(eval_status(&world, 1, EvalStatus::Complete));
        assert_eq!(None, world.summary("no"));
    }
}

fn evaluate(job_id: &str, eval: Vec<u8>) -> JobEvaluate {
    let (namespace, job_id) = ("default".to_owned(), job_id.to_owned());
    JobEvaluate { namespace, job_id, eval_id: eval, force_reschedule: false }
}

#[test]
fn a_job_is_evaluated_as_it_stands_or_refused_in_words() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    world.accept(register(Job { periodic: true, ..job("p") }, "{}", None));
    world.accept(register(Job { parameterized: true, ..job("d") }, "{}", None));
    world.accept(evaluate("a", id(2).to_vec()));
    assert_eq!((EvalStatus::Pending, 11), (world.eval(2).status(), world.eval(2).job_modify_index));
    for (job_id, eval, text) in [
        ("no", id(3).to_vec(), "job not found"),
        ("p", id(3).to_vec(), "can't evaluate periodic job"),
        ("d", id(3).to_vec(), "can't evaluate parameterized job"),
        ("a", vec![1], "an evaluation's id has sixteen bytes"),
    ] {
        assert_eq!((500, text.to_owned()), world.refused(evaluate(job_id, eval)));
    }
}

#[test]
fn six_versions_are_kept_and_the_newest_stable_one_outlives_its_turn() {
    let mut world = World::new();
    let versions = |world: &World| -> Vec<u64> {
        let kept = read::job_versions(&world.tables, "default", "a").unwrap();
        kept.iter().map(|job| job.version).collect()
    };
    for version in 0..8 {
        world.accept(registered("a", &format!("{{{version}}}"), version + 1));
    }
    assert_eq!(vec![7, 6, 5, 4, 3, 2], versions(&world));
    let create_index = world.job("a").create_index;
    let kept = |world: &World| {
        (0..12).filter(|version| world.has_spec("a", create_index, *version)).collect::<Vec<u64>>()
    };
    assert_eq!(vec![2, 3, 4, 5, 6, 7], kept(&world));

    // Mark the version as stable directly in the table.
    let mut stable = read::job_version(&world.tables, "default", "a", 3).unwrap().unwrap();
    stable.stable = true;
    let mut tx = Tx::new(&world.tables, read::indexes(&world.tables).unwrap());
    tx.put(Table::JobVersions, key::job_version("default", "a", 3), &stable);
    tx.keep_entry();
    let (writes, _) = tx.finish();
    world.tables.commit(writes);
    for version in 8..11 {
        world.accept(registered("a", &format!("{{{version}}}"), version + 1));
    }
    assert_eq!(vec![10, 9, 8, 7, 6, 3], versions(&world));
    assert_eq!(vec![3, 6, 7, 8, 9, 10], kept(&world));
}

#[test]
fn a_specification_is_kept_while_an_allocation_runs_by_it_and_goes_with_the_last() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1000)));
    world.accept(registered("a", "{0}", 1));
    let create_index = world.job("a").create_index;
    let both = vec![world.placement(50, "a", 100, 10), world.placement(51, "a", 100, 10)];
    world.accept(plans(vec![plan(both)]));
    for version in 1..8 {
        world.accept(registered("a", &format!("{{{version}}}"), version + 1));
    }
    assert!(read::job_version(&world.tables, "default", "a", 0).unwrap().is_none());
    assert!(world.has_spec("a", create_index, 0) && !world.has_spec("a", create_index, 1));
    for (number, is_kept) in [(50, true), (51, false)] {
        let update = ordu_proto::command::PlanUpdate {
            alloc_id: id(number).to_vec(),
            job_version: 7,
            eval_id: id(8).to_vec(),
            ..Default::default()
        };
        world.accept(plans(vec![Plan { update: vec![update], ..plan(Vec::new()) }]));
        assert_eq!(7, world.alloc(number).job_version);
        assert_eq!(is_kept, world.has_spec("a", create_index, 0));
    }
}

/// Sets the status and the queued count of evaluation `number`.
fn ended(world: &World, number: u64, status: EvalStatus, queued: i64) -> EvalUpdate {
    let mut eval = world.eval(number);
    eval.set_status(status);
    eval.queued_allocations = [("g".to_owned(), queued)].into();
    EvalUpdate { evals: vec![eval] }
}

fn of_one_group(count: i64) -> String {
    format!(r#"{{"ID":"a","TaskGroups":[{{"Name":"g","Count":{count}}}]}}"#)
}

#[test]
fn what_a_cancelled_evaluation_said_of_waiting_allocations_does_not_count() {
    let mut world = World::new();
    world.accept(registered("a", &of_one_group(3), 1));
    world.accept(ended(&world, 1, EvalStatus::Blocked, 3));
    world.accept(registered("a", &of_one_group(2), 2));
    world.accept(ended(&world, 2, EvalStatus::Complete, 0));
    assert_eq!(0, world.group("a").queued);
    // Cancelling the blocked evaluation does not apply its count.
    world.accept(ended(&world, 1, EvalStatus::Canceled, 3));
    assert_eq!(0, world.group("a").queued);
    let before = world.group("a");
    world.accept(SummariesReconcile::default());
    assert_eq!(before, world.group("a"));
}

#[test]
fn nothing_of_a_stopped_job_waits() {
    let mut world = World::new();
    world.accept(registered("a", &of_one_group(3), 1));
    world.accept(ended(&world, 1, EvalStatus::Blocked, 3));
    assert_eq!(3, world.group("a").queued);
    world.accept(deregister("a", false, 2));
    assert_eq!(0, world.group("a").queued);
    // The evaluation looked at the job before it was stopped.
    world.accept(ended(&world, 1, EvalStatus::Blocked, 3));
    assert_eq!(0, world.group("a").queued);
    let before = world.group("a");
    world.accept(SummariesReconcile::default());
    assert_eq!(before, world.group("a"));
}

#[test]
fn counting_anew_what_is_more_than_one_entry_may_read_goes_on_in_further_ones() {
    let mut world = World::new();
    let names = ["a", "b", "b/c", "d", "e"];
    let evals_of_each = ENTRY_ROWS_READ_MAX as u64 / 4;
    for (number, name) in (1..).zip(names) {
        world.accept(registered(name, "{1}", number));
        let first = world.eval(number);
        let more = (0..evals_of_each)
            .map(|more| Evaluation { id: id(1_000 * 1_000 * number + more).to_vec(), ..first.clone() });
        world.accept(EvalUpdate { evals: more.collect() });
    }
    let counted = |world: &World| names.map(|name| world.summary(name).unwrap().open_evaluations);
    let right = [evals_of_each as i64 + 1; 5];
    assert_eq!(right, counted(&world));
    let mut tx = Tx::new(&world.tables, read::indexes(&world.tables).unwrap());
    for name in names {
        let broken = JobSummary { open_evaluations: 7, ..world.summary(name).unwrap() };
        tx.put(Table::JobSummaries, key::job("default", name), &broken);
    }
    tx.keep_entry();
    let (writes, _) = tx.finish();
    world.tables.commit(writes);
    world.reload();

    let answer = world.answer(SummariesReconcile::default());
    let Reconciled::Continued(part) = answer else { panic!("{answer:?}") };
    assert_eq!((right[0], right[3], 7), {
        let [first, _, _, last, behind] = counted(&world);
        (first, last, behind)
    });
    let rest = SummariesReconcile { after: part.after };
    assert!(matches!(world.answer(rest), Reconciled::Done(_)));
    assert_eq!(right, counted(&world));
}

#[test]
fn an_evaluation_that_is_over_stays_as_it_ended() {
    for last in [EvalStatus::Complete, EvalStatus::Failed, EvalStatus::Canceled] {
        let mut world = World::new();
        world.accept(registered("a", "{1}", 1));
        world.accept(eval_status(&world, 1, last));
        for late in [EvalStatus::Pending, EvalStatus::Blocked, EvalStatus::Complete, EvalStatus::Failed] {
            let before = world.state_rows();
            world.accept(ended(&world, 1, late, 3));
            assert_eq!(before, world.state_rows(), "{late:?} after {last:?}");
        }
    }
}

#[test]
fn an_evaluation_keeps_its_job_and_its_creation() {
    let mut world = World::new();
    world.accept(registered("a", "{1}", 1));
    let mut eval = world.eval(1);
    eval.job_id = "b".into();
    eval.create_index = 99;
    eval.queued_allocations.insert("g".into(), 3);
    eval.set_status(EvalStatus::Blocked);
    world.accept(EvalUpdate { evals: vec![eval] });
    let eval = world.eval(1);
    assert_eq!(("a", 11, 12), (eval.job_id.as_str(), eval.create_index, eval.modify_index));
    assert_eq!((2_000, 3_000), (eval.create_time_ns, eval.modify_time_ns));
    assert_eq!((3, "pending".to_owned()), (world.group("a").queued, world.status("a")));
    world.accept(eval_status(&world, 1, EvalStatus::Complete));
    assert_eq!("dead", world.status("a"));
    let short = Evaluation { id: vec![1], ..world.eval(1) };
    let command = EvalUpdate { evals: vec![world.eval(1), short] };
    assert_eq!((500, "an evaluation's id has sixteen bytes".to_owned()), world.refused(command));
}
