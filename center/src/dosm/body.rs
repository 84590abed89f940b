//! Bodies of requests and answers, as they come and go: never a whole object in memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use thiserror::Error;

/// A body of an answer.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Bytes gathered before they are hashed and written: hyper hands them out in pieces of some KiB, each of which
/// would cost a thread's wake-up.
const GATHERED_BYTES: usize = 256 << 10;

/// Longest silence in the middle of a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A body ended before its end.
#[derive(Clone, Copy, Debug, Error)]
#[error("the body came too slowly or not whole")]
pub struct BodyError;

/// The next piece of a request's body; `None` at its end.
pub async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await.map_err(|_| BodyError)?;
        match frame.transpose().map_err(|_| BodyError)? {
            None => return Ok(None),
            // What is no data is trailers, which mean nothing here.
            Some(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// As [`next_piece`], in larger pieces; empty at the end.
pub async fn gather(body: &mut Incoming) -> Result<Bytes, BodyError> {
    let mut gathered = BytesMut::new();
    while gathered.len() < GATHERED_BYTES {
        match next_piece(body).await? {
            None => break,
            Some(piece) => gathered.extend_from_slice(&piece),
        }
    }
    Ok(gathered.freeze())
}

/// An answer with a body at hand.
pub fn complete(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
