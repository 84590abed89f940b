//! The bytes of objects (PORT-3, PORT-10): from the data cache, else from the center, verified before anybody sees them
//! (design decision 14).

mod read_ahead;
mod warm;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use nfs::filesystem::Segment;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content};
use tokio::sync::Semaphore;

use self::read_ahead::ReadAhead;
pub use self::warm::Warmed;
use crate::center::{CenterError, StorageCenter};
use crate::data_cache::{Block, BlockFile, DataCache};
use crate::directory_cache::Directory;
use crate::folder_rules::Rule;
use crate::journal::FileKey;

/// Sequential readers followed at once; one more forgets the one longest quiet.
const STREAMS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");
/// Blocks fetched ahead at once, of all readers: 64 MiB in memory.
const AHEAD_FETCHES_MAX: usize = 64;
/// Locks under which block digests are fetched, so that the blocks of one object do not each fetch them.
const DIGEST_LOCKS: usize = 16;

/// What becomes of the bytes of a file that go through the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// They are kept in the data cache.
    Kept,
    /// Nothing of them is left on its disks; what is there already is used.
    Passing,
}

impl Keeping {
    /// As a rule says.
    pub fn of(rule: Rule) -> Self {
        if rule.cached == Some(false) { Self::Passing } else { Self::Kept }
    }
}

/// The objects of one customer. Cheap to clone.
pub struct Objects<C> {
    shared: Arc<Shared<C>>,
}

impl<C> Clone for Objects<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<C> {
    cache: DataCache<CenterError>,
    center: Arc<C>,
    directory: Arc<Directory<C>>,
    read_ahead: Mutex<ReadAhead>,
    ahead_fetches: Arc<Semaphore>,
    digest_locks: [tokio::sync::Mutex<()>; DIGEST_LOCKS],
}

