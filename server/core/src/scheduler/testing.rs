//! A small cluster for tests: nodes, one job with its versions, its allocations, and an `apply`
//! that applies plans like the real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordu_proto::api::job::{
    Constraint, EphemeralDisk, JobSpec, NetworkResource as NetworkAsk, Port as PortAsk,
};
use ordu_proto::api::job::{Resources, Task, TaskGroup};
use ordu_proto::command::Plan;
use ordu_proto::state::{
    Allocation, ClientStatus, Deployment, DesiredStatus, DriverInfo, EvalStatus, Evaluation, Job,
    NetworkResource, Node, NodeResources, NodeStatus,
};

use super::*;

pub(crate) fn id(number: u64) -> Vec<u8> {
    let mut id = vec![0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

/// Returns a node with 4000 MHz, 8000 MB of memory, 100,000 MB of disk and the driver raw_exec, in dc1.
pub(crate) fn node(number: u64) -> Node {
    let network = NetworkResource { device: "eth0".into(), ip: "10.0.0.1".into(), ..Default::default() };
    let mut node = Node {
        id: id(number),
        name: format!("node-{number}"),
        datacenter: "dc1".into(),
        attributes: [("kernel.name".to_owned(), "linux".to_owned())].into(),
        drivers: [("raw_exec".into(), DriverInfo { detected: true, healthy: true, ..Default::default() })]
            .into(),
        resources: Some(NodeResources {
            cpu_mhz: 4000,
            memory_mb: 8000,
            disk_mb: 100_000,
            networks: vec![network],
        }),
        ..Default::default()
    };
    node.set_status(NodeStatus::Ready);
    node
}

pub(crate) fn group(name: &str, count: i64, cpu_mhz: i64, memory_mb: i64) -> TaskGroup {
    let resources = Resources { cpu: Some(cpu_mhz), memory_mb: Some(memory_mb), ..Default::default() };
    let task = Task {
        name: "t".into(),
        driver: "raw_exec".into(),
        resources: Some(resources),
        ..Default::default()
    };
    TaskGroup {
        name: name.into(),
        count: Some(count),
        tasks: vec![task],
        ephemeral_disk: Some(EphemeralDisk { size_mb: Some(10), ..Default::default() }),
        ..Default::default()
    }
}

pub(crate) fn constraint(left: &str, operand: &str, right: &str) -> Constraint {
    Constraint { left: left.into(), operand: operand.into(), right: right.into() }
}

/// Returns a group's network with `dynamic` dynamic ports and these static ones.
pub(crate) fn ports(dynamic: usize, fixed: &[i64]) -> NetworkAsk {
    let port = |label: String, value| PortAsk { label, value, ..Default::default() };
    NetworkAsk {
        dynamic_ports: (0..dynamic).map(|number| port(format!("d{number}"), 0)).collect(),
        reserved_ports: fixed.iter().map(|&value| port(format!("s{value}"), value)).collect(),
        ..Default::default()
    }
}

pub(crate) struct World {
    pub(crate) view: ClusterView,
    pub(crate) nodes: BTreeMap<Vec<u8>, Node>,
    pub(crate) allocs: BTreeMap<Vec<u8>, Allocation>,
    pub(crate) row: Job,
    pub(crate) spec: JobSpec,
    pub(crate) purged: bool,
    pub(crate) dry_run: bool,
    /// In order of creation.
    pub(crate) deployments: Vec<Deployment>,
    versions: BTreeMap<(u64, u64), Arc<ScheduledJob>>,
    drawn: u64,
    index: u64,
}

impl World {
    /// Builds a world with `nodes` equal nodes and a job of this type without groups.
    pub(crate) fn new(nodes: u64, job_type: &str) -> World {
        let row = Job {
            namespace: "default".into(),
            id: "job".into(),
            r#type: job_type.into(),
            priority: 50,
            create_index: 5,
            ..Default::default()
        };
        let spec = JobSpec { id: "job".into(), datacenters: vec!["dc1".into()], ..Default::default() };
        let mut world = World {
            view: ClusterView::new(),
            nodes: BTreeMap::new(),
            allocs: BTreeMap::new(),
            row,
            spec,
            purged: false,
            dry_run: false,
            deployments: Vec::new(),
            versions: BTreeMap::new(),
            drawn: 1 << 32,
            index: 10,
        };
        (1..=nodes).for_each(|number| world.put_node(node(number)));
        world
    }

    pub(crate) fn with_groups(mut self, groups: Vec<TaskGroup>) -> World {
        self.spec.task_groups = groups;
        self
    }

    pub(crate) fn put_node(&mut self, node: Node) {
        self.view.node_upserted(&node);
        self.nodes.insert(node.id.clone(), node);
    }

    pub(crate) fn change_node(&mut self, number: u64, change: impl FnOnce(&mut Node)) {
        let mut node = self.nodes[&id(number)].clone();
        change(&mut node);
        self.put_node(node);
    }

    /// Changes the job and increments its version.
    pub(crate) fn change_job(&mut self, change: impl FnOnce(&mut Job, &mut JobSpec)) {
        self.compiled();
        change(&mut self.row, &mut self.spec);
        self.row.version += 1;
    }

    fn compiled(&mut self) -> Arc<ScheduledJob> {
        let key = (self.row.create_index, self.row.version);
        let job = self.versions.entry(key);
        Arc::clone(job.or_insert_with(|| Arc::new(ScheduledJob::from_spec(&self.row, &self.spec))))
    }

    pub(crate) fn eval(&self) -> Evaluation {
        Evaluation {
            id: id(77),
            namespace: "default".into(),
            job_id: "job".into(),
            r#type: self.row.r#type.clone(),
            priority: 50,
            status: EvalStatus::Pending.into(),
            triggered_by: "job-register".into(),
            ..Default::default()
        }
    }

    pub(crate) fn decide(&mut self) -> Decision {
        let eval = self.eval();
        self.decide_eval(&eval)
    }

    pub(crate) fn decide_eval(&mut self, eval: &Evaluation) -> Decision {
        let job = self.compiled();
        let allocs: Vec<Allocation> = self.allocs.values().cloned().collect();
        let mut view = self.view.snapshot();
        let mut drawn = self.drawn;
        let of_job = self.versions.iter().filter(|((created, _), _)| *created == self.row.create_index);
        let versions = of_job.map(|((_, version), job)| (*version, Arc::clone(job))).collect();
        let input = ScheduleInput {
            eval,
            job_row: (!self.purged).then_some(&self.row),
            job: (!self.purged).then_some(&*job),
            versions: &versions,
            allocs: &allocs,
            deployment: self.deployments.last(),
            view: &mut view,
            snapshot_index: self.index,
            now_ns: 1_000_000,
            dry_run: self.dry_run,
        };
        let decision = schedule(input, &mut || {
            drawn += 1;
            id(drawn).try_into().unwrap()
        });
        self.drawn = drawn;
        decision
    }

    /// Applies the plan like the real `apply`; panics if the plan check refuses any part of it.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        let verdict = PlanCheck::new(&self.view).verdict(plan, &mut |id| self.allocs.get(id).cloned());
        assert!(verdict.refused.is_empty(), "refused: {:?}", verdict.refused);
        self.index += 1;
        for update in &plan.deployment_updates {
            let of_id = |deployment: &&mut Deployment| deployment.id == update.deployment_id;
            let deployment = self.deployments.iter_mut().find(of_id).expect("plans end what there is");
            deployment.status = update.status;
            deployment.status_description.clone_from(&update.status_description);
        }
        self.deployments.extend(plan.deployment.clone());
        for stop in &plan.stop {
            let client_status = stop.client_status();
            self.change_alloc(&stop.alloc_id, |alloc| {
                alloc.desired_status = stop.desired_status;
                alloc.desired_description.clone_from(&stop.desired_description);
                if client_status != ClientStatus::Unspecified {
                    alloc.set_client_status(client_status);
                }
            });
        }
        for update in &plan.update {
            assert!(update.resources.is_none());
            self.change_alloc(&update.alloc_id, |alloc| {
                alloc.job_version = update.job_version;
                if !update.deployment_id.is_empty() {
                    alloc.deployment_id.clone_from(&update.deployment_id);
                }
            });
        }
        for placed in &plan.place {
            if !placed.previous_allocation.is_empty() {
                self.change_alloc(&placed.previous_allocation, |previous| {
                    previous.next_allocation.clone_from(&placed.id);
                });
            }
            let row = Allocation { create_index: self.index, ..placed.clone() };
            self.view.alloc_changed(None, Some(&row));
            assert!(self.allocs.insert(row.id.clone(), row).is_none(), "ids are drawn once");
        }
    }

    pub(crate) fn change_alloc(&mut self, id: &[u8], change: impl FnOnce(&mut Allocation)) {
        let row = self.allocs.get_mut(id).expect("plans name allocations that exist");
        let before = row.clone();
        change(row);
        self.view.alloc_changed(Some(&before), Some(row));
    }

    pub(crate) fn set_client_status(&mut self, id: &[u8], status: ClientStatus) {
        self.change_alloc(id, |alloc| alloc.set_client_status(status));
    }

    /// Decides an evaluation and applies its plan.
    pub(crate) fn settle(&mut self) -> Decision {
        let decision = self.decide();
        self.apply(&decision.plan);
        decision
    }

    /// Returns the live allocations of a group, ordered by name index.
    pub(crate) fn live(&self, group: &str) -> Vec<&Allocation> {
        let live = self.allocs.values().filter(|alloc| alloc.task_group == group && !is_terminal(alloc));
        let mut live: Vec<&Allocation> = live.collect();
        live.sort_by_key(|alloc| (alloc.name_index, alloc.id.clone()));
        live
    }

    pub(crate) fn live_ids(&self, group: &str) -> Vec<Vec<u8>> {
        self.live(group).iter().map(|alloc| alloc.id.clone()).collect()
    }

    pub(crate) fn names(&self, group: &str) -> Vec<u32> {
        self.live(group).iter().map(|alloc| alloc.name_index).collect()
    }

    pub(crate) fn stopped(&self) -> usize {
        self.allocs.values().filter(|alloc| alloc.desired_status() == DesiredStatus::Stop).count()
    }
}
