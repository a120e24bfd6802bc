//! Simulations of three servers in one process, driven by seeds.

use ordu_store::log::Site;
use ordu_tests::sim::{Faults, run};

const FAULTS: Faults = Faults { crashes: 3, partitions: 2, left_out: None };

/// Returns the seeds to test: a fixed set, and as many more as the environment variable `ORDU_SIM_SEEDS` says.
fn seeds() -> Vec<u64> {
    let more = std::env::var("ORDU_SIM_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    (1..=6).chain((0..more).map(|number| 1_000 + number)).collect()
}

#[test]
fn two_runs_of_one_seed_give_one_trace() {
    let first = run(1, FAULTS).unwrap();
    let second = run(1, FAULTS).unwrap();
    assert!(first.acknowledged > 100, "only {} registrations were acknowledged", first.acknowledged);
    let lines = first.trace.lines().zip(second.trace.lines()).enumerate();
    for (number, (one, other)) in lines {
        assert_eq!(one, other, "the traces part at line {number}");
    }
    assert_eq!(first.trace.len(), second.trace.len());
}

#[test]
fn what_was_acknowledged_survives_crashes_and_partitions_and_all_servers_agree() {
    for seed in seeds() {
        let report = run(seed, FAULTS).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.trace.contains("Crash("), "seed {seed} had no crash");
        assert!(report.trace.contains("Partition("), "seed {seed} had no partition");
        assert!(
            report.acknowledged > 100,
            "seed {seed}: only {} registrations acknowledged",
            report.acknowledged
        );
        println!(
            "seed {seed}: {} acknowledged, {} without an answer",
            report.acknowledged, report.unanswered
        );
    }
}

#[test]
fn a_sync_that_is_left_out_anywhere_is_noticed() {
    const SEEDS: std::ops::RangeInclusive<u64> = 1..=60;
    // Logs are truncated only if a cut-off leader had entries that no other server has, which takes many partitions.
    const MANY_PARTITIONS: Faults = Faults { partitions: 8, ..FAULTS };
    for site in [Site::Vote, Site::Append, Site::Truncate, Site::Purge] {
        let faults = Faults { left_out: Some(site), ..MANY_PARTITIONS };
        let noticed = SEEDS.clone().find_map(|seed| run(seed, faults).err().map(|error| (seed, error)));
        let (seed, error) = noticed.unwrap_or_else(|| panic!("{site:?}: seeds {SEEDS:?} see nothing"));
        println!("{site:?}, seed {seed}: {}", error.lines().next().unwrap_or_default());
    }
}
