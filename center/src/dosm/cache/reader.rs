//! An object opened for a request: its blocks, from wherever they are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use protocol::digest::{BLOCK_BYTES, Content};
use protocol::id::CustomerId;
use rustix::io::Errno;

use super::object::{Object, Piece, Spoiled};
use super::source::{Source, SourceObject};
use super::{Shared, trailer};
use crate::objects::FetchError;

/// See the module. It can be read to its end even if the object is deleted meanwhile.
#[derive(Debug)]
pub struct Reader<S: Source> {
    shared: Arc<Shared<S>>,
    object: Arc<Object<S::Object>>,
    customer: CustomerId,
    /// Where its bytes came from, for the counters.
    had: Had,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Had {
    Nothing,
    Hits,
    Misses,
}

impl<S: Source> Reader<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, object: Arc<Object<S::Object>>, customer: CustomerId) -> Self {
        Self { shared, object, customer, had: Had::Nothing }
    }

    /// Fingerprint, size and digest.
    pub fn content(&self) -> &Content {
        self.object.content()
    }

    /// The digests of its blocks; none for an object of one block.
    pub fn block_digests(&self) -> Vec<u8> {
        self.object.digests().as_bytes()
    }

    /// Bytes from `offset` on, at most `max`, if they lie checked in a file and in memory: fit for `sendfile`, by a
    /// thread that must not wait.
    pub fn piece(&mut self, offset: u64, max: u64) -> Option<Piece> {
        let piece = self.object.in_memory(offset, max)?;
        self.note(Had::Hits);
        Some(piece)
    }

    /// As [`Self::piece`], not looking whether they are in memory: for [`super::read_now`], which does.
    pub fn piece_in_file(&mut self, offset: u64, max: u64) -> Option<Piece> {
        let piece = self.object.in_file(offset, max)?;
        self.note(Had::Hits);
        Some(piece)
    }

    /// Reads block `index`, checked.
    pub async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        if let Some(bytes) = self.object.read_now(index) {
            self.note(Had::Hits);
            return Ok(bytes);
        }
        if self.shared.files.is_none() {
            self.note(Had::Misses);
            return self.shared.read_source(&self.object, self.customer, index).await;
        }
        if let Some(bytes) = self.shared.read_kept(&self.object, index).await {
            self.note(Had::Hits);
            return Ok(bytes);
        }
        self.note(Had::Misses);
        let fill = || self.shared.fill(&self.object, self.customer, index);
        let flight = (self.object.content().fingerprint, index);
        let landed = self.shared.filling.join(flight, fill).await;
        match landed.outcome {
            // The error may be that of another customer.
            Err(_) if !landed.own => fill().await,
            outcome => outcome,
        }
    }

    fn note(&mut self, had: Had) {
        if self.had != Had::Misses {
            self.had = had;
        }
    }
}

impl<S: Source> Drop for Reader<S> {
    fn drop(&mut self) {
        match self.had {
            Had::Nothing => {}
            Had::Hits => _ = self.shared.hits.fetch_add(1, Ordering::Relaxed),
            Had::Misses => _ = self.shared.misses.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl<S: Source> Shared<S> {
    /// A block of a file of ours, checked.
    async fn read_kept(&self, object: &Arc<Object<S::Object>>, index: u64) -> Option<Bytes> {
        let (files, job) = (self.files.as_ref()?, Arc::clone(object));
        let read = files.run(move || job.read_kept(index)).await;
        match read.unwrap_or_else(|error| Err(io::Error::other(error).into())) {
            Ok(bytes) => bytes,
            Err(spoiled) => {
                self.drop_spoiled(object, &spoiled);
                None
            }
        }
    }

    /// Fetches a block and keeps it.
    async fn fill(
        &self,
        object: &Arc<Object<S::Object>>,
        customer: CustomerId,
        index: u64,
    ) -> Result<Bytes, FetchError> {
        // Another fill may have ended between the look and the flight.
        if let Some(bytes) = self.read_kept(object, index).await {
            return Ok(bytes);
        }
        let bytes = self.read_source(object, customer, index).await?;
        self.keep(object, index, bytes.clone()).await;
        Ok(bytes)
    }

    /// A block from the source.
    async fn read_source(
        &self,
        object: &Object<S::Object>,
        customer: CustomerId,
        index: u64,
    ) -> Result<Bytes, FetchError> {
        if let Some(mut source) = object.take_idle()
            && let Ok(bytes) = source.read_block(index).await
        {
            return Ok(done_with(object, source, index, bytes));
        }
        // None was open, or it was another customer's, or its node is away.
        let mut source = self.source.open(customer, object.content().fingerprint).await?;
        if source.content() != object.content() {
            return Err(FetchError::Unavailable);
        }
        let bytes = source.read_block(index).await?;
        Ok(done_with(object, source, index, bytes))
    }

    /// Keeps a block, if that can be done.
    async fn keep(&self, object: &Arc<Object<S::Object>>, index: u64, bytes: Bytes) {
        let Some(files) = &self.files else { return };
        let behind = if object.has_file() { 0 } else { trailer::len(object.content()) };
        let Some(removed) = self.table().make_room(object, bytes.len() as u64 + behind) else { return };
        self.remove(removed);
        let (job_files, job_object) = (Arc::clone(files), Arc::clone(object));
        let kept = files.run(move || job_object.keep(&job_files, index, &bytes)).await;
        match kept.unwrap_or_else(|error| Err(io::Error::other(error).into())) {
            Ok(is_whole) => {
                files.tell_success();
                if is_whole {
                    self.table().complete(object);
                    drop(object.take_idle());
                }
            }
            Err(spoiled) => self.drop_spoiled(object, &spoiled),
        }
    }

    /// The object's file goes; nobody is the worse for it but the cache.
    fn drop_spoiled(&self, object: &Arc<Object<S::Object>>, spoiled: &Spoiled) {
        self.discard(object);
        if !object.spoil() {
            return;
        }
        match spoiled {
            Spoiled::Changed => {
                self.spoiled.fetch_add(1, Ordering::Relaxed);
                let object = object.content().fingerprint;
                tracing::warn!(%object, "dropped a file of the data cache: it did not hold what was written to it");
            }
            Spoiled::Io(error) => {
                let Some(files) = &self.files else { return };
                files.tell_trouble(error);
                if matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT)) {
                    let removed = self.table().give_way(2 * BLOCK_BYTES);
                    self.remove(removed);
                }
            }
        }
    }
}

/// Notes what was read and leaves the source's object to the next.
fn done_with<O: SourceObject>(object: &Object<O>, source: O, index: u64, bytes: Bytes) -> Bytes {
    if let Some(file) = source.file() {
        object.note_checked(index, file);
    }
    object.put_idle(source);
    bytes
}
