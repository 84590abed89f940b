//! How objects come to a disk: temporary file, bytes, sync, name, folder, index (ISN-3, ISN-6). And what holds them.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::digest::{BlockDigests, Content, Fingerprint};
use protocol::dosp::Reference;

use super::disk::Disk;
use super::fault::DiskError;
use super::files::{DiskFile, FileSystem, Host};
use super::index::Change;
use super::layout::{describe, optional};

/// Bytes of a temporary file that are not synced yet, at most. So the last sync of a large object is no longer than
/// any other, and no job on the disk takes longer than it takes to write so much.
const UNSYNCED_MAX: u64 = 64 << 20;
/// Bytes after which the disk begins to write: while more are received, not when all of them are synced.
const WRITING_BYTES: u64 = 8 << 20;

/// An object being received. Its file is removed when this is dropped uncommitted.
#[derive(Debug)]
pub struct Temporary<F: FileSystem = Host> {
    files: F,
    path: PathBuf,
    file: F::File,
    length: u64,
    /// Of these, those that the disk was told to write.
    begun: u64,
    unsynced: u64,
}

impl<F: FileSystem> Temporary<F> {
    /// Opens what was received, to be read.
    pub fn reopen(&self) -> io::Result<F::File> {
        self.files.open(&self.path)
    }
}

impl<F: FileSystem> Drop for Temporary<F> {
    fn drop(&mut self) {
        // Fails for a committed object, whose file has been renamed; whatever else stays is swept at the next start.
        let _ = self.files.remove(&self.path);
    }
}

impl<F: FileSystem> Disk<F> {
    /// A file for an object that is about to arrive.
    ///
    /// # Errors
    /// `Draining` if the disk takes no new objects.
    pub fn begin(&self) -> Result<Temporary<F>, DiskError> {
        if self.draining() {
            return Err(DiskError::Draining);
        }
        self.make_temporary()
    }

    pub(super) fn make_temporary(&self) -> Result<Temporary<F>, DiskError> {
        let sequence = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.names.layout.temporary().join(sequence.to_string());
        let file = self.names.files.create_new(&path)?;
        Ok(Temporary { files: self.names.files.clone(), path, file, length: 0, begun: 0, unsynced: 0 })
    }

    /// Appends bytes, as long as the reserve stays untouched: the index must always be able to grow.
    pub fn append(&self, temporary: &mut Temporary<F>, bytes: &[u8]) -> Result<(), DiskError> {
        self.refresh_space()?;
        if self.bytes_free() < bytes.len() as u64 {
            return Err(DiskError::Full);
        }
        temporary.file.append(bytes)?;
        temporary.length += bytes.len() as u64;
        let waiting = temporary.length - temporary.begun;
        if waiting >= WRITING_BYTES {
            temporary.file.begin_writing(temporary.begun, waiting);
            temporary.begun = temporary.length;
        }
        temporary.unsynced += bytes.len() as u64;
        if temporary.unsynced >= UNSYNCED_MAX {
            temporary.file.sync_data()?;
            temporary.unsynced = 0;
        }
        Ok(())
    }

    /// Makes a received object permanent and held by the reference. Durable when it returns.
    ///
    /// # Errors
    /// `Collision` if a different object has the fingerprint.
    pub fn commit(
        &self,
        temporary: Temporary<F>,
        content: &Content,
        blocks: &BlockDigests,
        reference: Reference,
        now: u64,
    ) -> Result<(), DiskError> {
        self.keep(temporary, content, blocks, vec![Change::Hold { content: *content, reference, now }])
    }

    /// Makes a copy from another node permanent, held by that copy's references, each with the second it was renewed
    /// in. Those given up here lately stay given up. Without any reference the object may be unlinked from
    /// `unlink_from` on. Durable when it returns.
    ///
    /// # Errors
    /// `Collision` if a different object has the fingerprint.
    pub fn commit_replica(
        &self,
        temporary: Temporary<F>,
        content: &Content,
        blocks: &BlockDigests,
        references: &[(Reference, u64)],
        unlink_from: u64,
    ) -> Result<(), DiskError> {
        self.keep(temporary, content, blocks, replication(content, references, unlink_from))
    }

    /// Adds a reference to an object that is here already.
    ///
    /// # Errors
    /// `Missing` if it is not, `Collision` if what is here is another object.
    pub fn hold(&self, content: &Content, reference: Reference, now: u64) -> Result<(), DiskError> {
        self.change(content, vec![Change::Hold { content: *content, reference, now }])
    }

    /// Adds the references of another copy to an object that is here already, as [`Self::commit_replica`] does.
    ///
    /// # Errors
    /// `Missing` if it is not, `Collision` if what is here is another object.
    pub fn replicate(
        &self,
        content: &Content,
        references: &[(Reference, u64)],
        unlink_from: u64,
    ) -> Result<(), DiskError> {
        self.change(content, replication(content, references, unlink_from))
    }

    fn keep(
        &self,
        temporary: Temporary<F>,
        content: &Content,
        blocks: &BlockDigests,
        changes: Vec<Change>,
    ) -> Result<(), DiskError> {
        if self.find(content.fingerprint)?.is_some() {
            return self.change(content, changes);
        }
        // The file of what the index knows is gone. Were another object put there and its own row not written, the
        // old row would pass for it.
        if self.index.object(content.fingerprint)?.is_some_and(|known| known != *content) {
            self.forget(content.fingerprint)?;
        }
        // References outlive their object's file; they are not to hold another object.
        let missing = self.index.missing_object(content.fingerprint)?;
        if missing.is_some_and(|missing| missing != *content) {
            return Err(DiskError::Collision(content.fingerprint));
        }
        self.place(&temporary, content, blocks)?;
        self.sync_name(content.fingerprint)?;
        self.committer.commit(changes)?;
        self.refresh_space()
    }

