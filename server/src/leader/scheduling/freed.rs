//! Finds the nodes whose free resources grew, to wake blocked evaluations.

use std::collections::BTreeMap;

use ordu_core::scheduler::is_terminal;
use ordu_core::state::rows::{Allocs, Nodes};
use ordu_core::state::{Change, RowChange};
use ordu_proto::state::{Node, NodeStatus};
use ordu_store::state_machine::State;

use super::broker::Broker;

/// Nodes with more free resources, each with the index of the latest such change.
#[derive(Default)]
pub(super) struct Freed<'a>(BTreeMap<&'a [u8], u64>);

impl<'a> Freed<'a> {
    /// Adds what the change at `index` frees.
    pub(super) fn note(&mut self, index: u64, change: &'a Change) {
        if let Some(RowChange { old: Some(old), new, .. }) = change.of::<Allocs>()
            && !is_terminal(old)
            && new.as_ref().is_none_or(is_terminal)
        {
            self.0.insert(&old.node_id, index);
        }
        if let Some(RowChange { old, new: Some(new), .. }) = change.of::<Nodes>()
            && has_more_to_offer(old.as_ref(), new)
        {
            self.0.insert(&new.id, index);
        }
    }

    /// Wakes evaluations that wait for these nodes, once per class and datacenter.
    pub(super) fn wake(&self, state: &State, broker: &Broker) {
        if self.0.is_empty() {
            return;
        }
        let mut classes: BTreeMap<(String, String), u64> = BTreeMap::new();
        {
            let machine = state.machine();
            for (node, index) in &self.0 {
                if let Some((class, datacenter)) = machine.view.class_and_datacenter(node) {
                    let latest = classes.entry((class.to_owned(), datacenter.to_owned())).or_default();
                    *latest = (*latest).max(*index);
                }
            }
        }
        for ((class, datacenter), index) in classes {
            broker.unblock(&class, &datacenter, index);
        }
    }
}

/// Whether the change may let something fit on the node that did not before.
fn has_more_to_offer(old: Option<&Node>, new: &Node) -> bool {
    let is_open = |node: &Node| node.status() == NodeStatus::Ready && !node.ineligible && !node.drain;
    let offers_the_same = |old: &Node| {
        old.computed_class == new.computed_class
            && old.resources == new.resources
            && old.reserved == new.reserved
            && old.attributes == new.attributes
            && old.meta == new.meta
    };
    is_open(new) && !old.is_some_and(|old| is_open(old) && offers_the_same(old))
}

#[cfg(test)]
mod tests {
    use ordu_proto::state::{DriverInfo, NodeEvent};

    use super::*;

    fn node() -> Node {
        let mut node = Node { id: vec![1; 16], ..Node::default() };
        node.set_status(NodeStatus::Ready);
        node
    }

    type Edit = fn(&mut Node);

    #[test]
    fn only_a_change_for_the_better_offers_more() {
        let cases: [(&str, Edit, Edit, bool); 6] = [
            ("nothing", |_| {}, |_| {}, false),
            ("an event", |_| {}, |new| new.events.push(NodeEvent::default()), false),
            ("eligible again", |old| old.ineligible = true, |_| {}, true),
            ("up again", |old| old.set_status(NodeStatus::Down), |_| {}, true),
            ("another class", |_| {}, |new| "c".clone_into(&mut new.computed_class), true),
            ("drained", |old| old.computed_class.push('c'), |new| new.drain = true, false),
        ];
        for (name, before, after, expected) in cases {
            let (mut old, mut new) = (node(), node());
            new.drivers.insert("d".to_owned(), DriverInfo { update_time_ns: 1, ..DriverInfo::default() });
            before(&mut old);
            after(&mut new);
            assert_eq!(expected, has_more_to_offer(Some(&old), &new), "{name}");
        }
        assert!(has_more_to_offer(None, &node()));
    }
}
