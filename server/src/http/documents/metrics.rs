//! Metrics in the format that Nomad's clients read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use schemars::JsonSchema;
use serde::Serialize;

/// The answer of `/v1/metrics`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MetricsDocument {
    timestamp: String,
    gauges: Vec<Gauge>,
    points: [(); 0],
    counters: Vec<Sample>,
    samples: Vec<Sample>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Gauge {
    name: String,
    value: f64,
    labels: BTreeMap<String, String>,
}

/// A counter, or the durations of something, since the start of the process (not of an interval).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    name: String,
    count: u64,
    sum: f64,
    mean: f64,
    labels: BTreeMap<String, String>,
}

impl MetricsDocument {
    pub(crate) fn of(families: &[MetricFamily], now_ns: i64) -> Self {
        let now = Timestamp::from_nanosecond(i128::from(now_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut document = Self {
            timestamp: now.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
            gauges: Vec::new(),
            points: [],
            counters: Vec::new(),
            samples: Vec::new(),
        };
        for family in families {
            for metric in family.get_metric() {
                document.add(family, metric);
            }
        }
        document
    }

    fn add(&mut self, family: &MetricFamily, metric: &Metric) {
        let name = family.name().to_owned();
        let label = |pair: &prometheus::proto::LabelPair| (pair.name().to_owned(), pair.value().to_owned());
        let labels = metric.get_label().iter().map(label).collect();
        match family.get_field_type() {
            MetricType::GAUGE => {
                self.gauges.push(Gauge { name, value: metric.get_gauge().get_value(), labels })
            }
            MetricType::COUNTER => {
                let count = metric.get_counter().get_value();
                self.counters.push(Sample { name, count: count as u64, sum: count, mean: 1.0, labels });
            }
            _ => {
                let histogram = metric.get_histogram();
                let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
                let mean = if count == 0 { 0.0 } else { sum / count as f64 };
                self.samples.push(Sample { name, count, sum, mean, labels });
            }
        }
    }
}
