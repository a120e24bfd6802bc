//! Reads of the tables: confirmed to be current unless the caller takes stale ones, and held back where
//! the caller waits for a change.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use ordu_core::limits::BLOCKING_QUERIES_MAX;
use ordu_core::state::Reader;
use tokio::time::Instant;

use super::Api;
use super::answer::{Answer, Encoded, Freshness};
use super::error::HttpError;
use super::paging::Page;
use super::request::Request;
use super::routes::Route;
use super::shared::Slot;
use crate::cluster::Cluster;
use crate::contain::on_blocking_thread;
use crate::context::Context;
use crate::watch::Key;

/// What a read of this request may be changed by.
pub(super) type Keys = fn(&Request) -> Result<Vec<Key>, HttpError>;
/// Reads.
pub(super) type Find = fn(&View<'_>) -> Result<Found, HttpError>;

/// How much a read looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A few rows.
    Point,
    /// Possibly very many: it goes to a thread of its own, off those that serve raft and others.
    List,
}

/// What a read works with: one consistent view of the tables.
pub(super) struct View<'a> {
    pub(super) reader: &'a dyn Reader,
    pub(super) request: &'a Request,
    /// For answers that say within how current they are.
    pub(super) cluster: &'a Cluster,
}

impl View<'_> {
    /// How current what is read is; of a blocking query as it may be when it answers.
    pub(super) fn freshness(&self) -> Freshness {
        if self.request.stale || self.request.index > 0 {
            Freshness::of(self.cluster)
        } else {
            Freshness::CONFIRMED
        }
    }
}

/// What a read found.
pub(super) struct Found {
    /// The index of what was read.
    pub(super) index: u64,
    /// The document as JSON, or the text of a 404.
    pub(super) body: Result<Vec<u8>, &'static str>,
    /// Of a page that is not the last: what the next one is asked for by.
    pub(super) next_token: Option<String>,
}

impl Found {
    /// A whole document.
    pub(super) fn json(index: u64, json: Vec<u8>) -> Self {
        Self { index, body: Ok(json), next_token: None }
    }

    /// Nothing; the text says so.
    pub(super) fn nothing(index: u64, text: &'static str) -> Self {
        Self { index, body: Err(text), next_token: None }
    }

    /// A page of a list.
    pub(super) fn page(index: u64, page: Page) -> Self {
        Self { index, body: Ok(page.json), next_token: page.next_token }
    }
}

/// A read of a route.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) route: &'static Route,
    pub(super) keys: Keys,
    pub(super) find: Find,
    pub(super) size: Size,
}

/// Answers a read.
pub(super) async fn read(api: &Arc<Api>, read: Read, request: Arc<Request>) -> Result<Answer, HttpError> {
    let context = &api.context;
    if !request.stale {
        context.reads.confirm().await?;
    }
    let mut encoded = run(context, read, &request).await?;
    let mut waited = false;
    if read.route.info.blocks && request.index > 0 && !is_news(&encoded, &request) {
        encoded = wait_for_news(api, read, &request).await?;
        waited = true;
    }
    let freshness =
        if request.stale || waited { Freshness::of(&context.cluster) } else { Freshness::CONFIRMED };
    Ok(Answer::read(encoded, freshness))
}

fn is_news(encoded: &Encoded, request: &Request) -> bool {
    encoded.index.is_none_or(|index| index > request.index)
}

async fn wait_for_news(
    api: &Arc<Api>,
    read: Read,
    request: &Arc<Request>,
) -> Result<Arc<Encoded>, HttpError> {
    let context = &api.context;
    if context.watches.watchers() >= BLOCKING_QUERIES_MAX {
        let text =
            format!("this server already holds {BLOCKING_QUERIES_MAX} blocking queries; ask again later");
        return Err(HttpError::new(StatusCode::TOO_MANY_REQUESTS, text));
    }
    let deadline = Instant::now() + request.wait + jitter(request.wait);
    let watch = context.watches.watch((read.keys)(request)?);
    let ticket = api.waiting.join(request.share_key(read.route.info.path));
    loop {
        // Armed before the read: what changes after it wakes, what changed before it is read.
        let armed = watch.armed();
        let encoded = shared_read(context, ticket.slot(), read, request).await?;
        if is_news(&encoded, request) {
            return Ok(encoded);
        }
        tokio::select! {
            () = armed.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(encoded),
            () = api.shutdown.cancelled() => return Ok(encoded),
        }
    }
}

/// Up to a sixteenth of the wait, so that those who asked together do not all come back together.
fn jitter(wait: Duration) -> Duration {
    let drawn = u32::from_be_bytes(ordu_store::runtime::random_bytes::<4>());
    (wait / 16).mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

/// Reads, or takes what another reader has of at least the present state.
async fn shared_read(
    context: &Context,
    slot: &Slot,
    read: Read,
    request: &Arc<Request>,
) -> Result<Arc<Encoded>, HttpError> {
    if let Some(encoded) = slot.at(context.state.applied_index()) {
        return Ok(encoded);
    }
    let _turn = slot.turn().await;
    // Looked at before the read, so that what is read is at least as new as it says.
    let applied = context.state.applied_index();
    if let Some(encoded) = slot.at(applied) {
        return Ok(encoded);
    }
    let encoded = run(context, read, request).await?;
    slot.put(applied, encoded.clone());
    Ok(encoded)
}

async fn run(context: &Context, read: Read, request: &Arc<Request>) -> Result<Arc<Encoded>, HttpError> {
    if read.size == Size::Point || !context.state.db().blocks() {
        return find(context, read, request);
    }
    let (context, request) = (context.clone(), request.clone());
    on_blocking_thread(move || find(&context, read, &request)).await?
}

fn find(context: &Context, read: Read, request: &Request) -> Result<Arc<Encoded>, HttpError> {
    let cluster = &context.cluster;
    let found = context.state.read(|reader| (read.find)(&View { reader, request, cluster }))?;
    Ok(Arc::new(match found.body {
        Ok(json) => Encoded::json(request, Some(found.index), json).before(found.next_token),
        Err(text) => Encoded::text(StatusCode::NOT_FOUND, Some(found.index), text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jitter_is_at_most_a_sixteenth() {
        let wait = Duration::from_secs(16);
        let drawn: Vec<Duration> = (0..100).map(|_| jitter(wait)).collect();
        assert!(drawn.iter().all(|jitter| *jitter <= Duration::from_secs(1)));
        assert!(drawn.iter().any(|jitter| *jitter != drawn[0]));
    }
}
