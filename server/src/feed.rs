//! Publishes changes in log order to subscribers as this server applies them.

use std::sync::{Arc, Mutex, PoisonError};

use ordu_core::state::Change;
use ordu_store::state_machine::Observer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::watch::Watches;

/// An event of the feed.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// Entries up to `index` were applied; each change carries its entry's index.
    Applied {
        /// The last log index applied.
        index: u64,
        /// The changes.
        changes: Arc<Vec<(u64, Change)>>,
    },
    /// A snapshot replaced all tables.
    Restored,
}

/// The feed. A cheap handle.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Vec<UnboundedSender<FeedEvent>>>>);

impl Feed {
    /// Subscribes to everything applied from now on. Subscribers must keep reading: the queue is unbounded,
    /// since applying must not wait for them.
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

/// Forwards applied changes to the watches and the feed.
pub struct Fanout {
    /// For blocking queries and node sessions.
    pub watches: Arc<Watches>,
    /// For the leader's duties.
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
