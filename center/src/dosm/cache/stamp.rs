//! Which file it is, and when it was last written: how a change behind our back is noticed.

use std::fs::File;
use std::io;

/// Equal stamps: the same file, and nobody wrote to it in between. What damages a disk without writing through the
/// file system is noticed in another way, see [`super::page_cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
}

impl Stamp {
    /// The file's present stamp.
    pub fn of(file: &File) -> io::Result<Self> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        })
    }
}
