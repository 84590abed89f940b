//! The data cache: blocks of objects on local disks, found by digest (PORT-3, PORT-4, PORT-10).
//!
//! A key is the digest of an object and the number of a block of 1 MiB: so what is found can never be stale,
//! only absent. It knows nothing of files, of customers or of the center. It refuses bytes only its caller can
//! check: what is inserted must have been verified; what it finds after a restart it verifies itself (PORT-21).
//! No error of a disk reaches a reader: a block is found or it is not.
//!
//! | file | what |
//! |---|---|
//! | `key` | names, and which disk gets what (pure) |
//! | `index` | what is on a disk, in order of use (pure) |
//! | `index_log` | the index as a file |
//! | `disk` | one disk |
//! | `digests` | digest lists in memory |
//! | `fills` | one download for many readers |
//! | `fit` | whether objects have room here (pure) |
//! | `passing` | what is not to be kept, in memory for a while |
//! | `pinned` | which objects are to be kept |
//! | `maintenance` | the thread that sweeps and revives disks |

mod digests;
mod disk;
mod fills;
mod fit;
mod index;
mod index_log;
mod key;
mod maintenance;
mod passing;
mod pinned;

#[doc(hidden)]
pub mod fuzz {
    //! The index log's codec, opened to fuzzing.
    use super::index_log::{RECORD_BYTES, decode, encode};

    /// A record decoded and encoded again.
    pub fn index_record(record: &[u8; RECORD_BYTES]) -> Option<[u8; RECORD_BYTES]> {
        decode(record).map(encode)
    }
}
#[cfg(test)]
mod tests;

use std::fs::File;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use protocol::digest::{BlockDigests, Content};

use self::digests::DigestLists;
use self::disk::Disk;
use self::fills::Fills;
pub use self::fit::Fit;
use self::index::Bounds;
use self::key::{BlockKey, DIGESTS};
use self::maintenance::Maintenance;
use self::passing::Passing;
use self::pinned::Pinned;

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
    /// None at all is allowed: everything is a miss then.
    pub disks: Vec<DiskSettings>,
    /// Most files kept open per disk.
    pub open_files_max: usize,
    /// Most entries per disk, about 100 bytes of memory each.
    pub entries_max: usize,
    /// Most fills at once.
    pub fills_max: usize,
    /// Which part of each disk pinned objects may have, from 0 to 1.
    pub pinned_share: f64,
}

impl Settings {
    /// The usual sizes, on these disks.
    pub fn new(disks: Vec<DiskSettings>) -> Self {
        Self { disks, open_files_max: 1_024, entries_max: 1 << 20, fills_max: 32, pinned_share: 0.5 }
    }
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
    /// In memory: no disk took it, or none was to.
    Bytes(Bytes),
}

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Blocks found.
    pub hits: AtomicU64,
    /// Blocks not found.
    pub misses: AtomicU64,
    /// Blocks fetched for nobody yet: warmed.
    pub warmed: AtomicU64,
    /// Files thrown out for space.
    pub evictions: AtomicU64,
    /// Files whose bytes were wrong.
    pub corrupt: AtomicU64,
}

/// How a disk of the cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// Its directory.
    pub path: PathBuf,
    /// Whether it is in service.
    pub is_up: bool,
    /// Bytes on it, in whole pages.
    pub bytes: u64,
    /// Most bytes on it.
    pub bytes_max: u64,
    /// Bytes that are pinned.
    pub pinned: u64,
    /// Most bytes that are.
    pub pinned_max: u64,
    /// Blocks and lists of digests.
    pub files: u64,
}

/// See the module. A handle: clones are the same cache. `E` says how a fill fails.
#[derive(Debug)]
pub struct DataCache<E> {
    inner: Arc<Inner<E>>,
}

impl<E> Clone for DataCache<E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

#[derive(Debug)]
struct Inner<E> {
    disks: Arc<[Disk]>,
    pinned: Arc<Pinned>,
    lists: Mutex<DigestLists>,
    fills: Fills<E>,
    passing: Passing<E>,
    counters: Arc<Counters>,
    /// Calls that wait for a fill because somebody reads.
    readers: AtomicUsize,
    _maintenance: Maintenance,
}

