//! Job versions: reverting to one, marking one as stable.

use ordu_proto::command::{JobRegistered, JobRevert, JobStability, SummariesReconcile};

use super::*;

pub(super) fn revert(job_id: &str, version: u64, prior: Option<u64>, eval: u64) -> JobRevert {
    JobRevert {
        namespace: "default".into(),
        job_id: job_id.into(),
        version,
        enforced_prior_version: prior,
        eval_id: id(eval).to_vec(),
    }
}

pub(super) fn stability(job_id: &str, version: u64, stable: bool) -> JobStability {
    JobStability { namespace: "default".into(), job_id: job_id.into(), version, stable }
}

impl World {
    pub(super) fn spec_text(&self, job_id: &str) -> String {
        String::from_utf8(read::spec_of(&self.tables, &self.job(job_id)).unwrap().json).unwrap()
    }

    fn versions(&self, job_id: &str) -> Vec<(u64, bool)> {
        let versions = read::job_versions(&self.tables, "default", job_id).unwrap();
        versions.into_iter().map(|job| (job.version, job.stable)).collect()
    }
}

/// The specification that a test registers last.
const NEW: u64 = 99;

fn spec(number: u64) -> String {
    format!(r#"{{"ID":"a","Priority":{number}}}"#)
}

/// Returns a job with versions 0, 1 and 2, each with the specification of its number.
fn three_versions() -> World {
    let mut world = World::new();
    for version in 0..3 {
        world.accept(registered("a", &spec(version), 1 + version));
    }
    world
}

#[test]
fn a_revert_is_a_new_version_of_an_old_specification() {
    let mut world = three_versions();
    let answer = world.accept(revert("a", 0, Some(2), 9)).answer::<JobRegistered>().unwrap();
    let job = world.job("a");
    assert_eq!((3, &*spec(0)), (job.version, &*world.spec_text("a")));
    assert_eq!((answer.index, answer.index), (job.job_modify_index, answer.job_modify_index));
    assert_eq!(("job-register", answer.index), (&*world.eval(9).triggered_by, answer.eval_create_index));
    assert_eq!(vec![(3, false), (2, false), (1, false), (0, false)], world.versions("a"));
}

#[test]
fn a_revert_to_what_is_not_there_or_is_there_already_is_refused() {
    let mut world = three_versions();
    for (command, text) in [
        (revert("none", 0, None, 9), "job \"none\" not found"),
        (revert("a", 2, None, 9), "can't revert to current version"),
        (revert("a", 7, None, 9), "job \"a\" in namespace \"default\" at version 7 not found"),
        (revert("a", 0, Some(1), 9), "Current job has version 2; enforcing version 1"),
    ] {
        assert_eq!((500, text.to_owned()), world.refused(command));
    }
}

#[test]
fn a_revert_to_a_version_before_the_stop_starts_the_job_again() {
    let mut world = World::new();
    world.accept(registered("a", &spec(0), 1));
    world.accept(deregister("a", false, 2));
    assert!(world.job("a").stop);
    world.accept(revert("a", 0, None, 3));
    assert!(!world.job("a").stop);
    assert_eq!("pending", world.status("a"));
}

#[test]
fn a_mark_changes_no_number_and_evaluates_nothing() {
    let mut world = three_versions();
    let before = world.job("a");
    let evals = world.index_of(Table::Evals);
    world.accept(stability("a", 2, true));
    let job = world.job("a");
    assert_eq!(Job { stable: true, modify_index: job.modify_index, ..before }, job);
    assert_eq!(world.index, job.modify_index);
    assert_eq!(evals, world.index_of(Table::Evals));
    assert_eq!(vec![(2, true), (1, false), (0, false)], world.versions("a"));
    let rows = world.state_rows();
    world.accept(stability("a", 2, true));
    assert_eq!(rows, world.state_rows(), "it is so already");
    world.accept(stability("a", 2, false));
    assert_eq!(vec![(2, false), (1, false), (0, false)], world.versions("a"));
    for (job_id, version, text) in [
        ("none", 0, "job \"none\" not found"),
        ("a", 9, "job \"a\" in namespace \"default\" at version 9 not found"),
    ] {
        assert_eq!((500, text.to_owned()), world.refused(stability(job_id, version, true)));
    }
}

#[test]
fn a_mark_on_an_older_version_makes_it_the_job_as_nomad_does() {
    let mut world = three_versions();
    world.accept(stability("a", 1, true));
    assert_eq!((1, &*spec(1)), (world.job("a").version, &*world.spec_text("a")));
    // No allocation uses version 2, so its number is reused.
    world.accept(revert("a", 0, None, 9));
    assert_eq!((2, &*spec(0)), (world.job("a").version, &*world.spec_text("a")));
    assert_eq!(vec![(2, false), (1, true), (0, false)], world.versions("a"));
}

#[test]
fn a_number_by_which_an_allocation_runs_is_not_given_again() {
    for next in [
        Proposal::from(registered("a", &spec(NEW), 9)),
        deregister("a", false, 9).into(),
        revert("a", 0, None, 9).into(),
    ] {
        let mut world = three_versions();
        world.accept(node_register(node(100, 1000)));
        world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 10)])]));
        let before = world.job("a").create_index;
        world.accept(stability("a", 1, true));
        world.accept(next);
        assert_eq!(3, world.job("a").version);
        let runs_by = read::job_spec(&world.tables, "default", "a", before, 2).unwrap().unwrap();
        assert_eq!(spec(2).into_bytes(), runs_by.json);
    }
}

