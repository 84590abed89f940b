//! Where objects come from: what the cache asks of the storage nodes.

use std::fmt::Debug;
use std::fs::File;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use protocol::digest::{Content, Fingerprint};
use protocol::id::CustomerId;

use crate::objects::{FetchError, Objects, Readable};

/// The storage nodes, or the one in this process.
pub trait Source: Debug + Send + Sync + 'static {
    /// An object opened for reading.
    type Object: SourceObject;

    /// Opens an object for a customer.
    ///
    /// # Errors
    /// `NotFound` if it is not there or the customer has no reference to it (SRL-17): the cache takes success as proof
    /// of both.
    fn open(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
    ) -> impl Future<Output = Result<Self::Object, FetchError>> + Send;
}

/// An object of a source.
pub trait SourceObject: Debug + Send + 'static {
    /// Fingerprint, size and digest.
    fn content(&self) -> &Content;

    /// The digests of its blocks; none for an object of one block.
    fn block_digests(&self) -> Vec<u8>;

    /// Reads block `index`. The source has checked it against the digests.
    fn read_block(&mut self, index: u64) -> impl Future<Output = Result<Bytes, FetchError>> + Send;

    /// The file of this machine that the last block came from, if it did: the object's bytes from its start.
    fn file(&self) -> Option<&Arc<File>>;
}

impl<O: Objects> Source for O {
    type Object = O::Object;

    async fn open(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<O::Object, FetchError> {
        Objects::open(self, customer, fingerprint).await
    }
}

impl<R: Readable> SourceObject for R {
    fn content(&self) -> &Content {
        Readable::content(self)
    }

    fn block_digests(&self) -> Vec<u8> {
        Readable::block_digests(self)
    }

    async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        Readable::read_block(self, index).await
    }

    fn file(&self) -> Option<&Arc<File>> {
        Readable::file(self)
    }
}