    fn change(&self, content: &Content, changes: Vec<Change>) -> Result<(), DiskError> {
        let fingerprint = content.fingerprint;
        match self.find(fingerprint)? {
            None => return Err(DiskError::Missing(fingerprint)),
            Some(found) if found != *content => return Err(DiskError::Collision(fingerprint)),
            Some(_) => {}
        }
        if self.index.object(fingerprint)?.is_none() {
            self.sync_found(fingerprint)?;
        }
        Ok(self.committer.commit(changes)?)
    }

    /// Puts an object found here into the index, if it is not there yet.
    pub(super) fn adopt(&self, content: &Content, unlink_from: u64) -> Result<(), DiskError> {
        if self.index.object(content.fingerprint)?.is_some() {
            return Ok(());
        }
        self.sync_found(content.fingerprint)?;
        Ok(self.committer.commit(vec![Change::Found { content: *content, unlink_from }])?)
    }

    /// What the index does not know may not be durable yet: the process ended just after placing it, or somebody copied
    /// it here.
    fn sync_found(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        self.names.files.open(&self.names.layout.object(fingerprint))?.sync_data()?;
        self.sync_name(fingerprint)
    }

    /// Data first, then the digests, then the name: whoever sees the name sees a whole object.
    pub(super) fn place(
        &self,
        temporary: &Temporary<F>,
        content: &Content,
        blocks: &BlockDigests,
    ) -> Result<(), DiskError> {
        temporary.file.set_attribute(describe(content).as_bytes())?;
        temporary.file.sync_data()?;
        let (files, layout) = (&self.names.files, &self.names.layout);
        let _placing = Placing::begin(self, content.fingerprint);
        self.make_folder_of(content.fingerprint)?;
        self.names.write_list(content, blocks)?;
        let path = layout.object(content.fingerprint);
        match files.rename_to_free_name(&temporary.path, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // `find` refused what stands there, so it is not whole: the new, checked copy takes its place.
                tracing::warn!(disk = %self.root().display(), object = %content.fingerprint, "damaged copy replaced");
                Ok(files.rename(&temporary.path, &path)?)
            }
            placed => Ok(placed?),
        }
    }

    /// `obj/ab/cd`, and before it `obj/ab`, if they are missing.
    fn make_folder_of(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        let (files, folder) = (&self.names.files, self.names.layout.folder_of(fingerprint));
        match files.create_folder(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let above = folder.parent().ok_or(error)?;
                files.create_folder(above)?;
                Ok(files.create_folder(&folder)?)
            }
            made => Ok(made?),
        }
    }

    /// Makes the names beside an object durable, and on first use those of the folders they are in.
    pub(super) fn sync_name(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        let [first, second, ..] = fingerprint.0;
        let outer = &self.durable_folders.outer[usize::from(first)];
        let inner = &self.durable_folders.inner[usize::from(u16::from_be_bytes([first, second]))];
        let folder = self.names.layout.folder_of(fingerprint);
        let mut above = folder.ancestors().skip(1);
        for known in [inner, outer] {
            let Some(parent) = above.next() else { break };
            if !known.load(Ordering::Relaxed) {
                self.names.files.sync_directory(parent)?;
                known.store(true, Ordering::Relaxed);
            }
        }
        Ok(self.names.files.sync_directory(&folder)?)
    }

    /// Removes block digests without an object, unless that is just being put in place. Answers whether it did.
    pub(super) fn sweep_list(&self, fingerprint: Fingerprint) -> Result<bool, DiskError> {
        let placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, layout) = (&self.names.files, &self.names.layout);
        if placing.contains(&fingerprint) || optional(files.length(&layout.object(fingerprint)))?.is_some() {
            return Ok(false);
        }
        Ok(optional(files.remove(&layout.block_digests(fingerprint)))?.is_some())
    }
}

/// Folders whose own names are known to be durable, one flag each.
#[derive(Debug)]
pub struct DurableFolders {
    /// `obj/ab`.
    outer: Box<[AtomicBool]>,
    /// `obj/ab/cd`.
    inner: Box<[AtomicBool]>,
}

impl Default for DurableFolders {
    fn default() -> Self {
        let flags = |count: usize| (0..count).map(|_| AtomicBool::new(false)).collect();
        Self { outer: flags(1 << 8), inner: flags(1 << 16) }
    }
}

/// While it lives, nobody takes the digests beside an object that is being placed for left over.
struct Placing<'disk, F: FileSystem> {
    disk: &'disk Disk<F>,
    fingerprint: Fingerprint,
}

impl<'disk, F: FileSystem> Placing<'disk, F> {
    fn begin(disk: &'disk Disk<F>, fingerprint: Fingerprint) -> Self {
        disk.placing.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
        Self { disk, fingerprint }
    }
}

impl<F: FileSystem> Drop for Placing<'_, F> {
    fn drop(&mut self) {
        self.disk.placing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.fingerprint);
    }
}

/// The object first, so that one whose references were all given up is known as unreferenced.
fn replication(content: &Content, references: &[(Reference, u64)], unlink_from: u64) -> Vec<Change> {
    let found = Change::Found { content: *content, unlink_from };
    let hold = |&(reference, renewed): &(Reference, u64)| Change::Replicate {
        content: *content,
        reference,
        renewed,
    };
    [found].into_iter().chain(references.iter().map(hold)).collect()
}
