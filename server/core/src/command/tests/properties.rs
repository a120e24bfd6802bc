//! Invariants of every sequence of commands, however it is split into batches.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::command::{
    DeploymentUpdate, FeatureLevelRaise, JobDispatch, JobEvaluate, PlanUpdate, SummariesReconcile,
};
use ordu_proto::state::{Deployment, DeploymentState, DeploymentStatus};
use proptest::prelude::*;

use super::*;
use crate::command::{FEATURE_LEVEL, FIRST_LEVEL};
use crate::scheduler::{Capacity, Usage, is_terminal};

/// A command in short form; numbers are taken modulo the number of existing items.
#[derive(Clone, Copy, Debug)]
enum Step {
    Register { job: u64, spec: u64 },
    Deregister { job: u64, purge: bool },
    Evaluate { job: u64, force: bool },
    Revert { job: u64, version: u64 },
    Stable { job: u64, version: u64, stable: bool },
    Parents,
    Dispatch { token: u64 },
    Launch { minute: i64 },
    Child { number: u64, purge: bool },
    Reconcile,
    EvalStatus { eval: u64, status: i32, queued: i64 },
    Plan { job: u64, node: u64, cpu_mhz: i64, stop: u64, lost: bool, all_at_once: bool, rollout: Rollout },
    Update { alloc: u64, deployment: u64 },
    Report { alloc: u64, status: i32 },
    NodeRegister { node: u64, cpu_mhz: i64 },
    NodeStatus { node: u64, status: i32 },
    Retry { entry: u64 },
    Fenced,
}

/// A plan's changes to deployments.
#[derive(Clone, Copy, Debug)]
enum Rollout {
    Nothing,
    /// The plan begins one deployment and ends another.
    Begin {
        ended: u64,
    },
    /// The placements join an existing deployment.
    Join {
        deployment: u64,
    },
}

const JOBS: u64 = 3;
const NODES: u64 = 3;
const ALLOCS: u64 = 12;
const EVALS: u64 = 12;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..JOBS, 0..3u64).prop_map(|(job, spec)| Step::Register { job, spec }),
        1 => (0..JOBS, any::<bool>()).prop_map(|(job, purge)| Step::Deregister { job, purge }),
        1 => (0..JOBS, any::<bool>()).prop_map(|(job, force)| Step::Evaluate { job, force }),
        1 => (0..JOBS, 0..5u64).prop_map(|(job, version)| Step::Revert { job, version }),
        1 => (0..JOBS, 0..5u64, any::<bool>())
            .prop_map(|(job, version, stable)| Step::Stable { job, version, stable }),
        2 => Just(Step::Parents),
        2 => (0..3u64).prop_map(|token| Step::Dispatch { token }),
        2 => (0..5i64).prop_map(|minute| Step::Launch { minute }),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(number, purge)| Step::Child { number, purge }),
        1 => Just(Step::Reconcile),
        3 => (0..EVALS, 1..=5, 0..4i64).prop_map(|(eval, status, queued)| Step::EvalStatus { eval, status, queued }),
        6 => (0..JOBS, 0..NODES, 1..60i64, 0..ALLOCS, any::<bool>(), any::<bool>(), rollout()).prop_map(
            |(job, node, cpu_mhz, stop, lost, all_at_once, rollout)| {
                Step::Plan { job, node, cpu_mhz, stop, lost, all_at_once, rollout }
            }
        ),
        1 => (0..ALLOCS, any::<u64>()).prop_map(|(alloc, deployment)| Step::Update { alloc, deployment }),
        5 => (0..ALLOCS, 0..=5).prop_map(|(alloc, status)| Step::Report { alloc, status }),
        3 => (0..NODES, 50..150i64).prop_map(|(node, cpu_mhz)| Step::NodeRegister { node, cpu_mhz }),
        1 => (0..NODES, 1..=3).prop_map(|(node, status)| Step::NodeStatus { node, status }),
        1 => any::<u64>().prop_map(|entry| Step::Retry { entry }),
        1 => Just(Step::Fenced),
    ]
}

fn rollout() -> impl Strategy<Value = Rollout> {
    prop_oneof![
        Just(Rollout::Nothing),
        any::<u64>().prop_map(|ended| Rollout::Begin { ended }),
        any::<u64>().prop_map(|deployment| Rollout::Join { deployment }),
    ]
}

fn spec_of(spec: u64) -> String {
    format!(
        r#"{{"ID":"j","Priority":{spec},"TaskGroups":[{{"Name":"g","ReschedulePolicy":{{"Attempts":1}}}}]}}"#
    )
}

