//! The data cache: blocks of objects on local disks, found by fingerprint.
//!
//! SIGNATURES FIRST — bodies follow. Clone freely (one `Arc` inside).

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use protocol::digest::{BlockDigests, Content, Fingerprint};

/// One disk of the cache.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// Its directory; made if it is not there.
    pub path: PathBuf,
    /// Most bytes of blocks on it, counted in whole 4 KiB pages.
    pub bytes_max: u64,
}

/// How a cache is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At least one.
    pub disks: Vec<DiskSettings>,
    /// Most files kept open per disk.
    pub open_files_max: usize,
    /// Most entries per disk, about 100 bytes of memory each.
    pub entries_max: usize,
    /// Most fills at once.
    pub fills_max: usize,
}

/// One block in a file of its own: never rewritten or truncated while `file` lives; fit for `sendfile`.
#[derive(Clone, Debug)]
pub struct BlockFile {
    /// The open file; the block is the whole of it.
    pub file: Arc<File>,
    /// Its length in bytes.
    pub len: u32,
}

/// A block, wherever it is.
#[derive(Clone, Debug)]
pub enum Block {
    /// In the cache.
    File(BlockFile),
    /// In memory: no disk took it.
    Bytes(Bytes),
}

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Blocks found.
    pub hits: AtomicU64,
    /// Blocks not found.
    pub misses: AtomicU64,
    /// Blocks thrown out for space.
    pub evictions: AtomicU64,
    /// Blocks whose bytes were wrong.
    pub corrupt: AtomicU64,
    /// Bytes on all disks.
    pub bytes: AtomicU64,
    /// Disks out of service at present.
    pub disks_failed: AtomicU64,
}

/// See the module. `E`: how a fill fails; shared by all who wait for one fill.
pub struct DataCache<E> {
    _fill_error: std::marker::PhantomData<E>,
}

impl<E> Clone for DataCache<E> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<E: Clone + Send + Sync + 'static> DataCache<E> {
    /// Opens the disks; one that cannot be used is logged, left out and tried again later. Blocks for as long as it takes to read the
    /// index logs.
    pub fn open(_settings: Settings) -> Self {
        todo!()
    }
    /// A block that is open and was verified: no disk access, never blocks. Counts a hit if found, nothing if not.
    pub fn get_hot(&self, _fingerprint: &Fingerprint, _block: u32) -> Option<BlockFile> {
        todo!()
    }
    /// A block of `content`, verified on its first use since the start.
    pub async fn get(&self, _content: &Content, _block: u32) -> Option<BlockFile> {
        todo!()
    }
    /// Keeps a block the caller has verified. `None` if no disk took it.
    pub async fn insert(&self, _content: &Content, _block: u32, _bytes: Bytes) -> Option<BlockFile> {
        todo!()
    }
    /// The block digests of an object, if kept (those of objects of at most one block always are).
    pub async fn digests(&self, _content: &Content) -> Option<Arc<BlockDigests>> {
        todo!()
    }
    /// Keeps the block digests of an object: without them its blocks do not outlive a restart.
    pub async fn insert_digests(&self, _content: &Content, _digests: &BlockDigests) {
        todo!()
    }
    /// `get`, else what `fill` gives (verified by it), kept. Concurrent calls for one block share one fill, and its error; if the
    /// caller that fills goes away, another takes over with its own `fill`.
    pub async fn fetch<F, Fut>(&self, _content: &Content, _block: u32, _fill: F) -> Result<Block, E>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, E>> + Send,
    {
        todo!()
    }
    /// Counters.
    pub fn counters(&self) -> &Counters {
        todo!()
    }
}
