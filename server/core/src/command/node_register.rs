//! Command 22, since 0.1: registers a node. A known node must present the secret that it first registered with.

use ordu_proto::command::{NodeRegister, NodeRegistered};
use ordu_proto::state::{Node, NodeEvent, NodeStatus};

use super::declared::Command;
use super::entry::Entry;
use super::level::FIRST_LEVEL;
use super::node_status_update::AffectedJobs;
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::limits::NODE_EVENTS_KEPT_MAX;
use crate::scheduler::computed_class;
use crate::state::read;

impl Command for NodeRegister {
    type Answer = NodeRegistered;
    const NUMBER: u32 = 22;
    const LEVEL: u32 = FIRST_LEVEL;

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<NodeRegistered> {
        let Some(mut node) = self.node.filter(|node| node.id.len() == 16) else {
            return Ok(Err(refuse(400, "missing node ID for client registration")));
        };
        let old = read::node(entry.reader(), &node.id)?;
        if let Some(old) = &old
            && old.secret_hash != node.secret_hash
        {
            return Ok(Err(refuse(403, "node secret ID does not match. Not registering node.")));
        }
        let created = old.is_none();
        let was_ready = old.as_ref().is_some_and(|old| old.status() == NodeStatus::Ready);
        node.computed_class = computed_class(&node);
        node.set_status(NodeStatus::Ready);
        node.status_description.clear();
        // Only the servers write the event history.
        node.events.clear();
        if let Some(old) = &old {
            node.ineligible = old.ineligible;
            node.drain = old.drain;
            node.events.clone_from(&old.events);
            node.status_updated_at_ns = old.status_updated_at_ns;
        }
        if !was_ready {
            node.status_updated_at_ns = entry.time_ns;
            let message = if created { "Node registered" } else { "Node re-registered" };
            push_event(&mut node, message, entry.time_ns, entry.index);
        }
        let id = node.id.clone();
        entry.put_node(old, node);
        if !created && !was_ready {
            let mut affected = AffectedJobs::default();
            affected.add_node(entry.reader(), &id)?;
            affected.evaluate(entry, &self.eval_seed)?;
        }
        Ok(Ok(NodeRegistered { index: entry.index, created }))
    }
}

impl AnswerMessage for NodeRegistered {
    const NUMBER: u32 = 6;
}

/// Adds a cluster event to a node's history, which keeps only the latest events.
pub(super) fn push_event(node: &mut Node, message: &str, time_ns: i64, index: u64) {
    node.events.push(NodeEvent {
        message: message.to_owned(),
        subsystem: "Cluster".to_owned(),
        time_ns,
        create_index: index,
        ..NodeEvent::default()
    });
    if node.events.len() > NODE_EVENTS_KEPT_MAX {
        node.events.remove(0);
    }
}
