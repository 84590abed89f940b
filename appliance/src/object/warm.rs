//! Blocks that are brought into the cache before anybody reads them.

use protocol::digest::Content;

use super::{Keeping, Objects};
use crate::center::{CenterError, StorageCenter};
use crate::data_cache::Block;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warmed {
    /// It was there.
    Held,
    /// It is there now.
    Fetched,
    /// No disk of the cache took it.
    NotKept,
}

impl<C: StorageCenter> Objects<C> {
    /// Whether block `index` of `content` is in the cache. It counts as used.
    pub async fn holds(&self, content: &Content, index: u64) -> bool {
        match u32::try_from(index) {
            Ok(number) => self.shared.cache.holds(content, number).await,
            Err(_) => false,
        }
    }

    /// Brings block `index` of `content` into the cache.
    ///
    /// # Errors
    /// `NoObject` when the file was replaced meanwhile: read its row again.
    pub async fn warm(&self, content: &Content, index: u64) -> Result<Warmed, CenterError> {
        if self.holds(content, index).await {
            return Ok(Warmed::Held);
        }
        let number = u32::try_from(index).map_err(|_| CenterError::Wrong("no object has 4 PiB".into()))?;
        match self.shared.cache.warm(content, number, || self.fetch(content, index, Keeping::Kept)).await? {
            Block::File(_) => Ok(Warmed::Fetched),
            Block::Bytes(_) => Ok(Warmed::NotKept),
        }
    }

    /// Brings the digests of `content` into the cache, without which its blocks do not outlive a restart.
    ///
    /// # Errors
    /// As [`warm`](Self::warm).
    pub async fn warm_digests(&self, content: &Content) -> Result<(), CenterError> {
        if !self.shared.cache.holds_digests(content).await {
            let digests = self.digests(content, Keeping::Kept).await?;
            self.shared.cache.insert_digests(content, &digests).await;
        }
        Ok(())
    }
}