impl<E: Clone + Send + Sync + 'static> DataCache<E> {
    /// Opens the disks. One that cannot be used is told of, left out and tried again. Blocks for as long as it takes
    /// to read the index logs.
    pub fn open(settings: Settings) -> Self {
        let counters = Arc::new(Counters::default());
        let pinned = Arc::new(Pinned::default());
        let Settings { disks, open_files_max, entries_max, fills_max, pinned_share } = settings;
        let disk = |disk: &DiskSettings| {
            let bounds = Bounds::new(disk.bytes_max, entries_max, pinned_share);
            Disk::new(disk, open_files_max, bounds, Arc::clone(&counters), Arc::clone(&pinned))
        };
        let disks: Arc<[Disk]> = disks.iter().map(disk).collect();
        maintenance::revive(&disks);
        let maintenance = Maintenance::start(Arc::clone(&disks));
        let (fills, passing) = (Fills::new(fills_max), Passing::new(fills_max));
        let lists = Mutex::default();
        let readers = AtomicUsize::new(0);
        Self {
            inner: Arc::new(Inner {
                disks,
                pinned,
                lists,
                fills,
                passing,
                counters,
                readers,
                _maintenance: maintenance,
            }),
        }
    }

    /// A block that is open and was verified. Never touches a disk. Counts a hit if found, nothing if not.
    pub fn get_hot(&self, content: &Content, block: u32) -> Option<BlockFile> {
        let key = BlockKey::new(content, block);
        let found = self.disk(&key).and_then(|disk| self.inner.disks[disk].hot(&key));
        if found.is_some() {
            self.inner.counters.hits.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// A block of `content`, verified on its first use since the start. Counts a hit or a miss.
    pub async fn get(&self, content: &Content, block: u32) -> Option<BlockFile> {
        if let Some(found) = self.get_hot(content, block) {
            return Some(found);
        }
        let found = self.find(content, block).await;
        let Counters { hits, misses, .. } = self.counters();
        if found.is_some() { hits } else { misses }.fetch_add(1, Ordering::Relaxed);
        found
    }

    async fn find(&self, content: &Content, block: u32) -> Option<BlockFile> {
        let key = BlockKey::new(content, block);
        let disk = &self.inner.disks[self.disk(&key)?];
        if !disk.may_have(&key) {
            return None;
        }
        let digests = if disk.is_verified(&key) { None } else { Some(self.digests(content).await?) };
        let content = *content;
        self.on_disk(key, move |disk| {
            disk.find(&key, |bytes| {
                // Without a list it had been verified before, and no longer is: better fetched again.
                digests.is_some_and(|digests| digests.verify(&content, block.into(), bytes).is_ok())
            })
        })
        .await
    }

    /// Keeps a block the caller has verified. `None` if no disk took it.
    pub async fn insert(&self, content: &Content, block: u32, bytes: Bytes) -> Option<BlockFile> {
        let key = BlockKey::new(content, block);
        self.on_disk(key, move |disk| disk.put(&key, &bytes)).await
    }

    /// The block digests of an object, if kept. Those of an object of at most one block always are.
    pub async fn digests(&self, content: &Content) -> Option<Arc<BlockDigests>> {
        if content.blocks() <= 1 {
            return BlockDigests::from_bytes(content, &[]).ok().map(Arc::new);
        }
        if let Some(list) = locked(&self.inner.lists).get(content) {
            return Some(list);
        }
        let (key, content) = (list_key(content), *content);
        let list = self.on_disk(key, move |disk| {
            let mut list = None;
            // Checked on every use, not only the first: it is read but seldom.
            disk.find_and_read(&key, |bytes| {
                list = BlockDigests::from_bytes(&content, bytes).ok();
                list.is_some()
            });
            list
        });
        let list = Arc::new(list.await?);
        locked(&self.inner.lists).put(content, Arc::clone(&list));
        Some(list)
    }

    /// Keeps the block digests of an object: without them its blocks do not outlive a restart.
    pub async fn insert_digests(&self, content: &Content, digests: &BlockDigests) {
        if content.blocks() <= 1 {
            return;
        }
        let (key, list) = (list_key(content), Arc::new(digests.clone()));
        locked(&self.inner.lists).put(*content, Arc::clone(&list));
        self.on_disk(key, move |disk| disk.put(&key, &list.as_bytes())).await;
    }

    /// [`get`](Self::get), or else what `fill` gives, kept; `fill` has verified it. Concurrent calls for one block
    /// share one fill and its outcome; if the caller that fills goes away, another goes on with its own.
    ///
    /// # Errors
    /// Those of `fill`.
    pub async fn fetch<F, Fut>(&self, content: &Content, block: u32, fill: F) -> Result<Block, E>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, E>> + Send,
    {
        if let Some(found) = self.get(content, block).await {
            return Ok(Block::File(found));
        }
        let _reader = Reader::new(&self.inner.readers);
        let key = BlockKey::new(content, block);
        let fill = || async move {
            // Another fill may have ended between the look and the flight.
            if let Some(found) = self.get_hot(content, block) {
                return Ok(Block::File(found));
            }
            let bytes = fill().await?;
            let kept = self.insert(content, block, bytes.clone()).await;
            Ok(kept.map_or(Block::Bytes(bytes), Block::File))
        };
        self.inner.fills.join(key, fill).await
    }

    /// What is there, or else what `fill` gives, kept on no disk; `fill` has verified it. Only a block found on a disk
    /// counts, as a hit. Concurrent calls share one fill, and the last few blocks stay in memory.
    ///
    /// # Errors
    /// Those of `fill`.
    pub async fn pass<F, Fut>(&self, content: &Content, block: u32, fill: F) -> Result<Block, E>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, E>> + Send,
    {
        let key = BlockKey::new(content, block);
        if let Some(bytes) = self.inner.passing.get(&key) {
            return Ok(Block::Bytes(bytes));
        }
        if let Some(found) = self.get_hot(content, block) {
            return Ok(Block::File(found));
        }
        if let Some(found) = self.find(content, block).await {
            self.counters().hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Block::File(found));
        }
        let _reader = Reader::new(&self.inner.readers);
        self.inner.passing.fetch(key, fill).await
    }

    /// Whether a block is in memory that went [through](Self::pass) lately.
    pub fn has_passing(&self, content: &Content, block: u32) -> bool {
        self.inner.passing.get(&BlockKey::new(content, block)).is_some()
    }

    /// The block digests of an object that is not kept, if they are at hand.
    pub async fn digests_in_passing(&self, content: &Content) -> Option<Arc<BlockDigests>> {
        match self.inner.passing.digests(content) {
            Some(digests) => Some(digests),
            None => self.digests(content).await,
        }
    }

    /// Remembers the block digests of an object that is not kept, in memory only.
    pub fn pass_digests(&self, content: &Content, digests: Arc<BlockDigests>) {
        self.inner.passing.put_digests(content, digests);
    }

    /// What `fill` gives, kept for later: for a block that is not there and that nobody reads yet, so no hit and no miss.
    /// Who comes to read it meanwhile shares the fill, as in [`fetch`](Self::fetch).
    ///
    /// # Errors
    /// Those of `fill`.
    pub async fn warm<F, Fut>(&self, content: &Content, block: u32, fill: F) -> Result<Block, E>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<Bytes, E>> + Send,
    {
        let fill = || async move {
            let bytes = fill().await?;
            self.counters().warmed.fetch_add(1, Ordering::Relaxed);
            let kept = self.insert(content, block, bytes.clone()).await;
            Ok(kept.map_or(Block::Bytes(bytes), Block::File))
        };
        self.inner.fills.join(BlockKey::new(content, block), fill).await
    }

    /// Whether somebody who reads waits for a block at present: who fetches for later then lets him go first.
    pub fn has_readers_waiting(&self) -> bool {
        self.inner.readers.load(Ordering::Relaxed) > 0
    }

    /// Whether a block is there; it counts as used just now. Its bytes are not looked at.
    pub async fn holds(&self, content: &Content, block: u32) -> bool {
        self.holds_file(BlockKey::new(content, block)).await
    }

    /// Whether the digests that an object's blocks need after a restart are there.
    pub async fn holds_digests(&self, content: &Content) -> bool {
        content.blocks() <= 1 || self.holds_file(list_key(content)).await
    }

    async fn holds_file(&self, key: BlockKey) -> bool {
        let Some(disk) = self.disk(&key) else { return false };
        match self.inner.disks[disk].holds(&key) {
            Some(holds) => holds,
            None => self.on_disk(key, move |disk| Some(disk.holds_after_look(&key))).await.unwrap_or(false),
        }
    }

    /// Finds out whether objects have room on the disks that are in service now, when all else goes.
    pub fn fit(&self) -> Fit {
        self.fit_within(|bounds| (bounds.bytes, bounds.files))
    }

    /// The same for objects that are to be pinned.
    pub fn fit_pinned(&self) -> Fit {
        self.fit_within(|bounds| (bounds.pinned_bytes, bounds.pinned_files))
    }

    fn fit_within(&self, room: impl Fn(Bounds) -> (u64, usize)) -> Fit {
        let up = self.inner.disks.iter().filter(|disk| disk.is_up());
        Fit::new(up.map(|disk| {
            let (bytes, files) = room(disk.bounds());
            fit::Disk { seed: disk.seed, weight: disk.bytes_max, bytes, files: files as u64 }
        }))
    }

    /// Keeps an object: what is there of it, and what comes, goes last, as far as the share of what is pinned allows.
    pub fn pin(&self, content: &Content) {
        self.inner.pinned.insert(content.into());
        for key in files_of(content) {
            if let Some(disk) = self.disk(&key) {
                self.inner.disks[disk].pin(&key);
            }
        }
    }

    /// Lets an object go in its turn again.
    pub fn unpin(&self, content: &Content) {
        self.inner.pinned.remove(&content.into());
        for key in files_of(content) {
            // Also where it was put while another disk was out of service.
            self.inner.disks.iter().for_each(|disk| disk.unpin(&key));
        }
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Bytes on all disks, in whole pages.
    pub fn bytes(&self) -> u64 {
        self.inner.disks.iter().map(Disk::bytes).sum()
    }

    /// How each disk is, in the order of the configuration.
    pub fn usage(&self) -> Vec<DiskUsage> {
        self.inner.disks.iter().map(Disk::usage).collect()
    }

    /// Throws everything out; who reads a block at present keeps it. What is fetched meanwhile stays. False if some of it
    /// may be left: a disk is out of service, or not looked through yet since the start.
    pub async fn clear(&self) -> bool {
        let disks = Arc::clone(&self.inner.disks);
        let cleared = tokio::task::spawn_blocking(move || {
            // Each of them, whatever the one before has said.
            disks.iter().map(Disk::clear).filter(|is_whole| !is_whole).count() == 0
        });
        cleared.await.unwrap_or(false)
    }

    /// The directories of disks that are out of service at present.
    pub fn failed_disks(&self) -> Vec<PathBuf> {
        let failed = self.inner.disks.iter().filter(|disk| !disk.is_up());
        failed.map(|disk| disk.path().to_owned()).collect()
    }

    /// Which disk has, or gets, a block: of those in service the one that wants it most.
    fn disk(&self, key: &BlockKey) -> Option<usize> {
        let up = self.inner.disks.iter().enumerate().filter(|(_, disk)| disk.is_up());
        key.choose(up.map(|(number, disk)| (number, disk.seed, disk.bytes_max)))
    }

    /// Works on the disk of a block, off the runtime.
    async fn on_disk<T: Send + 'static>(
        &self,
        key: BlockKey,
        work: impl FnOnce(&Disk) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let (disks, disk) = (Arc::clone(&self.inner.disks), self.disk(&key)?);
        tokio::task::spawn_blocking(move || work(&disks[disk])).await.ok().flatten()
    }
}

/// One who reads and waits, counted.
struct Reader<'a>(&'a AtomicUsize);

impl<'a> Reader<'a> {
    fn new(readers: &'a AtomicUsize) -> Self {
        readers.fetch_add(1, Ordering::Relaxed);
        Self(readers)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The files that an object may have here.
fn files_of(content: &Content) -> impl Iterator<Item = BlockKey> {
    let blocks = (0..content.blocks()).map_while(|block| u32::try_from(block).ok());
    std::iter::once(DIGESTS).chain(blocks).map(move |block| BlockKey::new(content, block))
}

fn list_key(content: &Content) -> BlockKey {
    BlockKey::new(content, DIGESTS)
}

/// A lock is never left in a broken state by a panic here: nothing between its taking and giving up panics.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
