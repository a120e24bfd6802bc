//! Numbers of nodes, jobs and allocations by status. They are updated with every change and kept in
//! memory, so that no one has to scan the tables.

use ordu_proto::state::{Allocation, ClientStatus, Job, Node, NodeStatus};

const NODE_STATUSES: [NodeStatus; 3] = [NodeStatus::Initializing, NodeStatus::Ready, NodeStatus::Down];
const JOB_STATUSES: [&str; 3] = ["pending", "running", "dead"];
const CLIENT_STATUSES: [ClientStatus; 5] = [
    ClientStatus::Pending,
    ClientStatus::Running,
    ClientStatus::Complete,
    ClientStatus::Failed,
    ClientStatus::Lost,
];

/// Counts of decodable rows. Derived from the tables, not part of the replicated state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    nodes: [u64; NODE_STATUSES.len()],
    jobs: [u64; JOB_STATUSES.len()],
    allocs: [u64; CLIENT_STATUSES.len()],
    /// Nodes that an operator made ineligible for new allocations, including the draining ones.
    pub nodes_ineligible: u64,
    /// Draining nodes.
    pub nodes_draining: u64,
}

impl Census {
    /// Applies a change of a node's row from `old` to `new` (`None`: no row).
    pub fn node_changed(&mut self, old: Option<&Node>, new: Option<&Node>) {
        for (node, count) in [(old, Count::Less), (new, Count::More)] {
            let Some(node) = node else { continue };
            // An unspecified status counts as the first one, as in the API.
            let at = NODE_STATUSES.iter().position(|status| *status == node.status()).unwrap_or(0);
            count.apply(&mut self.nodes[at]);
            if node.ineligible || node.drain {
                count.apply(&mut self.nodes_ineligible);
            }
            if node.drain {
                count.apply(&mut self.nodes_draining);
            }
        }
    }

    /// Applies a change of a job's row from `old` to `new` (`None`: no row).
    pub fn job_changed(&mut self, old: Option<&Job>, new: Option<&Job>) {
        for (job, count) in [(old, Count::Less), (new, Count::More)] {
            let Some(job) = job else { continue };
            let at = JOB_STATUSES.iter().position(|known| *known == job.status).unwrap_or(0);
            count.apply(&mut self.jobs[at]);
        }
    }

    /// Applies a change of an allocation's row from `old` to `new` (`None`: no row).
    pub fn alloc_changed(&mut self, old: Option<&Allocation>, new: Option<&Allocation>) {
        for (alloc, count) in [(old, Count::Less), (new, Count::More)] {
            let Some(status) = alloc.map(Allocation::client_status) else { continue };
            let at = CLIENT_STATUSES.iter().position(|known| *known == status).unwrap_or(0);
            count.apply(&mut self.allocs[at]);
        }
    }

    /// Returns the number of nodes of each status.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeStatus, u64)> {
        NODE_STATUSES.into_iter().zip(self.nodes)
    }

    /// Returns the number of jobs of each status.
    pub fn jobs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        JOB_STATUSES.into_iter().zip(self.jobs)
    }

    /// Returns the number of allocations of each client status.
    pub fn allocs(&self) -> impl Iterator<Item = (ClientStatus, u64)> {
        CLIENT_STATUSES.into_iter().zip(self.allocs)
    }
}

#[derive(Clone, Copy)]
enum Count {
    More,
    Less,
}

impl Count {
    fn apply(self, count: &mut u64) {
        *count = match self {
            Count::More => count.saturating_add(1),
            Count::Less => count.saturating_sub(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_where_it_is_and_no_longer_where_it_was() {
        let node = |status: NodeStatus, drain| Node { status: status.into(), drain, ..Node::default() };
        let alloc =
            |status: ClientStatus| Allocation { client_status: status.into(), ..Allocation::default() };
        let mut census = Census::default();
        let (ready, down) = (node(NodeStatus::Ready, false), node(NodeStatus::Down, true));
        census.node_changed(None, Some(&ready));
        census.node_changed(None, Some(&ready));
        census.node_changed(Some(&ready), Some(&down));
        assert_eq!([0, 1, 1], census.nodes);
        assert_eq!((1, 1), (census.nodes_ineligible, census.nodes_draining));
        census.alloc_changed(None, Some(&alloc(ClientStatus::Pending)));
        census.alloc_changed(Some(&alloc(ClientStatus::Pending)), Some(&alloc(ClientStatus::Lost)));
        assert_eq!([0, 0, 0, 0, 1], census.allocs);
        census.alloc_changed(Some(&alloc(ClientStatus::Lost)), None);
        let job = |status: &str| Job { status: status.to_owned(), ..Job::default() };
        census.job_changed(None, Some(&job("pending")));
        census.job_changed(Some(&job("pending")), Some(&job("running")));
        assert_eq!([0, 1, 0], census.jobs);
        census.job_changed(Some(&job("running")), None);
        census.node_changed(Some(&down), None);
        census.node_changed(Some(&ready), None);
        assert_eq!(Census::default(), census);
    }
}
