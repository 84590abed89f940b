//! Compares a disk's names with its index (ISN-2): the names are the truth, the index is a cache of them.
//!
//! Only names are compared, which is what makes it fast: what is in the files is looked at if the index does not know
//! them, and by a scrub ([`super::verify`]).

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use protocol::digest::{Content, Fingerprint, parse_hex};

use super::disk::Disk;
use super::fault::{DiskError, unreadable};
use super::files::FileSystem;
use super::index::Change;
use super::layout::{fingerprint_of, list_of, optional};
use crate::reconcile::Scanned;

/// Objects put into the index, or taken out of it, in one transaction.
const BATCH: usize = 8_192;

/// Makes the index say what the names say, and removes block digests without an object. Objects found anew may be
/// unlinked from `unlink_from` on unless a reference is restored to them before. May run beside all other calls.
pub fn scan<F: FileSystem>(disk: &Disk<F>, unlink_from: u64) -> Result<Scanned, DiskError> {
    let sum = Mutex::new(Scanned::default());
    let parts = Mutex::new(0..=u8::MAX);
    let read_parts = || -> Result<(), DiskError> {
        loop {
            let next = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(part) = next else { return Ok(()) };
            let scanned = Part { disk, first_byte: part, unlink_from }.scan()?;
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.objects += scanned.objects;
            sum.found += scanned.found;
            sum.lost += scanned.lost;
        }
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..F::READERS).map(|_| scope.spawn(read_parts)).collect();
        let interrupted = || DiskError::Failed("the scan was interrupted".to_string());
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| interrupted())?)
    })?;
    Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The objects whose fingerprints have the same first byte: a folder and a range of the index.
struct Part<'disk, F: FileSystem> {
    disk: &'disk Disk<F>,
    first_byte: u8,
    unlink_from: u64,
}

impl<F: FileSystem> Part<'_, F> {
    fn scan(&self) -> Result<Scanned, DiskError> {
        let (mut named, lists) = self.read_folder()?;
        named.sort_unstable();
        for list in lists {
            if named.binary_search(&list).is_err() && self.disk.sweep_list(list)? {
                tracing::info!(disk = %self.disk.root().display(), object = %list, "left-over block digests removed");
            }
        }
        let mut scanned = Scanned { objects: named.len() as u64, ..Scanned::default() };
        let (mut unknown, mut gone) = (named.iter().peekable(), Vec::new());
        let mut found = Vec::new();
        for content in self.disk.index.objects_of(self.first_byte)? {
            while let Some(name) = unknown.next_if(|name| **name < content.fingerprint) {
                found.push(*name);
            }
            if unknown.next_if(|name| **name == content.fingerprint).is_none() {
                gone.push(content);
            }
        }
        found.extend(unknown);
        for batch in found.chunks(BATCH) {
            scanned.found += self.adopt(batch)?;
        }
        for batch in gone.chunks(BATCH) {
            scanned.lost += self.drop_lost(batch)?;
        }
        Ok(scanned)
    }

    /// The objects and the lists of block digests that are there.
    fn read_folder(&self) -> Result<(Vec<Fingerprint>, Vec<Fingerprint>), DiskError> {
        let files = &self.disk.names.files;
        let folder = self.disk.names.layout.objects().join(format!("{:02x}", self.first_byte));
        let (mut objects, mut lists) = (Vec::new(), Vec::new());
        for second_byte in folders(files, &folder)? {
            // A file in another folder than its own is nobody's.
            let is_here = |object: &Fingerprint| object.0.starts_with(&[self.first_byte, second_byte]);
            for entry in files.list(&folder.join(format!("{second_byte:02x}")))? {
                let name = entry.name.to_str().unwrap_or_default();
                objects.extend(fingerprint_of(name).filter(is_here));
                lists.extend(list_of(name).filter(is_here));
            }
        }
        Ok((objects, lists))
    }

    /// Puts objects that the index does not know into it. Answers how many there were.
    fn adopt(&self, names: &[Fingerprint]) -> Result<u64, DiskError> {
        let mut changes = Vec::with_capacity(names.len());
        for &fingerprint in names {
            match self.disk.names.identify(fingerprint).map_err(unreadable) {
                Ok(Some(content)) => {
                    changes.push(Change::Found { content, unlink_from: self.unlink_from });
                }
                // Its bytes are not what its name says, or it has just been unlinked.
                Ok(None) => self.disk.suspect(fingerprint),
                Err(error @ DiskError::Unreadable(_)) => {
                    self.disk.note(&error);
                    self.disk.suspect(fingerprint);
                }
                Err(error) => return Err(error),
            }
        }
        let adopted = changes.len() as u64;
        if !changes.is_empty() {
            // Whoever put them there may not have synced them, nor any folder above; and there may be a million.
            self.disk.names.files.sync_everything(self.disk.root())?;
            self.disk.committer.commit(changes)?;
        }
        Ok(adopted)
    }

    /// Takes objects without a name out of the index. Answers how many there were.
    fn drop_lost(&self, contents: &[Content]) -> Result<u64, DiskError> {
        let mut changes = Vec::with_capacity(contents.len());
        for content in contents {
            // It may have come since the folder was read, or have been unlinked.
            let known = self.disk.index.object(content.fingerprint)? == Some(*content);
            if known && !self.disk.names.is_whole(content)? {
                tracing::error!(disk = %self.disk.root().display(), object = %content.fingerprint, "object lost");
                changes.push(Change::Gone { fingerprint: content.fingerprint });
            }
        }
        let lost = changes.len() as u64;
        if !changes.is_empty() {
            self.disk.names.files.sync_everything(self.disk.root())?;
            self.disk.committer.commit(changes)?;
        }
        Ok(lost)
    }
}

/// The folders in a folder that are named by two hex digits.
fn folders(files: &impl FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    let entries = optional(files.list(path))?.unwrap_or_default();
    let names = entries.into_iter().filter(|entry| entry.is_folder).map(|entry| entry.name);
    Ok(names.filter_map(|name| parse_hex::<1>(name.to_str()?)).map(|[byte]| byte).collect())
}
