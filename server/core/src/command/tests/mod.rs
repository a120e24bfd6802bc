//! Commands as the log contains them: envelopes applied in batches to tables in memory.

mod allocations;
mod autopilot;
mod children;
mod deployments;
mod envelopes;
mod extremes;
mod foreign_members;
mod golden;
mod heaviest;
mod jobs;
mod nodes;
mod numbers;
mod plans;
mod properties;
mod rollouts;
mod second_level;
mod time;
mod unreadable;
mod versions;

use std::cell::RefCell;
use std::collections::BTreeMap;

use ordu_proto::command::{
    AllocClientState, AllocClientUpdate, EvalUpdate, GroupCount, JobDeregister, JobRegister, NodeRegister,
    NodeStatusChange, NodeStatusUpdate, Plan, PlanApply, PlanStop,
};
use ordu_proto::state::{
    AllocatedResources, AllocatedTaskResources, Allocation, ClientStatus, DesiredStatus, EvalStatus,
    Evaluation, Job, JobSummary, Node, NodeResources, NodeStatus, Port, TaskGroupSummary, TaskState,
};
use prost::Message;

use super::{Applied, Command, LogPosition, Machine, Outcome, Proposal, envelope};
use crate::state::hash::state_hash;
use crate::state::{Corrupt, Id, MemoryTables, Reader, Table, Tx, key, read, reader::Visit};

/// Returns an id made from a number.
fn id(number: u64) -> Id {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

/// Tables that count how many of their rows are read.
struct Counting<'a> {
    tables: &'a MemoryTables,
    reads: RefCell<BTreeMap<Table, usize>>,
}

impl<'a> Counting<'a> {
    fn over(tables: &'a MemoryTables) -> Self {
        Self { tables, reads: RefCell::default() }
    }

    fn count(&self, table: Table) {
        *self.reads.borrow_mut().entry(table).or_default() += 1;
    }

    fn read_of(&self, table: Table) -> usize {
        self.reads.borrow().get(&table).copied().unwrap_or(0)
    }
}

impl Reader for Counting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        self.count(table);
        self.tables.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Corrupt> {
        self.tables.scan(table, start, end, &mut |key, value| {
            self.count(table);
            visit(key, value)
        })
    }

    fn scan_reverse(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Corrupt> {
        self.tables.scan_reverse(table, start, end, &mut |key, value| {
            self.count(table);
            visit(key, value)
        })
    }
}

/// A server's tables and its state machine.
struct World {
    tables: MemoryTables,
    machine: Machine,
    term: u64,
    index: u64,
    time_ns: i64,
}

impl World {
    fn new() -> Self {
        let tables = MemoryTables::default();
        let machine = Machine::load(&tables).unwrap();
        Self { tables, machine, term: 3, index: 10, time_ns: 1_000 }
    }

    /// Applies encoded envelopes at the next indexes in one batch.
    fn batch(&mut self, envelopes: &[Vec<u8>]) -> Vec<Applied> {
        let mut tx = Tx::new(&self.tables, read::indexes(&self.tables).unwrap());
        let mut applied = Vec::new();
        for bytes in envelopes {
            self.index += 1;
            let at = LogPosition { term: self.term, index: self.index };
            applied.push(self.machine.apply(&mut tx, at, bytes.clone().into()).unwrap());
        }
        let (writes, indexes) = tx.finish();
        self.tables.commit(writes);
        assert_eq!(indexes, read::indexes(&self.tables).unwrap(), "the indexes are stored as they are");
        applied
    }

    fn apply(&mut self, command: impl Into<Proposal>) -> Outcome {
        self.time_ns += 1_000;
        let bytes = envelope(None, 0, self.time_ns, command).encode_to_vec();
        self.batch(&[bytes]).remove(0).outcome
    }

    /// Applies a command that must not be refused.
    fn accept(&mut self, command: impl Into<Proposal>) -> Outcome {
        let answer = self.apply(command);
        assert!(!matches!(answer, Outcome::Refused(_)), "refused: {answer:?}");
        answer
    }

    /// Applies a command that must not be refused, and returns its answer.
    fn answer<C: Command>(&mut self, command: C) -> C::Answer {
        self.accept(command).answer().expect("a command is answered with its own answer")
    }

    /// Applies a command that must be refused without changing the state, and returns status and text.
    fn refused(&mut self, command: impl Into<Proposal>) -> (u32, String) {
        let before = self.state_rows();
        match self.apply(command) {
            Outcome::Refused(refusal) => {
                assert_eq!(before, self.state_rows(), "a refusal leaves no trace");
                (refusal.status, refusal.text)
            }
            answer => panic!("not refused: {answer:?}"),
        }
    }

