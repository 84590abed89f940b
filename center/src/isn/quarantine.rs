//! Copies whose bytes are wrong: out of the way of readers, kept for whoever wants to look.
//!
//! `quarantine/<32 hex>.<n>` on the object's own disk, n counting up. The newest [`COPIES_MAX`] of them are kept, as
//! long as they have no more than [`BYTES_MAX`] together; the newest is always kept.

use std::io;
use std::sync::atomic::Ordering;

use protocol::digest::Fingerprint;

use super::disk::Disk;
use super::fault::DiskError;
use super::files::FileSystem;
use super::layout::{number_of, optional};
use super::names::Names;

/// Copies kept. A disk that spoils more than so many tells nothing new by the next.
pub const COPIES_MAX: usize = 32;
/// Their bytes together.
pub const BYTES_MAX: u64 = 4 << 30;

impl<F: FileSystem> Disk<F> {
    /// Moves an object's file away and takes it out of the index. Its references stay: they will hold the next copy.
    /// Durable when it returns.
    pub(super) fn quarantine(&self, fingerprint: Fingerprint) -> Result<(), DiskError> {
        let (files, layout) = (&self.names.files, &self.names.layout);
        let number = self.next_quarantined.fetch_add(1, Ordering::Relaxed);
        let to = layout.quarantined(fingerprint, number);
        optional(files.rename_to_free_name(&layout.object(fingerprint), &to))?;
        optional(files.remove(&layout.block_digests(fingerprint)))?;
        tracing::error!(disk = %self.root().display(), object = %fingerprint, to = %to.display(), "bad copy quarantined");
        // Both folders before the index: a bad copy that came back to its name, and nobody knew, would be taken for
        // a good one.
        files.sync_directory(&layout.quarantine())?;
        self.forget(fingerprint)?;
        self.trim_quarantine()
    }

    /// Copies in quarantine.
    pub fn quarantined(&self) -> Result<u64, DiskError> {
        Ok(numbered(&self.names)?.len() as u64)
    }

    fn trim_quarantine(&self) -> Result<(), DiskError> {
        let (files, folder) = (&self.names.files, self.names.layout.quarantine());
        let mut copies = Vec::new();
        for (number, name) in numbered(&self.names)? {
            let path = folder.join(name);
            if let Some(length) = optional(files.length(&path))? {
                copies.push((number, length, path));
            }
        }
        copies.sort_unstable();
        let mut bytes = 0;
        for (newer, (_, length, path)) in copies.iter().rev().enumerate() {
            bytes += length;
            if newer >= COPIES_MAX || (newer > 0 && bytes > BYTES_MAX) {
                optional(files.remove(path))?;
            }
        }
        Ok(())
    }
}

/// A number greater than that of any copy in quarantine.
pub fn next_number<F: FileSystem>(names: &Names<F>) -> io::Result<u64> {
    let largest = numbered(names)?.into_iter().map(|(number, _)| number).max();
    Ok(largest.map_or(0, |largest| largest.saturating_add(1)))
}

fn numbered<F: FileSystem>(names: &Names<F>) -> io::Result<Vec<(u64, String)>> {
    let entries = names.files.list(&names.layout.quarantine())?;
    let names = entries.into_iter().filter_map(|entry| entry.name.into_string().ok());
    Ok(names.filter_map(|name| Some((number_of(&name)?, name))).collect())
}
