//! Digest lists in memory, within a bound of bytes. (On disk they are files like blocks.)

use std::sync::Arc;

use lru::LruCache;
use protocol::digest::{BlockDigests, Content};

/// Most bytes of lists; 32 a block, so this is a good 2 TiB of objects.
const BYTES_MAX: u64 = 64 << 20;

/// See the module.
#[derive(Debug)]
pub struct DigestLists {
    lists: LruCache<Content, Arc<BlockDigests>>,
    bytes: u64,
}

impl Default for DigestLists {
    fn default() -> Self {
        Self { lists: LruCache::unbounded(), bytes: 0 }
    }
}

impl DigestLists {
    /// The list of an object.
    pub fn get(&mut self, content: &Content) -> Option<Arc<BlockDigests>> {
        self.lists.get(content).cloned()
    }

    /// Keeps a list. The newest is kept however long it is.
    pub fn put(&mut self, content: Content, list: Arc<BlockDigests>) {
        self.bytes += bytes(&content);
        if self.lists.put(content, list).is_some() {
            self.bytes -= bytes(&content);
        }
        while self.bytes > BYTES_MAX && self.lists.len() > 1 {
            let oldest = self.lists.pop_lru();
            self.bytes -= oldest.map_or(0, |(content, _)| bytes(&content));
        }
    }
}

/// With what the entry itself takes.
fn bytes(content: &Content) -> u64 {
    content.blocks() * 32 + 256
}
