//! Scripts in the pages of any site may use SRLs (SYS-12; CORS, WHATWG Fetch §3.2).
//!
//! An SRL is its own permission: no cookie and no password that a browser would add counts for anything here. So a page
//! may do with one what anybody may who has it.

use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Response, StatusCode};

use super::body::{Body, empty};

/// Header fields of every answer to an SRL: who may read it, and which of its fields besides those that all scripts may.
pub const FIELDS: [(HeaderName, &str); 2] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "accept-ranges, content-range, etag, location, retry-after"),
];
/// Those of the answer to a browser that asks first.
const PREFLIGHT: [(HeaderName, &str); 4] = [
    (header::ALLOW, "GET, HEAD, OPTIONS, POST, PUT"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "content-md5, content-type, if-match, if-none-match, if-range, range, x-content-blake3, x-upload-token",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
];

/// Lets any page read an answer.
pub fn permit(headers: &mut HeaderMap) {
    add(headers, FIELDS);
}

/// The answer to OPTIONS, which browsers send without any SRL's permission being needed: nothing is told of the object.
pub fn preflight() -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    permit(response.headers_mut());
    add(response.headers_mut(), PREFLIGHT);
    response
}

fn add<const COUNT: usize>(headers: &mut HeaderMap, fields: [(HeaderName, &'static str); COUNT]) {
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
