//! Command 23, since 0.1: marks nodes as down or ready and evaluates the jobs with allocations on them.

use std::collections::BTreeMap;

use ordu_proto::command::{Done, NodeStatusUpdate};
use ordu_proto::state::Job;

use super::Step;
use super::declared::Command;
use super::entry::{Entry, UNKNOWN_JOB_PRIORITY, derived_id, new_eval};
use super::job_state::is_client_terminal;
use super::level::FIRST_LEVEL;
use super::node_register::push_event;
use crate::state::{Corrupt, JobKey, Reader, read, readable};

impl Command for NodeStatusUpdate {
    type Answer = Done;
    const NUMBER: u32 = 23;
    const LEVEL: u32 = FIRST_LEVEL;

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        let mut affected = AffectedJobs::default();
        for change in self.changes {
            // An undecodable node must not block the other changes of the entry.
            let Some(old) = readable(read::node(entry.reader(), &change.node_id))?.flatten() else {
                continue;
            };
            if old.status == change.status {
                continue;
            }
            let mut node = old.clone();
            node.status = change.status;
            node.status_updated_at_ns = entry.time_ns;
            push_event(&mut node, &change.event_message, entry.time_ns, entry.index);
            let id = node.id.clone();
            entry.put_node(Some(old), node);
            affected.add_node(entry.reader(), &id)?;
        }
        affected.evaluate(entry, &self.eval_seed)?;
        Ok(Ok(Done { index: entry.index }))
    }
}

/// Jobs with allocations on changed nodes, each with the first such node. An evaluation looks at all of a job's nodes,
/// so each job needs one evaluation, however many nodes of a rack go down.
#[derive(Default)]
pub(super) struct AffectedJobs(BTreeMap<JobKey, Affected>);

struct Affected {
    node_id: Vec<u8>,
    job_type: String,
}

impl AffectedJobs {
    /// Adds the jobs with a non-terminal allocation on the node. An allocation that was told to stop counts too: it
    /// must become lost when its node is gone.
    pub(super) fn add_node(&mut self, reader: &dyn Reader, node_id: &[u8]) -> Result<(), Corrupt> {
        for alloc in read::allocs_of_node(reader, node_id)? {
            if !is_client_terminal(alloc.client_status()) {
                let job = JobKey::from(&alloc);
                let affected = || Affected { node_id: node_id.to_vec(), job_type: alloc.job_type };
                self.0.entry(job).or_insert_with(affected);
            }
        }
        Ok(())
    }

    /// Writes one evaluation for each job.
    pub(super) fn evaluate(self, entry: &mut Entry<'_, '_>, seed: &[u8]) -> Result<(), Corrupt> {
        for (JobKey { namespace, id: job_id }, Affected { node_id, job_type }) in self.0 {
            // Evaluate purged jobs too: otherwise their allocations would stay on a dead node forever.
            let job = readable(read::job(entry.reader(), &namespace, &job_id))?.flatten();
            let job = job.unwrap_or_else(|| Job {
                namespace: namespace.clone(),
                id: job_id.clone(),
                priority: UNKNOWN_JOB_PRIORITY,
                r#type: job_type,
                ..Job::default()
            });
            let mut eval = new_eval(derived_id(seed, &namespace, &job_id), &job, "node-update");
            eval.node_id = node_id;
            eval.node_modify_index = entry.index;
            readable(entry.put_eval(eval))?;
        }
        Ok(())
    }
}
