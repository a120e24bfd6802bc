//! Fatal faults of a server's disk: passes the first one from where it is found to where the process is ended.

use std::fmt::Display;
use std::path::Path;

use tokio::sync::watch;

use crate::damage::WAY_OUT;

/// Returns the error text for a database that can no longer be read or written.
pub fn unusable(what: &str, path: &Path, error: &dyn Display) -> String {
    let error = error.to_string();
    let found = format!("{what} in {} cannot be used any more: {error}", path.display());
    if error.contains("No space left") {
        return format!("{found}. This server ends; make room on its disk and start it again");
    }
    format!("{found}. This server ends. Replace its disk where that is at fault. {WAY_OUT}")
}

/// The first fatal fault of the disk or of its data. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Faults(watch::Sender<Option<String>>);

impl Faults {
    /// Reports that this server must end; `text` tells the operator why, and what to do. Only the first report
    /// counts, because later faults may be consequences of it.
    pub fn report(&self, text: impl Into<String>) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                let text = text.into();
                tracing::error!("{text}");
                *first = Some(text);
            }
            is_first
        });
    }

    /// Returns the reported fault, if any.
    pub fn reported(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until a fault is reported, and returns it.
    pub async fn wait(&self) -> String {
        let mut reported = self.0.subscribe();
        // The sender lives as long as this handle.
        let text = reported.wait_for(Option::is_some).await.ok().and_then(|text| text.clone());
        text.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_fault_counts_and_reaches_who_waits_before_and_after() {
        let faults = Faults::default();
        assert_eq!(None, faults.reported());
        let waits = tokio::spawn({
            let faults = faults.clone();
            async move { faults.wait().await }
        });
        tokio::task::yield_now().await;
        faults.report("first");
        faults.clone().report("second");
        assert_eq!("first", waits.await.unwrap());
        assert_eq!("first", faults.wait().await);
        assert_eq!(Some("first".to_owned()), faults.reported());
    }
}
