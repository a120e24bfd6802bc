//! The tables of the state: each a column family, each with an index of its last change.

use super::Corrupt;

/// A table of the state. The numbers are stored; they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Facts about the whole: see [`super::key::meta`].
    Meta = 0,
    /// namespace, job id → `Job`: the live job.
    Jobs = 1,
    /// namespace, job id, version (newest first) → `Job` as it was then.
    JobVersions = 2,
    /// namespace, job id, job create index, version → `JobSpec`.
    JobSpecs = 3,
    /// namespace, job id → `JobSummary`.
    JobSummaries = 4,
    /// id → `Evaluation`.
    Evals = 5,
    /// namespace, job id, evaluation id → nothing.
    EvalsByJob = 6,
    /// id → `Allocation`.
    Allocs = 7,
    /// namespace, job id, allocation id → nothing.
    AllocsByJob = 8,
    /// node id, allocation id → nothing.
    AllocsByNode = 9,
    /// evaluation id, allocation id → nothing.
    AllocsByEval = 10,
    /// id → `Node`.
    Nodes = 11,
    /// log index → request id and `AnsweredRequest`.
    Requests = 12,
    /// namespace, parent id, token → child id: dispatched children that were given a token.
    ChildrenByToken = 13,
    /// namespace, job id → `PeriodicLaunchRecord`.
    PeriodicLaunches = 14,
    /// id → `Deployment`.
    Deployments = 15,
    /// namespace, job id, create index, deployment id → nothing.
    DeploymentsByJob = 16,
    /// namespace, job id, job create index, version → how many allocations run or ran by it, big-endian.
    SpecUses = 17,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Table; 18] = [
        Table::Meta,
        Table::Jobs,
        Table::JobVersions,
        Table::JobSpecs,
        Table::JobSummaries,
        Table::Evals,
        Table::EvalsByJob,
        Table::Allocs,
        Table::AllocsByJob,
        Table::AllocsByNode,
        Table::AllocsByEval,
        Table::Nodes,
        Table::Requests,
        Table::ChildrenByToken,
        Table::PeriodicLaunches,
        Table::Deployments,
        Table::DeploymentsByJob,
        Table::SpecUses,
    ];

    /// The table after this one, where there is one.
    pub fn next(self) -> Option<Table> {
        Self::ALL.get(self as usize + 1).copied()
    }

    /// The column family's name.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Jobs => "jobs",
            Table::JobVersions => "job_versions",
            Table::JobSpecs => "job_specs",
            Table::JobSummaries => "job_summaries",
            Table::Evals => "evals",
            Table::EvalsByJob => "evals_by_job",
            Table::Allocs => "allocs",
            Table::AllocsByJob => "allocs_by_job",
            Table::AllocsByNode => "allocs_by_node",
            Table::AllocsByEval => "allocs_by_eval",
            Table::Nodes => "nodes",
            Table::Requests => "requests",
            Table::ChildrenByToken => "children_by_token",
            Table::PeriodicLaunches => "periodic_launches",
            Table::Deployments => "deployments",
            Table::DeploymentsByJob => "deployments_by_job",
            Table::SpecUses => "spec_uses",
        }
    }

    /// Whether clients see an index of this table (`X-Nomad-Index`, blocking queries).
    pub const fn is_indexed(self) -> bool {
        matches!(
            self,
            Table::Jobs
                | Table::JobVersions
                | Table::JobSummaries
                | Table::Evals
                | Table::Allocs
                | Table::Nodes
                | Table::Deployments
        )
    }
}

/// The tables of the first release, by their numbers: what is written for them is written whether they are empty or
/// not. Later tables must leave no trace in the state before anything is in them, so that releases with and without them
/// agree.
pub(super) const TABLES_OF_THE_FIRST_RELEASE: usize = 18;

/// The log index of the last change to each table; 0 for a table that was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableIndexes([u64; Table::ALL.len()]);

impl TableIndexes {
    /// The index of `table`.
    pub fn get(&self, table: Table) -> u64 {
        self.0[table as usize]
    }

    /// Notes that `table` changed at `index`.
    pub fn set(&mut self, table: Table, index: u64) {
        self.0[table as usize] = index;
    }

    /// The greatest of some tables' indexes.
    pub fn max(&self, tables: &[Table]) -> u64 {
        tables.iter().map(|&table| self.get(table)).max().unwrap_or(0)
    }

    /// The row stored under [`super::key::meta::INDEXES`]: big-endian numbers by table number. Tables that came after
    /// the first release and were never written are left out at the end: releases with more tables and with fewer
    /// write the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let written = self.0.iter().rposition(|index| *index != 0).map_or(0, |last| last + 1);
        let length = written.max(TABLES_OF_THE_FIRST_RELEASE).min(self.0.len());
        self.0[..length].iter().flat_map(|index| index.to_be_bytes()).collect()
    }

    /// Reads a stored row. One written by a release with fewer tables is shorter, one by a release
    /// with more is longer; both are read.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        if !bytes.len().is_multiple_of(8) {
            let reason = format!("table indexes of {} bytes", bytes.len());
            return Err(Corrupt::row(Table::Meta, reason));
        }
        let mut indexes = Self::default();
        for (slot, chunk) in indexes.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *slot = chunk.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        Ok(indexes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_s_number_is_its_place_in_all() {
        for (place, table) in Table::ALL.iter().enumerate() {
            assert_eq!(place, *table as usize);
        }
    }

    #[test]
    fn indexes_are_the_same_bytes_in_releases_that_have_more_tables_where_nothing_is_in_those() {
        let mut indexes = TableIndexes::default();
        assert_eq!(8 * 18, indexes.encode().len(), "as the first release wrote them");
        indexes.set(Table::SpecUses, 7);
        assert_eq!(8 * 18, indexes.encode().len());
    }

    #[test]
    fn indexes_of_a_release_with_fewer_or_more_tables_are_read() {
        let mut indexes = TableIndexes::default();
        indexes.set(Table::Jobs, 7);
        indexes.set(Table::Requests, 9);
        let bytes = indexes.encode();
        assert_eq!(indexes, TableIndexes::decode(&bytes).unwrap());
        assert_eq!(7, TableIndexes::decode(&bytes[..16]).unwrap().get(Table::Jobs));
        assert_eq!(0, TableIndexes::decode(&bytes[..16]).unwrap().get(Table::Requests));
        let longer = [bytes, vec![0; 8]].concat();
        assert_eq!(indexes, TableIndexes::decode(&longer).unwrap());
        assert!(TableIndexes::decode(&longer[..9]).is_err());
    }
}
