//! One object as the cache knows it while it is open: its file, which blocks are there and may be sent, who may have it.
//!
//! A block of a file is sent as it lies there only if it was checked by this process, nobody has written to the file
//! since (its [`Stamp`]), and it is still in memory ([`page_cache`]). Everything else is read and checked first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content};
use thiserror::Error;

use super::bits::Bits;
use super::entitled::Entitled;
use super::files::Files;
use super::page_cache::{is_in_memory, read_now};
use super::stamp::Stamp;

/// See the module. `O` is an open object of the source.
#[derive(Debug)]
pub struct Object<O> {
    content: Content,
    digests: Arc<BlockDigests>,
    /// `None` until a block is kept.
    home: Mutex<Option<Home>>,
    /// Held while a file of ours and its stamp do not agree: one write, or one look at both.
    writing: Mutex<()>,
    /// Blocks in a file of ours.
    present: Bits,
    /// Blocks of the file at `home` that were checked.
    checked: Bits,
    /// Not the cache's any more: nothing is kept for it, what is open can be read to its end.
    is_gone: AtomicBool,
    /// Its file was found to be of no use: nothing more is read from it.
    is_spoiled: AtomicBool,
    entitled: Mutex<Entitled>,
    /// An open object of the source, for whoever misses a block next.
    idle: Mutex<Option<O>>,
    used: AtomicU64,
}

/// A file with the object's bytes.
#[derive(Clone, Debug)]
struct Home {
    file: Arc<File>,
    stamp: Stamp,
    /// Its name if it is ours; a node's file is only lent.
    path: Option<PathBuf>,
}

/// A piece of a file, fit to be sent as it is.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The file.
    pub file: Arc<File>,
    /// Where the piece begins.
    pub offset: u64,
    /// Its length, at most a block's.
    pub len: u64,
}

/// A file of the cache is of no use.
#[derive(Debug, Error)]
pub enum Spoiled {
    /// Others wrote to it, or it holds other bytes than it should.
    #[error("a file of the data cache does not hold what was written to it")]
    Changed,
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<O> Object<O> {
    /// An object of which no file is known.
    pub fn new(content: Content, digests: Arc<BlockDigests>) -> Self {
        Self::with(content, digests, None, Bits::none(content.blocks()))
    }

    /// An object whose file lies whole in the cache. None of it is checked yet.
    pub fn found(content: Content, digests: BlockDigests, file: File, path: PathBuf) -> io::Result<Self> {
        let home = Home { stamp: Stamp::of(&file)?, file: Arc::new(file), path: Some(path) };
        Ok(Self::with(content, Arc::new(digests), Some(home), Bits::all_of(content.blocks())))
    }

    /// An object in a file of the source. None of it is checked yet.
    pub fn lent(content: Content, digests: Arc<BlockDigests>, file: &Arc<File>) -> io::Result<Self> {
        let home = Home { stamp: Stamp::of(file)?, file: Arc::clone(file), path: None };
        Ok(Self::with(content, digests, Some(home), Bits::none(content.blocks())))
    }

    fn with(content: Content, digests: Arc<BlockDigests>, home: Option<Home>, present: Bits) -> Self {
        Self {
            content,
            digests,
            home: Mutex::new(home),
            writing: Mutex::default(),
            present,
            checked: Bits::none(content.blocks()),
            is_gone: AtomicBool::new(false),
            is_spoiled: AtomicBool::new(false),
            entitled: Mutex::default(),
            idle: Mutex::new(None),
            used: AtomicU64::new(0),
        }
    }

    /// Fingerprint, size and digest.
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// The digests of its blocks.
    pub fn digests(&self) -> &BlockDigests {
        &self.digests
    }

    /// Who may have it.
    pub fn entitled(&self) -> MutexGuard<'_, Entitled> {
        locked(&self.entitled)
    }

    /// Notes a use at this second. Whether it is the first of the second.
    pub fn mark_used(&self, now: u64) -> bool {
        self.used.load(Ordering::Relaxed) != now && self.used.swap(now, Ordering::Relaxed) != now
    }

    /// The second of its last use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the cache has let it go.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// The cache lets it go. The file to be removed, if there is one of ours.
    pub fn let_go(&self) -> Option<PathBuf> {
        self.is_gone.store(true, Ordering::Release);
        *self.entitled() = Entitled::default();
        locked(&self.home).as_ref().and_then(|home| home.path.clone())
    }

    /// Its file is of no use. Whether that is news.
    pub fn spoil(&self) -> bool {
        !self.is_spoiled.swap(true, Ordering::AcqRel)
    }

    fn is_spoiled(&self) -> bool {
        self.is_spoiled.load(Ordering::Acquire)
    }

    /// Whether all of it lies in a file of ours.
    pub fn is_whole(&self) -> bool {
        self.present.is_full()
    }

    /// Whether something of it lies in a file.
    pub fn has_file(&self) -> bool {
        locked(&self.home).is_some()
    }

    /// The open object of the source that nobody uses.
    pub fn take_idle(&self) -> Option<O> {
        locked(&self.idle).take()
    }

    /// Keeps an open object of the source for the next who needs one. Once all blocks are at hand nobody will.
    pub fn put_idle(&self, source: O) {
        if !self.is_gone() && !self.present.is_full() && !self.checked.is_full() {
            *locked(&self.idle) = Some(source);
        } else {
            drop(self.take_idle());
        }
    }

