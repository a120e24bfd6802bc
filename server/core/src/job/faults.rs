//! Validation errors and warnings of a job, in Nomad's text format.

use std::fmt;

use crate::limits::JOB_FAULTS_BYTES_MAX;

/// Validation errors of a job or of a part of it, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    texts: Vec<String>,
    /// Total size of `texts`.
    bytes: usize,
    /// Errors beyond the size limit, which are only counted.
    untold: usize,
}

impl Faults {
    pub(super) fn new() -> Faults {
        Faults::default()
    }

    pub(super) fn add(&mut self, fault: impl Into<String>) {
        if self.bytes >= JOB_FAULTS_BYTES_MAX {
            self.untold += 1;
            return;
        }
        let fault = fault.into();
        self.bytes += fault.len();
        self.texts.push(fault);
    }

    /// Adds the errors of a part individually.
    pub(super) fn add_all(&mut self, part: Faults) {
        self.untold += part.untold;
        part.texts.into_iter().for_each(|fault| self.add(fault));
    }

    /// Adds the errors of a part as one error, without a prefix.
    pub(super) fn add_part(&mut self, part: Faults) {
        if !part.is_empty() {
            self.add(part.to_string());
        }
    }

    /// Adds the errors of a part as one error: `WHAT validation failed: …`.
    pub(super) fn add_part_of(&mut self, part: Faults, what: impl FnOnce() -> String) {
        if !part.is_empty() {
            self.add(format!("{} validation failed: {part}", what()));
        }
    }

    /// Returns `Err` if there are any errors.
    pub(super) fn into_result(self) -> Result<(), Faults> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// One text for each error; the error of a group contains all errors of the group.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

/// Formats the text of a rejected registration.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.texts.as_slice() {
            [] => Ok(()),
            [only] if self.untold == 0 => write!(f, "1 error occurred:\n\t* {only}\n\n"),
            several => {
                write!(f, "{} errors occurred:", several.len() + self.untold)?;
                for fault in several {
                    write!(f, "\n\t* {fault}")?;
                }
                if self.untold > 0 {
                    write!(f, "\n\t* and {} more, of which there is no room to tell", self.untold)?;
                }
                f.write_str("\n\n")
            }
        }
    }
}

impl std::error::Error for Faults {}

/// Warnings about an accepted job. The text is empty if there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    /// Warnings that Nomad gives too, in its words.
    pub(super) of_nomad: Vec<String>,
    /// Warnings of what has no effect in this cluster.
    pub(super) of_cluster: Vec<String>,
}

impl Warnings {
    /// One text for each warning.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.of_nomad.iter().chain(&self.of_cluster).map(String::as_str)
    }
}

/// Formats the member `Warnings` of the API's answers. Nomad's own come first, counted apart, because clients may look
/// for them.
impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for warnings in [&self.of_nomad, &self.of_cluster] {
            if warnings.is_empty() {
                continue;
            }
            writeln!(f, "{separator}{} warning(s):", warnings.len())?;
            for warning in warnings {
                write!(f, "\n* {warning}")?;
            }
            separator = "\n\n";
        }
        Ok(())
    }
}

/// Formats nanoseconds as a Go duration: `5s`, `1m30s`, `100ms`, `1.5µs`.
pub struct Span(pub i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match ns {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{ns}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(ns, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(ns, 1_000_000)),
            _ => {
                let (minutes, rest) = (ns / 60_000_000_000, ns % 60_000_000_000);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(rest, 1_000_000_000))
            }
        }
    }
}

/// Formats `value / unit` without trailing zeros; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{part:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::{Faults, JOB_FAULTS_BYTES_MAX, Span, Warnings};

    #[test]
    fn spans_are_written_by_their_largest_unit() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (5_000_000_000, "5s"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(Span(ns).to_string(), text);
        }
    }

    #[test]
    fn one_and_several_faults_have_their_own_forms() {
        let mut faults = Faults::new();
        faults.add("a");
        assert_eq!(faults.to_string(), "1 error occurred:\n\t* a\n\n");
        faults.add("b");
        assert_eq!(faults.to_string(), "2 errors occurred:\n\t* a\n\t* b\n\n");
    }

    #[test]
    fn faults_are_told_as_long_as_there_is_room() {
        let mut faults = Faults::new();
        for _ in 0..10 {
            faults.add("x".repeat(JOB_FAULTS_BYTES_MAX / 4));
        }
        assert_eq!(faults.texts().len(), 4);
        let told = faults.to_string();
        assert!(told.starts_with("10 errors occurred:\n\t* xx"));
        assert!(told.ends_with("x\n\t* and 6 more, of which there is no room to tell\n\n"));
    }

    #[test]
    fn warnings_are_counted_by_whose_they_are_and_none_are_an_empty_text() {
        assert_eq!(Warnings::default().to_string(), "");
        let (of_nomad, of_cluster) = (vec!["a".into(), "b".into()], vec!["c".into()]);
        let mut warnings = Warnings { of_nomad, of_cluster };
        assert_eq!(warnings.to_string(), "2 warning(s):\n\n* a\n* b\n\n1 warning(s):\n\n* c");
        warnings.of_nomad.clear();
        assert_eq!(warnings.to_string(), "1 warning(s):\n\n* c");
    }
}