fn job_id(job: u64) -> String {
    format!("job-{job}")
}

/// Returns the envelopes of a sequence in a cluster of this feature level. Ids derive from the position in it, so most
/// commands find existing rows.
fn envelopes(level: u32, steps: &[Step]) -> Vec<Vec<u8>> {
    let mut world = World::new();
    let raise = envelope(None, 0, 1, FeatureLevelRaise { level }).encode_to_vec();
    world.batch(std::slice::from_ref(&raise));
    let mut written: Vec<Vec<u8>> = vec![raise];
    for (place, step) in steps.iter().enumerate() {
        let place = place as u64;
        let fence = if matches!(step, Step::Fenced) { world.term + 1 } else { 0 };
        let bytes = match *step {
            Step::Retry { entry } if !written.is_empty() => {
                written[usize::try_from(entry % written.len() as u64).unwrap()].clone()
            }
            step => {
                envelope(Some(id(10_000 + place)), fence, place as i64 * 7 % 50, command(&world, step, place))
                    .encode_to_vec()
            }
        };
        world.batch(std::slice::from_ref(&bytes));
        written.push(bytes);
    }
    written
}

fn command(world: &World, step: Step, place: u64) -> Proposal {
    let eval = 1_000 + place % EVALS;
    let alloc_ids: Vec<Vec<u8>> = rows_of(&world.tables, Table::Allocs).map(|(key, _)| key).collect();
    let eval_rows: Vec<Evaluation> =
        rows_of(&world.tables, Table::Evals).map(|(_, row)| Evaluation::decode(&row[..]).unwrap()).collect();
    let pick =
        |number: u64| alloc_ids.get(number as usize % alloc_ids.len().max(1)).cloned().unwrap_or_default();
    let deployment_ids: Vec<Vec<u8>> =
        rows_of(&world.tables, Table::Deployments).map(|(key, _)| key).collect();
    let pick_deployment = |number: u64| {
        deployment_ids.get(number as usize % deployment_ids.len().max(1)).cloned().unwrap_or_default()
    };
    match step {
        Step::Register { job, spec } => registered(&job_id(job), &spec_of(spec), eval).into(),
        Step::Deregister { job, purge } => deregister(&job_id(job), purge, eval).into(),
        Step::Evaluate { job, force } => JobEvaluate {
            namespace: "default".into(),
            job_id: job_id(job),
            eval_id: id(eval).to_vec(),
            force_reschedule: force,
        }
        .into(),
        Step::Revert { job, version } => versions::revert(&job_id(job), version, None, eval).into(),
        Step::Stable { job, version, stable } => versions::stability(&job_id(job), version, stable).into(),
        Step::Parents if place.is_multiple_of(2) => children::parameterized("parent-d", "optional").into(),
        Step::Parents => {
            children::periodic("parent-p", &serde_json::json!({"Enabled": true, "Spec": "* * * * *"})).into()
        }
        Step::Dispatch { token } => JobDispatch {
            // An empty token is as likely as each of the other tokens.
            idempotency_token: if token == 0 { String::new() } else { token.to_string() },
            ..children::dispatch("parent-d", &[("must", "1")], b"x", 1_000 + place)
        }
        .into(),
        Step::Launch { minute } => {
            children::launch("parent-p", minute * 60_000_000_000, 1_000 + place).into()
        }
        Step::Child { number, purge } => {
            let children = decoded::<Job>(&world.tables, Table::Jobs);
            let children: Vec<Job> = children.into_iter().filter(|job| !job.parent_id.is_empty()).collect();
            let chosen = children.get(number as usize % children.len().max(1));
            deregister(chosen.map_or("none", |job| &job.id), purge, eval).into()
        }
        Step::Reconcile => SummariesReconcile::default().into(),
        Step::EvalStatus { eval, status, queued } => {
            let chosen = eval_rows.get(eval as usize % eval_rows.len().max(1)).cloned();
            let evals = chosen.into_iter().map(|mut row| {
                row.status = status;
                row.queued_allocations.insert("g".into(), queued);
                row
            });
            EvalUpdate { evals: evals.collect() }.into()
        }
        Step::Plan { job, node, cpu_mhz, stop, lost, all_at_once, rollout } => {
            let row = read::job(&world.tables, "default", &job_id(job)).unwrap();
            let begun = row.as_ref().map(|row| deployment_of(7_000 + place, row));
            let mut placed = row.map(|row| placement_of(5_000 + place, &row, 100 + node, cpu_mhz));
            let (deployment, deployment_updates) = match rollout {
                Rollout::Begin { ended } => (begun, vec![cancelled(pick_deployment(ended))]),
                Rollout::Nothing | Rollout::Join { .. } => (None, Vec::new()),
            };
            if let Some(placed) = &mut placed {
                placed.deployment_id = match rollout {
                    Rollout::Nothing => Vec::new(),
                    Rollout::Begin { .. } => id(7_000 + place).to_vec(),
                    Rollout::Join { deployment } => pick_deployment(deployment),
                };
            }
            let status = if lost { ClientStatus::Lost } else { ClientStatus::Unspecified };
            let stop = PlanStop {
                alloc_id: pick(stop),
                desired_status: DesiredStatus::Stop.into(),
                client_status: status.into(),
                ..Default::default()
            };
            plans(vec![Plan {
                stop: vec![stop],
                all_at_once,
                deployment,
                deployment_updates,
                ..plan(placed.into_iter().collect())
            }])
            .into()
        }
        Step::Update { alloc, deployment } => {
            let row = read::alloc(&world.tables, &pick(alloc)).unwrap();
            let version = row.and_then(|row| read::job(&world.tables, "default", &row.job_id).unwrap());
            let update = PlanUpdate {
                alloc_id: pick(alloc),
                job_version: version.map_or(0, |job| job.version),
                eval_id: id(eval).to_vec(),
                deployment_id: pick_deployment(deployment),
                ..Default::default()
            };
            plans(vec![Plan { update: vec![update], ..plan(Vec::new()) }]).into()
        }
        Step::Report { alloc, status } => {
            let update =
                AllocClientState { alloc_id: pick(alloc), client_status: status, ..Default::default() };
            AllocClientUpdate { updates: vec![update] }.into()
        }
        Step::NodeRegister { node: number, cpu_mhz } => node_register(node(100 + number, cpu_mhz)).into(),
        Step::NodeStatus { node, status } => {
            node_status(100 + node, NodeStatus::try_from(status).unwrap()).into()
        }
        Step::Retry { .. } | Step::Fenced => registered("fenced", "{}", eval).into(),
    }
}

