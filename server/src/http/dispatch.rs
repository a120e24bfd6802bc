//! Takes every request through route, scope, access, body, handler and response. All failures, even panics,
//! become responses.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use ordu_core::limits::INLINE_BYTES_MAX;
use tokio::time::Instant;

use super::access::{Grant, authorize};
use super::answer::{Answer, error_response};
use super::error::HttpError;
use super::matcher::Matched;
use super::request::{Request, percent_decode};
use super::routes::{Handler, ROUTES, Route, allowed};
use super::{Api, ClientAddress, blocking, body};
use crate::contain::contained;

/// Maximum length of a request's path and query together, bytes.
const TARGET_BYTES_MAX: usize = 16 * 1024;

/// Arguments of a handler that is not a plain read.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) request: Arc<Request>,
    pub(super) grant: Grant,
    pub(super) body: Bytes,
}

impl Call {
    /// Runs work on the body. For a large body it runs on a separate thread, off those that serve raft and
    /// other requests.
    pub(super) async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Call) -> Result<T, HttpError> + Send + 'static,
    ) -> Result<(Self, T), HttpError> {
        let here = self.body.len() <= INLINE_BYTES_MAX || !self.api.context.state.db().blocks();
        let api = self.api.clone();
        let done = move || work(&self).map(|done| (self, done));
        if here { done() } else { api.room.working.work(done).await? }
    }
}

/// Answers a request.
pub(super) async fn dispatch(api: Arc<Api>, request: axum::extract::Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    if let Err(refusal) = api.names.check(&parts) {
        body::discard(body).await;
        api.telemetry.note_unrouted(refusal.status);
        return error_response(refusal);
    }
    let client = parts.extensions.get::<ClientAddress>().map(|ClientAddress(address)| *address);
    let target_bytes = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    let matched = api.matcher.find(&parts.method, parts.uri.path());
    let refusal = match matched {
        _ if target_bytes > TARGET_BYTES_MAX => HttpError::new(
            StatusCode::URI_TOO_LONG,
            format!("the path and the query are longer than {TARGET_BYTES_MAX} bytes"),
        ),
        Matched::Route(number, id) => {
            // A panic is a bug of the server: it is answered with status 500 and affects no other request.
            let answered = contained(answer(&api, &ROUTES[number], id, &parts, body, client)).await;
            let answered = answered.unwrap_or_else(|said| Err(of_panic(&parts, &said)));
            let response_of = |(answer, waited): (Answer, bool)| {
                Ok((answer.into_response(&api.room.answers, client)?, waited))
            };
            let (response, waited) =
                answered.and_then(response_of).unwrap_or_else(|error| (error_response(error), false));
            // A blocking query's duration is the time until a change, which tells nothing about this server's speed.
            let took = (!waited).then(|| started.elapsed());
            api.telemetry.note(number, response.status(), took);
            return response;
        }
        Matched::WrongMethod(routes) => {
            let mut response =
                error_response(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "Invalid method"));
            if let Ok(methods) = HeaderValue::try_from(allowed(routes)) {
                response.headers_mut().insert(ALLOW, methods);
            }
            api.telemetry.note_unrouted(response.status());
            return response;
        }
        Matched::Unknown => HttpError::new(StatusCode::NOT_FOUND, "404 page not found"),
    };
    api.telemetry.note_unrouted(refusal.status);
    error_response(refusal)
}

/// Returns the answer, and whether the request is a blocking query.
async fn answer(
    api: &Arc<Api>,
    route: &'static Route,
    raw_id: &str,
    parts: &Parts,
    body: Body,
    client: Option<IpAddr>,
) -> Result<(Answer, bool), HttpError> {
    let id = percent_decode(raw_id)
        .filter(|id| !id.contains('\0'))
        .ok_or_else(|| HttpError::bad_request("the path is not a text in percent-encoding"))?;
    let mut request = Request::read(id, parts.uri.query().unwrap_or_default(), &parts.headers)?;
    request.has_subpath = raw_id.contains('/');
    if route.info.regional {
        request.scope.check_region(&api.context.options.region)?;
    }
    let grant = authorize(route.info.access, &request.scope, api.rights)?;
    match &route.handler {
        Handler::Read(keys, find, size) => {
            read(api, blocking::Read { route, grant, keys: *keys, find: *find, size: *size }, request).await
        }
        Handler::Query(take, keys, find, size) => {
            let bytes_max = route.info.body_bytes_max;
            // The room for the body is free again before the query waits.
            let (body, _) = body::read(&parts.headers, body, bytes_max, &api.room, client).await?;
            take(api, &mut request, &body)?;
            read(api, blocking::Read { route, grant, keys: *keys, find: *find, size: *size }, request).await
        }
        Handler::Local(local) => Ok((local(api, &request)?.for_operators(), false)),
        Handler::Act(act) => {
            let bytes_max = route.info.body_bytes_max;
            // The room for the body stays reserved until the request is answered.
            let (body, _room) = match bytes_max {
                0 => (Bytes::new(), None),
                _ => body::read(&parts.headers, body, bytes_max, &api.room, client).await?,
            };
            let call = Call { api: api.clone(), request: Arc::new(request), grant, body };
            Ok((act(call).await?, false))
        }
    }
}

/// Answers a read of the tables. Also returns whether it is a blocking query.
async fn read(api: &Arc<Api>, read: blocking::Read, request: Request) -> Result<(Answer, bool), HttpError> {
    let waits = request.scope.wait.is_some();
    Ok((blocking::read(api, read, Arc::new(request)).await?, waits))
}

fn of_panic(parts: &Parts, said: &str) -> HttpError {
    tracing::error!(method = %parts.method, path = parts.uri.path(), said, "a request's handler panicked");
    HttpError::internal("the server met a fault of its own while it handled the request; its log says more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let (parts, ()) = axum::http::Request::get("/v1/jobs").body(()).unwrap().into_parts();
        let said = contained(async { panic!("at {}", 7) }).await.map(|(): ()| ()).unwrap_err();
        assert_eq!(StatusCode::INTERNAL_SERVER_ERROR, of_panic(&parts, &said).status);
    }
}
