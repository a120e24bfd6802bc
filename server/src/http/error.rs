//! Errors that requests are answered with: a status and a plain text.

use axum::http::StatusCode;
use ordu_core::command::UNREADABLE_STATUS;
use ordu_core::job::{BodyError, InvalidNamespace};
use ordu_core::state::Corrupt;

use crate::contain::ShuttingDown;
use crate::error::{ReadError, WriteError};

/// Why a request failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// Whether the same request may succeed a moment later.
    pub(super) may_retry: bool,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), may_retry: false }
    }

    /// 503: this server is overloaded.
    pub(super) fn busy(text: impl Into<String>) -> Self {
        Self { may_retry: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    /// 429: this client has too much under way.
    pub(super) fn too_much(text: impl Into<String>) -> Self {
        Self { may_retry: true, ..Self::new(StatusCode::TOO_MANY_REQUESTS, text) }
    }

    /// 400: the request cannot be read.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The request was understood, but the caller must change it. Nomad answers such refusals with status 500;
    /// here 5xx means a fault of the servers, and clients recognise a refusal by its text.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        let text = text.into();
        let status =
            if text.ends_with("not found") { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Self::new(status, text)
    }

    /// 500: a fault of the servers.
    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl From<Corrupt> for HttpError {
    fn from(corrupt: Corrupt) -> Self {
        tracing::error!(%corrupt, "a read met a row that cannot be");
        Self::internal(format!("the server's state cannot be read: {corrupt}"))
    }
}

impl From<BodyError> for HttpError {
    fn from(error: BodyError) -> Self {
        Self::new(StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST), error.text)
    }
}

impl From<InvalidNamespace> for HttpError {
    fn from(invalid: InvalidNamespace) -> Self {
        Self::bad_request(invalid.to_string())
    }
}

impl From<ShuttingDown> for HttpError {
    fn from(_: ShuttingDown) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "this server is shutting down")
    }
}

impl From<ReadError> for HttpError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Behind(_) => Self::busy(error.to_string()),
            ReadError::NoLeader | ReadError::Unconfirmed(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<WriteError> for HttpError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused { status, text } if u32::from(status) == UNREADABLE_STATUS => {
                Self::internal(text)
            }
            // The status in the log entry's answer is Nomad's, which may be 500 for a refusal.
            WriteError::Refused { status, text } => match StatusCode::from_u16(status) {
                Ok(status) if status.is_client_error() => Self::new(status, text),
                _ => Self::refused(text),
            },
            WriteError::NoRoom(text) => Self::new(StatusCode::INSUFFICIENT_STORAGE, text),
            WriteError::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            WriteError::NoLeader | WriteError::Unknown(_) => Self::internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_no_fault_of_the_servers_but_for_a_row_that_cannot_be_decoded() {
        for (logged, text, status) in [
            (500, "job not found", 404),
            (500, "job \"a\" in namespace \"default\" at version 3 not found", 404),
            (500, "Payload exceeds maximum size; 16385 > 16384", 400),
            (400, "Job must be specified", 400),
            (409, "the leader that proposed this no longer leads", 409),
            (7, "nonsense", 400),
            // A row that cannot be decoded is a fault of the servers.
            (520, "nothing is changed, since a row that is needed cannot be decoded", 500),
        ] {
            let refused = HttpError::from(WriteError::Refused { status: logged, text: text.to_owned() });
            assert_eq!((status, text), (refused.status.as_u16(), &*refused.text));
        }
        assert_eq!(500, HttpError::from(WriteError::NoLeader).status.as_u16());
    }

    #[test]
    fn only_what_was_never_handed_to_raft_is_answered_as_not_done() {
        let unknown = HttpError::from(WriteError::Unknown("raft ended here".to_owned()));
        assert_eq!(
            (500, "the outcome of the write is unknown: raft ended here"),
            (unknown.status.as_u16(), &*unknown.text)
        );
        assert_eq!(503, HttpError::from(WriteError::Stopped).status.as_u16());
    }
}
