//! Allocation reports of nodes, and the summaries and statuses that follow from them.

use super::*;

fn running(cpu_mhz: i64) -> World {
    let mut world = World::new();
    world.accept(node_register(node(100, 100)));
    world.accept(registered("a", "{1}", 1));
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, cpu_mhz)])]));
    world.accept(eval_status(&world, 1, EvalStatus::Complete));
    world
}

fn counts(world: &World) -> [i64; 6] {
    let TaskGroupSummary { queued, starting, running, complete, failed, lost } = world.group("a");
    [queued, starting, running, complete, failed, lost]
}

#[test]
fn a_job_pends_runs_and_is_dead_with_its_allocations() {
    let mut world = World::new();
    world.accept(node_register(node(100, 100)));
    world.accept(registered("a", "{1}", 1));
    let mut eval = world.eval(1);
    eval.queued_allocations.insert("g".into(), 2);
    world.accept(EvalUpdate { evals: vec![eval] });
    assert_eq!(("pending".to_owned(), [2, 0, 0, 0, 0, 0]), (world.status("a"), counts(&world)));
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 10)])]));
    assert_eq!(("running".to_owned(), [1, 1, 0, 0, 0, 0]), (world.status("a"), counts(&world)));
    world.accept(report(50, ClientStatus::Running));
    assert_eq!(("running".to_owned(), [1, 0, 1, 0, 0, 0]), (world.status("a"), counts(&world)));
    let job = world.job("a");
    world.accept(report(50, ClientStatus::Complete));
    assert_eq!(("pending".to_owned(), [1, 0, 0, 1, 0, 0]), (world.status("a"), counts(&world)));
    let after = world.job("a");
    assert_eq!((world.index, job.job_modify_index), (after.modify_index, after.job_modify_index));
    assert_eq!(world.index, world.index_of(Table::Jobs));
    world.accept(eval_status(&world, 1, EvalStatus::Complete));
    assert_eq!("dead", world.status("a"));
    assert_eq!(0, world.used_cpu_mhz(100));
}

#[test]
fn a_late_report_does_not_bring_back_what_was_over() {
    for (last, expected) in [
        (ClientStatus::Complete, [0, 0, 0, 1, 0, 0]),
        (ClientStatus::Failed, [0, 0, 0, 0, 1, 0]),
        (ClientStatus::Lost, [0, 0, 0, 0, 0, 1]),
    ] {
        let mut world = running(10);
        world.accept(report(50, last));
        for late in [ClientStatus::Pending, ClientStatus::Running, ClientStatus::Unspecified] {
            let before = world.state_rows();
            world.accept(report(50, late));
            assert_eq!(before, world.state_rows(), "{late:?} after {last:?}");
        }
        world.accept(report(50, last));
        assert_eq!(expected, counts(&world), "a doubled report is counted once");
        assert_eq!(0, world.used_cpu_mhz(100));
    }
}

#[test]
fn a_report_without_a_status_leaves_the_status() {
    let mut world = running(10);
    world.accept(report(50, ClientStatus::Running));
    world.accept(report(50, ClientStatus::Unspecified));
    assert_eq!((ClientStatus::Running, 10), (world.alloc(50).client_status(), world.used_cpu_mhz(100)));
}

#[test]
fn a_lost_allocation_that_turns_out_to_have_ended_is_counted_as_what_it_is() {
    let mut world = running(10);
    world.accept(report(50, ClientStatus::Lost));
    world.accept(report(50, ClientStatus::Complete));
    assert_eq!([0, 0, 0, 1, 0, 0], counts(&world));
}

#[test]
fn a_report_does_not_move_what_the_servers_decided() {
    let mut world = running(10);
    let before = world.alloc(50);
    world.accept(report(50, ClientStatus::Running));
    let after = world.alloc(50);
    assert_eq!(before.alloc_modify_index, after.alloc_modify_index);
    assert_eq!((world.index, world.time_ns), (after.modify_index, after.modify_time_ns));
    assert_eq!(before.create_index, after.create_index);
    let indexes = (world.index_of(Table::Allocs), world.index_of(Table::JobSummaries));
    assert_eq!((world.index, world.index), indexes);
}

