//! Every way a request can fail, and the one table that turns it into status, code and words.

use http::{HeaderValue, Response, StatusCode, header};
use protocol::pair::Generation;
use protocol::srl::SrlError;
use protocol::vfs::xml::encode_error;
use protocol::vfs::{VfsError, VfsErrorCode};
use thiserror::Error;

use super::body::{Body, BodyError, complete};
use crate::objects::{FetchError, StoreError};

/// Why a request was not done.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Not a request we understand.
    #[error("{0}")]
    Malformed(String),
    /// The SRL does not permit it.
    #[error(transparent)]
    Srl(SrlError),
    /// Its customer took it back.
    #[error("this was revoked")]
    Revoked,
    /// The customer's server did not permit it, or could not be asked (SRL-10); nobody is told which.
    #[error("the customer whose object it is does not permit this now")]
    NotPermitted,
    /// Nothing there, or nothing this customer may see.
    #[error("no such object")]
    NotFound,
    /// Another process of the storage center does this.
    #[error("there is no {0} at this address; ask one of the storage center's others")]
    OtherPart(&'static str),
    /// The path is right, the method is not.
    #[error("this SRL is not for this method; allowed: {0}")]
    Method(&'static str),
    /// The range lies outside the object.
    #[error("the object has {size} bytes")]
    Range {
        /// Its size.
        size: u64,
    },
    /// `If-Match` does not hold.
    #[error("the object has another ETag")]
    Precondition,
    /// The bytes are not those announced.
    #[error("{0}; nothing was stored, send it again")]
    Mismatch(String),
    /// Two contents with one MD5.
    #[error("{0}; nothing was stored")]
    Collision(String),
    /// The body is larger than allowed.
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not come.
    #[error("the request's body came too slowly or not whole")]
    Body,
    /// Disks full.
    #[error("the storage center has no room for the object")]
    NoSpace,
    /// The VFS refused the file row.
    #[error("{}", .0.message)]
    Row(VfsError),
    /// Try again later. The reason is for the log.
    #[error("the storage center cannot do this now; try again later")]
    Unavailable(String),
}

impl Refusal {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) | Self::Srl(SrlError::Malformed(_)) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Srl(SrlError::NotAuthentic) => (StatusCode::FORBIDDEN, "not-authentic"),
            Self::Srl(SrlError::Expired) => (StatusCode::FORBIDDEN, "expired"),
            Self::Srl(SrlError::NotAllowed) => (StatusCode::FORBIDDEN, "not-allowed"),
            Self::Revoked => (StatusCode::FORBIDDEN, "revoked"),
            Self::NotPermitted => (StatusCode::FORBIDDEN, "not-permitted"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::OtherPart(_) => (StatusCode::MISDIRECTED_REQUEST, "not-found"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "not-allowed"),
            Self::Range { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "range"),
            Self::Precondition => (StatusCode::PRECONDITION_FAILED, "precondition"),
            Self::Mismatch(_) => (StatusCode::BAD_REQUEST, "digest-mismatch"),
            Self::Collision(_) => (StatusCode::CONFLICT, "collision"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "malformed"),
            Self::Body => (StatusCode::REQUEST_TIMEOUT, "malformed"),
            Self::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "no-space"),
            Self::Row(error) => (status_of(error.code), word_of(error.code)),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status_and_code().0
    }

    /// The generation in force, if that is why.
    fn generation(&self) -> Option<Generation> {
        match self {
            Self::Row(error) => error.code.generation(),
            _ => None,
        }
    }

    /// The answer: an XML error.
    pub fn into_response(self) -> Response<Body> {
        let (status, code) = self.status_and_code();
        if let Self::Unavailable(reason) = &self {
            tracing::warn!(reason, "a request was put off");
        }
        let mut response =
            complete(status, "application/xml", encode_error(code, self.generation(), &self.to_string()));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Range { size } => {
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
            }
            Self::Method(allowed) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What is left of the body is not worth waiting for.
            Self::Body | Self::TooLarge(_) => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

fn status_of(code: VfsErrorCode) -> StatusCode {
    match code {
        VfsErrorCode::NotFound | VfsErrorCode::NoSuchObject => StatusCode::NOT_FOUND,
        VfsErrorCode::Exists
        | VfsErrorCode::NotEmpty
        | VfsErrorCode::NotFolder
        | VfsErrorCode::IsFolder
        | VfsErrorCode::VersionMismatch
        | VfsErrorCode::Superseded(_) => StatusCode::CONFLICT,
        VfsErrorCode::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
        VfsErrorCode::Invalid => StatusCode::BAD_REQUEST,
        VfsErrorCode::Denied => StatusCode::FORBIDDEN,
        VfsErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn word_of(code: VfsErrorCode) -> &'static str {
    match code {
        VfsErrorCode::QuotaExceeded => "quota",
        code => code.as_str(),
    }
}

impl From<SrlError> for Refusal {
    fn from(error: SrlError) -> Self {
        Self::Srl(error)
    }
}

impl From<VfsError> for Refusal {
    fn from(error: VfsError) -> Self {
        Self::Row(error)
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NotFound => Self::NotFound,
            FetchError::Unavailable => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Mismatch(_) => Self::Mismatch(error.to_string()),
            StoreError::Collision(_) => Self::Collision(error.to_string()),
            StoreError::NoSpace => Self::NoSpace,
            StoreError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(_: BodyError) -> Self {
        Self::Body
    }
}