#[test]
fn the_newest_stable_version_outlives_its_turn() {
    let mut world = World::new();
    world.accept(registered("a", &spec(0), 1));
    world.accept(stability("a", 0, true));
    for version in 1..9 {
        world.accept(registered("a", &spec(version), 1 + version));
    }
    let numbers: Vec<u64> = world.versions("a").into_iter().map(|(version, _)| version).collect();
    assert_eq!(vec![8, 7, 6, 5, 4, 0], numbers);
}

#[test]
fn the_version_that_is_written_is_kept_though_its_number_is_the_lowest_but_one() {
    let mut world = World::new();
    for version in 0..20 {
        world.accept(registered("a", &spec(version), 1 + version));
        if version == 10 {
            world.accept(stability("a", 10, true));
        }
    }
    // Unmark and mark again: marking a version that is marked already changes nothing.
    world.accept(stability("a", 10, false));
    world.accept(stability("a", 10, true));
    assert_eq!(10, world.job("a").version);
    world.accept(registered("a", &spec(NEW), 30));
    assert_eq!((11, &*spec(NEW)), (world.job("a").version, &*world.spec_text("a")));
    assert!(world.versions("a").contains(&(11, false)) && world.versions("a").contains(&(10, true)));
    world.accept(deregister("a", false, 31));
    assert_eq!((12, &*spec(NEW)), (world.job("a").version, &*world.spec_text("a")));
}

#[test]
fn a_version_costs_the_same_whatever_allocations_the_job_has_had() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1_000)));
    world.accept(registered("a", &spec(0), 1));
    let placed = (0..1_000).map(|number| world.placement(5_000 + number, "a", 100, 0)).collect();
    world.accept(plans(vec![plan(placed)]));
    let mut read_of_allocs = 0;
    for version in 1..50 {
        let command = registered("a", &spec(version), version + 1);
        let bytes = envelope(None, 0, world.time_ns, command).encode_to_vec();
        let base = Counting::over(&world.tables);
        let mut tx = Tx::new(&base, read::indexes(&world.tables).unwrap());
        world.index += 1;
        let at = LogPosition { term: world.term, index: world.index };
        let applied = world.machine.apply(&mut tx, at, bytes.into()).unwrap();
        assert!(applied.outcome.answer::<JobRegistered>().is_some());
        let (writes, _) = tx.finish();
        read_of_allocs += base.read_of(Table::Allocs) + base.read_of(Table::AllocsByJob);
        world.tables.commit(writes);
    }
    assert_eq!((49, 0), (world.job("a").version, read_of_allocs));
    assert!(world.has_spec("a", world.job("a").create_index, 0), "allocations run by it");
}

#[test]
fn groups_keep_their_counts_where_the_registration_asks_for_it() {
    let mut world = World::new();
    let spec = |count: i64, more: i64| {
        format!(r#"{{"ID":"a","TaskGroups":[{{"Name":"g","Count":{count}}},{{"Name":"h","Count":{more}}}]}}"#)
    };
    world.accept(registered("a", r#"{"ID":"a","TaskGroups":[{"Name":"g","Count":7}]}"#, 1));
    let kept = JobRegister { preserve_counts: true, ..register(job("a"), &spec(1, 2), Some(2)) };
    world.accept(kept);
    let stored: serde_json::Value = serde_json::from_str(&world.spec_text("a")).unwrap();
    let counts: Vec<_> = (0..2).map(|group| stored["TaskGroups"][group]["Count"].clone()).collect();
    assert_eq!(vec![serde_json::json!(7), serde_json::json!(2)], counts);
    // Each of the two specifications is within the limit, but the result with the kept counts is not.
    let more = JobRegister {
        preserve_counts: true,
        ..register(job("a"), &spec(1, 99_999).replace("\"h\"", "\"i\""), Some(3))
    };
    let (status, text) = world.refused(more);
    assert_eq!(400, status);
    assert!(text.ends_with("job_max_count: 100006 > 100000"), "{text}");
}

#[test]
fn the_groups_of_the_version_that_becomes_the_job_are_in_its_summary() {
    let spec = |group: &str| format!(r#"{{"ID":"a","TaskGroups":[{{"Name":"{group}","Count":1}}]}}"#);
    for back in [Proposal::from(revert("a", 0, None, 9)), stability("a", 0, true).into()] {
        let mut world = World::new();
        world.accept(registered("a", &spec("first"), 1));
        world.accept(registered("a", &spec("second"), 2));
        // The recomputed summary has only the groups of the current version.
        world.accept(SummariesReconcile::default());
        assert!(!world.summary("a").unwrap().groups.contains_key("first"));
        world.accept(back);
        assert!(world.summary("a").unwrap().groups.contains_key("first"));
    }
}
