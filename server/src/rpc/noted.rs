//! Notes which connections are used by requests and streams, so that unused ones can be closed.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::net::InUse;
use crate::trust::Caller;

/// A service whose requests use their connections until their answers have ended.
#[derive(Clone)]
pub(super) struct Noted<S>(pub(super) S);

impl<S> Service<Request<Body>> for Noted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let in_use = request.extensions().get::<Caller>().map(|caller| caller.usage.begin());
        let answer = self.0.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Body::new(Answer { body, _in_use: in_use }))) })
    }
}

/// The body of an answer, which uses its connection.
struct Answer {
    body: Body,
    _in_use: Option<InUse>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::{Ipv4Addr, SocketAddr};

    use http_body_util::BodyExt;
    use tower::ServiceExt;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn a_request_uses_its_connection_until_its_answer_has_ended() {
        let caller = Caller::stranger(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let usage = caller.usage.clone();
        let answers = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::new(http_body_util::Full::new(Bytes::from_static(
                b"said",
            )))))
        });
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(caller);
        assert!(usage.unused_since().is_some());
        let answer = Noted(answers).oneshot(request).await.unwrap();
        assert!(usage.unused_since().is_none());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((&b"said"[..], true), (&*body, usage.unused_since().is_some()));
    }
}
