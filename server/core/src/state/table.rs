//! The list of tables. Each is a column family; most have an index of their last change.

use strum::{EnumCount, VariantArray};

use super::Corrupt;

/// A table of the state. The types of the rows are declared in [`super::rows`].
///
/// The numbers are stored, consecutive and never reused. The column family's name is the variant's name in snake case.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumCount,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum Table {
    /// Metadata of the cluster and the store, see [`super::key::meta`].
    Meta = 0,
    /// The live jobs.
    Jobs = 1,
    /// The kept versions of each job.
    JobVersions = 2,
    /// The specification of each version.
    JobSpecs = 3,
    /// Counts of each job's allocations and evaluations.
    JobSummaries = 4,
    /// Evaluations.
    Evals = 5,
    /// The evaluations of a job.
    EvalsByJob = 6,
    /// Allocations.
    Allocs = 7,
    /// The allocations of a job.
    AllocsByJob = 8,
    /// The allocations on a node.
    AllocsByNode = 9,
    /// The allocations that an evaluation created.
    AllocsByEval = 10,
    /// Nodes.
    Nodes = 11,
    /// Answered requests.
    Requests = 12,
    /// Children that were dispatched with an idempotency token.
    ChildrenByToken = 13,
    /// Launch records of periodic jobs.
    PeriodicLaunches = 14,
    /// Deployments.
    Deployments = 15,
    /// The deployments of a job.
    DeploymentsByJob = 16,
    /// The number of stored allocations that use each specification.
    SpecUses = 17,
    /// name → text: notes, of a feature level that no release has.
    #[cfg(feature = "next-level")]
    Notes = 18,
}

/// Number of tables at the first feature level. Their indexes are always written.
const FIRST_TABLES: usize = 18;

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Table; Table::COUNT] = {
        let mut all = [Table::Meta; Table::COUNT];
        let mut place = 0;
        while place < all.len() {
            all[place] = Table::VARIANTS[place];
            place += 1;
        }
        all
    };

    /// Returns whether every release has the table.
    pub(super) const fn is_of_first_level(self) -> bool {
        (self as usize) < FIRST_TABLES
    }

    /// Returns the table after this one, if any.
    pub fn next(self) -> Option<Table> {
        Self::ALL.get(self as usize + 1).copied()
    }

    /// Returns the column family's name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The log index of the last change to each table; 0 if the table was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableIndexes([u64; Table::ALL.len()]);

impl TableIndexes {
    /// Returns the index of `table`.
    pub fn get(&self, table: Table) -> u64 {
        self.0[table as usize]
    }

    /// Sets the index of `table`.
    pub fn set(&mut self, table: Table, index: u64) {
        self.0[table as usize] = index;
    }

    /// Returns the highest index of the given tables.
    pub fn max(&self, tables: &[Table]) -> u64 {
        tables.iter().map(|&table| self.get(table)).max().unwrap_or(0)
    }

    /// Encodes the row stored under [`super::key::meta::INDEXES`]: big-endian indexes by table number. Omits unused
    /// tables of later feature levels, so that servers of all releases write the same row.
    pub fn encode(&self) -> Vec<u8> {
        let written = self.0.iter().rposition(|index| *index > 0).map_or(0, |last| last + 1);
        self.0[..written.max(FIRST_TABLES)].iter().flat_map(|index| index.to_be_bytes()).collect()
    }

    /// Decodes a stored row. The row may be shorter or longer than expected if the release that
    /// wrote it had fewer or more tables.
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
        assert_eq!(8 * FIRST_TABLES, bytes.len(), "empty tables of later levels are not told");
        let longer = [bytes, vec![0; 8]].concat();
        assert_eq!(indexes, TableIndexes::decode(&longer).unwrap());
        assert!(TableIndexes::decode(&longer[..9]).is_err());
    }
}
