//! Reads of the tables. They are confirmed to be current unless the caller accepts stale ones; blocking queries
//! wait for a change.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use ordu_core::limits::{BLOCKING_QUERIES_MAX, INLINE_BYTES_MAX};
use ordu_core::state::Reader;
use tokio::time::Instant;

use super::Api;
use super::access::Grant;
use super::answer::{Answer, Encoded, Freshness};
use super::error::HttpError;
use super::paging::Page;
use super::request::Request;
use super::routes::Route;
use super::scope::Wait;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::watch::Key;

/// Returns the keys whose changes can affect the answer.
pub(super) type Keys = fn(&Request) -> Result<Vec<Key>, HttpError>;
/// Reads from one view of the tables.
pub(super) type Find = fn(&View<'_>) -> Result<Found, HttpError>;

/// How many rows a read looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A few rows.
    Point,
    /// Possibly very many: the read runs on a separate thread, off those that serve raft and other requests.
    List,
}

/// Arguments of a read, with one consistent view of the tables.
pub(super) struct View<'a> {
    pub(super) reader: &'a dyn Reader,
    pub(super) request: &'a Request,
    pub(super) grant: Grant,
    /// For documents that report how current they are.
    pub(super) cluster: &'a Cluster,
}

impl View<'_> {
    /// Returns how current the read is. A blocking query may be answered later, so it counts as unconfirmed.
    pub(super) fn freshness(&self) -> Freshness {
        if self.request.scope.stale || self.request.scope.wait.is_some() {
            Freshness::of(self.cluster)
        } else {
            Freshness::CONFIRMED
        }
    }

    /// Whether a list includes rows of this namespace: the query asks for them, and the caller may see them.
    pub(super) fn lists(&self, namespace: &str) -> bool {
        self.request.scope.list_namespace().is_none_or(|asked| asked == namespace)
            && self.grant.shows(namespace)
    }
}

/// The result of a read.
pub(super) struct Found {
    /// The index of what was read.
    pub(super) index: u64,
    /// The document as JSON, or the text of a 404.
    pub(super) body: Result<Vec<u8>, &'static str>,
    /// The token of the next page, unless this is the last one.
    pub(super) next_token: Option<String>,
    /// The namespace of a row that was looked up by its id alone.
    pub(super) namespace: Option<String>,
}

impl Found {
    /// A whole document.
    pub(super) fn json(index: u64, json: Vec<u8>) -> Self {
        Self { index, body: Ok(json), next_token: None, namespace: None }
    }

    /// Nothing was found; `text` is the body of the 404.
    pub(super) fn nothing(index: u64, text: &'static str) -> Self {
        Self { index, body: Err(text), next_token: None, namespace: None }
    }

    /// A page of a list.
    pub(super) fn page(index: u64, page: Page) -> Self {
        Self { index, body: Ok(page.json), next_token: page.next_token, namespace: None }
    }

    /// Sets the namespace of what was found.
    pub(super) fn of(mut self, namespace: String) -> Self {
        self.namespace = Some(namespace);
        self
    }

    fn encoded(self, request: &Request) -> Arc<Encoded> {
        Arc::new(match self.body {
            Ok(json) => Encoded::json(request, Some(self.index), json).before(self.next_token),
            Err(text) => Encoded::text(StatusCode::NOT_FOUND, Some(self.index), text),
        })
    }
}

/// A route's read and the caller's grant.
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) route: &'static Route,
    pub(super) grant: Grant,
    pub(super) keys: Keys,
    pub(super) find: Find,
    pub(super) size: Size,
}

/// Answers a read.
pub(super) async fn read(api: &Arc<Api>, read: Read, request: Arc<Request>) -> Result<Answer, HttpError> {
    let (context, scope) = (&api.context, &request.scope);
    scope.confirm(&context.reads).await?;
    let (encoded, waited) = match scope.wait {
        Some(wait) => news(api, read, &request, wait).await?,
        None => (run(api, read, &request, false).await?, false),
    };
    let freshness =
        if scope.stale || waited { Freshness::of(&context.cluster) } else { Freshness::CONFIRMED };
    Ok(Answer::read(encoded, freshness))
}

fn is_news(encoded: &Encoded, wait: Wait) -> bool {
    encoded.index.is_none_or(|index| index > wait.index)
}

/// Answers a blocking query once the index is greater than the caller's, or when the wait is over. Also returns
/// whether it waited.
async fn news(
    api: &Arc<Api>,
    read: Read,
    request: &Arc<Request>,
    wait: Wait,
) -> Result<(Arc<Encoded>, bool), HttpError> {
    let context = &api.context;
    let deadline = Instant::now() + wait.at_most + jitter(wait.at_most);
    let watch = context.watches.watch((read.keys)(request)?);
    let ticket = api.waiting.join(request.share_key(read.route.info.path));
    let applied = || context.state.applied_index();
    let mut held = None;
    loop {
        // A change that was announced before this has an applied index by now, so any answer read at this index
        // or a later one includes it; a change announced from here on wakes us. Other log entries applied
        // meanwhile do not matter to this query.
        let armed = watch.armed();
        let asked = applied();
        let encoded = ticket.slot().answer(asked, applied, run(api, read, request, held.is_some())).await?;
        if is_news(&encoded, wait) {
            return Ok((encoded, held.is_some()));
        }
        if held.is_none() {
            held = Some(api.waiting.hold(BLOCKING_QUERIES_MAX).ok_or_else(too_many)?);
        }
        tokio::select! {
            () = armed.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok((encoded, true)),
            () = api.shutdown.cancelled() => return Ok((encoded, true)),
        }
    }
}

fn too_many() -> HttpError {
    let text = format!("this server already holds {BLOCKING_QUERIES_MAX} blocking queries; ask again later");
    HttpError::too_much(text)
}

/// Draws up to a sixteenth of the wait, so that queries that began together do not all return together.
fn jitter(wait: Duration) -> Duration {
    let drawn = u32::from_be_bytes(ordu_store::runtime::random_bytes::<4>());
    (wait / 16).mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

/// Reads once. `has_waited`: for a blocking query that was let in before, and is not refused now because many others
/// were woken by the same change.
async fn run(
    api: &Api,
    read: Read,
    request: &Arc<Request>,
    has_waited: bool,
) -> Result<Arc<Encoded>, HttpError> {
    let (context, reading) = (&api.context, &api.room.reading);
    let blocks = context.state.db().blocks();
    if blocks && read.size == Size::List {
        api.room.answers.check()?;
        let (context, request) = (context.clone(), request.clone());
        let encoded = move || Ok(find(&context, read, &request)?.encoded(&request));
        return if has_waited {
            reading.work_after_all(encoded).await?
        } else {
            reading.work(encoded).await?
        };
    }
    let found = find(context, read, request)?;
    let is_large = found.body.as_ref().is_ok_and(|json| json.len() > INLINE_BYTES_MAX);
    if blocks && is_large && (request.gzip || request.pretty) {
        // Compressing or indenting the answer takes many times longer than the read.
        let request = request.clone();
        let encoded = move || found.encoded(&request);
        return if has_waited { reading.work_after_all(encoded).await } else { reading.work(encoded).await };
    }
    Ok(found.encoded(request))
}

fn find(context: &Context, read: Read, request: &Request) -> Result<Found, HttpError> {
    let (grant, cluster) = (read.grant, &context.cluster);
    let found = context.state.read(|reader| (read.find)(&View { reader, request, grant, cluster }))?;
    if found.body.is_ok() {
        grant.found(found.namespace.as_deref())?;
    }
    Ok(found)
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