    /// Returns all rows except the answered requests, the cluster's metadata and the hash chain.
    fn state_rows(&self) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        let rows = self.tables.iter().filter(|(table, key, value)| match (table, *key) {
            (Table::Requests, _) | (Table::Meta, key::meta::CLUSTER | key::meta::CHAIN) => false,
            // A missing row is equivalent to a row of zeros.
            (Table::Meta, key::meta::INDEXES) => value.iter().any(|byte| *byte != 0),
            _ => true,
        });
        rows.map(|(table, key, value)| (table, key.to_vec(), value.to_vec())).collect()
    }

    fn reload(&mut self) {
        self.machine = Machine::load(&self.tables).unwrap();
    }

    fn hash(&self) -> [u8; 32] {
        state_hash(&self.tables).unwrap()
    }

    fn job(&self, job_id: &str) -> Job {
        read::job(&self.tables, "default", job_id).unwrap().unwrap_or_else(|| panic!("no job {job_id}"))
    }

    fn has_job(&self, job_id: &str) -> bool {
        read::job(&self.tables, "default", job_id).unwrap().is_some()
    }

    fn status(&self, job_id: &str) -> String {
        self.job(job_id).status
    }

    fn summary(&self, job_id: &str) -> Option<JobSummary> {
        read::job_summary(&self.tables, "default", job_id).unwrap()
    }

    fn group(&self, job_id: &str) -> TaskGroupSummary {
        self.summary(job_id).unwrap().groups["g"]
    }

    fn alloc(&self, number: u64) -> Allocation {
        read::alloc(&self.tables, &id(number)).unwrap().unwrap_or_else(|| panic!("no allocation {number}"))
    }

    fn has_alloc(&self, number: u64) -> bool {
        read::alloc(&self.tables, &id(number)).unwrap().is_some()
    }

    fn eval(&self, number: u64) -> Evaluation {
        read::eval(&self.tables, &id(number)).unwrap().unwrap_or_else(|| panic!("no evaluation {number}"))
    }

    fn node(&self, number: u64) -> Node {
        read::node(&self.tables, &id(number)).unwrap().unwrap_or_else(|| panic!("no node {number}"))
    }

    fn has_spec(&self, job_id: &str, create_index: u64, version: u64) -> bool {
        read::job_spec(&self.tables, "default", job_id, create_index, version).unwrap().is_some()
    }

    fn index_of(&self, table: Table) -> u64 {
        read::indexes(&self.tables).unwrap().get(table)
    }

    /// Returns a placement of the job's current version.
    fn placement(&self, number: u64, job_id: &str, node: u64, cpu_mhz: i64) -> Allocation {
        let job = self.job(job_id);
        placement_of(number, &job, node, cpu_mhz)
    }

    fn used_cpu_mhz(&self, node: u64) -> i64 {
        self.machine.view.used(&id(node)).map_or(0, |(usage, _)| usage.cpu_mhz)
    }
}

fn placement_of(number: u64, job: &Job, node: u64, cpu_mhz: i64) -> Allocation {
    let task = AllocatedTaskResources { cpu_mhz, memory_mb: 10, networks: Vec::new() };
    let mut alloc = Allocation {
        id: id(number).to_vec(),
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        job_create_index: job.create_index,
        job_version: job.version,
        job_type: job.r#type.clone(),
        task_group: "g".into(),
        eval_id: id(1).to_vec(),
        node_id: id(node).to_vec(),
        resources: Some(AllocatedResources { tasks: [("t".into(), task)].into(), ..Default::default() }),
        ..Default::default()
    };
    alloc.set_desired_status(DesiredStatus::Run);
    alloc.set_client_status(ClientStatus::Pending);
    alloc
}

fn job(job_id: &str) -> Job {
    Job {
        namespace: "default".into(),
        id: job_id.into(),
        name: job_id.into(),
        r#type: "service".into(),
        priority: 50,
        ..Default::default()
    }
}

fn register(job: Job, spec: &str, eval: Option<u64>) -> JobRegister {
    JobRegister {
        job: Some(job),
        spec_json: spec.into(),
        eval_id: eval.map(|number| id(number).to_vec()).unwrap_or_default(),
        groups: vec![GroupCount { name: "g".into(), count: 1 }],
        ..Default::default()
    }
}

fn registered(job_id: &str, spec: &str, eval: u64) -> JobRegister {
    register(job(job_id), spec, Some(eval))
}

fn deregister(job_id: &str, purge: bool, eval: u64) -> JobDeregister {
    JobDeregister {
        namespace: "default".into(),
        job_id: job_id.into(),
        purge,
        eval_id: id(eval).to_vec(),
        eval_priority: 0,
    }
}

fn eval_status(world: &World, number: u64, status: EvalStatus) -> EvalUpdate {
    let mut eval = world.eval(number);
    eval.set_status(status);
    EvalUpdate { evals: vec![eval] }
}

fn node(number: u64, cpu_mhz: i64) -> Node {
    Node {
        id: id(number).to_vec(),
        secret_hash: vec![7; 32],
        name: format!("node-{number}"),
        datacenter: "dc1".into(),
        resources: Some(NodeResources { cpu_mhz, memory_mb: 10_000, disk_mb: 10_000, networks: Vec::new() }),
        ..Default::default()
    }
}

fn node_register(node: Node) -> NodeRegister {
    NodeRegister { node: Some(node), eval_seed: vec![9; 16] }
}

fn node_status(number: u64, status: NodeStatus) -> NodeStatusUpdate {
    let change = NodeStatusChange {
        node_id: id(number).to_vec(),
        status: status.into(),
        event_message: "Node heartbeat missed".into(),
    };
    NodeStatusUpdate { changes: vec![change], eval_seed: vec![8; 16] }
}

fn plan(place: Vec<Allocation>) -> Plan {
    Plan { eval_id: id(1).to_vec(), place, ..Default::default() }
}

fn plans(plans: Vec<Plan>) -> PlanApply {
    PlanApply { plans }
}

fn stop(number: u64) -> PlanStop {
    PlanStop {
        alloc_id: id(number).to_vec(),
        desired_status: DesiredStatus::Stop.into(),
        desired_description: "not needed".into(),
        ..Default::default()
    }
}

fn report(number: u64, status: ClientStatus) -> AllocClientUpdate {
    let update = AllocClientState {
        alloc_id: id(number).to_vec(),
        client_status: status.into(),
        client_description: "told".into(),
        ..Default::default()
    };
    AllocClientUpdate { updates: vec![update] }
}

fn port(value: i32) -> Port {
    Port { label: "p".into(), value, ..Default::default() }
}
