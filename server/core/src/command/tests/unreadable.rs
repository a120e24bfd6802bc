//! Undecodable rows: commands that need one are refused, everything else continues.

use ordu_proto::command::{JobEvaluate, PlanApplied, PlanResult, SummariesReconcile};
use ordu_proto::state::{Deployment, JobSpec};

use super::children::{dispatch, launch, parameterized, periodic};
use super::versions::{revert, stability};
use super::*;
use crate::command::UNREADABLE_STATUS;

/// No protobuf message begins with this byte.
const GARBAGE: &[u8] = &[0xff; 7];

/// Tables whose rows have only a key: just the key can be malformed.
const BARE: [Table; 4] =
    [Table::EvalsByJob, Table::AllocsByJob, Table::AllocsByEval, Table::DeploymentsByJob];

fn spec(job_id: &str, version: u64) -> String {
    let policy = r#""ReschedulePolicy":{"Attempts":1}"#;
    format!(r#"{{"ID":"{job_id}","Priority":{version},"TaskGroups":[{{"Name":"g","Count":1,{policy}}}]}}"#)
}

fn force_evaluation(job_id: &str, eval: u64) -> JobEvaluate {
    JobEvaluate {
        namespace: "default".into(),
        job_id: job_id.into(),
        eval_id: id(eval).to_vec(),
        force_reschedule: true,
    }
}

impl World {
    fn spoil(&mut self, table: Table, key: Vec<u8>, value: &[u8]) {
        self.tables.commit([crate::state::Write { table, key, value: Some(value.to_vec()) }]);
        self.reload();
    }

    /// Applies a command that must be refused because of an undecodable row.
    fn unreadable(&mut self, command: impl Into<Proposal>) -> String {
        let (status, text) = self.refused(command);
        assert_eq!(UNREADABLE_STATUS, status, "{text}");
        text
    }

    /// Takes a new job through its whole life.
    fn run_another_job(&mut self) {
        self.accept(node_register(node(109, 1_000)));
        self.accept(registered("other", &spec("other", 0), 901));
        let answer = self.accept(plans(vec![plan(vec![self.placement(990, "other", 109, 10)])]));
        let applied = answer.answer::<PlanApplied>().unwrap();
        assert_eq!(vec![PlanResult { placed: 1, ..PlanResult::default() }], applied.results);
        self.accept(report(990, ClientStatus::Running));
        self.accept(eval_status(self, 901, EvalStatus::Complete));
        assert_eq!(("running".to_owned(), 1), (self.status("other"), self.group("other").running));
        self.accept(deregister("other", false, 902));
        self.accept(plans(vec![Plan { stop: vec![stop(990)], ..plan(Vec::new()) }]));
        self.accept(report(990, ClientStatus::Complete));
        self.accept(eval_status(self, 902, EvalStatus::Complete));
        assert_eq!("dead", self.status("other"));
    }
}

/// Returns a world with rows in every table: jobs, versions, children, evaluations, allocations, deployments and nodes.
fn populated() -> World {
    let mut world = World::new();
    for number in [100, 101] {
        world.accept(node_register(node(number, 1_000)));
    }
    for (job, number) in [("a", 0), ("b", 10)] {
        world.accept(registered(job, &spec(job, 0), 1 + number));
        world.accept(registered(job, &spec(job, 1), 2 + number));
        let alloc = Allocation {
            deployment_id: id(70 + number).to_vec(),
            eval_id: id(2 + number).to_vec(),
            ..world.placement(50 + number, job, 100 + number / 10, 10)
        };
        let row = world.job(job);
        let deployment = Deployment {
            id: id(70 + number).to_vec(),
            namespace: row.namespace,
            job_id: row.id,
            job_version: row.version,
            job_create_index: row.create_index,
            ..Deployment::default()
        };
        world.accept(plans(vec![Plan { deployment: Some(deployment), ..plan(vec![alloc]) }]));
    }
    world.accept(parameterized("d", "optional"));
    let child = ordu_proto::command::JobDispatch {
        idempotency_token: "token".into(),
        ..dispatch("d", &[("must", "1")], b"x", 31)
    };
    world.accept(child);
    world.accept(periodic("p", &serde_json::json!({"Enabled": true, "Spec": "* * * * *"})));
    world.accept(launch("p", 60_000_000_000, 32));
    let bytes = envelope(Some(id(500)), 0, world.time_ns, stability("a", 0, true)).encode_to_vec();
    world.batch(&[bytes]);
    world
}

/// Returns commands of all kinds that concern existing rows.
fn commands(world: &World) -> Vec<Proposal> {
    let update = |number| report(number, ClientStatus::Running).updates;
    let row = |table, number| {
        let row = world.tables.get(table, &id(number)).unwrap().unwrap();
        Evaluation::decode(&*row)
            .unwrap_or_else(|_| Evaluation { id: id(number).to_vec(), ..Default::default() })
    };
    let token = ordu_proto::command::JobDispatch {
        idempotency_token: "token".into(),
        ..dispatch("d", &[("must", "1")], b"x", 601)
    };
    let mut commands = vec![
        registered("a", &spec("a", 2), 602).into(),
        force_evaluation("a", 603).into(),
        revert("a", 1, None, 604).into(),
        stability("a", 1, true).into(),
        EvalUpdate { evals: vec![row(Table::Evals, 1), row(Table::Evals, 11)] }.into(),
        AllocClientUpdate { updates: [update(50), update(60)].concat() }.into(),
        plans(vec![Plan { stop: vec![stop(50)], ..plan(Vec::new()) }]).into(),
        node_register(node(100, 2_000)).into(),
        node_status(100, NodeStatus::Down).into(),
        node_register(node(100, 2_000)).into(),
        token.into(),
        dispatch("d", &[("must", "1")], b"x", 605).into(),
        launch("p", 120_000_000_000, 606).into(),
        SummariesReconcile::default().into(),
    ];
    commands.extend(["a", "b", "d", "p"].iter().map(|job| deregister(job, true, 607).into()));
    commands
}

#[test]
fn whichever_row_cannot_be_decoded_the_machine_loads_and_all_commands_go_on() {
    let world = populated();
    let rows: Vec<(Table, Vec<u8>)> =
        world.tables.iter().map(|(table, key, _)| (table, key.to_vec())).collect();
    for table in Table::ALL {
        assert!(rows.iter().any(|(of, _)| *of == table), "nothing in {table:?}");
    }
    let mut refused = BTreeMap::<Table, usize>::new();
    for (table, key) in rows.into_iter().filter(|(table, _)| *table != Table::Meta) {
        let mut world = populated();
        match BARE.contains(&table) {
            true => world.spoil(table, key[..key.len() - 14].to_vec(), b""),
            false => world.spoil(table, key.clone(), GARBAGE),
        }
        world.run_another_job();
        for command in commands(&world) {
            // Anything but an answer or a refusal would be a panic or a stopped server.
            if let Outcome::Refused(refusal) = world.apply(command)
                && refusal.status == UNREADABLE_STATUS
            {
                assert!(refusal.text.contains("cannot be decoded"), "{}", refusal.text);
                *refused.entry(table).or_default() += 1;
            }
            world.reload();
        }
        world.accept(registered("again", &spec("again", 0), 911));
        world.accept(plans(vec![plan(vec![world.placement(991, "again", 109, 10)])]));
        assert!(world.has_alloc(991), "{table:?}");
    }
    let told: Vec<Table> = refused.into_keys().collect();
    for table in [Table::Jobs, Table::JobSpecs, Table::JobVersions, Table::JobSummaries, Table::Nodes] {
        assert!(told.contains(&table), "no command needed a row of {table:?}: {told:?}");
    }
}

#[test]
fn a_job_whose_row_cannot_be_decoded_is_refused_whatever_is_asked_of_it() {
    for command in [
        Proposal::from(registered("a", &spec("a", 2), 9)),
        deregister("a", false, 9).into(),
        deregister("a", true, 9).into(),
        revert("a", 0, None, 9).into(),
        stability("a", 0, true).into(),
        force_evaluation("a", 9).into(),
    ] {
        let mut world = populated();
        world.spoil(Table::Jobs, key::job("default", "a"), GARBAGE);
        let text = world.unreadable(command);
        assert!(text.contains("table jobs: "), "{text}");
    }
}

#[test]
fn what_would_run_by_a_specification_that_cannot_be_parsed_is_refused() {
    let not_a_specification = JobSpec { json: br#"{"TaskGroups":7}"#.to_vec(), payload: Vec::new() };
    let mut world = populated();
    for job in ["a", "d", "p"] {
        let row = world.job(job);
        for version in 0..=row.version {
            let at = key::job_spec("default", job, row.create_index, version);
            world.spoil(Table::JobSpecs, at, &not_a_specification.encode_to_vec());
        }
    }
    world.accept(registered("a", &spec("a", 7), 8));
    for command in [
        Proposal::from(dispatch("d", &[("must", "1")], b"x", 9)),
        launch("p", 120_000_000_000, 9).into(),
        revert("a", 0, None, 9).into(),
        stability("a", 0, false).into(),
    ] {
        let text = world.unreadable(command);
        assert!(text.contains("table job_specs: the specification of version 0 of job"), "{text}");
    }
    let row = world.job("a");
    let at = key::job_spec("default", "a", row.create_index, row.version);
    world.spoil(Table::JobSpecs, at, &not_a_specification.encode_to_vec());
    world.unreadable(force_evaluation("a", 9));
    // A job with an unreadable specification is repaired by registering it again, and can be
    // stopped and purged as it is.
    world.accept(registered("a", &spec("a", 8), 9));
    world.accept(force_evaluation("a", 10));
    for job in ["d", "p"] {
        world.accept(deregister(job, false, 11));
        world.accept(deregister(job, true, 11));
    }
}

#[test]
fn one_row_of_many_in_an_entry_does_not_hold_up_the_others() {
    let spoilt: [(Table, Vec<u8>); 5] = [
        (Table::Evals, id(2).to_vec()),
        (Table::Allocs, id(50).to_vec()),
        (Table::Jobs, key::job("default", "a")),
        (Table::JobSummaries, key::job("default", "a")),
        (Table::Nodes, id(100).to_vec()),
    ];
    for (table, at) in spoilt {
        let mut world = populated();
        let evals = [2, 12].map(|number| {
            let mut eval = world.eval(number);
            eval.set_status(EvalStatus::Complete);
            eval
        });
        world.spoil(table, at.clone(), GARBAGE);
        let before = world.tables.get(table, &at).unwrap();
        world.accept(EvalUpdate { evals: evals.to_vec() });
        assert_eq!(EvalStatus::Complete, world.eval(12).status(), "{table:?}");
        let reports = [50, 60].map(|number| AllocClientState {
            alloc_id: id(number).to_vec(),
            client_status: ClientStatus::Running.into(),
            ..AllocClientState::default()
        });
        world.accept(AllocClientUpdate { updates: reports.to_vec() });
        assert_eq!(ClientStatus::Running, world.alloc(60).client_status(), "{table:?}");
        let changes = [100, 101].map(|number| NodeStatusChange {
            node_id: id(number).to_vec(),
            status: NodeStatus::Down.into(),
            event_message: "silent".into(),
        });
        let down = NodeStatusUpdate { changes: changes.to_vec(), eval_seed: vec![8; 16] };
        world.accept(down);
        assert_eq!(NodeStatus::Down, world.node(101).status(), "{table:?}");
        let of_b = read::evals_of_job(&world.tables, "default", "b").unwrap();
        assert!(of_b.iter().any(|eval| eval.triggered_by == "node-update"), "{table:?}");
        assert_eq!(before, world.tables.get(table, &at).unwrap(), "nothing is made of it: {table:?}");
    }
}

#[test]
fn a_plan_whose_rows_cannot_be_decoded_fails_alone_and_writes_nothing() {
    let of_a: [(Table, Vec<u8>); 4] = [
        (Table::Allocs, id(50).to_vec()),
        (Table::Deployments, id(70).to_vec()),
        (Table::JobSummaries, key::job("default", "a")),
        (Table::JobSpecs, Vec::new()),
    ];
    for (table, at) in of_a {
        let mut world = populated();
        let row = world.job("a");
        let placed = Allocation {
            previous_allocation: id(50).to_vec(),
            deployment_id: id(70).to_vec(),
            ..placement_of(80, &row, 109, 600)
        };
        let bad = Plan { stop: vec![stop(50)], ..plan(vec![placed]) };
        let good = plan(vec![placement_of(81, &world.job("b"), 109, 600)]);
        world.accept(node_register(node(109, 1_000)));
        let spec_at = key::job_spec("default", "a", row.create_index, row.version);
        world.spoil(table, if at.is_empty() { spec_at } else { at }, GARBAGE);
        let before = world.state_rows();
        let answer = world.accept(plans(vec![bad.clone(), good]));
        let applied = answer.answer::<PlanApplied>().unwrap();
        let [first, second] = applied.results.as_slice() else { panic!("{:?}", applied.results) };
        assert!(first.unreadable.contains(table.name()), "{table:?}: {first:?}");
        // The unreadable plan neither takes nor frees capacity.
        assert_eq!(&PlanResult { placed: 1, ..PlanResult::default() }, second, "{table:?}");
        assert!(world.has_alloc(81) && !world.has_alloc(80), "{table:?}");
        let mut alone = populated();
        alone.accept(node_register(node(109, 1_000)));
        alone.tables = MemoryTables::default();
        alone.tables.commit(before.iter().map(|(table, key, value)| crate::state::Write {
            table: *table,
            key: key.clone(),
            value: Some(value.clone()),
        }));
        alone.reload();
        let answer = alone.accept(plans(vec![bad]));
        let applied = answer.answer::<PlanApplied>().unwrap();
        assert!(!applied.results[0].unreadable.is_empty());
        assert_eq!(before, alone.state_rows(), "{table:?}");
    }
}

#[test]
fn a_request_whose_answer_cannot_be_decoded_is_not_decided_again() {
    let command = || registered("a", &spec("a", 5), 9);
    let mut world = populated();
    let bytes = envelope(Some(id(700)), 0, world.time_ns, command()).encode_to_vec();
    world.batch(std::slice::from_ref(&bytes));
    let row = world.tables.get(Table::Requests, &key::index(world.index)).unwrap().unwrap();
    world.spoil(Table::Requests, key::index(world.index), &[&row[..16], GARBAGE].concat());
    let before = world.state_rows();
    let answer = world.batch(&[bytes]).remove(0).outcome;
    assert_eq!(Outcome::TooLate, answer);
    assert_eq!(before, world.state_rows());
}

#[test]
fn a_summary_that_cannot_be_decoded_is_counted_anew() {
    let mut world = populated();
    let before = world.summary("a").unwrap();
    world.spoil(Table::JobSummaries, key::job("default", "a"), GARBAGE);
    world.unreadable(registered("a", &spec("a", 5), 9));
    world.accept(SummariesReconcile::default());
    let now = world.summary("a").unwrap();
    assert_eq!((before.groups, before.live_allocations), (now.groups, now.live_allocations));
    world.accept(registered("a", &spec("a", 5), 9));
}

#[test]
fn rows_that_say_how_the_others_are_read_are_no_single_rows() {
    let mut tables = MemoryTables::default();
    let mut put = |key: &[u8]| {
        tables.commit([crate::state::Write {
            table: Table::Meta,
            key: key.to_vec(),
            value: Some(GARBAGE.to_vec()),
        }])
    };
    put(key::meta::CLUSTER);
    put(key::meta::INDEXES);
    assert!(!Machine::load(&tables).err().unwrap().is_row());
    assert!(!read::indexes(&tables).unwrap_err().is_row());
}