fn deployment_of(number: u64, job: &Job) -> Deployment {
    let group = DeploymentState { progress_deadline_ns: 60, ..Default::default() };
    Deployment {
        id: id(number).to_vec(),
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        job_version: job.version,
        job_create_index: job.create_index,
        groups: [("g".into(), group)].into(),
        status: DeploymentStatus::Running.into(),
        ..Default::default()
    }
}

fn cancelled(deployment_id: Vec<u8>) -> DeploymentUpdate {
    let status = DeploymentStatus::Cancelled.into();
    DeploymentUpdate { deployment_id, status, status_description: "over".into() }
}

fn rows_of(tables: &MemoryTables, table: Table) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let rows = tables.iter().filter(move |(at, ..)| *at == table);
    rows.map(|(_, key, value)| (key.to_vec(), value.to_vec()))
}

fn decoded<M: Message + Default>(tables: &MemoryTables, table: Table) -> Vec<M> {
    rows_of(tables, table).map(|(_, row)| M::decode(&row[..]).unwrap()).collect()
}

type Seen = (Option<Capacity>, Option<(Usage, u32)>);

/// Returns the view's state of every node.
fn seen(world: &World) -> Vec<Seen> {
    let view = &world.machine.view;
    (100..100 + NODES)
        .map(|node| (view.capacity(&id(node)), view.used(&id(node)).filter(|(_, live)| *live > 0)))
        .collect()
}

