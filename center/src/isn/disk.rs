//! One disk of a storage node: objects as immutable files, made and removed so that a crash at any step leaves
//! either the whole object or nothing that anybody sees (ISN-3 to ISN-6, ISN-11).
//!
//! Here: opening it, its state, and what is asked of its objects. Objects come by [`super::receive`], bad ones go by
//! [`super::verify`] and [`super::quarantine`], what was lost is found by [`super::scan`].
//!
//! Blocking throughout; [`super::node`] calls it from a bounded number of threads. Two calls about one fingerprint
//! must not run at once, unless they say so: the node sees to that across all its disks.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::digest::{BlockDigests, Content, Fingerprint};
use protocol::dosp::Reference;
use protocol::id::CustomerId;

use super::committer::Committer;
use super::fault::{DiskError, OpenError, unreadable};
use super::files::{DiskFile, FileSystem, Host};
use super::format::{Claim, Owner, claim};
use super::health::{Health, Thresholds};
use super::index::{Change, Index};
use super::layout::{Layout, optional};
use super::names::Names;
use super::quarantine;
use super::receive::DurableFolders;

/// What a disk can be asked.
///
/// Of the three words of ISN-9, [`Self::Online`] is *online*; [`Self::ReadOnly`] and [`Self::Offline`], which an error
/// brought about, are *offline*; [`Self::Down`] is *down*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Everything.
    Online = 0,
    /// To read: its file system refuses writes.
    ReadOnly = 1,
    /// Nothing, until the node is started again.
    Offline = 2,
    /// Nothing: it was missing or unusable when the node was started. Never the state of an open disk.
    Down = 3,
}

/// Figures of one disk (ISN-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// What it can be asked.
    pub state: State,
    /// Whether it takes no new objects because it is to be emptied.
    pub draining: bool,
    /// Bytes not used on its file system.
    pub bytes_free: u64,
    /// Bytes that objects can still take: what is free for us, without the reserve.
    pub bytes_available: u64,
    /// Size of its file system in bytes.
    pub bytes_total: u64,
    /// Inodes in use on its file system.
    pub inodes_used: u64,
    /// Inodes free for us.
    pub inodes_available: u64,
    /// Jobs waiting for the disk and running on it.
    pub outstanding: u64,
    /// Objects on it.
    pub objects: u64,
}

/// How a disk is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Whose it must be, or becomes.
    pub owner: Owner<'a>,
    /// Bytes left free on it.
    pub reserve_bytes: u64,
    /// When it is taken out of use.
    pub thresholds: Thresholds,
}

/// References read from the index at a time.
const REFERENCES_AT_ONCE: usize = 1_000;

/// An open disk.
#[derive(Debug)]
pub struct Disk<F: FileSystem = Host> {
    pub(super) names: Names<F>,
    pub(super) index: Arc<Index<F>>,
    pub(super) committer: Committer,
    health: Arc<Health>,
    state: AtomicU8,
    /// Why it is not online.
    reason: Mutex<String>,
    draining: AtomicBool,
    lost_index: AtomicBool,
    bytes_free: AtomicU64,
    bytes_total: AtomicU64,
    reserve_bytes: u64,
    pub(super) next_temporary: AtomicU64,
    pub(super) next_quarantined: AtomicU64,
    pub(super) durable_folders: DurableFolders,
    /// Objects whose files are being put in place. As many as the disk has threads.
    pub(super) placing: Mutex<BTreeSet<Fingerprint>>,
    /// Objects to be verified, at most [`super::verify::SUSPECTS_MAX`].
    pub(super) suspects: Mutex<BTreeSet<Fingerprint>>,
    claim: Claim<F>,
}

impl Disk {
    /// Takes the disk in a directory of the machine. `reserve_bytes` are left free.
    pub fn open(
        root: &Path,
        cluster: &str,
        node: u32,
        new_disk_id: &str,
        reserve_bytes: u64,
    ) -> Result<Self, OpenError> {
        let owner = Owner { cluster, node, new_disk_id };
        Self::open_on(Host, root, Opening { owner, reserve_bytes, thresholds: Thresholds::default() })
    }
}

