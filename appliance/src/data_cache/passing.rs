//! What is read of objects that are not to be kept here: the last blocks of them in memory, within a bound, so that who
//! reads a block in small pieces, or was read ahead for, has it fetched once.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lru::LruCache;
use protocol::digest::{BlockDigests, Content};

use super::digests::DigestLists;
use super::fills::Fills;
use super::key::BlockKey;
use super::{Block, locked};

/// Most blocks in memory, of all customers: 64 MiB. That is four readers' window of read-ahead.
const BLOCKS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// See the module.
#[derive(Debug)]
pub struct Passing<E> {
    blocks: Mutex<LruCache<BlockKey, Bytes>>,
    /// Apart from those of what is kept, whose lists are on a disk as well.
    lists: Mutex<DigestLists>,
    /// Likewise: who wants a block kept must not be given one that is not.
    fills: Fills<E>,
}

impl<E: Clone> Passing<E> {
    /// Lets `fills_max` fills run at once.
    pub fn new(fills_max: usize) -> Self {
        let blocks = Mutex::new(LruCache::new(BLOCKS_MAX));
        Self { blocks, lists: Mutex::default(), fills: Fills::new(fills_max) }
    }

    /// A block that went through lately.
    pub fn get(&self, key: &BlockKey) -> Option<Bytes> {
        locked(&self.blocks).get(key).cloned()
    }

    /// The same, or else what `fill` gives; concurrent calls for one block share one fill and its outcome.
    pub async fn fetch<F, Fut>(&self, key: BlockKey, fill: F) -> Result<Block, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Bytes, E>>,
    {
        let fill = || async {
            // Another fill may have ended between the look and the flight.
            if let Some(bytes) = self.get(&key) {
                return Ok(Block::Bytes(bytes));
            }
            let bytes = fill().await?;
            locked(&self.blocks).put(key, bytes.clone());
            Ok(Block::Bytes(bytes))
        };
        self.fills.join(key, fill).await
    }

    /// The block digests of an object.
    pub fn digests(&self, content: &Content) -> Option<Arc<BlockDigests>> {
        locked(&self.lists).get(content)
    }

    /// Remembers them.
    pub fn put_digests(&self, content: &Content, digests: Arc<BlockDigests>) {
        locked(&self.lists).put(*content, digests);
    }
}
