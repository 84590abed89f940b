//! What a FETCH is answered before any byte of the object: status and header fields (CDN-2). Pure.
//!
//! There are two ways out, hyper's and the short one ([`crate::http`]); both take their answers from here.

use std::fmt;
use std::io::Write;

use http::header::HeaderName;
use http::{HeaderValue, Response, StatusCode, header};
use protocol::digest::{Content, Fingerprint};

use super::body::Body;
use super::conditions::{Fields, Selected, etag, select};
use super::content_type::by_extension;
use super::cors;
use super::refusal::Refusal;

/// Seconds a cache may keep an object whose SRL never expires.
const CACHE_SECONDS_MAX: u64 = 365 * 86_400;

/// How long caches on the way may keep an answer (CDN-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Until the SRL expires, in seconds since the epoch; 0 for ever. An object never changes under its name.
    Until(u64),
    /// As long as they like, if they ask each time whether it is still right: others may be stored under the name.
    Checked,
    /// Not at all: somebody has to be asked each time.
    Never,
}

/// An answer about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    status: StatusCode,
    fingerprint: Fingerprint,
    size: u64,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    content_type: &'static str,
    caching: Caching,
}

/// What Cache-Control says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caching {
    /// It may be kept for so many seconds.
    MaxAge(u64),
    NoCache,
    NoStore,
}

impl Answer {
    /// The answer to a request with these header fields for this object. `uri` is the customer's part of the SRL;
    /// `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// The range lies outside the object, or a condition does not hold.
    pub fn select(
        fields: &impl Fields,
        content: &Content,
        uri: &str,
        keeping: Keeping,
        now: u64,
    ) -> Result<Self, Refusal> {
        let Content { fingerprint, size, .. } = *content;
        let (status, start, end) = match select(fields, fingerprint, size) {
            Selected::Whole => (StatusCode::OK, 0, size),
            Selected::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
            Selected::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
            Selected::Unsatisfiable => return Err(Refusal::Range { size }),
            Selected::PreconditionFailed => return Err(Refusal::Precondition),
        };
        let caching = match keeping {
            Keeping::Until(0) => Caching::MaxAge(CACHE_SECONDS_MAX),
            Keeping::Until(expires) => Caching::MaxAge(expires.saturating_sub(now).min(CACHE_SECONDS_MAX)),
            Keeping::Checked => Caching::NoCache,
            Keeping::Never => Caching::NoStore,
        };
        Ok(Self { status, fingerprint, size, start, end, content_type: by_extension(uri), caching })
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds its header fields to a response, and its status.
    pub fn into_response(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        self.fields(|name, value| {
            headers.extend(HeaderValue::try_from(value.to_string()).map(|value| (name, value)).ok());
        });
        response
    }

    /// Writes status line and header fields as hyper would write those of [`Self::into_response`]; what belongs to the
    /// connection, and the empty line, are left to the caller.
    pub fn write(&self, version: &str, out: &mut Vec<u8>) {
        let reason = self.status.canonical_reason().unwrap_or_default();
        // Writing to memory does not fail.
        let _ = write!(out, "{version} {} {reason}\r\n", self.status.as_str());
        self.fields(|name, value| _ = write!(out, "{name}: {value}\r\n"));
    }

    /// The fields in their order.
    fn fields(&self, mut add: impl FnMut(HeaderName, fmt::Arguments<'_>)) {
        let Self { status, start, end, size, .. } = *self;
        if status != StatusCode::NOT_MODIFIED {
            add(header::CONTENT_LENGTH, format_args!("{}", end - start));
            add(header::CONTENT_TYPE, format_args!("{}", self.content_type));
        }
        if status == StatusCode::PARTIAL_CONTENT {
            add(header::CONTENT_RANGE, format_args!("bytes {start}-{}/{size}", end - 1));
        }
        add(header::ETAG, format_args!("{}", etag(self.fingerprint)));
        match self.caching {
            Caching::MaxAge(seconds) => {
                add(header::CACHE_CONTROL, format_args!("max-age={seconds}, immutable"));
            }
            Caching::NoCache => add(header::CACHE_CONTROL, format_args!("no-cache")),
            Caching::NoStore => add(header::CACHE_CONTROL, format_args!("private, no-store")),
        }
        add(header::ACCEPT_RANGES, format_args!("bytes"));
        add(header::X_CONTENT_TYPE_OPTIONS, format_args!("nosniff"));
        for (name, value) in cors::FIELDS {
            add(name, format_args!("{value}"));
        }
    }
}
