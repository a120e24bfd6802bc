//! Where and in which format an agent logs. Lines for systemd's journal carry the priority of their level.

use std::fmt;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::AgentConfig;
use crate::reload::{self, SetFilter};

/// Starts logging and returns the function that changes the filter. Returns `None` if another agent in this
/// process already logs, as happens in tests.
pub(crate) fn start(config: &AgentConfig) -> Option<SetFilter> {
    let (filter, handle) = tracing_subscriber::reload::Layer::new(reload::filter(config.log_level));
    let lines = layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    let lines = match (config.log_json, is_of_journal()) {
        (false, false) => lines.boxed(),
        (false, true) => lines.map_event_format(Prioritised).boxed(),
        (true, false) => lines.json().boxed(),
        (true, true) => lines.json().map_event_format(Prioritised).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok()?;
    Some(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
}

/// Reports the error that ends an agent.
pub(crate) fn tell_end(error: &impl fmt::Display) {
    let text = format!("Error: {error}");
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

/// Formats events with their priorities.
struct Prioritised<Form>(Form);

impl<S, N, Form> FormatEvent<S, N> for Prioritised<Form>
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
        self.0.format_event(context, Writer::new(&mut text), event)?;
        writer.write_str(&prioritised(*event.metadata().level(), &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
