//! Evaluations.

use ordu_proto::state::Evaluation;

use super::{Rows, Secondary};
use crate::state::{Table, key};

/// Evaluations, by id.
pub struct Evals;

impl Rows for Evals {
    type Row = Evaluation;
    type Key<'k> = &'k [u8];
    const TABLE: Table = Table::Evals;
    const INDEXED: bool = true;

    fn key(id: &[u8]) -> Vec<u8> {
        id.to_vec()
    }

    fn secondary(eval: &Evaluation) -> Vec<Secondary> {
        vec![Secondary::of(Table::EvalsByJob, key::of_job(&eval.namespace, &eval.job_id), &eval.id)]
    }
}
