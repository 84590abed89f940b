//! The index's database on a file of a disk.

use std::io;
use std::path::Path;

use redb::StorageBackend;

use crate::isn::files::{DiskFile, FileSystem};

/// Bytes rewritten at a time.
const STEP_BYTES: u64 = 1 << 20;

/// A file as redb wants it.
#[derive(Debug)]
pub struct Backend<D>(pub D);

impl<D: DiskFile> StorageBackend for Backend<D> {
    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    /// Longer at once and for good: redb (3.1) panics at a file that is shorter than its first page says, which is
    /// what a power cut leaves of a file whose first page reached the disk before its length did.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let grows = len > self.0.length()?;
        self.0.set_length(len)?;
        if grows { self.0.sync_data() } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// Writes all of the file again as the machine remembers it, and syncs it. A sync that failed leaves the bytes it was to
/// write in memory only, and marked as written.
pub fn rewrite(files: &impl FileSystem, path: &Path) -> io::Result<()> {
    let file = files.open_or_create(path)?;
    let length = file.length()?;
    let mut bytes = vec![0; usize::try_from(length.min(STEP_BYTES)).unwrap_or(0)];
    let mut offset = 0;
    while offset < length {
        let step = usize::try_from((length - offset).min(STEP_BYTES)).unwrap_or(0);
        file.read_exact_at(&mut bytes[..step], offset)?;
        file.write_all_at(&bytes[..step], offset)?;
        offset += step as u64;
    }
    file.sync_data()
}
