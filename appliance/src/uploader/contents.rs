//! The bytes of a staged file, block by block: what is in the journal over what the file stood on.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use nfs::filesystem::Segment;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, ObjectHasher};

use super::UploadError;
use crate::center::StorageCenter;
use crate::journal::{Piece, UploadSnapshot};
use crate::object::{Keeping, Objects};

/// The contents fixed for one upload.
pub(super) struct Contents<C> {
    pub(super) snapshot: Arc<UploadSnapshot>,
    pub(super) objects: Objects<C>,
    pub(super) keeping: Keeping,
}

impl<C> Clone for Contents<C> {
    fn clone(&self) -> Self {
        Self { snapshot: Arc::clone(&self.snapshot), objects: self.objects.clone(), keeping: self.keeping }
    }
}

impl<C: StorageCenter> Contents<C> {
    /// One pass over all bytes, hashing beside the runtime's threads: MD5 alone takes 2 ms per block.
    pub(super) async fn hash(&self) -> Result<(Content, BlockDigests), UploadError> {
        let mut hasher = ObjectHasher::new();
        for index in 0..self.blocks() {
            let bytes = self.block(index).await?;
            hasher = blocking(move || {
                hasher.update(&bytes);
                hasher
            })
            .await?;
        }
        Ok(hasher.finish())
    }

    /// All bytes in order, one block at a time; each is kept in the data cache on its way, unless a rule is
    /// against it, for who wrote a file often reads it next.
    pub(super) fn stream(
        &self,
        content: Content,
        digests: Arc<BlockDigests>,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let contents = self.clone();
        stream::iter(0..contents.blocks())
            .then(move |index| {
                let (contents, digests) = (contents.clone(), Arc::clone(&digests));
                async move {
                    let bytes = contents.block(index).await.map_err(io::Error::other)?;
                    if contents.keeping == Keeping::Kept {
                        contents.objects.keep(&content, &digests, index, bytes.clone()).await;
                    }
                    Ok(bytes)
                }
            })
            .boxed()
    }

    fn blocks(&self) -> u64 {
        self.snapshot.size.div_ceil(BLOCK_BYTES)
    }

    async fn block(&self, index: u64) -> Result<Bytes, UploadError> {
        let mut parts = Vec::new();
        for piece in self.snapshot.pieces(index * BLOCK_BYTES, BLOCK_BYTES) {
            match piece {
                Piece::Staged { log, position, len } => parts.push(Part::File(log, position, len)),
                Piece::Zero { len } => parts.push(Part::Zero(len)),
                Piece::Base { offset, len } => {
                    let base = &self.snapshot.base.content;
                    let segments = self.objects.read(base, offset..offset + len, self.keeping).await;
                    parts.extend(segments.map_err(UploadError::Base)?.into_iter().map(Part::from));
                }
            }
        }
        blocking(move || gather(&parts)).await?.map_err(|error| UploadError::Disk(Arc::new(error)))
    }
}

enum Part {
    File(Arc<std::fs::File>, u64, u64),
    Bytes(Bytes),
    Zero(u64),
}

impl From<Segment> for Part {
    fn from(segment: Segment) -> Self {
        match segment {
            Segment::Bytes(bytes) => Self::Bytes(bytes),
            Segment::File { file, offset, len } => Self::File(file, offset, u64::from(len)),
        }
    }
}

fn gather(parts: &[Part]) -> io::Result<Bytes> {
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    for part in parts {
        let start = block.len();
        match part {
            Part::Bytes(bytes) => block.extend_from_slice(bytes),
            Part::Zero(len) => block.resize(start + *len as usize, 0),
            Part::File(file, offset, len) => {
                block.resize(start + *len as usize, 0);
                file.read_exact_at(&mut block[start..], *offset)?;
            }
        }
    }
    Ok(block.into())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, UploadError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| UploadError::Stopped)
}
