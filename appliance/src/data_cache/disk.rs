//! One disk of the cache: a directory of block files, its index and its open files.
//!
//! A file is written to `tmp/` and renamed, without a sync: after a power cut it may hold anything, so every file is
//! checked on its first use. A disk whose directory fails is out of service until [`Disk::open`] succeeds again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lru::LruCache;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::index::{Bounds, Entry, Index};
use super::index_log::{Change, IndexLog};
use super::key::BlockKey;
use super::pinned::Pinned;
use super::{BlockFile, Counters, DiskSettings, DiskUsage, locked};

/// How often a file is tried, each time after mending what was in its way.
const ATTEMPTS: u32 = 5;
/// Bytes thrown out when the disk is full though the bound is not reached.
const FULL_EVICT_BYTES: u64 = 4 << 20;

/// See the module.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Tells disks apart in [`BlockKey::score`]; the path's, so that the order of configuration does not matter.
    pub seed: u64,
    /// Most bytes of blocks.
    pub bytes_max: u64,
    bounds: Bounds,
    open_files_max: NonZeroUsize,
    counters: Arc<Counters>,
    pinned: Arc<Pinned>,
    temporary: AtomicU64,
    /// `None`: out of service.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    index: Index,
    /// Files that are open and were verified.
    open: LruCache<BlockKey, BlockFile>,
    log: IndexLog,
    /// Whether every file is in the index: what is not in it is not there.
    swept: bool,
    /// Files that are being written or removed: what the directory says of them is true no longer, or not yet.
    unsettled: Vec<BlockKey>,
    /// Keeps other processes out.
    _lock: File,
}

impl State {
    fn settle(&mut self, key: &BlockKey) {
        if let Some(at) = self.unsettled.iter().position(|unsettled| unsettled == key) {
            self.unsettled.swap_remove(at);
        }
    }
}

/// What the index knows of a file.
enum Known {
    Entry(Entry),
    /// The sweep has not come to it yet.
    Perhaps,
    No,
}