fn check_recounts(world: &World) {
    assert_eq!(Machine::load(&world.tables).unwrap().census, world.machine.census);
    let allocs: Vec<Allocation> = decoded(&world.tables, Table::Allocs);
    let evals: Vec<Evaluation> = decoded(&world.tables, Table::Evals);
    let live =
        |job: &str| allocs.iter().filter(|alloc| alloc.job_id == job && !is_terminal(alloc)).count() as i64;
    let open = |job: &str| {
        let is_open = |eval: &&Evaluation| {
            eval.job_id == job && matches!(eval.status(), EvalStatus::Pending | EvalStatus::Blocked)
        };
        evals.iter().filter(is_open).count() as i64
    };
    let summaries: Vec<JobSummary> = decoded(&world.tables, Table::JobSummaries);
    for job in (0..JOBS).map(job_id) {
        let summary = summaries.iter().find(|summary| summary.job_id == job);
        let counted = summary.map_or((0, 0), |summary| (summary.live_allocations, summary.open_evaluations));
        assert_eq!((live(&job), open(&job)), counted, "{job}");
        assert_eq!(world.has_job(&job), summary.is_some_and(|summary| !summary.purged), "{job}");
        let Some(summary) = summary.filter(|summary| !summary.purged) else { continue };
        let count = |status: ClientStatus| {
            let is_counted = |alloc: &&Allocation| {
                alloc.job_id == job
                    && alloc.job_create_index == summary.create_index
                    && alloc.client_status() == status
            };
            allocs.iter().filter(is_counted).count() as i64
        };
        let group = summary.groups["g"];
        assert_eq!(
            [count(ClientStatus::Pending), count(ClientStatus::Running), count(ClientStatus::Lost)],
            [group.starting, group.running, group.lost],
        );
        // These counters never decrease, and a node may correct a reported status.
        assert!(
            group.complete >= count(ClientStatus::Complete) && group.failed >= count(ClientStatus::Failed)
        );
        assert!(group.queued >= 0);
    }
    let jobs: Vec<Job> = decoded(&world.tables, Table::Jobs);
    for summary in summaries.iter().filter(|_| world.machine.feature_level() > FIRST_LEVEL) {
        let of = |status: &str| {
            let is_one = |job: &&Job| job.parent_id == summary.job_id && job.status == status;
            jobs.iter().filter(is_one).count() as i64
        };
        assert_eq!(
            [of("pending"), of("running"), of("dead")],
            [summary.children_pending, summary.children_running, summary.children_dead],
            "children of {}",
            summary.job_id
        );
    }
    for row in decoded::<Deployment>(&world.tables, Table::Deployments) {
        let group = &row.groups["g"];
        let members = allocs.iter().filter(|alloc| alloc.deployment_id == row.id).count() as i64;
        // Members may have moved to another deployment since.
        assert!(group.placed_allocs >= members);
        assert_eq!(group.placed_allocs > 0, group.require_progress_by_ns > 0);
    }
    let mut uses = BTreeMap::<Vec<u8>, u64>::new();
    for Allocation { namespace, job_id, job_create_index, job_version, .. } in &allocs {
        *uses.entry(key::job_spec(namespace, job_id, *job_create_index, *job_version)).or_default() += 1;
    }
    let counted = rows_of(&world.tables, Table::SpecUses);
    let counted: Vec<_> =
        counted.map(|(at, count)| (at, u64::from_be_bytes(count.try_into().unwrap()))).collect();
    assert_eq!(uses.into_iter().collect::<Vec<_>>(), counted);
    for node in 100..100 + NODES {
        let on_node = allocs.iter().filter(|alloc| alloc.node_id == id(node) && !is_terminal(alloc));
        let (cpu_mhz, live) = on_node.fold((0, 0), |(cpu_mhz, live), alloc| {
            let tasks = &alloc.resources.as_ref().unwrap().tasks;
            (cpu_mhz + tasks.values().map(|task| task.cpu_mhz).sum::<i64>(), live + 1)
        });
        let used = world.machine.view.used(&id(node)).map_or((0, 0), |(usage, live)| (usage.cpu_mhz, live));
        assert_eq!((cpu_mhz, live), used, "node {node}");
    }
}