    /// Bytes from `offset` on, at most `max` and none beyond its block, that may be sent as they lie in the file. Does
    /// not say whether they are in memory.
    pub fn in_file(&self, offset: u64, max: u64) -> Option<Piece> {
        let index = offset / BLOCK_BYTES;
        if !self.checked.has(index) || self.is_spoiled() {
            return None;
        }
        let file = {
            let home = locked(&self.home);
            let home = home.as_ref()?;
            if Stamp::of(&home.file).ok()? != home.stamp {
                return None;
            }
            Arc::clone(&home.file)
        };
        let block_end = index * BLOCK_BYTES + self.content.block_len(index);
        Some(Piece { file, offset, len: max.min(block_end.saturating_sub(offset)) })
    }

    /// As [`Self::in_file`], if they are in memory.
    pub fn in_memory(&self, offset: u64, max: u64) -> Option<Piece> {
        self.in_file(offset, max).filter(|piece| is_in_memory(&piece.file, piece.offset, piece.len))
    }

    /// A block, if it was checked and can be had without waiting for a disk.
    pub fn read_now(&self, index: u64) -> Option<Bytes> {
        let piece = self.in_file(index.checked_mul(BLOCK_BYTES)?, BLOCK_BYTES)?;
        let mut bytes = vec![0; usize::try_from(piece.len).ok()?];
        read_now(&piece.file, &mut bytes, piece.offset).then(|| Bytes::from(bytes))
    }

    /// Reads a block of our file and checks it; `None` if it is not there. Blocks.
    ///
    /// # Errors
    /// The file is of no use.
    pub fn read_kept(&self, index: u64) -> Result<Option<Bytes>, Spoiled> {
        if !self.present.has(index) || self.is_spoiled() {
            return Ok(None);
        }
        let Some(file) = self.trusted_file()? else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(self.content.block_len(index)).unwrap_or(0)];
        match file.read_exact_at(&mut bytes, index * BLOCK_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Spoiled::Changed),
            read => read?,
        }
        self.digests.verify(&self.content, index, &bytes).map_err(|_| Spoiled::Changed)?;
        self.checked.add(index);
        Ok(Some(Bytes::from(bytes)))
    }

    /// The file, if nobody else has written to it.
    fn trusted_file(&self) -> Result<Option<Arc<File>>, Spoiled> {
        let _writing = locked(&self.writing);
        let Some(Home { file, stamp, .. }) = locked(&self.home).clone() else { return Ok(None) };
        if Stamp::of(&file)? == stamp { Ok(Some(file)) } else { Err(Spoiled::Changed) }
    }

    /// Keeps a block that was checked. Whether all of the object is kept now. Blocks.
    ///
    /// # Errors
    /// The file is of no use.
    pub fn keep(&self, files: &Files, index: u64, bytes: &[u8]) -> Result<bool, Spoiled> {
        let _writing = locked(&self.writing);
        if self.is_gone() || self.present.has(index) {
            return Ok(false);
        }
        let home = locked(&self.home).clone();
        let (file, path) = match home {
            Some(Home { path: None, .. }) => return Ok(false),
            Some(Home { file, stamp, .. }) if Stamp::of(&file)? != stamp => return Err(Spoiled::Changed),
            Some(Home { file, path: Some(path), .. }) => (file, path),
            None => {
                let (file, path) = files.begin(&self.content, &self.digests)?;
                let (stamp, file) = (Stamp::of(&file)?, Arc::new(file));
                *locked(&self.home) = Some(Home { file: Arc::clone(&file), stamp, path: Some(path.clone()) });
                (file, path)
            }
        };
        file.write_all_at(bytes, index * BLOCK_BYTES)?;
        let stamp = Stamp::of(&file)?;
        *locked(&self.home) = Some(Home { file, stamp, path: Some(path.clone()) });
        self.present.add(index);
        self.checked.add(index);
        if self.present.is_full() {
            self.finish(files, &path)?;
            return Ok(true);
        }
        // Let go after we looked: whoever did may have seen no file to remove.
        self.remove_if_gone(&path);
        Ok(false)
    }

    fn finish(&self, files: &Files, part: &std::path::Path) -> Result<(), Spoiled> {
        let path = files.place(part, self.content.fingerprint)?;
        if let Some(home) = &mut *locked(&self.home) {
            home.path = Some(path.clone());
        }
        self.remove_if_gone(&path);
        Ok(())
    }

    fn remove_if_gone(&self, path: &std::path::Path) {
        if self.is_gone() {
            // What stays is swept, or found again, at the next start.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The source has read and checked a block of this file.
    pub fn note_checked(&self, index: u64, file: &File) {
        let stamp = locked(&self.home).as_ref().filter(|home| home.path.is_none()).map(|home| home.stamp);
        if stamp.is_some() && stamp == Stamp::of(file).ok() {
            self.checked.add(index);
        }
    }

    /// Whether others wrote to the source's file since it was opened: it must be opened, and its blocks checked, anew.
    pub fn has_changed(&self) -> bool {
        let home = locked(&self.home);
        home.as_ref()
            .is_some_and(|home| home.path.is_none() && Stamp::of(&home.file).ok() != Some(home.stamp))
    }
}

/// No code panics while it holds one of the cache's locks.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