impl<F: FileSystem> Disk<F> {
    /// Takes the disk, sweeps what an interrupted process left, and opens its index. An empty directory becomes a
    /// disk that holds the empty object.
    pub fn open_on(files: F, root: &Path, opening: Opening<'_>) -> Result<Self, OpenError> {
        let names = Names { files, layout: Layout::new(root) };
        let claim = claim(&names, &opening.owner)?;
        let opened = Self::open_claimed(names, claim, opening);
        opened.map_err(|error| OpenError::Disk { path: root.to_path_buf(), error })
    }

    fn open_claimed(names: Names<F>, claim: Claim<F>, opening: Opening<'_>) -> Result<Self, DiskError> {
        sweep(&names)?;
        let index = Arc::new(open_index(&names, claim.fresh)?);
        let disk = Self {
            committer: Committer::start(names.clone(), Arc::clone(&index))?,
            health: Arc::new(Health::new(opening.thresholds)),
            state: AtomicU8::new(State::Online as u8),
            reason: Mutex::default(),
            draining: AtomicBool::new(is_there(&names.files, &names.layout.drain_mark())?),
            lost_index: AtomicBool::new(is_there(&names.files, &names.layout.lost_mark())?),
            bytes_free: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            reserve_bytes: opening.reserve_bytes,
            next_temporary: AtomicU64::new(0),
            next_quarantined: AtomicU64::new(quarantine::next_number(&names)?),
            durable_folders: DurableFolders::default(),
            placing: Mutex::default(),
            suspects: Mutex::default(),
            names,
            index,
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
        self.names.layout.root()
    }

    /// Its index.
    pub(super) fn index(&self) -> &Index<F> {
        &self.index
    }

    /// Whether the index was lost, now or before, so that objects must be found again and references restored.
    pub fn lost_index(&self) -> bool {
        self.lost_index.load(Ordering::Relaxed)
    }

    /// Ends what [`Self::lost_index`] says, durably: the disk was scanned and all references were restored.
    pub fn references_restored(&self) -> Result<(), DiskError> {
        self.unmark(&self.names.layout.lost_mark())?;
        self.lost_index.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the disk is to be emptied.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins or ends emptying, durably: a disk that is to be emptied takes no new objects.
    pub fn set_draining(&self, draining: bool) -> Result<(), DiskError> {
        let path = self.names.layout.drain_mark();
        if draining {
            mark(&self.names, &path)?;
        } else {
            self.unmark(&path)?;
        }
        self.draining.store(draining, Ordering::Relaxed);
        Ok(())
    }

    fn unmark(&self, path: &Path) -> Result<(), DiskError> {
        optional(self.names.files.remove(path))?;
        Ok(self.names.files.sync_directory(self.root())?)
    }

    /// What it can be asked.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Online,
            1 => State::ReadOnly,
            _ => State::Offline,
        }
    }

    /// Whether new objects may be put on it.
    pub fn takes_objects(&self) -> bool {
        self.state() == State::Online && !self.draining()
    }

    /// Free bytes beyond the reserve, as of the last write.
    pub fn bytes_free(&self) -> u64 {
        self.bytes_free.load(Ordering::Relaxed)
    }

