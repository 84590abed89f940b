//! An object being read: block by block, each checked before it is given out, from whichever copy is good.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, Fingerprint};

use super::disk::read_block;
use super::fault::DiskError;
use super::node::Mounted;
use crate::objects::{FetchError, Readable};

/// An object opened for reading. It can be read to its end even if it is unlinked meanwhile.
#[derive(Debug)]
pub struct StoredObject {
    copy: Copy,
    /// Disks not asked yet.
    others: Vec<Mounted>,
}

/// One disk's copy.
#[derive(Debug)]
struct Copy {
    mounted: Mounted,
    content: Content,
    file: Arc<File>,
    blocks: Arc<BlockDigests>,
}

impl StoredObject {
    /// Opens the first copy found on these disks.
    pub(super) async fn open(disks: Vec<Mounted>, fingerprint: Fingerprint) -> Result<Self, FetchError> {
        let mut others = disks;
        let copy = Copy::open_next(&mut others, fingerprint).await.ok_or(FetchError::Unavailable)?;
        Ok(Self { copy, others })
    }
}

impl Readable for StoredObject {
    fn content(&self) -> &Content {
        &self.copy.content
    }

    fn block_digests(&self) -> Vec<u8> {
        self.copy.blocks.as_bytes()
    }

    /// The copy's, from which the last block was read.
    fn file(&self) -> Option<&Arc<File>> {
        Some(&self.copy.file)
    }

    /// Each block is read when it is asked for: the disk's own read-ahead does the rest.
    fn expect(&mut self, _: Range<u64>) {}

    /// A copy that failed is not asked again.
    async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        let content = self.copy.content;
        loop {
            let error = match self.copy.read_block(index).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            let disk = self.copy.mounted.disk.root().display();
            tracing::error!(%disk, object = %content.fingerprint, block = index, %error, "bad copy");
            let next = Copy::open_next(&mut self.others, content.fingerprint).await;
            // Two contents of one fingerprint are never both stored; if they were, they would not be mixed.
            let same = next.filter(|next| next.content == content);
            self.copy = same.ok_or(FetchError::Unavailable)?;
        }
    }
}

impl Copy {
    async fn open_next(disks: &mut Vec<Mounted>, fingerprint: Fingerprint) -> Option<Self> {
        while let Some(mounted) = disks.pop() {
            match mounted.run(move |disk| disk.open_object(fingerprint)).await {
                Ok((content, file, blocks)) => {
                    return Some(Self { mounted, content, file: Arc::new(file), blocks: Arc::new(blocks) });
                }
                Err(DiskError::Missing(_)) => {}
                Err(error) => tracing::debug!(%error, "a copy cannot be opened"),
            }
        }
        None
    }

    async fn read_block(&self, index: u64) -> Result<Bytes, DiskError> {
        let (file, blocks, content) = (Arc::clone(&self.file), Arc::clone(&self.blocks), self.content);
        let read = move || {
            let length = usize::try_from(content.block_len(index)).unwrap_or(0);
            let bytes = read_block(&*file, index.saturating_mul(BLOCK_BYTES), length)?;
            blocks.verify(&content, index, &bytes).map_err(|_| DiskError::Missing(content.fingerprint))?;
            Ok(Bytes::from(bytes))
        };
        self.mounted.run(move |_| read()).await
    }
}
