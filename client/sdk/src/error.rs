//! Why a request has no answer.

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the client's options is none.
    #[error("{address:?} is not an address of the form http://host:port: {cause}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No answer came. A write may or may not have taken effect.
    #[error("no answer from {address}: {}", chain(source))]
    Unreachable {
        /// Where the request went.
        address: String,
        /// The transport's error.
        source: reqwest::Error,
    },
    /// The server answered that it will not or cannot.
    #[error("Unexpected response code: {status} ({body})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The text of the answer.
        body: String,
    },
    /// The answer is larger than a client takes.
    #[error("the answer to {path} is larger than {bytes_max} bytes")]
    TooLarge {
        /// The path of the request.
        path: String,
        /// The bound.
        bytes_max: usize,
    },
    /// The answer is not what the API answers.
    #[error("the answer to {path} cannot be read: {source}")]
    Decode {
        /// The path of the request.
        path: String,
        /// The decoder's error.
        source: serde_json::Error,
    },
}

impl Error {
    /// The HTTP status, if the server answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The server says that what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}

/// The innermost cause: reqwest's outer ones only say that a request failed.
fn chain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
