//! Reads the evaluations that are open when a term begins.

use ordu_core::state::{Corrupt, Reader, Table, read, readable, reader::ReaderExt};
use ordu_proto::state::{EvalStatus, Evaluation};

/// The open evaluations in the tables.
#[derive(Default)]
pub(super) struct Open {
    /// Pending, the oldest first.
    pub(super) pending: Vec<Evaluation>,
    /// Blocked, the oldest first, each with the datacenters of its job.
    pub(super) blocked: Vec<(Evaluation, Vec<String>)>,
}

/// Decodes only an evaluation's status: most evaluations have ended, and decoding all of them would take most
/// of the time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct StatusOnly {
    #[prost(enumeration = "EvalStatus", tag = "10")]
    status: i32,
}

impl Open {
    pub(super) fn read(reader: &dyn Reader) -> Result<Open, Corrupt> {
        let mut open = Open::default();
        reader.scan_prefix(Table::Evals, &[], &mut |at, bytes| {
            let status = reader.decoded(Table::Evals, at, bytes).map(|StatusOnly { status }| status);
            match status.and_then(|status| EvalStatus::try_from(status).ok()) {
                Some(EvalStatus::Pending) => open.pending.extend(reader.decoded(Table::Evals, at, bytes)),
                Some(EvalStatus::Blocked) => {
                    if let Some(eval) = reader.decoded::<Evaluation>(Table::Evals, at, bytes) {
                        let datacenters = datacenters(reader, &eval)?;
                        open.blocked.push((eval, datacenters));
                    }
                }
                _ => {}
            }
            Ok(true)
        })?;
        // The tables are ordered by id.
        open.pending.sort_by_key(|eval| eval.create_index);
        open.blocked.sort_by_key(|(eval, _)| eval.create_index);
        Ok(open)
    }
}

/// Returns the datacenters of the evaluation's job; none if the job is gone or cannot be decoded.
pub(super) fn datacenters(reader: &dyn Reader, eval: &Evaluation) -> Result<Vec<String>, Corrupt> {
    let job = readable(read::job(reader, &eval.namespace, &eval.job_id))?.flatten();
    Ok(job.map(|job| job.datacenters).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use ordu_core::state::{MemoryTables, Write, key};
    use ordu_proto::state::Job;
    use prost::Message;

    use super::*;

    #[test]
    fn a_row_that_cannot_be_decoded_drops_only_itself_when_a_term_begins() {
        let eval = |number: u8, job_id: &str, status: EvalStatus| {
            let mut eval =
                Evaluation { id: vec![number; 16], job_id: job_id.to_owned(), ..Evaluation::default() };
            eval.set_status(status);
            Write { table: Table::Evals, key: eval.id.clone(), value: Some(eval.encode_to_vec()) }
        };
        let row = |table, key: &[u8], value: Vec<u8>| Write { table, key: key.to_vec(), value: Some(value) };
        let good = Job { id: "good".to_owned(), datacenters: vec!["dc1".to_owned()], ..Job::default() };
        let pending = eval(9, "good", EvalStatus::Pending).value.unwrap();
        let mut tables = MemoryTables::default();
        tables.commit([
            eval(1, "good", EvalStatus::Pending),
            eval(2, "bad", EvalStatus::Pending),
            eval(3, "good", EvalStatus::Blocked),
            eval(4, "bad", EvalStatus::Blocked),
            row(Table::Evals, &[5; 16], vec![0xff]),
            // The status can be decoded, the rest cannot.
            row(Table::Evals, &[6; 16], [pending, vec![0xff]].concat()),
            row(Table::Jobs, &key::job("", "good"), good.encode_to_vec()),
            row(Table::Jobs, &key::job("", "bad"), vec![0xff]),
        ]);
        let open = Open::read(&tables).unwrap();
        assert_eq!(open.pending.iter().map(|eval| eval.id[0]).collect::<Vec<_>>(), [1, 2]);
        let blocked: Vec<_> =
            open.blocked.iter().map(|(eval, datacenters)| (eval.id[0], datacenters.concat())).collect();
        assert_eq!(blocked, [(3, "dc1".to_owned()), (4, String::new())]);
    }

    #[test]
    fn a_term_begins_with_what_the_tables_hold_open() {
        let eval = |number: u8, status: EvalStatus| {
            let mut eval =
                Evaluation { id: vec![number; 16], job_id: "j".to_owned(), ..Evaluation::default() };
            eval.set_status(status);
            Write { table: Table::Evals, key: eval.id.clone(), value: Some(eval.encode_to_vec()) }
        };
        let job = Job { id: "j".to_owned(), datacenters: vec!["dc1".to_owned()], ..Job::default() };
        let row = |table, key: &[u8], value: Vec<u8>| Write { table, key: key.to_vec(), value: Some(value) };
        let mut tables = MemoryTables::default();
        tables.commit([
            eval(1, EvalStatus::Pending),
            eval(2, EvalStatus::Complete),
            eval(3, EvalStatus::Blocked),
            eval(4, EvalStatus::Canceled),
            row(Table::Jobs, &key::job("", "j"), job.encode_to_vec()),
        ]);
        let open = Open::read(&tables).unwrap();
        assert_eq!(open.pending.iter().map(|eval| eval.id[0]).collect::<Vec<_>>(), [1]);
        let blocked: Vec<_> =
            open.blocked.iter().map(|(eval, datacenters)| (eval.id[0], datacenters.concat())).collect();
        assert_eq!(blocked, [(3, "dc1".to_owned())]);
    }
}
