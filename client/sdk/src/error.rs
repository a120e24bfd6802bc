//! Errors of the client.

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address in the client's options is invalid.
    #[error("{address:?} is not an address of the form http://host:port: {cause}")]
    Address {
        /// The given address.
        address: String,
        /// What is wrong with it.
        cause: String,
    },
    /// There was no answer. A write may or may not have taken effect.
    #[error("no answer from {address}: {}", chain(source))]
    Unreachable {
        /// The address that the request was sent to.
        address: String,
        /// The transport's error.
        source: reqwest::Error,
    },
    /// The server refused the request or failed.
    #[error("Unexpected response code: {status} ({body})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The text of the answer.
        body: String,
    },
    /// The answer is larger than the client accepts.
    #[error("the answer to {path} is larger than {bytes_max} bytes")]
    TooLarge {
        /// The path of the request.
        path: String,
        /// The bound, bytes.
        bytes_max: usize,
    },
    /// The answer is not of the type that the API documents.
    #[error("the answer to {path} cannot be read: {source}")]
    Decode {
        /// The path of the request.
        path: String,
        /// The decoder's error.
        source: serde_json::Error,
    },
}

impl Error {
    /// Returns the HTTP status, if the server answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server answered that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}

/// Returns the innermost cause: reqwest's outer errors only say that a request failed.
fn chain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
