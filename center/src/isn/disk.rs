//! One disk of a storage node: objects as immutable files, made and removed so that a crash at any step leaves
//! either the whole object or nothing that anybody sees (ISN-3 to ISN-6, ISN-11).
//!
//! Blocking throughout; [`super::node`] calls it from a bounded number of threads. Two calls about one fingerprint
//! must not run at once: the node sees to that across all its disks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::digest::{BlockDigests, Content, Fingerprint};
use protocol::id::CustomerId;

use super::committer::{Commit, Committer};
use super::fault::{DiskError, OpenError};
use super::format::{Claim, claim};
use super::index::{Change, Index};
use super::inquiry::DiskStatus;
use super::layout::{Layout, describe, optional, rename_to_free_name};
use protocol::dosp::Reference;

/// What a disk can be asked (ISN-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Everything.
    Online = 0,
    /// To read.
    ReadOnly = 1,
    /// Nothing, until the node is started again.
    Offline = 2,
}

/// An open disk.
#[derive(Debug)]
pub struct Disk {
    layout: Layout,
    index: Arc<Index>,
    committer: Committer,
    state: AtomicU8,
    /// Why it is not online.
    reason: Mutex<String>,
    bytes_free: AtomicU64,
    bytes_total: AtomicU64,
    outstanding: AtomicU64,
    reserve_bytes: u64,
    next_temporary: AtomicU64,
    /// Folders `ab/cd` known to be durable, one bit each: the others are synced with their parents on first use.
    durable_folders: Box<[AtomicBool]>,
    lost_index: bool,
    claim: Claim,
}

