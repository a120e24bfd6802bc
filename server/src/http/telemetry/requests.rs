//! Request metrics: counts and durations by route, and refusals by reason.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::figure::help;
use crate::http::routes::ROUTES;

/// Upper bounds of the buckets of request durations, seconds.
const BUCKETS: [f64; 11] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Statuses of requests that may succeed later or in smaller parts, with the reason's label.
const REFUSALS: [(StatusCode, &str); 3] = [
    (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    (StatusCode::INSUFFICIENT_STORAGE, "disk"),
    (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
];

/// Request metrics of one listener.
pub(super) struct Requests {
    registry: Registry,
    // Resolved once: requests must not pay for looking up labels.
    routes: Vec<OfRoute>,
    unrouted: [IntCounter; CLASSES.len()],
    refused: [IntCounter; REFUSALS.len()],
}

struct OfRoute {
    requests: [IntCounter; CLASSES.len()],
    seconds: Histogram,
}

impl Requests {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let help_of_requests = help(
            "Requests by route and class of status.",
            "5xx are faults of the servers and refusals: where they grow, look at health and at this server's log.",
        );
        let requests = register(
            &registry,
            IntCounterVec::new(
                Opts::new("ordu_http_requests_total", help_of_requests),
                &["method", "path", "status"],
            ),
        );
        let help_of_seconds = help(
            "Time to answer, but for blocking queries.",
            "Where writes take long, look at ordu_raft_sync_seconds; where lists do, ask for pages.",
        );
        let times = HistogramOpts::new("ordu_http_request_seconds", help_of_seconds);
        let seconds =
            register(&registry, HistogramVec::new(times.buckets(BUCKETS.to_vec()), &["method", "path"]));
        let help_of_refused = help(
            "Requests that were refused, by why: busy (503), disk (507), too_large (413).",
            "busy: find the client that sends or reads too much, or ask several servers. disk: make room. too_large: \
             the client has to send less.",
        );
        let refused = register(
            &registry,
            IntCounterVec::new(Opts::new("ordu_requests_refused_total", help_of_refused), &["why"]),
        );
        let by_class = |method: &str, path: &str| {
            CLASSES.map(|class| requests.with_label_values(&[method, path, class]))
        };
        let of_route = |(method, path): (&str, &str)| OfRoute {
            requests: by_class(method, path),
            seconds: seconds.with_label_values(&[method, path]),
        };
        let routes =
            ROUTES.iter().map(|route| of_route((route.info.methods.name(), route.info.path))).collect();
        let refused = REFUSALS.map(|(_, why)| refused.with_label_values(&[why]));
        Self { routes, unrouted: by_class("", "none"), refused, registry }
    }

    /// Counts a request to a route. `took` is `None` for a blocking query, which is not timed.
    pub(super) fn note(&self, route: usize, status: StatusCode, took: Option<Duration>) {
        let of_route = &self.routes[route];
        of_route.requests[class(status)].inc();
        if let Some(why) = REFUSALS.iter().position(|(refusal, _)| *refusal == status) {
            self.refused[why].inc();
        }
        if let Some(took) = took {
            of_route.seconds.observe(took.as_secs_f64());
        }
    }

    /// Counts a request that was dispatched to no route.
    pub(super) fn note_unrouted(&self, status: StatusCode) {
        self.unrouted[class(status)].inc();
    }

    /// Returns all request metrics with their current values.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    // Names and labels are constants of this file, so that a mistake shows at the first start.
    let collector = made.expect("the name and the labels of a figure are well formed");
    registry.register(Box::new(collector.clone())).expect("every figure has a name of its own");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::documents::metrics::MetricsDocument;
    use crate::http::telemetry::prometheus_text;

    #[test]
    fn requests_are_counted_by_route_and_class_in_both_forms() {
        let requests = Requests::new();
        requests.note(0, StatusCode::OK, Some(Duration::from_millis(2)));
        requests.note(0, StatusCode::NOT_FOUND, None);
        requests.note(0, StatusCode::INSUFFICIENT_STORAGE, None);
        requests.note_unrouted(StatusCode::NOT_FOUND);
        let families = requests.gather();
        let text = String::from_utf8(prometheus_text(families.clone()).unwrap()).unwrap();
        for line in [
            r#"ordu_http_requests_total{method="GET",path="/v1/jobs",status="2xx"} 1"#,
            r#"ordu_http_requests_total{method="GET",path="/v1/jobs",status="4xx"} 1"#,
            r#"ordu_http_requests_total{method="",path="none",status="4xx"} 1"#,
            r#"ordu_http_request_seconds_count{method="GET",path="/v1/jobs"} 1"#,
            r#"ordu_requests_refused_total{why="disk"} 1"#,
            r#"ordu_requests_refused_total{why="busy"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        let document =
            serde_json::to_value(MetricsDocument::of(&families, 1_767_225_600_000_000_000)).unwrap();
        assert_eq!("2026-01-01 00:00:00 +0000 UTC", document["Timestamp"]);
        assert_eq!(serde_json::json!([]), document["Points"]);
        assert!(document["Samples"].as_array().unwrap().iter().any(|sample| sample["Count"] == 1));
        assert!(document["Counters"].as_array().unwrap().len() > ROUTES.len());
    }

    #[test]
    fn every_status_has_a_class() {
        for (status, at) in [(100, 0), (200, 1), (304, 2), (404, 3), (503, 4), (999, 4)] {
            assert_eq!(at, class(StatusCode::from_u16(status).unwrap()));
        }
    }
}
