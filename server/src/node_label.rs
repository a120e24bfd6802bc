//! Formats nodes for the log: by name and by the start of the id, which commands accept.

use std::fmt;

use ordu_proto::state::Node;

/// Maximum number of nodes named in one line; the rest are counted.
const NAMED_MAX: usize = 8;

/// Number of id bytes shown.
const ID_BYTES: usize = 4;

/// Formats as `node "name" (0123abcd)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeLabel<'a>(pub(crate) &'a Node);

impl fmt::Display for NodeLabel<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {:?} (", self.0.name)?;
        self.0.id.iter().take(ID_BYTES).try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
        formatter.write_str(")")
    }
}

/// Formats several nodes: names the first [`NAMED_MAX`] and counts the rest.
pub(crate) fn several(nodes: &[Node]) -> String {
    let mut texts: Vec<String> =
        nodes.iter().take(NAMED_MAX).map(|node| NodeLabel(node).to_string()).collect();
    if let Some(more @ 1..) = nodes.len().checked_sub(NAMED_MAX) {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_and_very_many_are_counted() {
        let node = |number: u8| Node { id: vec![number; 16], name: format!("n{number}"), ..Node::default() };
        for (nodes, expected) in [
            (vec![], ""),
            (vec![node(1)], r#"node "n1" (01010101)"#),
            (vec![node(1), node(0xab)], r#"node "n1" (01010101), node "n171" (abababab)"#),
        ] {
            assert_eq!(several(&nodes), expected);
        }
        let many: Vec<Node> = (0..10).map(node).collect();
        assert!(several(&many).ends_with(r#"node "n7" (07070707), 2 more"#), "{}", several(&many));
        assert_eq!(NodeLabel(&Node::default()).to_string(), r#"node "" ()"#);
    }
}