impl Disk {
    /// Describes a disk; it is out of service until [`open`](Self::open).
    pub fn new(
        settings: &DiskSettings,
        open_files_max: usize,
        bounds: Bounds,
        counters: Arc<Counters>,
        pinned: Arc<Pinned>,
    ) -> Self {
        let mut seed = [0; 8];
        seed.copy_from_slice(&blake3::hash(settings.path.as_os_str().as_encoded_bytes()).as_bytes()[..8]);
        Self {
            path: settings.path.clone(),
            seed: u64::from_le_bytes(seed),
            bytes_max: settings.bytes_max,
            bounds,
            open_files_max: NonZeroUsize::new(open_files_max).unwrap_or(NonZeroUsize::MIN),
            counters,
            pinned,
            temporary: AtomicU64::new(0),
            state: Mutex::new(None),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it takes part.
    pub fn is_up(&self) -> bool {
        locked(&self.state).is_some()
    }

    /// Bytes on it, in whole pages.
    pub fn bytes(&self) -> u64 {
        locked(&self.state).as_ref().map_or(0, |state| state.index.bytes())
    }

    /// What there may be on it.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// How it is.
    pub fn usage(&self) -> DiskUsage {
        let state = locked(&self.state);
        let index = state.as_ref().map(|state| &state.index);
        DiskUsage {
            path: self.path.clone(),
            is_up: index.is_some(),
            bytes: index.map_or(0, Index::bytes),
            bytes_max: self.bytes_max,
            pinned: index.map_or(0, Index::pinned_bytes),
            pinned_max: self.bounds.pinned_bytes,
            files: index.map_or(0, Index::len) as u64,
        }
    }

    /// Throws out what is in the index now, a part at a time so that readers wait for none. False if there may be files
    /// that are not in it yet. Blocks.
    pub fn clear(&self) -> bool {
        /// Thrown out while others wait.
        const PART_BYTES: u64 = 64 << 20;
        let (bytes, is_swept) = match &*locked(&self.state) {
            Some(state) => (state.index.bytes(), state.swept),
            None => return false,
        };
        // What comes in meanwhile stays, or this would never end.
        for _ in 0..bytes.div_ceil(PART_BYTES) {
            self.throw_out(PART_BYTES);
        }
        is_swept
    }

    /// Puts the disk into service: reads its index log.
    pub fn open(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let lock = File::create(self.path.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let temporary = self.path.join("tmp");
        if temporary.exists() {
            // What was being written when the port died.
            std::fs::remove_dir_all(&temporary)?;
        }
        create_folder(&temporary)?;
        let mut index = Index::new(self.bounds);
        let mut surplus = Vec::new();
        let log = IndexLog::open(&self.path.join("index.log"), |change| match change {
            Change::Added(key, len) => match index.reserve(len) {
                Some(evicted) => {
                    surplus.extend(evicted);
                    index.commit(key, Entry { len, verified: false });
                    self.pin_if_wanted(&mut index, &key);
                }
                None => surplus.push(key),
            },
            Change::Removed(key) => drop(index.remove(&key)),
        })?;
        // The bound may have been lowered meanwhile.
        for key in surplus.iter().filter(|key| index.get(key).is_none()) {
            std::fs::remove_file(self.path.join(key.path())).ok();
        }
        let open = LruCache::new(self.open_files_max);
        *locked(&self.state) =
            Some(State { index, open, log, swept: false, unsettled: Vec::new(), _lock: lock });
        self.compact();
        Ok(())
    }

    /// An open, verified file. Never touches the disk.
    pub fn hot(&self, key: &BlockKey) -> Option<BlockFile> {
        let mut state = locked(&self.state);
        let state = state.as_mut()?;
        let file = state.open.get(key)?.clone();
        state.index.touch(key);
        Some(file)
    }

    /// Keeps a file that is there; one that comes later is kept by itself, for its object is pinned already.
    pub fn pin(&self, key: &BlockKey) {
        if let Some(state) = &mut *locked(&self.state) {
            state.index.pin(key);
        }
    }

    /// Lets a file go in its turn.
    pub fn unpin(&self, key: &BlockKey) {
        if let Some(state) = &mut *locked(&self.state) {
            state.index.unpin(key);
        }
    }

    /// A file came into the index.
    fn pin_if_wanted(&self, index: &mut Index, key: &BlockKey) {
        if self.pinned.contains(&key.object) {
            index.pin(key);
        }
    }

    /// Whether the file is known and its bytes were checked since the start.
    pub fn is_verified(&self, key: &BlockKey) -> bool {
        self.known(key).is_some_and(|known| matches!(known, Known::Entry(Entry { verified: true, .. })))
    }

    /// Whether a look at the disk may find the file.
    pub fn may_have(&self, key: &BlockKey) -> bool {
        self.known(key).is_some_and(|known| !matches!(known, Known::No))
    }

    /// Whether the file is there, as far as the index knows; it counts as used just now. `None` if that takes a look at the
    /// disk ([`holds_after_look`](Self::holds_after_look)).
    pub fn holds(&self, key: &BlockKey) -> Option<bool> {
        let mut state = locked(&self.state);
        let Some(state) = state.as_mut() else { return Some(false) };
        match state.index.get(key) {
            Some(_) => {
                state.index.touch(key);
                Some(true)
            }
            None if state.swept => Some(false),
            None => None,
        }
    }

    /// The same by a look at the disk. Blocks.
    pub fn holds_after_look(&self, key: &BlockKey) -> bool {
        self.adopt(*key);
        self.holds(key) == Some(true)
    }

    fn known(&self, key: &BlockKey) -> Option<Known> {
        let state = locked(&self.state);
        let state = state.as_ref()?;
        Some(match state.index.get(key) {
            Some(entry) => Known::Entry(entry),
            None if state.swept => Known::No,
            None => Known::Perhaps,
        })
    }

    /// Opens a file; on its first use since the start only if `is_right` says so of its bytes. A wrong file is
    /// removed. Blocks.
    pub fn find(&self, key: &BlockKey, is_right: impl FnOnce(&[u8]) -> bool) -> Option<BlockFile> {
        let verified = self.is_verified(key);
        self.find_if(key, |block| Ok(verified || is_right(&read_block(block)?)))
    }

    /// Like [`find`](Self::find), but `is_right` sees the bytes on every use.
    pub fn find_and_read(&self, key: &BlockKey, is_right: impl FnOnce(&[u8]) -> bool) -> Option<BlockFile> {
        self.find_if(key, |block| Ok(is_right(&read_block(block)?)))
    }

    fn find_if(
        &self,
        key: &BlockKey,
        is_right: impl FnOnce(&BlockFile) -> io::Result<bool>,
    ) -> Option<BlockFile> {
        if !self.may_have(key) {
            return None;
        }
        let path = self.path.join(key.path());
        let opened = open_block(&path).and_then(|block| Ok((is_right(&block)?, block)));
        match opened {
            Ok((true, block)) => {
                self.found(key, &block);
                Some(block)
            }
            Ok((false, _)) => {
                self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(file = %path.display(), "dropped a cached file: its bytes are wrong");
                self.forget(key);
                std::fs::remove_file(&path).ok();
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(key);
                None
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Writes a file whose bytes are right, throwing out others for it. `None` if that did not work: the cache
    /// is the poorer for it, nobody else. Blocks.
    pub fn put(&self, key: &BlockKey, bytes: &[u8]) -> Option<BlockFile> {
        let len = u32::try_from(bytes.len()).ok()?;
        let evicted = self.make_room(key, len)?;
        self.unlink(&evicted);
        match self.write(key, bytes) {
            Ok(block) => {
                self.commit(key, &block);
                Some(block)
            }
            Err(error) => {
                if let Some(state) = &mut *locked(&self.state) {
                    state.index.release(len);
                    state.settle(key);
                }
                self.fail(&error);
                None
            }
        }
    }

    /// Takes room for a file that is going to be written; what must go for it.
    fn make_room(&self, key: &BlockKey, len: u32) -> Option<Vec<BlockKey>> {
        let mut state = locked(&self.state);
        let state = state.as_mut()?;
        let evicted = state.index.reserve(len)?;
        state.unsettled.push(*key);
        state.unsettled.extend(&evicted);
        Some(evicted)
    }

    fn write(&self, key: &BlockKey, bytes: &[u8]) -> io::Result<BlockFile> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let (temporary, path) = (self.path.join(format!("tmp/{number}")), self.path.join(key.path()));
        for _ in 1..ATTEMPTS {
            match write_block(&temporary, &path, bytes) {
                Err(error) if is_full(&error) => self.throw_out(FULL_EVICT_BYTES),
                // The first block of its folder; or the whole disk is gone, and this fails too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    create_folder(path.parent().unwrap_or(&self.path))?;
                }
                outcome => return outcome,
            }
        }
        write_block(&temporary, &path, bytes)
    }

    /// Gives way: others filled the disk, or an operator wants it empty.
    fn throw_out(&self, bytes: u64) {
        let mut evicted = Vec::new();
        if let Some(state) = &mut *locked(&self.state) {
            let goal = state.index.bytes().saturating_sub(bytes);
            while state.index.bytes() > goal {
                let Some(key) = state.index.evict() else { break };
                evicted.push(key);
            }
            state.unsettled.extend(&evicted);
        }
        self.unlink(&evicted);
    }

    /// Takes away files that are no longer in the index.
    fn unlink(&self, evicted: &[BlockKey]) {
        if evicted.is_empty() {
            return;
        }
        let mut failed = None;
        if let Some(state) = &mut *locked(&self.state) {
            for key in evicted {
                state.open.pop(key);
                failed = state.log.append(Change::Removed(*key)).err().or(failed);
            }
        }
        for key in evicted {
            // A reader that has it open keeps it.
            std::fs::remove_file(self.path.join(key.path())).ok();
        }
        if let Some(state) = &mut *locked(&self.state) {
            evicted.iter().for_each(|key| state.settle(key));
        }
        self.counters.evictions.fetch_add(evicted.len() as u64, Ordering::Relaxed);
        if let Some(error) = failed {
            self.fail(&error);
        }
    }

    fn commit(&self, key: &BlockKey, block: &BlockFile) {
        let mut long = false;
        if let Some(state) = &mut *locked(&self.state) {
            state.index.commit(*key, Entry { len: block.len, verified: true });
            self.pin_if_wanted(&mut state.index, key);
            state.settle(key);
            state.open.put(*key, block.clone());
            // A lost record is found by the sweep of the next start.
            state.log.append(Change::Added(*key, block.len)).ok();
            long = state.log.is_long(state.index.len());
        }
        if long {
            self.compact();
        }
    }

    /// A file was opened and is right.
    fn found(&self, key: &BlockKey, block: &BlockFile) {
        if self.known(key).is_some_and(|known| matches!(known, Known::Perhaps)) {
            self.adopt(*key);
        }
        if let Some(state) = &mut *locked(&self.state) {
            // If it was thrown out meanwhile, it is served this once.
            if state.index.get(key).is_some() {
                state.index.mark_verified(key);
                state.index.touch(key);
                state.open.put(*key, block.clone());
            }
        }
    }

    fn forget(&self, key: &BlockKey) {
        if let Some(state) = &mut *locked(&self.state)
            && state.index.remove(key)
        {
            state.open.pop(key);
            state.log.append(Change::Removed(*key)).ok();
        }
    }

    fn compact(&self) {
        let (new, old) = (self.path.join("index.log.new"), self.path.join("index.log"));
        let compaction = match &mut *locked(&self.state) {
            Some(State { log, index, .. }) => log.compact(&new, index),
            None => return,
        };
        if let Err(error) = compaction.and_then(|compaction| compaction.finish(&new, &old)) {
            self.fail(&error);
        }
    }

    /// Takes in the files of one folder (0 to 255) that the index log lost. After the last folder, what is not in
    /// the index is not on the disk. False if the disk is out of service or was swept.
    pub fn sweep(&self, folder: u8) -> bool {
        if locked(&self.state).as_ref().is_none_or(|state| state.swept) {
            return false;
        }
        if let Err(error) = self.sweep_folder(folder) {
            self.fail(&error);
            return false;
        }
        if folder == u8::MAX
            && let Some(state) = &mut *locked(&self.state)
        {
            state.swept = true;
        }
        true
    }

    fn sweep_folder(&self, folder: u8) -> io::Result<()> {
        let files = match std::fs::read_dir(self.path.join(format!("{folder:02x}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome?,
        };
        for file in files {
            if let Some(key) = file?.file_name().to_str().and_then(BlockKey::parse) {
                self.adopt(key);
            }
        }
        Ok(())
    }

    /// Takes in a file that the index log lost; removes it if there is no room for it. Nobody else changes the file
    /// meanwhile: who would is kept out, or has said so.
    fn adopt(&self, key: BlockKey) {
        let mut state = locked(&self.state);
        let Some(state) = state.as_mut() else { return };
        if state.index.get(&key).is_some() || state.unsettled.contains(&key) {
            return;
        }
        let path = self.path.join(key.path());
        let Ok(metadata) = path.metadata() else { return };
        // Longer than any block is no block.
        match u32::try_from(metadata.len()) {
            Ok(len) if state.index.adopt(key, len) => {
                self.pin_if_wanted(&mut state.index, &key);
                // A lost record is found again by the sweep of the next start.
                state.log.append(Change::Added(key, len)).ok();
            }
            _ => {
                std::fs::remove_file(path).ok();
            }
        }
    }

    /// Takes the disk out of service, if it is the disk's fault.
    fn fail(&self, error: &io::Error) {
        if is_full(error) || is_shortage(error) {
            return;
        }
        if locked(&self.state).take().is_some() {
            tracing::error!(disk = %self.path.display(), %error, "a cache disk failed and is out of service: check it; it is tried again every 30 s");
        }
    }
}

fn create_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The process has too many files open, or there is no memory: no reason to give up a disk.
fn is_shortage(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

fn open_block(path: &Path) -> io::Result<BlockFile> {
    let file = File::open(path)?;
    let len = u32::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::NotFound)?;
    Ok(BlockFile { file: Arc::new(file), len })
}

fn read_block(block: &BlockFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; block.len as usize];
    match block.file.read_exact_at(&mut bytes, 0) {
        // Cut short since: its length is then wrong, and so is the block.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        outcome => outcome.map(|()| bytes),
    }
}

fn write_block(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<BlockFile> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(temporary)?;
    let written = file.write_all_at(bytes, 0).and_then(|()| std::fs::rename(temporary, path));
    if let Err(error) = written {
        std::fs::remove_file(temporary).ok();
        return Err(error);
    }
    Ok(BlockFile { file: Arc::new(file), len: bytes.len() as u32 })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::data_cache::key::ObjectKey;

    fn bytes_below(path: &Path, keys: &[BlockKey]) -> u64 {
        keys.iter().filter_map(|key| path.join(key.path()).metadata().ok()).map(|file| file.len()).sum()
    }

    /// PORT-21: a sweep that meets a file on its way out, or in, neither counts what is going nor removes what is coming.
    #[test]
    fn a_sweep_leaves_alone_what_is_being_changed() {
        const LEN: u32 = 4_096;
        let dir = TempDir::new().unwrap();
        let settings = DiskSettings { path: dir.path().to_owned(), bytes_max: LEN.into() };
        let bounds = Bounds::new(LEN.into(), 10, 0.0);
        let disk = Disk::new(&settings, 10, bounds, Arc::default(), Arc::default());
        disk.open().unwrap();
        let keys = [1, 2].map(|number| BlockKey { object: ObjectKey([number; 16]), block: 0 });
        let [old, new] = keys;
        let sweep = || (0..=u8::MAX).for_each(|folder| disk.sweep_folder(folder).unwrap());
        disk.put(&old, &[1; LEN as usize]).unwrap();

        let evicted = disk.make_room(&new, LEN).unwrap();
        assert_eq!(evicted, [old]);
        sweep();
        disk.unlink(&evicted);
        let block = disk.write(&new, &[2; LEN as usize]).unwrap();
        sweep();
        disk.commit(&new, &block);
        sweep();
        assert_eq!((disk.bytes(), bytes_below(dir.path(), &keys)), (LEN.into(), LEN.into()));
        assert!(disk.hot(&new).is_some() && disk.hot(&old).is_none());
        assert!(locked(&disk.state).as_ref().unwrap().unsettled.is_empty());
    }
}
