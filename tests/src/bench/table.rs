//! The table printed by the benchmark, and the facts needed to interpret it.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

/// One row of the table.
#[derive(Debug, Default, Clone)]
pub struct Row {
    /// What was measured.
    pub measure: String,
    /// The server at which it was measured.
    pub place: String,
    /// The figure.
    pub result: String,
    /// Median of the individual times.
    pub median: String,
    /// 99th percentile of the individual times.
    pub p99: String,
    /// Largest individual time.
    pub last: String,
    /// Details of the measurement.
    pub note: String,
}

/// The rows in order of measurement. Each is also printed to standard error at once, to show progress.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        eprintln!("{}, {}: {} {}", row.measure, row.place, row.result, row.note);
        self.rows.push(row);
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the table as Markdown.
    pub fn markdown(&self, target: &str, command_line: &str) -> String {
        let mut text = format!("{}\n{target}.\n\n    {command_line}\n\n", machine());
        text.push_str("| measure | at | result | median | p99 | last | |\n|---|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let cells = [&row.measure, &row.place, &row.result, &row.median, &row.p99, &row.last, &row.note];
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} |", cells.map(String::as_str).join(" | "));
        }
        text
    }
}

/// Formats a number without decimals, with thousands separators.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats milliseconds with a suitable number of decimals.
pub fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.2} ms"),
        ..100.0 => format!("{milliseconds:.1} ms"),
        _ => format!("{} ms", count(milliseconds)),
    }
}

/// Formats bytes in megabytes of a million.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Describes processor, memory, kernel and the file system to which the logs are synced.
pub fn machine() -> String {
    let field = |file: &str, name: &str| -> Option<String> {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let gigabytes =
        memory.split(' ').next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e9;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{processor}, {cores} cores, {gigabytes:.0} GB memory, Linux {}, data on {}; servers and load share them.",
        kernel.trim(),
        file_system(&std::env::temp_dir().display().to_string())
    )
}

/// Returns the type of the file system that holds a path: that of the longest mount point that contains it.
fn file_system(path: &str) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        let inside = point == "/" || path == point || path.starts_with(&format!("{point}/"));
        inside.then_some((point.len(), kind))
    });
    above
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "an unknown file system".into(), |(_, kind)| kind.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_they_are_read() {
        assert_eq!([7.4, 999.6, 1234567.0].map(count), ["7", "1,000", "1,234,567"]);
        let times = [420, 12_340, 1_234_567].map(Duration::from_micros).map(milliseconds);
        assert_eq!(times, ["0.42 ms", "12.3 ms", "1,235 ms"]);
    }
}