impl<C: StorageCenter> Objects<C> {
    /// Objects fetched from `center` and kept in `cache`, which other customers may share: its key is the content.
    pub fn new(cache: DataCache<CenterError>, center: Arc<C>, directory: Arc<Directory<C>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                cache,
                center,
                directory,
                read_ahead: Mutex::new(ReadAhead::new(STREAMS_MAX)),
                ahead_fetches: Arc::new(Semaphore::new(AHEAD_FETCHES_MAX)),
                digest_locks: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            }),
        }
    }

    /// The bytes `range` of `content`, which has them all.
    ///
    /// # Errors
    /// `NoObject` when the file was replaced meanwhile: read its row again.
    pub async fn read(
        &self,
        content: &Content,
        range: Range<u64>,
        keeping: Keeping,
    ) -> Result<Vec<Segment>, CenterError> {
        let mut segments = Vec::new();
        let mut offset = range.start;
        while offset < range.end {
            let index = offset / BLOCK_BYTES;
            let within = offset % BLOCK_BYTES;
            let len = (range.end - offset).min(BLOCK_BYTES - within);
            segments.push(match self.block(content, index, keeping).await? {
                Block::File(block) => Segment::File { file: block.file, offset: within, len: len as u32 },
                Block::Bytes(bytes) => Segment::Bytes(bytes.slice(within as usize..(within + len) as usize)),
            });
            offset += len;
        }
        Ok(segments)
    }

    /// Notes that `range` of a file was read, and fetches what a sequential reader will want next.
    pub fn read_ahead(&self, file: FileKey, content: &Content, range: Range<u64>, keeping: Keeping) {
        if content.blocks() <= 1 {
            return;
        }
        let wanted = {
            let mut read_ahead = self.shared.read_ahead.lock().unwrap_or_else(PoisonError::into_inner);
            read_ahead.note(file, range, content.blocks())
        };
        for index in wanted {
            // Nothing to fetch, and so no task and no other thread to be woken.
            if self.is_at_hand(content, index, keeping) {
                continue;
            }
            let Ok(permit) = Arc::clone(&self.shared.ahead_fetches).try_acquire_owned() else {
                let mut read_ahead = self.shared.read_ahead.lock().unwrap_or_else(PoisonError::into_inner);
                return read_ahead.give_back(file, index);
            };
            let (objects, content) = (self.clone(), *content);
            tokio::spawn(async move {
                // Whoever reads the block asks again, and learns why it failed.
                let _ = objects.block(&content, index, keeping).await;
                drop(permit);
            });
        }
    }

    /// Keeps a block of an object made here, if it is what `digests` say: it may have been read from a disk.
    pub async fn keep(&self, content: &Content, digests: &BlockDigests, index: u64, bytes: Bytes) {
        if let Ok(number) = u32::try_from(index)
            && digests.verify(content, index, &bytes).is_ok()
        {
            self.shared.cache.insert(content, number, bytes).await;
        }
    }

    /// Keeps the block digests of an object made here.
    pub async fn keep_digests(&self, content: &Content, digests: &BlockDigests) {
        self.shared.cache.insert_digests(content, digests).await;
    }

    /// Block `index` of `content`.
    async fn block(&self, content: &Content, index: u64, keeping: Keeping) -> Result<Block, CenterError> {
        if let Some(block) = self.hot(content, index) {
            return Ok(Block::File(block));
        }
        let number = u32::try_from(index).map_err(|_| CenterError::Wrong("no object has 4 PiB".into()))?;
        let fetch = || self.fetch(content, index, keeping);
        match keeping {
            Keeping::Kept => self.shared.cache.fetch(content, number, fetch).await,
            Keeping::Passing => self.shared.cache.pass(content, number, fetch).await,
        }
    }

    /// Whether nothing has to be fetched for a block, as far as that can be told without any wait.
    fn is_at_hand(&self, content: &Content, index: u64, keeping: Keeping) -> bool {
        let is_passing = |number| self.shared.cache.has_passing(content, number);
        self.hot(content, index).is_some()
            || keeping == Keeping::Passing && u32::try_from(index).is_ok_and(is_passing)
    }

    /// A block that is at hand without any wait.
    fn hot(&self, content: &Content, index: u64) -> Option<BlockFile> {
        self.shared.cache.get_hot(content, u32::try_from(index).ok()?)
    }

    async fn fetch(&self, content: &Content, index: u64, keeping: Keeping) -> Result<Bytes, CenterError> {
        if !self.shared.directory.is_reachable() {
            return Err(CenterError::Unavailable("the storage center did not answer lately".into()));
        }
        let digests = self.digests(content, keeping).await?;
        let offset = index * BLOCK_BYTES;
        let bytes = self.shared.center.fetch_range(content, offset, content.block_len(index)).await?;
        digests.verify(content, index, &bytes).map_err(|mismatch| {
            tracing::error!(fingerprint = %content.fingerprint, index, "a DOSM sent a damaged block");
            CenterError::Wrong(format!("a block of {}: {mismatch}", content.fingerprint).into())
        })?;
        Ok(bytes)
    }

    async fn digests(&self, content: &Content, keeping: Keeping) -> Result<Arc<BlockDigests>, CenterError> {
        if let Some(digests) = self.known_digests(content, keeping).await {
            return Ok(digests);
        }
        let lock = usize::from(content.fingerprint.0[0]) % DIGEST_LOCKS;
        let _one_at_a_time = self.shared.digest_locks[lock].lock().await;
        if let Some(digests) = self.known_digests(content, keeping).await {
            return Ok(digests);
        }
        let digests = Arc::new(self.shared.center.fetch_digests(content).await?);
        match keeping {
            Keeping::Kept => self.shared.cache.insert_digests(content, &digests).await,
            Keeping::Passing => self.shared.cache.pass_digests(content, Arc::clone(&digests)),
        }
        Ok(digests)
    }

    async fn known_digests(&self, content: &Content, keeping: Keeping) -> Option<Arc<BlockDigests>> {
        match keeping {
            Keeping::Kept => self.shared.cache.digests(content).await,
            Keeping::Passing => self.shared.cache.digests_in_passing(content).await,
        }
    }
}
