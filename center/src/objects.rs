//! Objects as an object manager sees them: opened, received, given up. Behind it are the disks of this process
//! ([`crate::isn`]) or nodes of a cluster ([`crate::cluster`]).

use std::fmt::Debug;
use std::fs::File;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, Token};
use thiserror::Error;

/// Whoever holds objects. Cheap to clone.
pub trait Objects: Clone + Debug + Send + Sync + 'static {
    /// An object opened for reading.
    type Object: Readable;
    /// An object being received.
    type Upload: Upload;

    /// Opens an object for a customer who has a reference to it. The empty object is everybody's.
    fn open(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
    ) -> impl Future<Output = Result<Self::Object, FetchError>> + Send;

    /// Begins at `now` to receive an object of `length` bytes, 0 where that is not known; waits while too many are being
    /// received.
    fn receive(&self, length: u64, now: u64)
    -> impl Future<Output = Result<Self::Upload, StoreError>> + Send;
}

/// An object that can be read to its end, whatever becomes of it meanwhile.
pub trait Readable: Debug + Send + Sync + 'static {
    /// Fingerprint, size and digest.
    fn content(&self) -> &Content;

    /// The digests of its blocks in order, 32 bytes each; none for an object of at most one block.
    fn block_digests(&self) -> Vec<u8>;

    /// The file of this machine that the last block came from, if it did: the object's bytes from its start.
    fn file(&self) -> Option<&Arc<File>>;

    /// Tells which blocks will be read, in order: they may come in one go. Others can be read all the same.
    fn expect(&mut self, blocks: Range<u64>);

    /// Reads block `index`, checked against its digest. After a copy that fails comes the next.
    fn read_block(&mut self, index: u64) -> impl Future<Output = Result<Bytes, FetchError>> + Send;
}

/// An object on its way in. Dropped before [`Upload::finish`], it leaves nothing behind.
pub trait Upload: Sized + Send {
    /// Takes the next bytes; some hundred KiB at a time serve best.
    fn write(self, bytes: Bytes) -> impl Future<Output = Result<Self, StoreError>> + Send;

    /// Checks what was received and makes it permanent, held by the reference (customer, token): durable in all its
    /// copies when this returns. An object that is there already gets one more reference and no second file (ISN-5). A
    /// reference that was given up since the upload began is not taken again: whoever gave it up does not know of an
    /// upload that comes late.
    fn finish(
        self,
        announced: Announced,
        customer: CustomerId,
        token: Token,
        now: u64,
    ) -> impl Future<Output = Result<Content, StoreError>> + Send;
}

/// What the sender announced of an object. All that is given must hold (ISN-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its MD5.
    pub fingerprint: Option<Fingerprint>,
    /// Its BLAKE3.
    pub digest: Option<Digest>,
}

impl Announced {
    /// Compares with what was received.
    ///
    /// # Errors
    /// `Mismatch`, which names what differs.
    pub fn check(&self, content: &Content) -> Result<(), StoreError> {
        if self.size.is_some_and(|size| size != content.size) {
            return Err(StoreError::Mismatch("length"));
        }
        if self.fingerprint.is_some_and(|fingerprint| fingerprint != content.fingerprint) {
            return Err(StoreError::Mismatch("MD5"));
        }
        if self.digest.is_some_and(|digest| digest != content.digest) {
            return Err(StoreError::Mismatch("BLAKE3"));
        }
        Ok(())
    }
}

/// Why an object was not stored.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Its bytes are not what the sender announced; nothing was kept.
    #[error("the bytes received are not those announced ({0})")]
    Mismatch(&'static str),
    /// Another object has this fingerprint; nothing was merged.
    #[error("another object has the fingerprint {0}")]
    Collision(Fingerprint),
    /// No disk has room.
    #[error("no disk has room for the object")]
    NoSpace,
    /// A disk or node failed under it, or none is usable; the same request may be sent again.
    #[error("cannot store now: {0}")]
    Unavailable(String),
}

/// Why an object cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FetchError {
    /// Not here, or this customer has no reference to it (SRL-17).
    #[error("no such object")]
    NotFound,
    /// It should be here, but nobody can give it whole.
    #[error("nobody can give the object now")]
    Unavailable,
}

/// Whoever was asked is in no state to answer.
#[derive(Debug, Error)]
#[error("cannot answer now: {0}")]
pub struct Unavailable(pub String);

/// Runs a change of several steps to its end even if the caller gives up, so that its lock covers all of it.
pub async fn to_the_end<T, E>(change: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Unavailable> + Send + 'static,
{
    tokio::spawn(change).await.unwrap_or_else(|_| Err(Unavailable("interrupted".to_string()).into()))
}

impl From<Unavailable> for StoreError {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error.0)
    }
}
