//! Reads objects again and compares them with what they should be: one at a time, or all of a disk step by step
//! (ISN-12).

use std::collections::BTreeSet;
use std::mem;
use std::sync::PoisonError;

use protocol::digest::{BLOCK_BYTES, Content, Fingerprint};

use super::disk::{Disk, read_block};
use super::fault::{DiskError, unreadable};
use super::files::{DiskFile, FileSystem};
use super::layout::optional;
use super::names::hash;

/// Suspects remembered. Those beyond are found again by the next scrub.
pub const SUSPECTS_MAX: usize = 1_000;
/// Objects in one step of a scrub.
const STEP_OBJECTS_MAX: usize = 1_000;
/// What an object costs a scrub at least, in bytes: opening it moves the disk's head.
const OBJECT_COST_BYTES: u64 = 64 << 10;

/// What reading an object again has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Its bytes are right.
    Good,
    /// Its bytes were wrong or unreadable, or gone: it is not here any more, its references are.
    Bad,
    /// The disk does not claim to have it.
    Absent,
}

/// How far a scrub has come: up to this block of this object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubCursor {
    /// The object.
    pub object: Fingerprint,
    /// Its next block; past its last one, the next object is meant.
    pub block: u64,
}

/// What one step of a scrub did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where to go on; `None` when the last object was read.
    pub next: Option<ScrubCursor>,
    /// Objects read to their ends, and copies found bad.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Copies found bad; now suspects.
    pub bad: u64,
}

impl<F: FileSystem> Disk<F> {
    /// Reads the whole object and compares it with its size, BLAKE3 and MD5. A bad copy is put into quarantine, durably;
    /// block digests that are wrong beside good bytes are made anew.
    pub fn verify(&self, fingerprint: Fingerprint) -> Result<Verified, DiskError> {
        let (files, layout) = (&self.names.files, &self.names.layout);
        let known = self.index.object(fingerprint)?;
        let Some(file) = optional(files.open(&layout.object(fingerprint)))? else {
            if known.is_none() {
                return Ok(Verified::Absent);
            }
            tracing::error!(disk = %self.root().display(), object = %fingerprint, "object lost");
            self.forget(fingerprint)?;
            return Ok(Verified::Bad);
        };
        file.forget_cached()?;
        let (content, blocks) = match hash(&file).map_err(unreadable) {
            Ok(read) => read,
            Err(error @ DiskError::Unreadable(_)) => {
                self.note(&error);
                self.quarantine(fingerprint)?;
                return Ok(Verified::Bad);
            }
            Err(error) => return Err(error),
        };
        let good = known.map_or(content.fingerprint == fingerprint, |known| known == content);
        if !good {
            self.quarantine(fingerprint)?;
            return Ok(Verified::Bad);
        }
        if content.blocks() > 1 {
            let list = files.read(&layout.block_digests(fingerprint)).ok();
            if list.is_none_or(|list| list != blocks.as_bytes()) {
                tracing::warn!(disk = %self.root().display(), object = %fingerprint, "block digests made anew");
                self.names.write_list(&content, &blocks)?;
                files.sync_directory(&layout.folder_of(fingerprint))?;
            }
        }
        Ok(if known.is_some() { Verified::Good } else { Verified::Absent })
    }

    /// Reads on from `cursor` until about `bytes_max` bytes are read, and compares each block with its digest. Changes
    /// nothing: bad copies become suspects, to be verified under their locks. So any number of calls may run at once,
    /// beside all others.
    pub fn scrub(&self, cursor: Option<ScrubCursor>, bytes_max: u64) -> Result<Scrubbed, DiskError> {
        let mut step =
            Step { disk: self, done: Scrubbed { next: cursor, ..Scrubbed::default() }, left: bytes_max };
        if let Some(ScrubCursor { object, block }) = cursor
            && let Some(content) = self.index.object(object)?
            && block < content.blocks()
            && !step.read(content, block)?
        {
            return Ok(step.done);
        }
        let page = self.index.objects(cursor.map(|cursor| cursor.object), STEP_OBJECTS_MAX)?;
        let last_page = page.len() < STEP_OBJECTS_MAX;
        for content in page {
            if (step.done.objects > 0 && step.left == 0) || !step.read(content, 0)? {
                return Ok(step.done);
            }
        }
        if last_page {
            step.done.next = None;
        }
        Ok(step.done)
    }

    /// Remembers a copy that should be verified. Any number of calls may run at once.
    pub fn suspect(&self, fingerprint: Fingerprint) {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.len() < SUSPECTS_MAX {
            suspects.insert(fingerprint);
        }
    }

    /// The copies that should be verified. They are forgotten.
    pub fn take_suspects(&self) -> BTreeSet<Fingerprint> {
        mem::take(&mut *self.suspects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A step of a scrub.
struct Step<'disk, F: FileSystem> {
    disk: &'disk Disk<F>,
    done: Scrubbed,
    left: u64,
}

impl<F: FileSystem> Step<'_, F> {
    /// Reads an object from a block on. Answers whether it came to its end.
    fn read(&mut self, content: Content, first: u64) -> Result<bool, DiskError> {
        let object = content.fingerprint;
        self.left = self.left.saturating_sub(OBJECT_COST_BYTES);
        let opened = match self.disk.open_object(object) {
            Ok((found, file, blocks)) => {
                file.forget_cached()?;
                (found, file, blocks)
            }
            Err(DiskError::Missing(_) | DiskError::Unreadable(_)) => return self.bad(content),
            Err(error) => return Err(error),
        };
        let (content, file, blocks) = opened;
        for block in first..content.blocks() {
            if self.left == 0 && block > first {
                self.done.next = Some(ScrubCursor { object, block });
                return Ok(false);
            }
            let length = usize::try_from(content.block_len(block)).unwrap_or(0);
            let bytes = match read_block(&file, block * BLOCK_BYTES, length) {
                Ok(bytes) => bytes,
                Err(error @ DiskError::Unreadable(_)) => {
                    self.disk.note(&error);
                    return self.bad(content);
                }
                Err(error) => return Err(error),
            };
            self.done.bytes += length as u64;
            self.left = self.left.saturating_sub(length as u64);
            if blocks.verify(&content, block, &bytes).is_err() {
                return self.bad(content);
            }
        }
        Ok(self.ended(content))
    }

    fn bad(&mut self, content: Content) -> Result<bool, DiskError> {
        // It may just have been unlinked.
        if self.disk.index.object(content.fingerprint)? == Some(content) {
            self.disk.suspect(content.fingerprint);
            self.done.bad += 1;
        }
        Ok(self.ended(content))
    }

    fn ended(&mut self, content: Content) -> bool {
        self.done.objects += 1;
        self.done.next = Some(ScrubCursor { object: content.fingerprint, block: content.blocks() });
        true
    }
}
