//! Fields that feature level 2 added to commands of the first level.

use ordu_proto::command::{FeatureLevelRaise, JobDeregister, JobDispatch, JobRegister, SummariesReconcile};

use super::children::{dispatch, parameterized};
use super::versions::stability;
use super::*;

fn refused_below_level_2() -> (u32, String) {
    (409, "this needs feature level 2, and the cluster's is 1".to_owned())
}

#[test]
fn an_evaluation_has_the_priority_that_its_registration_or_stop_gives_it() {
    let mut world = World::new();
    let registration = |eval_priority, eval| JobRegister { eval_priority, ..registered("a", "{}", eval) };
    let stop = |eval_priority, eval| JobDeregister { eval_priority, ..deregister("a", false, eval) };
    assert_eq!(refused_below_level_2(), world.refused(registration(70, 1)));
    world.accept(registration(0, 1));
    assert_eq!(refused_below_level_2(), world.refused(stop(90, 2)));
    world.accept(FeatureLevelRaise { level: 2 });
    world.accept(registration(70, 2));
    world.accept(stop(90, 3));
    world.accept(stop(0, 4));
    assert_eq!([50, 70, 90, 50], [1, 2, 3, 4].map(|eval| world.eval(eval).priority));
    assert_eq!(50, world.job("a").priority, "the job's priority stays");
}

#[test]
fn a_dispatch_puts_its_prefix_before_the_time_in_the_child_s_id() {
    let mut world = World::new();
    world.accept(parameterized("p", "optional"));
    let prefixed =
        |eval| JobDispatch { id_prefix: "nightly".into(), ..dispatch("p", &[("must", "x")], b"", eval) };
    assert_eq!(refused_below_level_2(), world.refused(prefixed(1)));
    world.accept(FeatureLevelRaise { level: 2 });
    assert_eq!("p/dispatch-nightly-0-00000001", world.answer(prefixed(1)).child_id);
    let plain = world.answer(dispatch("p", &[("must", "x")], b"", 2)).child_id;
    assert_eq!("p/dispatch-0-00000002", plain);
    let malformed = JobDispatch { id_prefix: "a\0b".into(), ..prefixed(3) };
    assert_eq!(400, world.refused(malformed).0, "it would form another row's key");
}

/// Counts the summaries anew, and returns the parent's children: pending, running, dead.
fn recounted(world: &mut World, parent: &str) -> (i64, i64, i64) {
    let before = world.children(parent);
    world.accept(SummariesReconcile::default());
    assert_eq!(before, world.children(parent), "to count anew changes nothing");
    before
}

#[test]
fn a_parent_counts_the_children_that_exist_after_purges_too() {
    let mut world = World::new();
    world.accept(FeatureLevelRaise { level: 2 });
    world.accept(parameterized("p", "optional"));
    let made = |world: &mut World, eval| world.answer(dispatch("p", &[("must", "x")], b"", eval)).child_id;
    let children: Vec<String> = (1..=6).map(|eval| made(&mut world, eval)).collect();
    assert_eq!((6, 0, 0), recounted(&mut world, "p"));
    for (child, eval) in children.iter().zip(11..) {
        world.accept(deregister(child, false, eval));
    }
    assert_eq!((0, 0, 6), recounted(&mut world, "p"));
    world.accept(deregister(&children[0], true, 21));
    assert_eq!((0, 0, 5), recounted(&mut world, "p"), "a purged child is none");
    // A purged parent's children stay, and another job of its name has them.
    world.accept(deregister("p", true, 22));
    world.accept(deregister(&children[1], true, 23));
    world.accept(parameterized("p", "optional"));
    assert_eq!((0, 0, 4), recounted(&mut world, "p"));
    let seventh = made(&mut world, 7);
    assert_eq!((1, 0, 4), recounted(&mut world, "p"));
    // Nothing is left of a parent whose children are gone too.
    world.accept(deregister("p", true, 24));
    for child in children.iter().skip(2).chain([&seventh]) {
        world.accept(deregister(child, true, 25));
    }
    assert_eq!(None, world.summary("p"));
}

#[test]
fn below_level_2_summaries_are_counted_as_the_first_release_counts_them() {
    let mut world = World::new();
    world.accept(parameterized("p", "optional"));
    let child = world.answer(dispatch("p", &[("must", "x")], b"", 1)).child_id;
    world.accept(deregister(&child, true, 2));
    assert_eq!((0, 0, 1), recounted(&mut world, "p"), "a purged child counts as dead");
    world.accept(deregister("p", true, 3));
    assert_eq!(None, world.summary("p").map(|summary| summary.children_dead));
    world.accept(FeatureLevelRaise { level: 2 });
    world.accept(parameterized("p", "optional"));
    assert_eq!((0, 0, 0), recounted(&mut world, "p"));
}

#[test]
fn a_version_that_is_marked_as_stable_has_the_status_that_its_job_has_then() {
    let mut world = World::new();
    let statuses = |world: &World| -> Vec<String> {
        let versions = read::job_versions(&world.tables, "default", "a").unwrap();
        versions.into_iter().map(|version| version.status).collect()
    };
    world.accept(node_register(node(1, 1000)));
    world.accept(registered("a", "{}", 1));
    let place = world.placement(5, "a", 1, 10);
    world.accept(plans(vec![plan(vec![place])]));
    assert_eq!("running", world.status("a"));
    world.accept(stability("a", 0, true));
    assert_eq!(["pending"], *statuses(&world), "below level 2 it keeps its own");
    world.accept(FeatureLevelRaise { level: 2 });
    world.accept(stability("a", 0, false));
    assert_eq!(["running"], *statuses(&world));
}