/// An object being received. Its file is removed when this is dropped uncommitted.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// Opens what was received, to be read.
    pub fn reopen(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Fails for a committed object, whose file has been renamed; whatever else stays is swept at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Disk {
    /// Takes the disk, sweeps what an interrupted process left, and opens its index. An empty directory becomes a
    /// disk that holds the empty object.
    /// `reserve_bytes` are left free.
    pub fn open(
        root: &Path,
        cluster: &str,
        node: u32,
        new_disk_id: &str,
        reserve_bytes: u64,
    ) -> Result<Self, OpenError> {
        let layout = Layout::new(root);
        let claim = claim(&layout, cluster, node, new_disk_id)?;
        let opened = Self::open_claimed(layout, claim, reserve_bytes);
        opened.map_err(|error| OpenError::Disk { path: root.to_path_buf(), error })
    }

    fn open_claimed(layout: Layout, claim: Claim, reserve_bytes: u64) -> Result<Self, DiskError> {
        sweep(&layout.temporary())?;
        let has_index = fs::metadata(layout.index()).is_ok_and(|metadata| metadata.len() > 0);
        let mut lost_index = !claim.fresh && !has_index;
        let index = match Index::open(&layout.index()) {
            Err(error) if Index::is_damaged(&error) => {
                // Only a cache of what the names say: kept for whoever wants to look, and made anew.
                let aside = layout.index().with_extension("redb.damaged");
                tracing::error!("{}: {error}; set aside as {}", layout.index().display(), aside.display());
                fs::rename(layout.index(), &aside)?;
                lost_index = true;
                Index::open(&layout.index())?
            }
            opened => opened?,
        };
        let index = Arc::new(index);
        let committer = Committer::start(Arc::clone(&index))?;
        let disk = Self {
            layout,
            index,
            committer,
            state: AtomicU8::new(State::Online as u8),
            reason: Mutex::default(),
            bytes_free: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            reserve_bytes,
            next_temporary: AtomicU64::new(0),
            durable_folders: (0..=u16::MAX).map(|_| AtomicBool::new(false)).collect(),
            lost_index,
            claim,
        };
        disk.refresh_space()?;
        disk.hold_empty_object()?;
        Ok(disk)
    }

    /// The 32 hex digits that no other disk has.
    pub fn id(&self) -> &str {
        &self.claim.format.disk
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Its paths.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its index.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// Whether the index had been lost, so that objects must be found again and references restored.
    pub fn lost_index(&self) -> bool {
        self.lost_index
    }

    /// What it can be asked.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Online,
            1 => State::ReadOnly,
            _ => State::Offline,
        }
    }

    /// Why it is not online; empty if it is.
    pub fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Free bytes beyond the reserve, as of the last write.
    pub fn bytes_free(&self) -> u64 {
        self.bytes_free.load(Ordering::Relaxed)
    }

    /// Bytes the file system has in all.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total.load(Ordering::Relaxed)
    }

    /// Asks the file system how much is free.
    pub fn refresh_space(&self) -> Result<(), DiskError> {
        self.status().map(drop)
    }

    /// Numbers of the disk (ISN-10).
    pub fn status(&self) -> Result<DiskStatus, DiskError> {
        let space = rustix::fs::statvfs(self.root()).map_err(io::Error::from)?;
        let bytes_free = space.f_bavail.saturating_mul(space.f_frsize);
        let bytes_total = space.f_blocks.saturating_mul(space.f_frsize);
        let bytes_available = bytes_free.saturating_sub(self.reserve_bytes);
        self.bytes_free.store(bytes_available, Ordering::Relaxed);
        self.bytes_total.store(bytes_total, Ordering::Relaxed);
        Ok(DiskStatus {
            bytes_free,
            bytes_available,
            bytes_total,
            inodes_used: space.f_files.saturating_sub(space.f_ffree),
            inodes_available: space.f_favail,
            outstanding: self.outstanding.load(Ordering::Relaxed),
        })
    }

    /// Counts an operation as under way for as long as what is returned lives.
    pub fn count(&self) -> Outstanding<'_> {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Outstanding(&self.outstanding)
    }

    /// Takes the disk out of use as far as the error demands, and says so once.
    pub fn note(&self, error: &DiskError) {
        let state = match error {
            DiskError::Failed(_) => State::Offline,
            DiskError::ReadOnly => State::ReadOnly,
            DiskError::Full | DiskError::Busy(_) | DiskError::Collision(_) | DiskError::Missing(_) => return,
        };
        if self.state.fetch_max(state as u8, Ordering::Relaxed) < state as u8 {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            tracing::error!(
                disk = %self.root().display(), %error, ?state,
                "disk taken out of use: mend or replace it, then start the node again"
            );
        }
    }

    /// A file for an object that is about to arrive.
    pub fn begin(&self) -> Result<Temporary, DiskError> {
        let sequence = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.layout.temporary().join(sequence.to_string());
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Temporary { path, file })
    }

    /// Appends bytes, as long as the reserve stays untouched: the index must always be able to grow.
    pub fn append(&self, temporary: &mut Temporary, bytes: &[u8]) -> Result<(), DiskError> {
        self.refresh_space()?;
        if self.bytes_free() < bytes.len() as u64 {
            return Err(DiskError::Full);
        }
        Ok(temporary.file.write_all(bytes)?)
    }

    /// Makes a received object permanent and held by the reference. Durable when it returns.
    ///
    /// # Errors
    /// `Collision` if a different object has the fingerprint.
    pub fn commit(
        &self,
        temporary: Temporary,
        content: &Content,
        blocks: &BlockDigests,
        reference: Reference,
        now: u64,
    ) -> Result<(), DiskError> {
        let fingerprint = content.fingerprint;
        if self.find(fingerprint)?.is_some() {
            return self.hold(content, reference, now);
        }
        self.place(&temporary.path, &temporary.file, content, blocks)?;
        let directories = self.directories_to_sync(fingerprint);
        self.committer
            .commit(Commit { directories, change: Change::Hold { content: *content, reference, now } })?;
        self.durable_folders[folder_number(fingerprint)].store(true, Ordering::Relaxed);
        self.refresh_space()
    }

    /// Adds a reference to an object that is here already.
    ///
    /// # Errors
    /// `Missing` if it is not, `Collision` if what is here is another object.
    pub fn hold(&self, content: &Content, reference: Reference, now: u64) -> Result<(), DiskError> {
        match self.find(content.fingerprint)? {
            None => return Err(DiskError::Missing(content.fingerprint)),
            Some(found) if found != *content => return Err(DiskError::Collision(content.fingerprint)),
            Some(_) => {}
        }
        // Unknown to the index, the name may not be durable yet: the process ended just after giving it.
        let known = self.index.object(content.fingerprint)?.is_some();
        let directories = if known { Vec::new() } else { self.directories_to_sync(content.fingerprint) };
        let change = Change::Hold { content: *content, reference, now };
        Ok(self.committer.commit(Commit { directories, change })?)
    }

    /// Gives up a reference, whether or not it is there. The object may be unlinked from `unlink_from` on if that
    /// was its last.
    pub fn release(&self, reference: Reference, unlink_from: u64) -> Result<(), DiskError> {
        let change = Change::Release { reference, unlink_from };
        Ok(self.committer.commit(Commit { directories: Vec::new(), change })?)
    }

    /// The object, if its file is here and whole in length. A file the index does not know (the process ended
    /// between placing and indexing it) is described from its attribute or by reading it.
    pub fn find(&self, fingerprint: Fingerprint) -> Result<Option<Content>, DiskError> {
        let Some(metadata) = optional(fs::metadata(self.layout.object(fingerprint)))? else {
            return Ok(None);
        };
        match self.index.object(fingerprint)? {
            Some(content) => Ok((content.size == metadata.len()).then_some(content)),
            None => Ok(super::scan::identify(&self.layout, fingerprint)?),
        }
    }

    /// As [`Self::find`], and what was found is known from now on: it may be unlinked from `unlink_from` on unless
    /// somebody refers to it.
    pub fn discover(&self, fingerprint: Fingerprint, unlink_from: u64) -> Result<Option<Content>, DiskError> {
        let found = self.find(fingerprint)?;
        if let Some(content) = found
            && self.index.object(fingerprint)?.is_none()
        {
            self.adopt(content, unlink_from)?;
        }
        Ok(found)
    }

    /// Opens an object for reading: its file and, if it has more than one block, its checked block digests.
    pub fn open_object(&self, fingerprint: Fingerprint) -> Result<(Content, File, BlockDigests), DiskError> {
        let missing = || DiskError::Missing(fingerprint);
        let content = self.index.object(fingerprint)?.ok_or_else(missing)?;
        let file = optional(File::open(self.layout.object(fingerprint)))?.ok_or_else(missing)?;
        if file.metadata()?.len() != content.size {
            return Err(missing());
        }
        let list = if content.blocks() > 1 {
            optional(fs::read(self.layout.block_digests(fingerprint)))?.ok_or_else(missing)?
        } else {
            Vec::new()
        };
        let blocks = BlockDigests::from_bytes(&content, &list).map_err(|_| missing())?;
        Ok((content, file, blocks))
    }

    /// When the reference was last renewed, if it holds this very object here.
    pub fn held_since(&self, content: &Content, reference: &Reference) -> Result<Option<u64>, DiskError> {
        let here = self.index.object(content.fingerprint)? == Some(*content);
        Ok(if here { self.index.renewed(reference)? } else { None })
    }

    /// Whether this very object is here without the reference.
    pub fn lacks(&self, content: &Content, reference: &Reference) -> Result<bool, DiskError> {
        let here = self.index.object(content.fingerprint)? == Some(*content);
        Ok(here && self.index.renewed(reference)?.is_none())
    }

    /// Whether the customer has any reference to the object.
    pub fn customer_holds(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<bool, DiskError> {
        Ok(self.index.customer_holds(customer, fingerprint)?)
    }

    /// Unlinks the object if it still has no reference and its grace is over (REF-2). Answers whether it did.
    pub fn unlink(&self, fingerprint: Fingerprint, now: u64) -> Result<bool, DiskError> {
        if !self.index.is_unlinkable(fingerprint, now)? {
            return Ok(false);
        }
        optional(fs::remove_file(self.layout.object(fingerprint)))?;
        optional(fs::remove_file(self.layout.block_digests(fingerprint)))?;
        self.forget(fingerprint)?;
        self.refresh_space()?;
        Ok(true)
    }

    /// Takes an object without a file out of the index. Its references stay: another disk may hold the object.
    pub(super) fn forget(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        let directories = vec![self.layout.folder_of(fingerprint)];
        let directories = directories.into_iter().filter(|folder| folder.exists()).collect();
        Ok(self.committer.commit(Commit { directories, change: Change::Gone { fingerprint } })?)
    }

    /// Puts an object found on the disk into the index.
    pub(super) fn adopt(&self, content: Content, unlink_from: u64) -> Result<(), DiskError> {
        let directories = self.directories_to_sync(content.fingerprint);
        Ok(self.committer.commit(Commit { directories, change: Change::Found { content, unlink_from } })?)
    }

    /// Data first, then the digests, then the name: whoever sees the name sees a whole object.
    fn place(
        &self,
        path: &Path,
        file: &File,
        content: &Content,
        blocks: &BlockDigests,
    ) -> Result<(), DiskError> {
        describe(file, content)?;
        file.sync_data()?;
        fs::create_dir_all(self.layout.folder_of(content.fingerprint))?;
        if content.blocks() > 1 {
            let list = path.with_extension("B3");
            let mut file = File::create(&list)?;
            file.write_all(&blocks.as_bytes())?;
            file.sync_data()?;
            fs::rename(&list, self.layout.block_digests(content.fingerprint))?;
        }
        match rename_to_free_name(path, &self.layout.object(content.fingerprint)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // `find` refused what stands there, so it is not whole: the new, checked copy takes its place.
                tracing::warn!(disk = %self.root().display(), object = %content.fingerprint, "damaged copy replaced");
                Ok(fs::rename(path, self.layout.object(content.fingerprint))?)
            }
            placed => Ok(placed?),
        }
    }

    fn directories_to_sync(&self, fingerprint: Fingerprint) -> Vec<PathBuf> {
        let folder = self.layout.folder_of(fingerprint);
        if self.durable_folders[folder_number(fingerprint)].load(Ordering::Relaxed) {
            return vec![folder];
        }
        let parents = folder.ancestors().skip(1).take(2).map(Path::to_path_buf).collect::<Vec<_>>();
        parents.into_iter().chain([folder]).collect()
    }

    fn hold_empty_object(&self) -> Result<(), DiskError> {
        let content = Content::EMPTY;
        if self.find(content.fingerprint)?.is_none() {
            let temporary = self.begin()?;
            let blocks = BlockDigests::from_bytes(&content, &[])
                .map_err(|_| DiskError::Missing(content.fingerprint))?;
            self.place(&temporary.path, &temporary.file, &content, &blocks)?;
        }
        if self.index.object(content.fingerprint)?.is_none() {
            self.adopt(content, u64::MAX)?;
        }
        Ok(())
    }
}

/// An operation under way.
pub struct Outstanding<'disk>(&'disk AtomicU64);

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads exactly one block.
pub fn read_block(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn folder_number(fingerprint: Fingerprint) -> usize {
    let [first, second, ..] = fingerprint.0;
    usize::from(u16::from_be_bytes([first, second]))
}

fn sweep(temporary: &Path) -> io::Result<()> {
    for entry in fs::read_dir(temporary)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
