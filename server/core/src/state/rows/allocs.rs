//! Allocations.

use ordu_proto::state::Allocation;
use prost::Message;

use super::{Rows, Secondary};
use crate::state::{Table, key, read};

/// Allocations, by id.
pub struct Allocs;

impl Rows for Allocs {
    type Row = Allocation;
    type Key<'k> = &'k [u8];
    const TABLE: Table = Table::Allocs;
    const INDEXED: bool = true;

    fn key(id: &[u8]) -> Vec<u8> {
        id.to_vec()
    }

    fn secondary(alloc: &Allocation) -> Vec<Secondary> {
        let of_node = Secondary::of(Table::AllocsByNode, alloc.node_id.clone(), &alloc.id);
        vec![
            Secondary::of(Table::AllocsByJob, key::of_job(&alloc.namespace, &alloc.job_id), &alloc.id),
            Secondary { value: read::node_alloc(alloc).encode_to_vec(), ..of_node },
            Secondary::of(Table::AllocsByEval, alloc.eval_id.clone(), &alloc.id),
        ]
    }
}
