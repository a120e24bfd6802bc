//! Fields that feature level 2 added to commands of the first level.

use ordu_proto::command::{FeatureLevelRaise, JobDeregister, JobDispatch, JobRegister};

use super::children::{dispatch, parameterized};
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
