//! An object being read: block by block, each checked before it is given out, from whichever copy is good.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content};

use super::disk::read_block;
use super::fault::DiskError;
use super::node::{FetchError, Mounted};

/// One disk's copy.
#[derive(Debug)]
pub(super) struct Copy {
    pub mounted: Mounted,
    pub content: Content,
    pub file: Arc<File>,
    pub blocks: BlockDigests,
}

/// An object opened for reading. It can be read to its end even if it is unlinked meanwhile.
#[derive(Debug)]
pub struct StoredObject {
    content: Content,
    copies: Vec<Copy>,
}

impl StoredObject {
    pub(super) fn new(copies: Vec<Copy>) -> Option<Self> {
        let content = copies.first()?.content;
        Some(Self { content, copies })
    }

    /// Fingerprint, size and digest.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The digests of its blocks; none for an object of one block.
    pub fn block_digests(&self) -> Vec<u8> {
        self.copies.first().map(|copy| copy.blocks.as_bytes().to_vec()).unwrap_or_default()
    }

    /// Reads block `index`, checked. A copy that fails is not asked again.
    pub async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        while let Some(copy) = self.copies.first() {
            match read_from(copy, index).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    let disk = copy.mounted.disk.root().display();
                    tracing::error!(%disk, object = %self.content.fingerprint, block = index, %error, "bad copy");
                    self.copies.remove(0);
                }
            }
        }
        Err(FetchError::Unavailable)
    }
}

async fn read_from(copy: &Copy, index: u64) -> Result<Bytes, DiskError> {
    let (file, blocks, content) = (Arc::clone(&copy.file), copy.blocks.clone(), copy.content);
    let read = move || {
        let length = usize::try_from(content.block_len(index)).unwrap_or(0);
        let bytes = read_block(&file, index.saturating_mul(BLOCK_BYTES), length)?;
        blocks.verify(&content, index, &bytes).map_err(|_| DiskError::Missing(content.fingerprint))?;
        Ok(Bytes::from(bytes))
    };
    copy.mounted.run(move |_| read()).await
}
