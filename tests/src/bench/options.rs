//! Command line options of the benchmark.

use std::net::{SocketAddr, ToSocketAddrs};

use clap::{Parser, ValueEnum};

/// Measures a control plane that speaks the Nomad HTTP API and prints a Markdown table.
///
/// Either name the servers of a running cluster (any that speaks the API, on loopback or not), or let the
/// benchmark start one of its own. It registers jobs in a datacenter that no node is in, and a few that run.
#[derive(Parser, Debug, Clone)]
#[command(name = "bench")]
pub struct Options {
    /// HTTP address of the leader, such as http://127.0.0.1:4646
    #[arg(long, value_parser = address, required_unless_present = "spawn")]
    pub leader: Option<SocketAddr>,
    /// HTTP addresses of the followers
    #[arg(long, value_delimiter = ',', value_parser = address)]
    pub followers: Vec<SocketAddr>,
    /// Start three servers and a node on loopback, their data in the folder for temporary files (TMPDIR)
    #[arg(long, conflicts_with_all = ["leader", "followers", "pids"])]
    pub spawn: bool,
    /// What to measure; everything unless it is given
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Measure>,
    /// Connections of registrations and of reads
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Length of each measure of registrations and reads, in seconds
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// Registrations before the memory is measured
    #[arg(long, default_value_t = 7_000)]
    pub registrations: u64,
    /// Jobs in the list that pages are read from
    #[arg(long, default_value_t = 200_000)]
    pub listed: u64,
    /// Short tasks of one batch job; a node must have room for all at once
    #[arg(long, default_value_t = 1_000)]
    pub tasks: u64,
    /// Watchers of one job
    #[arg(long, default_value_t = 1_000)]
    pub watchers: usize,
    /// How often the leader is killed; only with --spawn
    #[arg(long, default_value_t = 5)]
    pub kills: usize,
    /// Registrations before the servers are restarted; measured only where it is asked for with --only
    #[arg(long, default_value_t = 110_000)]
    pub restart_jobs: u64,
    /// For how long a follower is away before it catches up, in seconds; measured only where it is asked for with --only
    #[arg(long, default_value_t = 60)]
    pub away_seconds: u64,
    /// What else goes into the server blocks of the configuration, such as `raft { logs_kept = 100000 }`; only
    /// with --spawn
    #[arg(long, default_value = "")]
    pub server_block: String,
    /// Process ids of servers that were not started here, for their memory
    #[arg(long, value_delimiter = ',')]
    pub pids: Vec<i32>,
}

/// One of the measures.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Resident memory after a number of registrations
    Memory,
    /// Registrations a second
    Registrations,
    /// Reads of a job a second
    Reads,
    /// Time from registration to running
    Running,
    /// Short batch tasks a second on one node
    Tasks,
    /// Dispatches of a parameterized job a second
    Dispatches,
    /// Time of a dry run of a job of many groups
    Plan,
    /// Time to read a long jobspec
    Parse,
    /// Time to read a page of a long list of jobs
    Pages,
    /// Time until many watchers of one job know of its change
    Watchers,
    /// Time without an acknowledged write after the leader was killed
    Failover,
    /// Time until servers with many jobs answer after a restart
    Restart,
    /// Time until a follower that was away has caught up under load
    CatchUp,
}

impl Options {
    /// Returns whether a measurement is selected.
    pub fn wants(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let mut found = rest.to_socket_addrs().map_err(|error| format!("{rest}: {error}"))?;
    found.next().ok_or_else(|| format!("{rest} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_or_started_never_both() {
        let parse = |line: &str| Options::try_parse_from(line.split(' '));
        let named =
            parse("bench --leader http://127.0.0.1:1 --followers 127.0.0.1:2,http://127.0.0.1:3/").unwrap();
        assert_eq!(named.followers.len(), 2);
        assert!(named.wants(Measure::Reads));
        assert!(!parse("bench --spawn --only memory,running").unwrap().wants(Measure::Reads));
        assert!(parse("bench").is_err());
        assert!(parse("bench --spawn --leader http://127.0.0.1:1").is_err());
        assert!(parse("bench --leader nonsense").is_err());
    }
}
