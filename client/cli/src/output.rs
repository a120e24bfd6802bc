//! Output for people: lines, tables, lists of keys and values, times and short ids.

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value as Json;
use std::time::Duration;

/// How many characters of an id are shown without `-verbose`.
const SHORT_ID_CHARACTERS: usize = 8;
/// How often the spinner turns.
const SPINNER_TICK: Duration = Duration::from_millis(120);

/// Where a command's lines go: standard output, or a text in tests.
pub(crate) struct Screen {
    captured: Option<String>,
    spinner: Option<ProgressBar>,
    verbose: bool,
}

impl Screen {
    /// Returns a screen that writes to standard output.
    pub(crate) fn terminal(verbose: bool) -> Screen {
        Screen { captured: None, spinner: None, verbose }
    }

    /// Returns a screen that collects its lines, for tests.
    #[cfg(test)]
    pub(crate) fn captured(verbose: bool) -> Screen {
        Screen { captured: Some(String::new()), spinner: None, verbose }
    }

    /// Returns the lines so far.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        self.captured.as_deref().unwrap_or_default()
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        match (&mut self.captured, &self.spinner) {
            (Some(text), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, Some(spinner)) => spinner.suspend(|| println_unless_gone(line)),
            (None, None) => println_unless_gone(line),
        }
    }

    /// Prints an empty line and a title.
    pub(crate) fn title(&mut self, title: &str) {
        self.line("");
        self.line(title);
    }

    /// Prints JSON with the API's layout for people.
    pub(crate) fn json(&mut self, value: &Json) {
        self.line(pretty(value));
    }

    /// Prints a table with column names and two blanks between columns.
    pub(crate) fn table<const COLUMNS: usize>(
        &mut self,
        names: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.add_row(names);
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            self.line(line.trim_end());
        }
    }

    /// Prints `Key = value` lines with the equals signs aligned.
    pub(crate) fn facts<'a>(&mut self, facts: impl IntoIterator<Item = (&'a str, String)>) {
        let facts: Vec<(&str, String)> = facts.into_iter().collect();
        let width = facts.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
        for (key, value) in facts {
            let value = if value.is_empty() { "<none>".to_owned() } else { value };
            self.line(format!("{key:width$} = {value}"));
        }
    }

    /// Shows on a terminal what the command waits for; `None` removes it.
    pub(crate) fn waiting_for(&mut self, what: Option<String>) {
        if self.captured.is_some() {
            return;
        }
        match (what, &self.spinner) {
            (Some(what), Some(spinner)) => spinner.set_message(what),
            (Some(what), None) => {
                let spinner = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                    spinner.set_style(style);
                }
                spinner.set_message(what);
                spinner.enable_steady_tick(SPINNER_TICK);
                self.spinner = Some(spinner);
            }
            (None, _) => {
                if let Some(spinner) = self.spinner.take() {
                    spinner.finish_and_clear();
                }
            }
        }
    }

    /// Shortens an id, unless the user wants ids in full.
    pub(crate) fn id(&self, id: &str) -> String {
        if self.verbose { id.to_owned() } else { id.chars().take(SHORT_ID_CHARACTERS).collect() }
    }
}

/// Prints a line; a closed pipe (`ordu … | head`) ends the process quietly, where `println!` would panic.
fn println_unless_gone(line: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Formats JSON with Nomad's indentation of four blanks.
fn pretty(value: &Json) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    match serde::Serialize::serialize(value, &mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => value.to_string(),
    }
}

/// Formats a time in this machine's time zone; "N/A" if it is not set.
pub(crate) fn moment(time_ns: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(time_ns)) {
        Ok(time) if time_ns > 0 => {
            time.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        }
        _ => "N/A".to_owned(),
    }
}

/// Formats a time given in the API's text form, likewise.
pub(crate) fn moment_of(text: Option<&str>) -> String {
    match text.and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(time) => moment(i64::try_from(time.as_nanosecond()).unwrap_or(0)),
        None => "N/A".to_owned(),
    }
}

/// Formats how long ago a time was.
pub(crate) fn ago(time_ns: i64) -> String {
    if time_ns <= 0 {
        return "N/A".to_owned();
    }
    let now_ns = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    format!("{} ago", length((now_ns - time_ns).max(0) / 1_000_000_000))
}

/// Formats a duration with its two largest units.
fn length(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let Some(first) = units.iter().position(|(_, unit)| seconds >= *unit) else { return "0s".to_owned() };
    let (name, unit) = units[first];
    let mut text = format!("{}{name}", seconds / unit);
    if let Some((name, smaller)) = units.get(first + 1)
        && seconds % unit / smaller > 0
    {
        text.push_str(&format!("{}{name}", seconds % unit / smaller));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_behind_them() {
        let mut screen = Screen::captured(false);
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        screen.table(
            ["ID", "Name", "Status"],
            [row(["a", "a longer name", "x"]), row(["abcdefgh", "", "running"])],
        );
        assert_eq!(
            screen.text(),
            "ID        Name           Status\na         a longer name  x\nabcdefgh                 running\n"
        );
    }

    #[test]
    fn facts_stand_under_each_other() {
        let mut screen = Screen::captured(false);
        screen.facts([("ID", "x".to_owned()), ("Long Name", String::new())]);
        assert_eq!(screen.text(), "ID        = x\nLong Name = <none>\n");
    }

    #[test]
    fn ids_are_short_unless_all_is_wanted() {
        let id = "6b1ae1f6-9d0b-4b43-8b3e-1c6a54b6d5b1";
        assert_eq!(Screen::captured(false).id(id), "6b1ae1f6");
        assert_eq!(Screen::captured(true).id(id), id);
    }

    #[test]
    fn lengths_name_their_two_largest_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m1s"),
            (3_600, "1h"),
            (3_661, "1h1m"),
            (90_000, "1d1h"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(length(seconds), wanted);
        }
        assert_eq!(
            (ago(0), moment(0), moment_of(None)),
            ("N/A".to_owned(), "N/A".to_owned(), "N/A".to_owned())
        );
        assert!(moment_of(Some("2026-01-02T03:04:05.5Z")).starts_with("2026-01-0"));
    }
}
