//! Figures of this server: requests by route, and what is read from its parts when they are asked for.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use super::error::HttpError;
use super::room::Room;
use super::routes::ROUTES;
use super::shared::Waiting;
use crate::alarms::Alarm;
use crate::context::Context;

/// Bounds of the buckets of request times, seconds.
const BUCKETS: [f64; 11] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The figures of one listener.
pub(super) struct Telemetry {
    registry: Registry,
    // Looked up once: a request must not pay for its labels.
    routes: Vec<OfRoute>,
    unrouted: [IntCounter; 5],
    gauges: Gauges,
}

struct OfRoute {
    requests: [IntCounter; 5],
    seconds: Histogram,
}

struct Gauges {
    applied_index: Gauge,
    term: Gauge,
    leads: Gauge,
    leader_known: Gauge,
    last_contact_ms: Gauge,
    blocking_queries: Gauge,
    body_bytes: Gauge,
    answer_bytes: Gauge,
    resident_bytes: Gauge,
    rows_set_aside: Gauge,
    clock_offset_seconds: Gauge,
    log_bytes: Gauge,
    log_first_index: Gauge,
    disk_free_bytes: Gauge,
    disk_free_bytes_min: Gauge,
    raft_multiplier: Gauge,
    raft_multiplier_needed: Gauge,
    alarms: GaugeVec,
}

impl Telemetry {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let requests = register(
            &registry,
            IntCounterVec::new(
                Opts::new("ordu_http_requests_total", "Requests by route and class of status."),
                &["method", "path", "status"],
            ),
        );
        let times =
            HistogramOpts::new("ordu_http_request_seconds", "Time to answer, but for blocking queries.");
        let seconds =
            register(&registry, HistogramVec::new(times.buckets(BUCKETS.to_vec()), &["method", "path"]));
        let by_class = |method: &str, path: &str| {
            CLASSES.map(|class| requests.with_label_values(&[method, path, class]))
        };
        let of_route = |(method, path): (&str, &str)| OfRoute {
            requests: by_class(method, path),
            seconds: seconds.with_label_values(&[method, path]),
        };
        let routes =
            ROUTES.iter().map(|route| of_route((route.info.methods.name(), route.info.path))).collect();
        Self { routes, unrouted: by_class("", "none"), gauges: Gauges::new(&registry), registry }
    }

    /// Counts a request to a route; `took` is none for one that waited for a change.
    pub(super) fn note(&self, route: usize, status: StatusCode, took: Option<Duration>) {
        let of_route = &self.routes[route];
        of_route.requests[class(status)].inc();
        if let Some(took) = took {
            of_route.seconds.observe(took.as_secs_f64());
        }
    }

    /// Counts a request that no route takes.
    pub(super) fn note_unrouted(&self, status: StatusCode) {
        self.unrouted[class(status)].inc();
    }

    /// All figures as they are now.
    pub(super) fn gather(&self, context: &Context, waiting: &Waiting, room: &Room) -> Vec<MetricFamily> {
        self.gauges.blocking_queries.set(waiting.held() as f64);
        self.gauges.body_bytes.set(room.bodies.bytes_held() as f64);
        self.gauges.answer_bytes.set(room.answers.bytes_held() as f64);
        self.gauges.read(context);
        self.registry.gather()
    }
}

