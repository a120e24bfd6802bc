//! What is applied on this server, told in log order to those who follow it.

use std::sync::{Arc, Mutex, PoisonError};

use ordu_core::state::Change;
use ordu_store::state_machine::Observer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::watch::Watches;

/// Something that was applied.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// Entries up to `index`; each change with its entry's index.
    Applied {
        /// The log index applied last.
        index: u64,
        /// What changed.
        changes: Arc<Vec<(u64, Change)>>,
    },
    /// All tables were replaced by a snapshot.
    Restored,
}

/// The feed. A cheap handle.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Vec<UnboundedSender<FeedEvent>>>>);

impl Feed {
    /// Everything that is applied from here on. A subscriber must keep reading: the queue has no bound
    /// but that `apply` waits for no one.
    pub fn subscribe(&self) -> UnboundedReceiver<FeedEvent> {
        let (sender, receiver) = unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    fn tell(&self, event: &FeedEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|to| to.send(event.clone()).is_ok());
    }

    fn is_followed(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Tells watchers and the feed.
pub struct Fanout {
    /// Blocking queries and sessions.
    pub watches: Arc<Watches>,
    /// The leader's duties.
    pub feed: Feed,
}

impl Observer for Fanout {
    fn applied(&self, index: u64, changes: Vec<(u64, Change)>) {
        self.watches.wake(&changes);
        if self.feed.is_followed() {
            self.feed.tell(&FeedEvent::Applied { index, changes: Arc::new(changes) });
        }
    }

    fn restored(&self, _index: u64) {
        self.watches.wake_all();
        self.feed.tell(&FeedEvent::Restored);
    }
}
