//! Command 23, since 0.1: nodes go down or come back, and the jobs on them are evaluated.

use std::collections::BTreeMap;

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, NodeStatusUpdate};
use ordu_proto::state::Job;

use super::Step;
use super::entry::{Entry, UNKNOWN_JOB_PRIORITY, derived_id, new_eval};
use super::job_state::is_client_terminal;
use super::node_register::push_event;
use crate::state::{Corrupt, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: NodeStatusUpdate) -> Step {
    for change in command.changes {
        let Some(old) = read::node(entry.reader(), &change.node_id)? else { continue };
        if old.status == change.status {
            continue;
        }
        let mut node = old.clone();
        node.status = change.status;
        node.status_updated_at_ns = entry.time_ns;
        push_event(&mut node, &change.event_message, entry.time_ns, entry.index);
        let id = node.id.clone();
        entry.put_node(Some(old), node);
        let seed = [command.eval_seed.as_slice(), &id].concat();
        evaluate_jobs_of(entry, &id, &seed)?;
    }
    Ok(Ok(Answer::Done(Done { index: entry.index })))
}

/// One evaluation for each job with an allocation on the node that the node has not said its last word on:
/// one that was told to stop there must become lost too when the node is gone.
pub(super) fn evaluate_jobs_of(
    entry: &mut Entry<'_, '_>,
    node_id: &[u8],
    seed: &[u8],
) -> Result<(), Corrupt> {
    let jobs: BTreeMap<(String, String), String> = read::allocs_of_node(entry.reader(), node_id)?
        .into_iter()
        .filter(|alloc| !is_client_terminal(alloc.client_status()))
        .map(|alloc| ((alloc.namespace, alloc.job_id), alloc.job_type))
        .collect();
    for ((namespace, job_id), job_type) in jobs {
        // A purged job is evaluated too, else its allocations would wait for a dead node for ever.
        let job = read::job(entry.reader(), &namespace, &job_id)?.unwrap_or_else(|| Job {
            namespace: namespace.clone(),
            id: job_id.clone(),
            priority: UNKNOWN_JOB_PRIORITY,
            r#type: job_type,
            ..Job::default()
        });
        let mut eval = new_eval(derived_id(seed, &namespace, &job_id), &job, "node-update");
        eval.node_id = node_id.to_vec();
        eval.node_modify_index = entry.index;
        entry.put_eval(eval)?;
    }
    Ok(())
}
