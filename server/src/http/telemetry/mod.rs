//! Metrics of this server: requests, which are counted as they are answered, and tables of metrics that are
//! read from the server's parts on demand. Each metric's help text says what it means and what to do about it.

mod figure;
mod host;
mod nomad;
mod raft;
mod requests;
mod work;

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;

use self::figure::{Figure, Sources};
use self::requests::Requests;
use super::error::HttpError;
use super::room::Room;
use super::shared::Waiting;
use crate::context::Context;

/// Returns all metrics that are read on demand.
fn figures() -> impl Iterator<Item = &'static Figure> {
    [raft::FIGURES, work::FIGURES, host::FIGURES, nomad::FIGURES].into_iter().flatten()
}

/// The metrics of one listener.
pub(super) struct Telemetry {
    requests: Requests,
}

impl Telemetry {
    pub(super) fn new() -> Self {
        Self { requests: Requests::new() }
    }

    /// Counts a request to a route. `took` is `None` for a blocking query, which is not timed.
    pub(super) fn note(&self, route: usize, status: StatusCode, took: Option<Duration>) {
        self.requests.note(route, status, took);
    }

    /// Counts a request that was dispatched to no route.
    pub(super) fn note_unrouted(&self, status: StatusCode) {
        self.requests.note_unrouted(status);
    }

    /// Returns all metrics with their current values, sorted by name.
    pub(super) fn gather(&self, context: &Context, waiting: &Waiting, room: &Room) -> Vec<MetricFamily> {
        let sources = Sources::of(context, waiting, room);
        let mut families = self.requests.gather();
        families.extend(figures().filter_map(|figure| figure.family(&sources)));
        families.sort_by(|one, other| one.name().cmp(other.name()));
        families
    }
}

/// Formats metrics in Prometheus's text format, whose names have no dots.
pub(super) fn prometheus_text(mut families: Vec<MetricFamily>) -> Result<Vec<u8>, HttpError> {
    for family in &mut families {
        family.set_name(family.name().replace('.', "_"));
    }
    let text = TextEncoder::new().encode_to_string(&families);
    text.map(String::into_bytes).map_err(|error| HttpError::internal(format!("no metrics: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::figure::Read;
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own_by_prometheus_s_rules_and_says_what_to_do() {
        let mut names = BTreeSet::new();
        for Figure { name, is, act, read } in figures() {
            assert!(names.insert(*name), "{name} is there twice");
            let is_nomad_s = name.starts_with("nomad.");
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_' || (is_nomad_s && c == '.');
            assert!(is_nomad_s || name.starts_with("ordu_") || name.starts_with("process_"), "{name}");
            assert!(name.chars().all(is_plain), "{name}");
            let counts = matches!(read, Read::Counter(_) | Read::Counters(..));
            assert_eq!(counts, name.ends_with("_total"), "{name}");
            assert!(!matches!(read, Read::Times(_)) || name.ends_with("_seconds"), "{name}");
            for sentence in [is, act] {
                assert!(sentence.ends_with('.') && sentence.len() > 15, "{name}: {sentence}");
                assert!(!sentence.contains("  "), "{name}: {sentence}");
            }
        }
        assert!(names.len() > 30, "the tables were not found");
    }
}
