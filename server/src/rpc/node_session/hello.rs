//! Checks a node's description of itself, and whether the state already contains it.

use std::fmt;

use ordu_core::state::Id;
use ordu_proto::node::Hello;
use ordu_proto::state::{Node, NodeStatus};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::node_label::NodeLabel;

/// Maximum size of a node's description in bytes.
const NODE_BYTES_MAX: usize = 256 * 1024;

/// Maximum length of a node's secret in bytes.
const SECRET_BYTES_MAX: usize = 1_024;
/// Maximum length of a node's name, class or datacenter in bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// A checked introduction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Introduction {
    /// The node's id.
    pub(super) id: Id,
    /// The row to register.
    pub(super) node: Node,
    /// The newest index of the servers' state that the node has acted on, or zero.
    pub(super) acted_on_index: u64,
}

impl fmt::Display for Introduction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        NodeLabel(&self.node).fmt(formatter)
    }
}

/// Checks an introduction. An error is a sentence for the operator of the node.
pub(super) fn check(hello: Hello) -> Result<Introduction, String> {
    let mut node = hello.node.ok_or("the node did not say what it is")?;
    let id = Id::try_from(node.id.as_slice()).map_err(|_| "the node's id is no UUID of sixteen bytes")?;
    if hello.secret_id.is_empty() {
        return Err("the node showed no secret, by which servers would know it again".to_owned());
    }
    if hello.secret_id.len() > SECRET_BYTES_MAX {
        return Err(format!(
            "the node's secret has {} bytes, {SECRET_BYTES_MAX} are allowed",
            hello.secret_id.len()
        ));
    }
    for (what, text) in [("name", &node.name), ("datacenter", &node.datacenter)] {
        if text.is_empty() {
            return Err(format!("the node has no {what}"));
        }
    }
    for (what, text) in [("name", &node.name), ("datacenter", &node.datacenter), ("class", &node.node_class)]
    {
        if text.len() > NAME_BYTES_MAX {
            return Err(format!("the node's {what} has {} bytes, {NAME_BYTES_MAX} are allowed", text.len()));
        }
    }
    if node.encoded_len() > NODE_BYTES_MAX {
        return Err(format!(
            "the node's facts take {} bytes, {NODE_BYTES_MAX} are allowed",
            node.encoded_len()
        ));
    }
    forget_what_servers_decide(&mut node);
    node.secret_hash = Sha256::digest(hello.secret_id.as_bytes()).to_vec();
    Ok(Introduction { id, node, acted_on_index: hello.acted_on_index })
}

/// Whether registering the node again would change nothing. When a server fails, thousands of agents
/// reconnect elsewhere; this saves a write for each.
pub(super) fn is_registered(row: &Node, introduced: &Node) -> bool {
    if row.status() != NodeStatus::Ready || row.secret_hash != introduced.secret_hash {
        return false;
    }
    let mut said = row.clone();
    forget_what_servers_decide(&mut said);
    said == *introduced
}

fn forget_what_servers_decide(node: &mut Node) {
    node.status = 0;
    node.status_description.clear();
    node.status_updated_at_ns = 0;
    node.computed_class.clear();
    node.ineligible = false;
    node.drain = false;
    node.events.clear();
    node.create_index = 0;
    node.modify_index = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let node = Node {
            id: vec![1; 16],
            name: "n".to_owned(),
            datacenter: "dc1".to_owned(),
            ineligible: true,
            ..Node::default()
        };
        Hello { node: Some(node), secret_id: "secret".to_owned(), acted_on_index: 0 }
    }

    type Edit = fn(&mut Hello);
    type Change = fn(&mut Node);

    #[test]
    fn an_introduction_that_lacks_something_is_refused_in_words() {
        let cases: [(Edit, &str); 8] = [
            (|hello| hello.node = None, "did not say"),
            (|hello| hello.node.as_mut().unwrap().id.truncate(3), "no UUID"),
            (|hello| hello.secret_id.clear(), "no secret"),
            (|hello| hello.node.as_mut().unwrap().name.clear(), "no name"),
            (|hello| hello.node.as_mut().unwrap().datacenter.clear(), "no datacenter"),
            (|hello| hello.secret_id = "s".repeat(SECRET_BYTES_MAX + 1), "secret has 1025 bytes"),
            (|hello| hello.node.as_mut().unwrap().name = "n".repeat(9999), "name has 9999 bytes"),
            (|hello| hello.node.as_mut().unwrap().http_addr = "a".repeat(NODE_BYTES_MAX), "are allowed"),
        ];
        for (edit, expected) in cases {
            let mut hello = hello();
            edit(&mut hello);
            let text = check(hello).unwrap_err();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_node_cannot_say_what_servers_decide_and_its_secret_is_not_kept() {
        let introduced = check(hello()).unwrap();
        assert!(!introduced.node.ineligible);
        assert_eq!(introduced.node.secret_hash.len(), 32);
        assert_ne!(introduced.node.secret_hash, b"secret");
    }

    #[test]
    fn only_news_have_to_be_registered() {
        let introduced = check(hello()).unwrap().node;
        let mut row = introduced.clone();
        row.set_status(NodeStatus::Ready);
        row.computed_class = "c".to_owned();
        row.modify_index = 7;
        row.ineligible = true;
        assert!(is_registered(&row, &introduced));
        let edits: [Change; 3] = [
            |row| row.set_status(NodeStatus::Down),
            |row| row.secret_hash = vec![0; 32],
            |row| drop(row.attributes.insert("a".to_owned(), "b".to_owned())),
        ];
        for edit in edits {
            let mut other = row.clone();
            edit(&mut other);
            assert!(!is_registered(&other, &introduced), "{other:?}");
        }
    }
}
