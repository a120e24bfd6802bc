//! Version numbers: none is reused while an allocation runs by it, and a dry run predicts the number that the
//! registration then assigns.

use proptest::prelude::*;

use super::versions::{revert, stability};
use super::*;
use crate::command::version_of_submission;
use ordu_proto::state::JobSpec;

/// A random change to a job; numbers are taken modulo the number of existing items.
#[derive(Clone, Copy, Debug)]
enum Step {
    Register { spec: u64 },
    Mark { version: usize, stable: bool },
    Revert { version: usize },
    Stop,
    Place,
    Report { alloc: usize, status: ClientStatus },
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        ClientStatus::Running,
        ClientStatus::Complete,
        ClientStatus::Failed,
        ClientStatus::Lost,
    ]);
    prop_oneof![
        8 => (0..50_u64).prop_map(|spec| Step::Register { spec }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(version, stable)| Step::Mark { version, stable }),
        2 => any::<usize>().prop_map(|version| Step::Revert { version }),
        1 => Just(Step::Stop),
        4 => Just(Step::Place),
        2 => (any::<usize>(), status).prop_map(|(alloc, status)| Step::Report { alloc, status }),
    ]
}

fn spec(number: u64) -> String {
    format!(r#"{{"ID":"a","Priority":{number},"TaskGroups":[{{"Name":"g"}}]}}"#)
}

/// Returns the specification that each allocation uses.
fn runs_by(world: &World) -> BTreeMap<Vec<u8>, Option<JobSpec>> {
    let allocs = read::allocs_of_job(&world.tables, "default", "a").unwrap();
    let spec_of = |alloc: &Allocation| {
        let (index, version) = (alloc.job_create_index, alloc.job_version);
        read::job_spec(&world.tables, "default", "a", index, version).unwrap()
    };
    allocs.into_iter().map(|alloc| (alloc.id.clone(), spec_of(&alloc))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_number_by_which_an_allocation_runs_stays_its_own_and_a_dry_run_tells_the_next(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new();
        world.accept(node_register(node(100, 1_000_000)));
        world.accept(registered("a", &spec(0), 1));
        for (place, step) in (2_u64..).zip(steps) {
            let before = runs_by(&world);
            prop_assert!(before.values().all(Option::is_some), "something runs by what is not there");
            let versions = read::job_versions(&world.tables, "default", "a").unwrap();
            let version_at = |at: usize| versions[at % versions.len()].version;
            match step {
                Step::Register { spec: number } => {
                    let job = world.job("a");
                    let submitted = JobSpec { json: spec(number).into(), payload: Vec::new() };
                    let told = version_of_submission(&world.tables, &job, false, &submitted).unwrap();
                    world.accept(registered("a", &spec(number), place));
                    let now = world.job("a");
                    match told {
                        Some(version) => prop_assert_eq!((version, world.index), (now.version, now.job_modify_index)),
                        None => prop_assert_eq!((job.version, job.job_modify_index), (now.version, now.job_modify_index)),
                    }
                }
                Step::Mark { version, stable } => {
                    world.accept(stability("a", version_at(version), stable));
                }
                // This may be the current version, in which case the revert is refused.
                Step::Revert { version } => drop(world.apply(revert("a", version_at(version), None, place))),
                Step::Stop => drop(world.accept(deregister("a", false, place))),
                Step::Place => {
                    world.accept(plans(vec![plan(vec![world.placement(5_000 + place, "a", 100, 1)])]));
                }
                Step::Report { alloc, status } => {
                    let ids: Vec<&Vec<u8>> = before.keys().collect();
                    let Some(id) = ids.get(alloc % ids.len().max(1)) else { continue };
                    let update = AllocClientState {
                        alloc_id: id.to_vec(),
                        client_status: status.into(),
                        ..AllocClientState::default()
                    };
                    world.accept(AllocClientUpdate { updates: vec![update] });
                }
            }
            let after = runs_by(&world);
            for (id, spec) in before {
                prop_assert_eq!(Some(&spec), after.get(&id), "what an allocation runs by has changed");
            }
        }
    }
}

#[test]
fn a_number_is_not_given_again_though_its_version_is_not_kept_any_more() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1_000)));
    world.accept(registered("a", &spec(0), 1));
    world.accept(stability("a", 0, true));
    world.accept(registered("a", &spec(1), 2));
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 10)])]));
    for number in 2..9 {
        world.accept(registered("a", &spec(number), 1 + number));
    }
    assert!(read::job_version(&world.tables, "default", "a", 1).unwrap().is_none(), "it is not kept");
    let before = runs_by(&world);
    // Once unmarked, version 0 is the current one, and the next number is 1.
    world.accept(stability("a", 0, false));
    assert_eq!(0, world.job("a").version);
    world.accept(registered("a", &spec(20), 30));
    assert_eq!(2, world.job("a").version);
    assert_eq!(before, runs_by(&world));
}
