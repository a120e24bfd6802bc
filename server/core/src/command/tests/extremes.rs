//! Commands that no correct server proposes but any peer could send: `apply` must answer whatever the fields contain.

use ordu_proto::command::{
    ClusterInit, DeploymentUpdate, FeatureLevelRaise, JobDispatch, JobEvaluate, JobRevert, JobStability,
    PeriodicLaunch, PlanUpdate, SummariesReconcile,
};
use ordu_proto::state::{AutopilotConfig, Deployment, DeploymentState, NetworkResource, RescheduleEvent};
use proptest::prelude::*;

use super::super::Envelope;
use super::*;

/// A pseudorandom generator. A failing test prints its seed; the same seed makes the same commands.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn is(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn i64(&mut self) -> i64 {
        let any = self.roll() as i64;
        self.of(&[i64::MIN, i64::MIN + 1, -1, 0, 1, 2, 60_000_000_000, i64::MAX - 1, i64::MAX, any])
    }

    fn u64(&mut self) -> u64 {
        let any = self.roll();
        self.of(&[0, 0, 1, 2, 3, 11, u64::MAX - 1, u64::MAX, any])
    }

    fn i32(&mut self) -> i32 {
        let any = self.roll() as i32;
        self.of(&[i32::MIN, -1, 0, 1, 2, 3, 4, 5, 80, 65_535, 65_536, i32::MAX, any])
    }

    /// Returns one of few ids, so that commands refer to the same rows, and sometimes an invalid id.
    fn id(&mut self) -> Vec<u8> {
        let number = self.below(6) as u64;
        match self.below(16) {
            0 => Vec::new(),
            1 => vec![1; 15],
            2 => vec![1; 17],
            _ => id(number).to_vec(),
        }
    }

    fn name(&mut self) -> String {
        match self.below(24) {
            0 => "a\0b".to_owned(),
            1 => String::new(),
            2 => "n".repeat(70_000),
            _ => self.of(&["a", "b", "parent", "clock", "a/b"]).to_owned(),
        }
    }

    fn namespace(&mut self) -> String {
        if self.is(16) { self.name() } else { "default".to_owned() }
    }

    fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn spec(&mut self) -> Vec<u8> {
        let count = self.i64();
        let group =
            format!(r#""TaskGroups":[{{"Name":"g","Count":{count},"ReschedulePolicy":{{"Attempts":1}}}}]"#);
        let spec = match self.below(8) {
            0 => "nonsense".to_owned(),
            1 => String::new(),
            2 => "[".repeat(300),
            3 => format!(r#"{{"ID":"x","ParameterizedJob":{{"Payload":"optional"}},{group}}}"#),
            4 | 5 => {
                format!(
                    r#"{{"ID":"x","Periodic":{{"Enabled":true,"Spec":"* * * * *","TimeZone":"UTC"}},{group}}}"#
                )
            }
            _ => format!(r#"{{"ID":"x",{group}}}"#),
        };
        spec.into_bytes()
    }

    fn job(&mut self) -> Job {
        Job {
            namespace: self.namespace(),
            id: self.name(),
            parent_id: if self.is(4) { self.name() } else { String::new() },
            r#type: self.of(&["service", "batch", "system", "?"]).to_owned(),
            priority: self.i32(),
            periodic: self.is(3),
            parameterized: self.is(3),
            stop: self.is(5),
            status: self.of(&["", "pending", "running", "dead", "?"]).to_owned(),
            version: self.u64(),
            create_index: self.u64(),
            modify_index: self.u64(),
            job_modify_index: self.u64(),
            submit_time_ns: self.i64(),
            idempotency_token: if self.is(4) { self.name() } else { String::new() },
            ..Job::default()
        }
    }

    fn port(&mut self) -> Port {
        Port { value: self.i32(), to: self.i32(), ..Port::default() }
    }

    fn network(&mut self) -> NetworkResource {
        NetworkResource {
            reserved_ports: self.list(Self::port),
            dynamic_ports: self.list(Self::port),
            mbits: self.i32(),
            ..NetworkResource::default()
        }
    }

    fn resources(&mut self) -> AllocatedResources {
        let task = |dice: &mut Self| AllocatedTaskResources {
            cpu_mhz: dice.i64(),
            memory_mb: dice.i64(),
            networks: dice.list(Self::network),
        };
        let tasks = self.list(|dice| (dice.name(), task(dice)));
        AllocatedResources {
            tasks: tasks.into_iter().collect(),
            disk_mb: self.i64(),
            networks: self.list(Self::network),
            ports: self.list(Self::port),
        }
    }

    fn alloc(&mut self) -> Allocation {
        Allocation {
            id: self.id(),
            namespace: self.namespace(),
            job_id: self.name(),
            // Indexes of the first entries, some of which created a specification.
            job_create_index: if self.is(4) { self.u64() } else { 11 + self.below(6) as u64 },
            job_version: if self.is(4) { self.u64() } else { self.below(3) as u64 },
            task_group: "g".to_owned(),
            name_index: self.u64() as u32,
            eval_id: self.id(),
            node_id: self.id(),
            desired_status: self.i32(),
            client_status: self.i32(),
            resources: (!self.is(4)).then(|| self.resources()),
            deployment_id: self.id(),
            previous_allocation: self.id(),
            next_allocation: self.id(),
            client_stamp: self.i64(),
            create_time_ns: self.i64(),
            reschedule_events: self.list(|dice| RescheduleEvent {
                time_ns: dice.i64(),
                delay_ns: dice.i64(),
                ..RescheduleEvent::default()
            }),
            ..Allocation::default()
        }
    }

    fn eval(&mut self) -> Evaluation {
        Evaluation {
            id: self.id(),
            namespace: self.namespace(),
            job_id: self.name(),
            priority: self.i32(),
            status: self.i32(),
            wait_until_ns: self.i64(),
            wait_ns: self.i64(),
            next_eval: self.id(),
            queued_allocations: [("g".to_owned(), self.i64())].into(),
            snapshot_index: self.u64(),
            create_index: self.u64(),
            create_time_ns: self.i64(),
            ..Evaluation::default()
        }
    }

    fn deployment(&mut self) -> Deployment {
        let state = DeploymentState {
            desired_total: self.i64(),
            placed_allocs: self.i64(),
            progress_deadline_ns: self.i64(),
            require_progress_by_ns: self.i64(),
            ..DeploymentState::default()
        };
        Deployment {
            id: self.id(),
            namespace: self.namespace(),
            job_id: self.name(),
            job_version: self.u64(),
            groups: [("g".to_owned(), state)].into(),
            status: self.i32(),
            create_index: self.u64(),
            ..Deployment::default()
        }
    }

    fn plan(&mut self) -> Plan {
        Plan {
            eval_id: self.id(),
            priority: self.i32(),
            all_at_once: self.is(4),
            place: self.list(Self::alloc),
            stop: self.list(|dice| PlanStop {
                alloc_id: dice.id(),
                desired_status: dice.i32(),
                client_status: dice.i32(),
                followup_eval_id: dice.id(),
                ..PlanStop::default()
            }),
            update: self.list(|dice| PlanUpdate {
                alloc_id: dice.id(),
                job_version: if dice.is(3) { dice.u64() } else { 0 },
                eval_id: dice.id(),
                resources: dice.is(2).then(|| dice.resources()),
                deployment_id: dice.id(),
            }),
            snapshot_index: self.u64(),
            deployment: self.is(3).then(|| self.deployment()),
            deployment_updates: self.list(|dice| DeploymentUpdate {
                deployment_id: dice.id(),
                status: dice.i32(),
                ..DeploymentUpdate::default()
            }),
            ..Plan::default()
        }
    }

    fn node(&mut self) -> Node {
        let resources = |dice: &mut Self| NodeResources {
            cpu_mhz: dice.i64(),
            memory_mb: dice.i64(),
            disk_mb: dice.i64(),
            networks: dice.list(Self::network),
        };
        Node {
            id: self.id(),
            secret_hash: if self.is(8) { Vec::new() } else { vec![7; 32] },
            datacenter: self.name(),
            computed_class: self.name(),
            resources: (!self.is(4)).then(|| resources(self)),
            reserved: self.is(2).then(|| resources(self)),
            status: self.i32(),
            ineligible: self.is(4),
            status_updated_at_ns: self.i64(),
            create_index: self.u64(),
            modify_index: self.u64(),
            ..Node::default()
        }
    }

    fn command(&mut self) -> Proposal {
        let (namespace, job_id) = (self.namespace(), self.name());
        match self.below(18) {
            0..=3 => JobRegister {
                job: (!self.is(16)).then(|| self.job()),
                spec_json: self.spec(),
                eval_id: self.id(),
                enforce_index: self.is(8),
                enforced_job_modify_index: self.u64(),
                groups: vec![GroupCount { name: "g".into(), count: self.i64() }],
                preserve_counts: self.is(4),
                eval_priority: if self.is(4) { self.i64() as i32 } else { 0 },
            }
            .into(),
            4 => JobDeregister {
                namespace,
                job_id,
                purge: self.is(2),
                eval_id: self.id(),
                eval_priority: self.below(3) as i32,
            }
            .into(),
            5 => JobEvaluate { namespace, job_id, eval_id: self.id(), force_reschedule: self.is(2) }.into(),
            6 => EvalUpdate { evals: self.list(Self::eval) }.into(),
            7..=9 => plans(self.list(Self::plan)).into(),
            10 => AllocClientUpdate {
                updates: self.list(|dice| AllocClientState {
                    alloc_id: dice.id(),
                    client_status: dice.i32(),
                    node_id: dice.id(),
                    stamp: dice.i64(),
                    ..AllocClientState::default()
                }),
            }
            .into(),
            11 => NodeRegister { node: (!self.is(16)).then(|| self.node()), eval_seed: self.id() }.into(),
            12 => NodeStatusUpdate {
                changes: self.list(|dice| NodeStatusChange {
                    node_id: dice.id(),
                    status: dice.i32(),
                    ..NodeStatusChange::default()
                }),
                eval_seed: self.id(),
            }
            .into(),
            13 => JobDispatch {
                namespace,
                job_id,
                payload: vec![1; self.of(&[0, 1, 20_000])],
                idempotency_token: if self.is(2) { self.name() } else { String::new() },
                id_suffix: self.id(),
                eval_id: self.id(),
                ..JobDispatch::default()
            }
            .into(),
            14 => JobRevert {
                namespace,
                job_id,
                version: self.u64(),
                enforced_prior_version: self.is(2).then(|| self.u64()),
                eval_id: self.id(),
            }
            .into(),
            15 => JobStability { namespace, job_id, version: self.u64(), stable: self.is(2) }.into(),
            16 => PeriodicLaunch {
                namespace,
                job_id,
                launch_ns: self.i64(),
                forced: self.is(2),
                eval_id: self.id(),
            }
            .into(),
            _ if self.is(3) => {
                let config = AutopilotConfig {
                    last_contact_threshold_ns: self.i64(),
                    min_quorum: self.u64(),
                    ..AutopilotConfig::default()
                };
                super::autopilot::set(config, self.is(2).then(|| self.u64())).into()
            }
            _ if self.is(2) => SummariesReconcile::default().into(),
            _ if self.is(2) => FeatureLevelRaise { level: self.below(2) as u32 }.into(),
            _ => ClusterInit { cluster_id: self.id(), feature_level: self.below(2) as u32 }.into(),
        }
    }

    fn envelope(&mut self) -> Envelope {
        let head = ordu_proto::command::Envelope {
            request_id: self.id(),
            time_ns: self.i64(),
            feature_level: self.below(2) as u32,
            fence_term: if self.is(8) { self.u64() } else { 0 },
            earliest_index: self.u64(),
        };
        Envelope { head, command: self.command() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_command_says_apply_answers_it(
        seed in any::<u64>(),
        first_index in prop::sample::select(vec![10, 1 << 40, u64::MAX / 2]),
    ) {
        // Print the seed: it alone reproduces a failure.
        println!("seed {seed}, entries from {first_index}");
        let mut dice = Dice(seed);
        let mut world = World { index: first_index, ..World::new() };
        for _ in 0..40 {
            let mut tx = Tx::new(&world.tables, read::indexes(&world.tables).unwrap());
            for _ in 0..=dice.below(3) {
                world.index += 1;
                let at = LogPosition { term: world.term, index: world.index };
                let applied = world.machine.apply(&mut tx, at, dice.envelope().encode_to_vec().into());
                let outcome = applied.map(|applied| applied.outcome);
                prop_assert!(outcome.is_ok(), "{:?}", outcome);
            }
            let (writes, _) = tx.finish();
            world.tables.commit(writes);
        }
        world.reload();
    }
}