fn check_rows(world: &World) {
    let indexes = read::indexes(&world.tables).unwrap();
    let jobs: Vec<Job> = decoded(&world.tables, Table::Jobs);
    let versions: Vec<Job> = decoded(&world.tables, Table::JobVersions);
    for job in jobs.iter().chain(&versions) {
        let order = [1, job.create_index, job.job_modify_index, job.modify_index, world.index];
        assert!(order.is_sorted(), "{order:?}");
    }
    let greatest = |indexes: Vec<u64>| indexes.into_iter().max().unwrap_or(0);
    let allocs: Vec<Allocation> = decoded(&world.tables, Table::Allocs);
    let evals: Vec<Evaluation> = decoded(&world.tables, Table::Evals);
    let nodes: Vec<Node> = decoded(&world.tables, Table::Nodes);
    let summaries: Vec<JobSummary> = decoded(&world.tables, Table::JobSummaries);
    let deployments: Vec<Deployment> = decoded(&world.tables, Table::Deployments);
    for (table, index) in [
        (Table::Jobs, greatest(jobs.iter().map(|row| row.modify_index).collect())),
        (Table::Allocs, greatest(allocs.iter().map(|row| row.modify_index).collect())),
        (Table::Evals, greatest(evals.iter().map(|row| row.modify_index).collect())),
        (Table::Deployments, greatest(deployments.iter().map(|row| row.modify_index).collect())),
        (Table::Nodes, greatest(nodes.iter().map(|row| row.modify_index).collect())),
        (Table::JobSummaries, greatest(summaries.iter().map(|row| row.modify_index).collect())),
    ] {
        assert!(indexes.get(table) >= index, "{}", table.name());
    }
    for alloc in &allocs {
        assert!(
            alloc.create_index <= alloc.alloc_modify_index && alloc.alloc_modify_index <= alloc.modify_index
        );
        assert!(
            world.has_spec(&alloc.job_id, alloc.job_create_index, alloc.job_version),
            "a live specification"
        );
    }
    // A specification is stored if and only if a version or an allocation uses it.
    let by_versions = versions.iter().map(|job| (job.id.clone(), job.create_index, job.version));
    let by_allocs =
        allocs.iter().map(|alloc| (alloc.job_id.clone(), alloc.job_create_index, alloc.job_version));
    let wanted: BTreeSet<Vec<u8>> = by_versions
        .chain(by_allocs)
        .map(|(job, created, version)| key::job_spec("default", &job, created, version))
        .collect();
    let specs: BTreeSet<Vec<u8>> = rows_of(&world.tables, Table::JobSpecs).map(|(key, _)| key).collect();
    assert_eq!(wanted, specs);
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    versions.iter().for_each(|job| *kept.entry(&job.id).or_default() += 1);
    assert!(kept.values().all(|count| *count <= crate::limits::JOB_VERSIONS_KEPT_MAX));
    let count = |table| rows_of(&world.tables, table).count();
    assert_eq!(
        (allocs.len(), allocs.len(), allocs.len()),
        (count(Table::AllocsByJob), count(Table::AllocsByNode), count(Table::AllocsByEval))
    );
    for alloc in &allocs {
        let of_node = crate::state::read::node_allocs(&world.tables, &alloc.node_id).unwrap();
        let row = of_node.iter().find(|(id, _)| id[..] == alloc.id[..]).and_then(|(_, row)| *row);
        assert_eq!(Some(crate::state::read::node_alloc(alloc)), row);
    }
    assert_eq!(evals.len(), count(Table::EvalsByJob));
    assert_eq!(deployments.len(), count(Table::DeploymentsByJob));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn equal_logs_give_equal_states_however_they_are_batched_and_reloaded(
        level in FIRST_LEVEL..=FEATURE_LEVEL,
        steps in prop::collection::vec(step(), 1..60),
        cuts in prop::collection::vec((1..7usize, any::<bool>()), 60),
    ) {
        let log = envelopes(level, &steps);
        let mut single = World::new();
        for bytes in &log {
            let before = single.state_rows();
            let applied = single.batch(std::slice::from_ref(bytes)).remove(0);
            if matches!(applied.outcome, Outcome::Refused(_)) {
                prop_assert_eq!(before, single.state_rows());
                prop_assert!(applied.changes.is_empty());
            }
            check_recounts(&single);
        }
        check_rows(&single);

        let mut batched = World::new();
        let mut rest = &log[..];
        for (size, reload) in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(size.min(rest.len()));
            batched.batch(now);
            if reload {
                batched.reload();
            }
            rest = later;
        }
        prop_assert_eq!(single.hash(), batched.hash());
        prop_assert!(single.tables == batched.tables);
        prop_assert_eq!(seen(&single), seen(&batched));
        batched.reload();
        prop_assert_eq!(seen(&single), seen(&batched));
    }

    #[test]
    fn no_bytes_make_apply_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), place in any::<prop::sample::Index>()) {
        let mut world = World::new();
        world.accept(node_register(node(100, 100)));
        world.accept(registered("a", "{1}", 1));
        let valid = envelope(Some(id(9)), 0, 5, plans(vec![plan(vec![world.placement(50, "a", 100, 10)])])).encode_to_vec();
        // Test the bytes alone and inserted into a valid envelope.
        let at = place.index(valid.len());
        let spliced = [&valid[..at], &bytes, &valid[at..]].concat();
        for bytes in [bytes, spliced] {
            let mut tx = Tx::new(&world.tables, read::indexes(&world.tables).unwrap());
            let at = LogPosition { term: 3, index: 99 };
            // Both an answer and a fatal error are fine, and both must have a text.
            match world.machine.apply(&mut tx, at, bytes.into()) {
                Ok(applied) => {
                    let read = Outcome::decode(applied.outcome.encode_to_vec());
                    prop_assert_eq!(read.ok(), Some(applied.outcome));
                }
                Err(fatal) => prop_assert!(!fatal.to_string().is_empty()),
            }
            world.reload();
        }
    }
}
