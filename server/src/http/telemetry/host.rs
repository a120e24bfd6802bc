//! Metrics of the process and its surroundings: alarms, memory, disk, clock, connections.

use super::figure::{Figure, Labelled, Read, Sources, flag};
use crate::alarms::Alarm;
use crate::counts::ConnectionCounts;

pub(super) const FIGURES: &[Figure] = &[
    Figure {
        name: "ordu_alarm",
        is: "1 where this is wrong.",
        act: "/v1/agent/health says what it is and what to do.",
        read: Read::Gauges("alarm", |it| {
            let raised = |alarm: Alarm| (alarm.name(), flag(it.context.alarms.is_raised(alarm)));
            Alarm::ALL.into_iter().map(raised).collect()
        }),
    },
    Figure {
        name: "process_start_time_seconds",
        is: "When this server was started, seconds since 1970.",
        act: "Where it changes again and again, the server fails and is started anew: its log says why.",
        read: Read::Gauge(|it| Some(it.context.counts.started_ns as f64 / 1e9)),
    },
    Figure {
        name: "process_resident_memory_bytes",
        is: "Memory of this process that is in use.",
        act: "Where it nears what the machine has, give it more, or ask for smaller answers: see \
              ordu_http_answer_bytes.",
        read: Read::Gauge(|_| Some(resident_bytes().unwrap_or(0) as f64)),
    },
    Figure {
        name: "ordu_clock_offset_seconds",
        is: "This server's clock minus the median of the members' clocks.",
        act: "Where it is more than a second, see that a time service runs on this server.",
        read: Read::Gauge(|it| Some(it.context.clock.verdict().offset_ns() as f64 / 1e9)),
    },
    Figure {
        name: "ordu_disk_free_bytes",
        is: "Bytes that are free where the data are.",
        act: "Make room before it falls below ordu_disk_free_bytes_min: then this server does not lead any more, and \
              new work is refused once no other has room.",
        read: Read::Gauge(|it| it.context.space.free().map(|free| free.bytes as f64)),
    },
    Figure {
        name: "ordu_disk_free_bytes_min",
        is: "Bytes that should be free there: disk_free_min_mb.",
        act: "Compare ordu_disk_free_bytes with it.",
        read: Read::Gauge(|it| it.context.space.free().map(|free| free.bytes_min as f64)),
    },
    Figure {
        name: "ordu_connections",
        is: "Connections that are open, by listener: http for the API, rpc for servers and nodes.",
        act: "Where it nears ordu_connections_max, find the client that opens them, or let the process open more files.",
        read: Read::Gauges("listener", |it| listeners(it, |counts| counts.open() as f64)),
    },
    Figure {
        name: "ordu_connections_max",
        is: "Connections that are taken at one time, by listener: a part of the files that the process may open.",
        act: "Raise LimitNOFILE of the unit where it is too few.",
        read: Read::Gauges("listener", |it| listeners(it, |counts| counts.allowed() as f64)),
    },
    Figure {
        name: "ordu_connections_refused_total",
        is: "Clients that were told that all connections are taken. Those of rpc wait instead.",
        act: "Where it grows, do as ordu_connections says.",
        read: Read::Counters("listener", |it| listeners(it, |counts| counts.refused() as f64)),
    },
    Figure {
        name: "ordu_http_blocking_queries",
        is: "Blocking queries that wait.",
        act: "Where it only grows, a client opens queries and does not end them.",
        read: Read::Gauge(|it| Some(it.waiting.held() as f64)),
    },
    Figure {
        name: "ordu_http_body_bytes",
        is: "Bytes of requests' bodies that are read or worked on.",
        act: "Beyond a bound more are refused: where it stays high, find the client that sends them.",
        read: Read::Gauge(|it| Some(it.room.bodies.bytes_held() as f64)),
    },
    Figure {
        name: "ordu_http_answer_bytes",
        is: "Bytes of answers that wait for their readers.",
        act: "Beyond a bound large ones are refused: where it stays high, find the client that reads slowly.",
        read: Read::Gauge(|it| Some(it.room.answers.bytes_held() as f64)),
    },
];

fn listeners(it: &Sources<'_>, read: fn(&ConnectionCounts) -> f64) -> Labelled {
    let counts = &it.context.counts;
    vec![("http", read(&counts.http)), ("rpc", read(&counts.rpc))]
}

/// Reads the process's resident memory, bytes, from Linux's /proc.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
