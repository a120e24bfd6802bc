//! Nodes.

use ordu_proto::state::Node;

use super::Rows;
use crate::state::Table;

/// Nodes, by id.
pub struct Nodes;

impl Rows for Nodes {
    type Row = Node;
    type Key<'k> = &'k [u8];
    const TABLE: Table = Table::Nodes;
    const INDEXED: bool = true;

    fn key(id: &[u8]) -> Vec<u8> {
        id.to_vec()
    }
}
