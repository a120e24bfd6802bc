//! Bounds how long the head of an HTTP request may take to arrive once it has begun. The beginning of the next head may
//! be waited for much longer, and bodies have bounds of their own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ordu_core::limits::HTTP_HEAD_MS_MAX;
use tokio::time::{Sleep, sleep};

/// The requests of a connection. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// How many have begun: their heads were complete.
    begun: AtomicU64,
    /// Whether one is being worked on; what arrives then is its body.
    is_under_way: AtomicBool,
}

/// Marks a request as being worked on until it is dropped.
pub(crate) struct UnderWay(Requests);

impl Requests {
    /// Notes that a head is complete.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.is_under_way.store(true, Ordering::Relaxed);
        UnderWay(self.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.is_under_way.store(false, Ordering::Relaxed);
    }
}

/// The timer of a connection's heads.
pub(super) struct Heads {
    requests: Requests,
    /// How many requests had begun at the last look.
    seen: u64,
    /// Runs while a head has begun.
    by: Option<Pin<Box<Sleep>>>,
}

impl Heads {
    pub(super) fn of(requests: &Requests) -> Self {
        Self { requests: requests.clone(), seen: 0, by: None }
    }

    /// To be called after each read, with the number of bytes that were read; 0 if there were none yet. Completes when
    /// a head has taken too long.
    pub(super) fn poll_late(&mut self, context: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let begun = self.requests.0.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            // The head that had begun was completed.
            self.seen = begun;
            self.by = None;
        }
        let is_body = self.requests.0.is_under_way.load(Ordering::Relaxed);
        if bytes > 0 && self.by.is_none() && !is_body {
            self.by = Some(Box::pin(sleep(Duration::from_millis(HTTP_HEAD_MS_MAX))));
        }
        self.by.as_mut().map_or(Poll::Pending, |by| by.as_mut().poll(context))
    }
}