#[test]
fn a_report_that_is_older_than_what_is_known_does_not_count() {
    let mut world = running(10);
    let tell = |world: &mut World, stamp: i64, status: ClientStatus, text: &str| {
        let update = AllocClientState {
            alloc_id: id(50).to_vec(),
            client_status: status.into(),
            client_description: text.to_owned(),
            stamp,
            ..Default::default()
        };
        world.accept(AllocClientUpdate { updates: vec![update] });
        (world.alloc(50).client_description, world.alloc(50).client_status())
    };
    let running = ClientStatus::Running;
    assert_eq!(("newer".to_owned(), running), tell(&mut world, 7, running, "newer"));
    let before = world.state_rows();
    for older in [ClientStatus::Pending, running, ClientStatus::Failed] {
        assert_eq!(("newer".to_owned(), running), tell(&mut world, 6, older, "older"));
    }
    assert_eq!(before, world.state_rows(), "an older one leaves no trace");
    assert_eq!(("same".to_owned(), running), tell(&mut world, 7, running, "same"));
    assert_eq!(("unstamped".to_owned(), running), tell(&mut world, 0, running, "unstamped"));
    assert_eq!(7, world.alloc(50).client_stamp, "what has no stamp takes none away");
    let failed = ClientStatus::Failed;
    assert_eq!(("last".to_owned(), failed), tell(&mut world, 8, failed, "last"));
    let complete = ClientStatus::Complete;
    assert_eq!(("last".to_owned(), failed), tell(&mut world, 9, complete, "after the last"));
}

#[test]
fn the_row_by_node_says_when_the_node_has_said_its_last_word() {
    let mut world = running(10);
    let over = |world: &World| read::node_allocs(&world.tables, &id(100)).unwrap()[0].1.unwrap().over;
    let tell = |world: &mut World, status: ClientStatus, states: &[&str]| {
        let states = states.iter().enumerate().map(|(number, state)| {
            (number.to_string(), TaskState { state: (*state).to_owned(), ..Default::default() })
        });
        let update = AllocClientState {
            alloc_id: id(50).to_vec(),
            client_status: status.into(),
            task_states: states.collect(),
            ..Default::default()
        };
        world.accept(AllocClientUpdate { updates: vec![update] });
    };
    assert!(!over(&world));
    tell(&mut world, ClientStatus::Running, &["dead", "running"]);
    assert!(!over(&world));
    // The allocation fails with its first failed task, while the other task is still being stopped.
    tell(&mut world, ClientStatus::Failed, &["dead", "running"]);
    assert!(!over(&world));
    tell(&mut world, ClientStatus::Failed, &["dead", "dead"]);
    assert!(over(&world), "though it is still desired to run");

    let mut world = running(10);
    let lost = PlanStop { client_status: ClientStatus::Lost.into(), ..stop(50) };
    world.accept(plans(vec![Plan { stop: vec![lost], ..plan(Vec::new()) }]));
    assert!(!over(&world), "the node may still run what is lost");
    let row = read::node_allocs(&world.tables, &id(100)).unwrap()[0].1.unwrap();
    assert_eq!((row.alloc_modify_index, world.index), (world.alloc(50).alloc_modify_index, world.index));
    assert_eq!(row.alloc_modify_index, world.index, "a change by the servers is news");
}

#[test]
fn a_report_of_an_unknown_allocation_changes_nothing() {
    let mut world = running(10);
    let before = world.state_rows();
    world.accept(report(77, ClientStatus::Running));
    assert_eq!(before, world.state_rows());
}

#[test]
fn a_purged_job_s_summary_stays_unseen_until_its_last_allocation_ends() {
    let mut world = running(10);
    world.accept(report(50, ClientStatus::Running));
    world.accept(deregister("a", true, 2));
    let at = world.index_of(Table::JobSummaries);
    world.accept(eval_status(&world, 2, EvalStatus::Complete));
    assert_eq!(1, world.summary("a").unwrap().live_allocations);
    world.accept(plans(vec![Plan { stop: vec![stop(50)], ..plan(Vec::new()) }]));
    assert_eq!(None, world.summary("a"));
    assert_eq!(at, world.index_of(Table::JobSummaries), "clients have seen it go before");
    world.accept(report(50, ClientStatus::Complete));
    assert_eq!(None, world.summary("a"));
    assert_eq!(0, world.used_cpu_mhz(100));
}
