//! Computes node classes. Nodes of one class are interchangeable for feasibility, so a result
//! for one of them holds for all.

use ordu_proto::state::Node;
use sha2::{Digest, Sha256};

/// Attribute and meta keys with this prefix differ from node to node and are not part of the class.
pub(crate) const UNIQUE_PREFIX: &str = "unique.";

/// Returns the class of a node: a hash of its datacenter, node class, drivers (name, detected, healthy) and of the
/// attributes and meta whose keys do not begin with `unique.`.
///
/// The same input gives the same text on every server. `apply` stores it in `Node.computed_class`.
pub fn computed_class(node: &Node) -> String {
    let mut hash = ClassHash(Sha256::new());
    hash.text(&node.datacenter);
    hash.text(&node.node_class);
    for pairs in [&node.attributes, &node.meta] {
        let shared = pairs.iter().filter(|(key, _)| !key.starts_with(UNIQUE_PREFIX));
        for (key, value) in shared {
            hash.text(key);
            hash.text(value);
        }
        hash.end_of_section();
    }
    for (name, driver) in &node.drivers {
        hash.text(name);
        hash.0.update([u8::from(driver.detected), u8::from(driver.healthy)]);
    }
    let digest = hash.0.finalize();
    let mut text = String::with_capacity(3 + 32);
    text.push_str("v1:");
    for byte in &digest[..16] {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

struct ClassHash(Sha256);

impl ClassHash {
    /// Hashes a text with its length first, so that ("ab", "c") and ("a", "bc") differ.
    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    /// Hashes the end of a section. No text is that long, so the end cannot be mistaken for a key.
    fn end_of_section(&mut self) {
        self.0.update(u64::MAX.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use ordu_proto::state::DriverInfo;

    use super::*;

    fn node() -> Node {
        Node {
            datacenter: "dc1".into(),
            attributes: [("kernel.name".into(), "linux".into())].into(),
            meta: [("rack".into(), "r1".into())].into(),
            drivers: [(
                "raw_exec".into(),
                DriverInfo { detected: true, healthy: true, ..Default::default() },
            )]
            .into(),
            ..Default::default()
        }
    }

    type Change = fn(&mut Node);

    #[test]
    fn what_feasibility_looks_at_changes_the_class() {
        let changes: [(&str, Change); 7] = [
            ("datacenter", |node| node.datacenter = "dc2".into()),
            ("node class", |node| node.node_class = "big".into()),
            ("attribute", |node| drop(node.attributes.insert("cpu.arch".into(), "amd64".into()))),
            ("meta", |node| drop(node.meta.insert("rack".into(), "r2".into()))),
            ("attribute becomes meta", |node| {
                node.attributes.clear();
                node.meta.insert("kernel.name".into(), "linux".into());
            }),
            ("driver health", |node| {
                node.drivers.values_mut().for_each(|driver| driver.healthy = false);
            }),
            ("driver gone", |node| node.drivers.clear()),
        ];
        for (name, change) in changes {
            let mut changed = node();
            change(&mut changed);
            assert_ne!(computed_class(&changed), computed_class(&node()), "{name}");
        }
    }

    #[test]
    fn what_is_the_nodes_own_does_not_change_the_class() {
        let changes: [(&str, Change); 5] = [
            ("id", |node| node.id = vec![1; 16]),
            ("name", |node| node.name = "n2".into()),
            ("unique attribute", |node| drop(node.attributes.insert("unique.hostname".into(), "n2".into()))),
            ("unique meta", |node| drop(node.meta.insert("unique.serial".into(), "7".into()))),
            ("driver's news", |node| {
                node.drivers.values_mut().for_each(|driver| driver.update_time_ns += 1);
            }),
        ];
        for (name, change) in changes {
            let mut changed = node();
            change(&mut changed);
            assert_eq!(computed_class(&changed), computed_class(&node()), "{name}");
        }
    }

    #[test]
    fn the_class_of_given_facts_never_changes_between_releases() {
        expect_test::expect!["v1:bc359cb6fc7f0d384c7eb417c2eac075"].assert_eq(&computed_class(&node()));
    }
}
