//! FETCH and FETCH_DIGESTS: an object's bytes, all or a range of them, each block checked before it leaves.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::try_unfold;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use protocol::digest::{BLOCK_BYTES, Content, Fingerprint};
use protocol::srl::SrlRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{Body, BodyError, complete, empty};
use super::conditions::{Selected, etag, select};
use super::content_type::by_extension;
use super::refusal::Refusal;
use crate::objects::{FetchError, Objects, Readable};

/// Seconds a cache may keep an object whose SRL never expires.
const CACHE_SECONDS_MAX: u64 = 365 * 86_400;
/// Memory for whole blocks on their way out of all connections, in KiB.
const OUTGOING_KIB: usize = 32 << 10;
/// What a connection gets at a time when that memory is used up, by clients too slow or unwilling to read: then each
/// piece costs the reading and checking of its block, but nobody waits for them.
const SCARCE_BYTES: usize = 128 << 10;

/// Serves objects.
#[derive(Clone, Debug)]
pub struct Fetcher<O> {
    objects: O,
    memory: Arc<Semaphore>,
}

/// The parts of a request that matter here.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'request> {
    /// GET or HEAD.
    pub method: &'request Method,
    /// Conditions and range.
    pub headers: &'request HeaderMap,
    /// The customer's part of the SRL.
    pub uri: &'request str,
    /// The authentic SRL.
    pub srl: &'request SrlRequest,
    /// Seconds since the epoch.
    pub now: u64,
}

impl<O: Objects> Fetcher<O> {
    /// From there.
    pub fn new(objects: O) -> Self {
        Self { objects, memory: Arc::new(Semaphore::new(OUTGOING_KIB)) }
    }

    /// The object's bytes.
    pub async fn fetch(
        &self,
        request: FetchRequest<'_>,
        name: Fingerprint,
    ) -> Result<Response<Body>, Refusal> {
        let object = self.objects.open(request.srl.customer, name).await?;
        let Content { size, .. } = *object.content();
        let (status, start, end) = match select(request.headers, name, size) {
            Selected::Whole => (StatusCode::OK, 0, size),
            Selected::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
            Selected::Unsatisfiable => return Err(Refusal::Range { size }),
            Selected::PreconditionFailed => return Err(Refusal::Precondition),
            Selected::NotModified => return Ok(describe(empty(StatusCode::NOT_MODIFIED), &request, name)),
        };
        let body = if *request.method == Method::HEAD {
            empty(status).into_body()
        } else {
            self.body(Reading::new(object, start, end)).await?
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(by_extension(request.uri)));
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {start}-{}/{size}", end - 1);
            headers.extend(HeaderValue::try_from(range).map(|range| (header::CONTENT_RANGE, range)).ok());
        }
        Ok(describe(response, &request, name))
    }

    /// The digests by which a receiver checks ranges.
    pub async fn digests(
        &self,
        request: FetchRequest<'_>,
        name: Fingerprint,
    ) -> Result<Response<Body>, Refusal> {
        let object = self.objects.open(request.srl.customer, name).await?;
        Ok(complete(StatusCode::OK, "application/octet-stream", object.block_digests()))
    }

    /// The first block is read before the answer begins: if no copy can be read, that is still told by a status.
    async fn body(&self, reading: Reading<O::Object>) -> Result<Body, Refusal> {
        let Some((first, rest)) = reading.next(&self.memory).await? else {
            return Ok(empty(StatusCode::OK).into_body());
        };
        let memory = Arc::clone(&self.memory);
        let blocks = try_unfold((Some(first), rest), move |(first, rest)| {
            let memory = Arc::clone(&memory);
            async move {
                if let Some(first) = first {
                    return Ok(Some((Frame::data(first), (None, rest))));
                }
                let next = rest.next(&memory).await.map_err(|_| BodyError)?;
                Ok(next.map(|(bytes, rest)| (Frame::data(bytes), (None, rest))))
            }
        });
        Ok(StreamBody::new(blocks).boxed_unsync())
    }
}

/// Headers that every answer about an object has (CDN-2). An object never changes under its name, so a cache may keep
/// it for as long as the SRL lasts.
fn describe(mut response: Response<Body>, request: &FetchRequest<'_>, name: Fingerprint) -> Response<Body> {
    let headers = response.headers_mut();
    let max_age = match request.srl.expires {
        0 => CACHE_SECONDS_MAX,
        expires => expires.saturating_sub(request.now).min(CACHE_SECONDS_MAX),
    };
    headers.extend(HeaderValue::try_from(etag(name)).map(|etag| (header::ETAG, etag)).ok());
    let cache = HeaderValue::try_from(format!("max-age={max_age}, immutable"));
    headers.extend(cache.map(|cache| (header::CACHE_CONTROL, cache)).ok());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An object on its way out, from `offset` up to `end`.
struct Reading<R> {
    object: R,
    offset: u64,
    end: u64,
}

impl<R: Readable> Reading<R> {
    fn new(mut object: R, offset: u64, end: u64) -> Self {
        object.expect(offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES));
        Self { object, offset, end }
    }

    async fn next(mut self, memory: &Arc<Semaphore>) -> Result<Option<(Bytes, Self)>, FetchError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let index = self.offset / BLOCK_BYTES;
        let block_start = index * BLOCK_BYTES;
        let kib = u32::try_from(self.object.content().block_len(index).div_ceil(1024)).unwrap_or(1024);
        let permit = Arc::clone(memory).try_acquire_many_owned(kib).ok();
        let block = self.object.read_block(index).await?;
        // Both lie within one block, so they fit.
        let from = (self.offset - block_start) as usize;
        let to = (self.end - block_start).min(block.len() as u64) as usize;
        let bytes = match permit {
            Some(permit) => Bytes::from_owner(Outgoing { bytes: block.slice(from..to), _permit: permit }),
            None => Bytes::copy_from_slice(&block[from..to.min(from + SCARCE_BYTES)]),
        };
        self.offset += bytes.len() as u64;
        Ok(Some((bytes, self)))
    }
}

/// Bytes that count as used memory until they are sent.
struct Outgoing {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Outgoing {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
