//! Where and in which format an agent logs. Lines for systemd's journal carry the priority of their level. Every event
//! is one line without control characters, whatever texts of peers and users it repeats.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::AgentConfig;
use crate::reload::{self, SetFilter};

/// Starts logging and returns the function that changes the filter. Returns `None` if another agent in this
/// process already logs, as happens in tests.
pub(crate) fn start(config: &AgentConfig) -> Option<SetFilter> {
    let (filter, handle) = tracing_subscriber::reload::Layer::new(reload::filter(config.log_level));
    let lines = lines(config.log_json, is_of_journal(), std::io::stderr);
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok()?;
    Some(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
}

/// Returns the layer that writes each event as one line.
fn lines<S, W>(json: bool, is_of_journal: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = layer().with_writer(writer).with_target(false).with_ansi(false);
    match json {
        false => lines.map_event_format(|form| Line { form, is_of_journal }).boxed(),
        true => lines.json().map_event_format(|form| Line { form, is_of_journal }).boxed(),
    }
}

/// Reports the error that ends an agent.
pub(crate) fn tell_end(error: &impl fmt::Display) {
    let error = error.to_string();
    let text = format!("Error: {}", escaped(&error));
    if is_of_journal() {
        eprint!("{}", prioritised(Level::ERROR, &text));
    } else {
        eprintln!("{text}");
    }
}

/// Whether standard error goes to the journal: systemd names the journal's file by device and inode. A shell
/// under the service may have redirected standard error elsewhere.
fn is_of_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    let file = std::io::stderr().as_fd().try_clone_to_owned().and_then(|file| File::from(file).metadata());
    file.is_ok_and(|file| journal == format!("{}:{}", file.dev(), file.ino()))
}

/// Prefixes each line with its syslog priority, as the journal expects.
fn prioritised(level: Level, text: &str) -> String {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    text.lines().fold(String::new(), |lines, line| format!("{lines}<{priority}>{line}\n"))
}

/// Replaces what could end a line, or change what a terminal shows: control characters, and characters that separate
/// lines or turn the direction of writing. The escapes are those of JSON, so that JSON stays what it is.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            // Writing to a string cannot fail.
            c if is_harmful(c) => drop(write!(clean, "\\u{:04x}", u32::from(c))),
            c => clean.push(c),
        }
    }
    clean.into()
}

/// Formats each event as one line, for the journal with its priority.
struct Line<Form> {
    form: Form,
    is_of_journal: bool,
}

impl<S, N, Form> FormatEvent<S, N> for Line<Form>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Form: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.form.format_event(context, Writer::new(&mut text), event)?;
        let line = escaped(text.trim_end_matches('\n'));
        match self.is_of_journal {
            true => writer.write_str(&prioritised(*event.metadata().level(), &line)),
            false => writeln!(writer, "{line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str =
        "job\n<3>2026-01-01 ERROR forged\r\u{1b}[2J\u{9b}31m\u{7}\u{7f}\u{85}\u{2028}\u{202e}\u{2066}\0 end";

    #[test]
    fn texts_of_peers_and_users_neither_make_lines_nor_speak_to_the_terminal() {
        for (json, is_of_journal) in [(false, false), (false, true), (true, false), (true, true)] {
            let kept = Kept::default();
            let writer = kept.clone();
            let subscriber =
                tracing_subscriber::registry().with(lines(json, is_of_journal, move || writer.clone()));
            tracing::subscriber::with_default(subscriber, || {
                let span = tracing::info_span!("request", id = HOSTILE);
                let _entered = span.enter();
                tracing::warn!(debug = ?HOSTILE, shown = %HOSTILE, text = HOSTILE, "said: {HOSTILE}");
            });
            let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let what = format!("{json} {is_of_journal}: {said:?}");
            let line = said.strip_suffix('\n').unwrap_or_else(|| panic!("{what}"));
            let is_clean = |c: char| !c.is_control() && !"\u{2028}\u{202e}\u{2066}".contains(c);
            assert!(line.chars().all(is_clean), "{what}");
            assert!(line.matches("forged").count() >= 4, "{what}");
            let line = line.strip_prefix("<4>").unwrap_or(line);
            assert_eq!(is_of_journal, said.starts_with("<4>"), "{what}");
            if json {
                let read: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {what}"));
                assert!(read["fields"]["message"].as_str().unwrap().starts_with("said: job"), "{what}");
            }
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "plain \"text\" with é, 日本 and \\n", "a\\u001b"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(r"a\n\r\tb\u001b\u0085\u202e", escaped("a\n\r\tb\u{1b}\u{85}\u{202e}"));
    }

    #[test]
    fn each_line_of_the_journal_has_the_priority_of_its_level() {
        for (level, text, lines) in [
            (Level::ERROR, "a\n", "<3>a\n"),
            (Level::WARN, "a\nb", "<4>a\n<4>b\n"),
            (Level::INFO, "a", "<6>a\n"),
            (Level::DEBUG, "a", "<7>a\n"),
            (Level::TRACE, "<3>a", "<7><3>a\n"),
        ] {
            assert_eq!(lines, prioritised(level, text));
        }
    }
}