impl Gauges {
    fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| register(registry, Gauge::new(name, help));
        Self {
            applied_index: gauge("ordu_raft_applied_index", "The log index applied last."),
            term: gauge("ordu_raft_term", "Raft's term."),
            leads: gauge("ordu_raft_leads", "1 where this server leads."),
            leader_known: gauge("ordu_raft_leader_known", "1 where a leader is known."),
            last_contact_ms: gauge(
                "ordu_raft_last_contact_ms",
                "Milliseconds since the leader was heard of.",
            ),
            blocking_queries: gauge("ordu_http_blocking_queries", "Blocking queries that wait."),
            body_bytes: gauge(
                "ordu_http_body_bytes",
                "Bytes of requests' bodies that are read or worked on.",
            ),
            answer_bytes: gauge("ordu_http_answer_bytes", "Bytes of answers that wait for their readers."),
            resident_bytes: gauge("process_resident_memory_bytes", "Memory of this process that is in use."),
            rows_set_aside: gauge(
                "ordu_state_rows_set_aside",
                "Rows that cannot be decoded and are left out; 1000 stand for more.",
            ),
            clock_offset_seconds: gauge(
                "ordu_clock_offset_seconds",
                "This server's clock minus the median of the members' clocks.",
            ),
            log_bytes: gauge("ordu_raft_log_bytes", "Bytes of the entries that the raft log has."),
            log_first_index: gauge(
                "ordu_raft_log_first_index",
                "The first index that is not purged from the raft log.",
            ),
            disk_free_bytes: gauge("ordu_disk_free_bytes", "Bytes that are free where the data are."),
            disk_free_bytes_min: gauge("ordu_disk_free_bytes_min", "Bytes that should be free there."),
            raft_multiplier: gauge(
                "ordu_raft_multiplier",
                "By how much raft's times are longer than in a rack.",
            ),
            raft_multiplier_needed: gauge(
                "ordu_raft_multiplier_needed",
                "The multiplier that the measured round trips between the servers need.",
            ),
            alarms: register(
                registry,
                GaugeVec::new(
                    Opts::new("ordu_alarm", "1 where this is wrong; health says what it is."),
                    &["alarm"],
                ),
            ),
        }
    }

    fn read(&self, context: &Context) {
        let metrics = context.cluster.metrics();
        let flag = |value: bool| f64::from(u8::from(value));
        self.applied_index.set(context.state.applied_index() as f64);
        self.term.set(metrics.current_term as f64);
        self.leads.set(flag(metrics.current_leader == Some(metrics.id)));
        self.leader_known.set(flag(context.cluster.known_leader()));
        self.last_contact_ms.set(context.cluster.last_contact_ms() as f64);
        self.rows_set_aside.set(context.state.db().set_aside().count() as f64);
        for alarm in Alarm::ALL {
            self.alarms.with_label_values(&[alarm.name()]).set(flag(context.alarms.is_raised(alarm)));
        }
        self.clock_offset_seconds.set(context.clock.verdict().offset_ns() as f64 / 1e9);
        self.log_bytes.set(context.log.bytes_from(0) as f64);
        self.log_first_index.set(metrics.purged.as_ref().map_or(0, |id| id.index + 1) as f64);
        if let Some(free) = context.space.free() {
            self.disk_free_bytes.set(free.bytes as f64);
            self.disk_free_bytes_min.set(free.bytes_min as f64);
        }
        let distances = context.cluster.distances();
        self.raft_multiplier.set(f64::from(context.options.raft.multiplier));
        self.raft_multiplier_needed.set(f64::from(distances.multiplier_needed(&context.options.raft)));
        self.resident_bytes.set(resident_bytes().unwrap_or(0) as f64);
    }
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    // Names and labels are the ones above: whether they are right is seen at the first start.
    let collector = made.expect("the name and the labels of a figure are well formed");
    registry.register(Box::new(collector.clone())).expect("every figure has a name of its own");
    collector
}

/// The process's resident memory, as Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The figures in Prometheus's text format.
pub(super) fn prometheus_text(families: &[MetricFamily]) -> Result<Vec<u8>, HttpError> {
    let text = TextEncoder::new().encode_to_string(families);
    text.map(String::into_bytes).map_err(|error| HttpError::internal(format!("no metrics: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::documents::metrics::MetricsDocument;

    #[test]
    fn requests_are_counted_by_route_and_class_in_both_forms() {
        let telemetry = Telemetry::new();
        telemetry.note(0, StatusCode::OK, Some(Duration::from_millis(2)));
        telemetry.note(0, StatusCode::NOT_FOUND, None);
        telemetry.note_unrouted(StatusCode::NOT_FOUND);
        let families = telemetry.registry.gather();
        let text = String::from_utf8(prometheus_text(&families).unwrap()).unwrap();
        for line in [
            r#"ordu_http_requests_total{method="GET",path="/v1/jobs",status="2xx"} 1"#,
            r#"ordu_http_requests_total{method="GET",path="/v1/jobs",status="4xx"} 1"#,
            r#"ordu_http_requests_total{method="",path="none",status="4xx"} 1"#,
            r#"ordu_http_request_seconds_count{method="GET",path="/v1/jobs"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        let document =
            serde_json::to_value(MetricsDocument::of(&families, 1_767_225_600_000_000_000)).unwrap();
        assert_eq!("2026-01-01 00:00:00 +0000 UTC", document["Timestamp"]);
        assert_eq!(serde_json::json!([]), document["Points"]);
        assert!(document["Gauges"].as_array().unwrap().iter().any(|gauge| gauge["Name"] == "ordu_raft_term"));
        assert!(document["Samples"].as_array().unwrap().iter().any(|sample| sample["Count"] == 1));
        assert!(document["Counters"].as_array().unwrap().len() > ROUTES.len());
    }

    #[test]
    fn every_status_has_a_class() {
        for (status, at) in [(100, 0), (200, 1), (304, 2), (404, 3), (503, 4), (999, 4)] {
            assert_eq!(at, class(StatusCode::from_u16(status).unwrap()));
        }
    }

    #[test]
    fn this_process_takes_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
