//! One metric (a "figure"): its name, its help text, and how its value is read.

use openraft::metrics::RaftMetrics;
use ordu_core::state::Census;
use ordu_store::timings::{BOUNDS_SECONDS, Told};
use ordu_store::types::TypeConfig;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::cluster::Member;
use crate::context::Context;
use crate::http::room::Room;
use crate::http::shared::Waiting;
use crate::leader::LeaderStats;

/// A metric whose value is read when metrics are requested.
pub(super) struct Figure {
    pub(super) name: &'static str,
    /// What the metric means, in full sentences.
    pub(super) is: &'static str,
    /// What to do about it and when, in full sentences.
    pub(super) act: &'static str,
    pub(super) read: Read,
}

/// Values of one metric, each with its label's value.
pub(super) type Labelled = Vec<(&'static str, f64)>;

/// How a metric is read, which also tells its type. A metric without a value is left out of the answer.
pub(super) enum Read {
    Gauge(fn(&Sources<'_>) -> Option<f64>),
    /// By label; the text is the label's name.
    Gauges(&'static str, fn(&Sources<'_>) -> Labelled),
    Counter(fn(&Sources<'_>) -> u64),
    /// By label; the text is the label's name.
    Counters(&'static str, fn(&Sources<'_>) -> Labelled),
    Times(fn(&Sources<'_>) -> Told),
}

/// What metrics are read from. All of it is at hand: reading metrics scans no table.
pub(super) struct Sources<'a> {
    pub(super) context: &'a Context,
    pub(super) waiting: &'a Waiting,
    pub(super) room: &'a Room,
    pub(super) raft: RaftMetrics<TypeConfig>,
    pub(super) members: Vec<Member>,
    pub(super) census: Census,
    /// `None` unless this server leads.
    pub(super) leader: Option<LeaderStats>,
}

impl<'a> Sources<'a> {
    pub(super) fn of(context: &'a Context, waiting: &'a Waiting, room: &'a Room) -> Self {
        let raft = context.cluster.metrics();
        let members = context.cluster.members_of(&raft);
        let (census, leader) = (context.state.census(), context.counts.leading.stats());
        Self { context, waiting, room, raft, members, census, leader }
    }
}

/// Builds a metric's help text.
pub(super) fn help(is: &str, act: &str) -> String {
    format!("{is} {act}")
}

impl Figure {
    /// Returns the metric with its current values; `None` if it has none.
    pub(super) fn family(&self, sources: &Sources<'_>) -> Option<MetricFamily> {
        let (kind, metrics): (MetricType, Vec<Metric>) = match &self.read {
            Read::Gauge(read) => (MetricType::GAUGE, read(sources).map(gauge).into_iter().collect()),
            Read::Gauges(label, read) => (MetricType::GAUGE, labelled(label, read(sources), gauge)),
            Read::Counter(read) => (MetricType::COUNTER, vec![counter(read(sources) as f64)]),
            Read::Counters(label, read) => (MetricType::COUNTER, labelled(label, read(sources), counter)),
            Read::Times(read) => (MetricType::HISTOGRAM, vec![histogram(&read(sources))]),
        };
        if metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(help(self.is, self.act));
        family.set_field_type(kind);
        family.set_metric(metrics);
        Some(family)
    }
}

fn labelled(name: &str, values: Labelled, metric: fn(f64) -> Metric) -> Vec<Metric> {
    let of = |(value_of_label, value): (&str, f64)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value_of_label.to_owned());
        let mut metric = metric(value);
        metric.set_label(vec![label]);
        metric
    };
    values.into_iter().map(of).collect()
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    Metric::from_gauge(gauge)
}

fn counter(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn histogram(told: &Told) -> Metric {
    let bucket = |(bound, count): (f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(BOUNDS_SECONDS.into_iter().zip(told.within).map(bucket).collect());
    histogram.set_sample_count(told.count);
    histogram.set_sample_sum(told.sum_seconds);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

/// Returns 1 for true, 0 for false.
pub(super) fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
