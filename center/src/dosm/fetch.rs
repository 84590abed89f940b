//! FETCH and FETCH_DIGESTS: an object's bytes, all or a range of them, each block checked before it leaves.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::try_unfold;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use protocol::digest::{BLOCK_BYTES, Fingerprint};
use protocol::id::CustomerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{Answer, Keeping};
use super::body::{Body, BodyError, complete, empty};
use super::cache::{Cache, Piece, Reader, Source, read_now};
use super::conditions::Fields;
use super::refusal::Refusal;
use crate::objects::FetchError;

/// Memory for whole blocks on their way out of all connections, in KiB.
const OUTGOING_KIB: usize = 32 << 10;
/// What a connection gets at a time when that memory is used up, by clients too slow or unwilling to read: then each
/// piece costs the reading and checking of its block, but nobody waits for them.
const SCARCE_BYTES: usize = 128 << 10;

/// Serves objects.
#[derive(Debug)]
pub struct Fetcher<S: Source> {
    cache: Cache<S>,
    memory: Arc<Semaphore>,
}

/// The parts of a request that matter here, its SRL being authentic.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'request, F> {
    /// GET or HEAD.
    pub method: &'request Method,
    /// Conditions and range.
    pub fields: &'request F,
    /// The customer's part of the SRL.
    pub uri: &'request str,
    /// Whose SRL it is.
    pub customer: CustomerId,
    /// How long the answer may be kept.
    pub keeping: Keeping,
    /// Seconds since the epoch.
    pub now: u64,
}

impl<S: Source> Fetcher<S> {
    /// Through this cache.
    pub fn new(cache: Cache<S>) -> Self {
        Self { cache, memory: Arc::new(Semaphore::new(OUTGOING_KIB)) }
    }

    /// The object's bytes.
    pub async fn fetch<F: Fields>(
        &self,
        request: &FetchRequest<'_, F>,
        name: Fingerprint,
    ) -> Result<Response<Body>, Refusal> {
        let object = self.cache.fetch(request.customer, name, request.now).await?;
        let answer = request.answer(&object)?;
        let body = if *request.method == Method::HEAD || answer.start == answer.end {
            empty(StatusCode::OK).into_body()
        } else {
            self.body(self.outgoing(object, &answer)).await?
        };
        Ok(answer.into_response(body))
    }

    /// As [`Self::fetch`], if nobody need be asked and no error told. `None` as well where nothing would be won: the
    /// object lies in no file, or is empty.
    pub fn at_hand<F: Fields>(
        &self,
        request: FetchRequest<'_, F>,
        name: Fingerprint,
    ) -> Option<(Answer, Outgoing<S>)> {
        let object = self.cache.at_hand(request.customer, name, request.now)?;
        if object.content().size == 0 {
            return None;
        }
        let answer = request.answer(&object).ok()?;
        let mut outgoing = self.outgoing(object, &answer);
        if *request.method == Method::HEAD {
            outgoing.end = outgoing.offset;
        }
        Some((answer, outgoing))
    }

    /// The digests by which a receiver checks ranges.
    pub async fn digests(
        &self,
        customer: CustomerId,
        name: Fingerprint,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let object = self.cache.fetch(customer, name, now).await?;
        Ok(complete(StatusCode::OK, "application/octet-stream", object.block_digests()))
    }

    fn outgoing(&self, object: Reader<S>, answer: &Answer) -> Outgoing<S> {
        Outgoing { object, offset: answer.start, end: answer.end, memory: Arc::clone(&self.memory) }
    }

    /// The first block is read before the answer begins: if no copy can be read, that is still told by a status.
    async fn body(&self, mut outgoing: Outgoing<S>) -> Result<Body, Refusal> {
        let first = outgoing.next_in_memory().await?;
        let blocks = try_unfold((Some(first), outgoing), |(first, mut rest)| async move {
            if let Some(first) = first {
                return Ok(Some((Frame::data(first), (None, rest))));
            }
            if rest.left() == 0 {
                return Ok(None);
            }
            let next = rest.next_in_memory().await.map_err(|_| BodyError)?;
            Ok(Some((Frame::data(next), (None, rest))))
        });
        Ok(StreamBody::new(blocks).boxed_unsync())
    }
}

impl<F: Fields> FetchRequest<'_, F> {
    fn answer<S: Source>(&self, object: &Reader<S>) -> Result<Answer, Refusal> {
        Answer::select(self.fields, object.content(), self.uri, self.keeping, self.now)
    }
}

/// An object on its way out, from `offset` up to `end`.
#[derive(Debug)]
pub struct Outgoing<S: Source> {
    object: Reader<S>,
    offset: u64,
    end: u64,
    memory: Arc<Semaphore>,
}

impl<S: Source> Outgoing<S> {
    /// Bytes still to come.
    pub const fn left(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }

    /// The next bytes where they lie, if they may be sent from there at once; the caller says by [`Self::advance`] how
    /// many it took.
    pub fn next_in_file(&mut self) -> Option<Piece> {
        let left = self.left();
        if left == 0 { None } else { self.object.piece(self.offset, left) }
    }

    /// Appends the rest, which lies within one block, if it can be had at once.
    pub fn append_rest(&mut self, out: &mut Vec<u8>) -> bool {
        let left = self.left();
        let Some(piece) = self.object.piece_in_file(self.offset, left).filter(|piece| piece.len == left)
        else {
            return false;
        };
        let before = out.len();
        // At most a block.
        out.resize(before + left as usize, 0);
        let was_read = read_now(&piece.file, &mut out[before..], piece.offset);
        if was_read {
            self.advance(left);
        } else {
            out.truncate(before);
        }
        was_read
    }

    /// So many bytes were taken.
    pub const fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    /// The next bytes, of which there are some, wherever they must be fetched from.
    pub async fn next_in_memory(&mut self) -> Result<Bytes, FetchError> {
        let index = self.offset / BLOCK_BYTES;
        let block_start = index * BLOCK_BYTES;
        let kib = u32::try_from(self.object.content().block_len(index).div_ceil(1024)).unwrap_or(1024);
        let permit = Arc::clone(&self.memory).try_acquire_many_owned(kib).ok();
        let block = self.object.read_block(index).await?;
        // Both lie within one block, so they fit.
        let from = (self.offset - block_start) as usize;
        let to = (self.end - block_start).min(block.len() as u64) as usize;
        let bytes = match permit {
            Some(permit) => Bytes::from_owner(Accounted { bytes: block.slice(from..to), _permit: permit }),
            None => Bytes::copy_from_slice(&block[from..to.min(from + SCARCE_BYTES)]),
        };
        self.advance(bytes.len() as u64);
        Ok(bytes)
    }
}

/// Bytes that count as used memory until they are sent.
struct Accounted {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Accounted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