    /// Bytes its file system has in all.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total.load(Ordering::Relaxed)
    }

    /// Why it is not online; empty if it is.
    pub fn reason(&self) -> String {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the file system how much is free.
    pub fn refresh_space(&self) -> Result<(), DiskError> {
        let space = self.names.files.space(self.root())?;
        self.bytes_free.store(space.bytes_available.saturating_sub(self.reserve_bytes), Ordering::Relaxed);
        self.bytes_total.store(space.bytes_total, Ordering::Relaxed);
        Ok(())
    }

    /// Its figures.
    pub fn status(&self) -> Result<DiskStatus, DiskError> {
        let space = self.names.files.space(self.root())?;
        Ok(DiskStatus {
            state: self.state(),
            draining: self.draining(),
            bytes_free: space.bytes_free,
            bytes_available: space.bytes_available.saturating_sub(self.reserve_bytes),
            bytes_total: space.bytes_total,
            inodes_used: space.inodes_used,
            inodes_available: space.inodes_available,
            outstanding: self.health.outstanding(),
            objects: self.index.count()?,
        })
    }

    /// Its jobs.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Takes the disk out of use if a job has been running for too long. Called before and after each job.
    pub fn check_jobs(&self, now: Instant) {
        if let Some(longest) = self.health.overdue(now) {
            self.take_out(State::Offline, &format!("a job has been running for {} s", longest.as_secs()));
        }
    }

    /// Takes the disk out of use as far as the error demands, and says so once.
    pub fn note(&self, error: &DiskError) {
        match error {
            DiskError::Failed(_) => self.take_out(State::Offline, &error.to_string()),
            DiskError::ReadOnly => self.take_out(State::ReadOnly, &error.to_string()),
            DiskError::Unreadable(_) => {
                if self.health.read_failed() {
                    self.take_out(State::Offline, &format!("too many reads failed, the last: {error}"));
                }
            }
            DiskError::Full
            | DiskError::Draining
            | DiskError::Busy(_)
            | DiskError::Collision(_)
            | DiskError::GivenUp(_)
            | DiskError::Missing(_) => {}
        }
    }

    fn take_out(&self, state: State, reason: &str) {
        if self.state.fetch_max(state as u8, Ordering::Relaxed) < state as u8 {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason.to_owned();
            tracing::error!(
                disk = %self.root().display(), reason, ?state,
                "disk taken out of use: mend or replace it, then start the node again"
            );
        }
    }

    /// Gives up a reference, whether or not it is there. The object may be unlinked from `unlink_from` on if that
    /// was its last.
    pub fn release(&self, reference: Reference, now: u64, unlink_from: u64) -> Result<(), DiskError> {
        Ok(self.committer.commit(vec![Change::Release { reference, now, unlink_from }])?)
    }

    /// Refuses the reference of an upload that began at `since`, if it was given up since then: whoever gave it up knows
    /// nothing of an upload that comes late.
    ///
    /// # Errors
    /// `GivenUp`.
    pub fn refuse_late(&self, reference: &Reference, since: u64) -> Result<(), DiskError> {
        match self.index.released(reference)? {
            Some(released) if released >= since => Err(DiskError::GivenUp(reference.token)),
            _ => Ok(()),
        }
    }

    /// The object, if its files are here and whole in length. A file the index does not know (the process ended
    /// between placing and indexing it) is described from its attribute or by reading it.
    pub fn find(&self, fingerprint: Fingerprint) -> Result<Option<Content>, DiskError> {
        match self.index.object(fingerprint)? {
            Some(content) => Ok(self.names.is_whole(&content)?.then_some(content)),
            None => self.names.identify(fingerprint).map_err(unreadable),
        }
    }

    /// As [`Self::find`], and what was found is known from now on: it may be unlinked from `unlink_from` on unless
    /// somebody refers to it.
    pub fn discover(&self, fingerprint: Fingerprint, unlink_from: u64) -> Result<Option<Content>, DiskError> {
        let found = self.find(fingerprint)?;
        if let Some(content) = found {
            self.adopt(&content, unlink_from)?;
        }
        Ok(found)
    }

    /// Opens an object for reading: its file and, if it has more than one block, its checked block digests.
    pub fn open_object(
        &self,
        fingerprint: Fingerprint,
    ) -> Result<(Content, F::File, BlockDigests), DiskError> {
        let missing = || DiskError::Missing(fingerprint);
        let content = self.index.object(fingerprint)?.ok_or_else(missing)?;
        let (files, layout) = (&self.names.files, &self.names.layout);
        let file = optional(files.open(&layout.object(fingerprint)))?.ok_or_else(missing)?;
        if file.length()? != content.size {
            return Err(missing());
        }
        let list = if content.blocks() > 1 {
            let list = optional(files.read(&layout.block_digests(fingerprint))).map_err(unreadable)?;
            list.ok_or_else(missing)?
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

    /// Up to `limit` references to an object after `after`, in order, each with the second it was renewed in.
    pub fn references_of(
        &self,
        fingerprint: Fingerprint,
        after: Option<Reference>,
        limit: usize,
    ) -> Result<Vec<(Reference, u64)>, DiskError> {
        Ok(self.index.references_of(fingerprint, after, limit)?)
    }

    /// All references to an object, in order.
    pub fn all_references_of(&self, fingerprint: Fingerprint) -> Result<Vec<(Reference, u64)>, DiskError> {
        let mut all: Vec<(Reference, u64)> = Vec::new();
        loop {
            let after = all.last().map(|(reference, _)| *reference);
            let page = self.references_of(fingerprint, after, REFERENCES_AT_ONCE)?;
            let is_last = page.len() < REFERENCES_AT_ONCE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Up to `limit` objects after `after`, in order, that references here hold and whose files were lost or put into
    /// quarantine.
    pub fn missing(&self, after: Option<Fingerprint>, limit: usize) -> Result<Vec<Content>, DiskError> {
        Ok(self.index.missing(after, limit)?)
    }

    /// Unlinks the object if it still has no reference and its grace is over (REF-2). Answers whether it did.
    pub fn unlink(&self, fingerprint: Fingerprint, now: u64) -> Result<bool, DiskError> {
        if !self.index.is_unlinkable(fingerprint, now)? {
            return Ok(false);
        }
        let (files, layout) = (&self.names.files, &self.names.layout);
        optional(files.remove(&layout.object(fingerprint)))?;
        optional(files.remove(&layout.block_digests(fingerprint)))?;
        self.forget(fingerprint)?;
        self.refresh_space()?;
        Ok(true)
    }

    /// Forgets releases that have been remembered for long enough. Any number of calls may run at once.
    pub fn sweep_releases(&self, now: u64) -> Result<(), DiskError> {
        while self.index.has_old_releases(now)? {
            self.committer.commit(vec![Change::Sweep { now }])?;
        }
        Ok(())
    }

    /// Takes an object whose file was removed out of the index. Its references stay: another disk may hold the object.
    pub(super) fn forget(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        // A folder that is not there has no names to lose.
        optional(self.names.files.sync_directory(&self.names.layout.folder_of(fingerprint)))?;
        Ok(self.committer.commit(vec![Change::Gone { fingerprint }])?)
    }

    fn hold_empty_object(&self) -> Result<(), DiskError> {
        let content = Content::EMPTY;
        if self.find(content.fingerprint)?.is_none() {
            let temporary = self.make_temporary()?;
            let blocks = BlockDigests::from_bytes(&content, &[])
                .map_err(|_| DiskError::Missing(content.fingerprint))?;
            self.place(&temporary, &content, &blocks)?;
        }
        if self.index.object(content.fingerprint)?.is_none() {
            self.sync_name(content.fingerprint)?;
            self.committer.commit(vec![Change::Found { content, unlink_from: u64::MAX }])?;
        }
        Ok(())
    }
}

/// Reads exactly one block.
pub fn read_block(file: &impl DiskFile, offset: u64, length: usize) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map_err(unreadable)?;
    Ok(bytes)
}

/// Opens the index. One that is missing or damaged is made anew, and the disk is marked so that its objects are found
/// again and its references restored, however often the process ends before that is done.
fn open_index<F: FileSystem>(names: &Names<F>, fresh: bool) -> Result<Index<F>, DiskError> {
    let (files, path) = (&names.files, names.layout.index());
    let length = optional(files.length(&path))?;
    if !fresh && length.is_none_or(|length| length == 0) {
        mark(names, &names.layout.lost_mark())?;
    }
    let index = match Index::open(files.clone(), &path) {
        Err(error) if Index::<F>::is_damaged(&error) => {
            // Only a cache of what the names say: kept for whoever wants to look, and made anew.
            mark(names, &names.layout.lost_mark())?;
            let aside = path.with_extension("redb.damaged");
            tracing::error!("{}: {error}; set aside as {}", path.display(), aside.display());
            files.rename(&path, &aside)?;
            Index::open(files.clone(), &path)?
        }
        opened => opened?,
    };
    files.sync_directory(names.layout.root())?;
    Ok(index)
}

/// Makes an empty file, durably.
fn mark<F: FileSystem>(names: &Names<F>, path: &Path) -> Result<(), DiskError> {
    names.files.open_or_create(path)?;
    Ok(names.files.sync_directory(names.layout.root())?)
}

fn is_there(files: &impl FileSystem, path: &Path) -> Result<bool, DiskError> {
    Ok(optional(files.length(path))?.is_some())
}

fn sweep<F: FileSystem>(names: &Names<F>) -> Result<(), DiskError> {
    let folder = names.layout.temporary();
    for entry in names.files.list(&folder)? {
        names.files.remove(&folder.join(entry.name))?;
    }
    Ok(())
}
