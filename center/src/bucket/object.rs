//! An object being read from the store: block by block, each checked before it is given out.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, Fingerprint};

use super::Bucket;
use super::copies::Listed;
use super::record::{HEAD_BYTES, Head, Place};
use super::store::{Fault, Store};
use crate::objects::{FetchError, Readable};

/// Bytes of a record that are read at once: all of an object of one block, or the digests of one of some GiB.
const FIRST_BYTES: u64 = BLOCK_BYTES + HEAD_BYTES as u64;
/// A block that came damaged is asked for once more: what is in the store may be good.
const TRIES: usize = 2;

/// An object opened for reading. It can be read to its end for as long as its bytes are in the store: at least for the
/// grace time after its last reference was given up.
#[derive(Debug)]
pub struct BucketObject {
    store: Store,
    content: Content,
    blocks: BlockDigests,
    /// Where the bytes lie, and from which offset on.
    path: Path,
    offset: u64,
    /// The only block, if it came with the record.
    only: Option<Bytes>,
}

impl BucketObject {
    /// The empty object, which needs no store.
    pub(super) fn empty(store: Store) -> Self {
        let content = Content::EMPTY;
        let path = store.keys().copy(content.fingerprint, 0);
        let blocks = protocol::digest::ProofHasher::new().finish().2;
        Self { store, content, blocks, path, offset: 0, only: None }
    }

    /// Opens the first copy that can be read: of those that count, or else of those that are about to go.
    pub(super) async fn open(bucket: &Bucket, fingerprint: Fingerprint) -> Result<Self, FetchError> {
        let copies = bucket.copies(fingerprint).await?;
        for listed in copies.counted().into_iter().chain(copies.gone()) {
            match Self::open_copy(bucket, fingerprint, listed).await {
                Ok(object) => return Ok(object),
                Err(fault @ (Fault::Missing | Fault::Spoiled(_))) => {
                    tracing::error!(object = %fingerprint, copy = listed.number, %fault, "bad copy");
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(FetchError::Unavailable)
    }

    async fn open_copy(bucket: &Bucket, fingerprint: Fingerprint, listed: Listed) -> Result<Self, Fault> {
        let store = bucket.store();
        let record_path = store.keys().copy(fingerprint, listed.number);
        let spoiled = || Fault::Spoiled(format!("{record_path} is no record of that object"));
        let mut record = store.get_range(&record_path, 0..FIRST_BYTES).await?;
        let head = Head::decode(fingerprint, &record).ok_or_else(spoiled)?;
        let list_end = HEAD_BYTES as u64 + head.list_bytes();
        if list_end > FIRST_BYTES {
            record = store.get(&record_path).await?;
        }
        let blocks = head.blocks(&record).ok_or_else(spoiled)?;
        let is_all_here = head.place == Place::Here && head.content.blocks() == 1;
        if !bucket.is_whole(&head, listed).await? {
            return Err(Fault::Missing);
        }
        let path = match head.place {
            Place::Here => record_path,
            Place::Data(id) => store.keys().data(id),
        };
        let only = is_all_here.then(|| record.slice(HEAD_BYTES.min(record.len())..));
        let (content, offset) = (head.content, head.data_offset());
        Ok(Self { store: store.clone(), content, blocks, path, offset, only })
    }

    /// The digests of its blocks.
    pub(super) const fn blocks(&self) -> &BlockDigests {
        &self.blocks
    }

    async fn fetch(&mut self, index: u64) -> Result<Bytes, Fault> {
        if let Some(only) = self.only.take() {
            return Ok(only);
        }
        let start = self.offset.saturating_add(index.saturating_mul(BLOCK_BYTES));
        self.store.get_range(&self.path, start..start + self.content.block_len(index)).await
    }
}

impl Readable for BucketObject {
    fn content(&self) -> &Content {
        &self.content
    }

    fn block_digests(&self) -> Vec<u8> {
        self.blocks.as_bytes()
    }

    /// Never: the bytes are not on this machine.
    fn file(&self) -> Option<&Arc<File>> {
        None
    }

    /// Each block is fetched when it is asked for.
    fn expect(&mut self, _: Range<u64>) {}

    async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        for _ in 0..TRIES {
            match self.fetch(index).await {
                Ok(bytes) if self.blocks.verify(&self.content, index, &bytes).is_ok() => return Ok(bytes),
                Ok(_) => {
                    let object = self.content.fingerprint;
                    tracing::error!(%object, block = index, store = self.store.name(), "a block came damaged");
                }
                Err(fault) => {
                    tracing::warn!(object = %self.content.fingerprint, block = index, %fault, "a block did not come");
                    return Err(fault.into());
                }
            }
        }
        Err(FetchError::Unavailable)
    }
}
