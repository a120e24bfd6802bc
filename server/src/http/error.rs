//! A request that is answered with an error: a status and a raw text.

use axum::http::StatusCode;
use ordu_core::job::BodyError;
use ordu_core::state::Corrupt;

use crate::contain::ShuttingDown;
use crate::error::{ReadError, WriteError};

/// Why a request is not answered with what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// The caller's request cannot be read.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// What Nomad answers with 500, though it may be the caller's fault.
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

impl From<ShuttingDown> for HttpError {
    fn from(_: ShuttingDown) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "this server is shutting down")
    }
}

impl From<ReadError> for HttpError {
    fn from(error: ReadError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<WriteError> for HttpError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused { status, text } => {
                Self::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text)
            }
            WriteError::Stopped => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            WriteError::NoLeader | WriteError::Unknown(_) => Self::internal(error.to_string()),
        }
    }
}
