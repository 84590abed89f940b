//! The file operations a disk is made of, and nothing else it may use.
//!
//! A seam: [`Host`] is the machine's file system; in tests a simulated one takes its place, which loses, reorders and
//! tears what was not synced. So what stands here is what may be relied on, and it is little: bytes are durable once
//! [`DiskFile::sync_data`] returned, names once [`FileSystem::sync_directory`] of *their* folder did, in no order
//! before that; a rename never loses the file.

mod host;

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::layout::optional;

pub use host::Host;

/// Largest value of an attribute.
pub const ATTRIBUTE_BYTES_MAX: usize = 128;

/// What lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name in the folder.
    pub name: OsString,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// How much room a file system has, in bytes and in inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub bytes_total: u64,
    /// Not used.
    pub bytes_free: u64,
    /// Not used, and for us to use.
    pub bytes_available: u64,
    /// Inodes in use.
    pub inodes_used: u64,
    /// Inodes for us to use.
    pub inodes_available: u64,
}

/// Files by their paths. Cheap to clone; all calls block.
pub trait FileSystem: Clone + Debug + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Folders worth reading at once.
    const READERS: usize;

    /// Makes a file to be written; `AlreadyExists` if there is one.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading and writing, making an empty one where there is none.
    fn open_or_create(&self, path: &Path) -> io::Result<Self::File>;

    /// The same, held against every other process until dropped.
    fn lock(&self, path: &Path) -> Result<Self::File, TryLockError>;

    /// Moves a file, in place of what has the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Moves a file to a name that must be free; `AlreadyExists` if it is not.
    fn rename_to_free_name(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder, if it is missing, in one that is there. Never those above it: where a disk was, there may be none
    /// any more, and nothing is to be made in its place.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// What lies in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// A file's length in bytes.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// A file's attribute; `None` if it has none, or the file system does not keep such.
    fn attribute(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Makes a folder's entries durable.
    fn sync_directory(&self, folder: &Path) -> io::Result<()>;

    /// Makes everything durable on the file system that `path` is on, whoever wrote it. Slow: waits for others' bytes.
    fn sync_everything(&self, path: &Path) -> io::Result<()>;

    /// The room of the file system that `path` is on.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// All bytes of a small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let length = usize::try_from(file.length()?).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Makes a small file of these bytes by way of `draft`, so that `path` is never half of it. Its name is not durable
    /// yet.
    fn write_whole(&self, draft: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
        optional(self.remove(draft))?;
        let mut file = self.create_new(draft)?;
        file.append(bytes)?;
        file.sync_data()?;
        self.rename(draft, path)
    }
}

/// An open file. Offsets and lengths in bytes.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Its length.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes after those written so far.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes all bytes at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it by zeros for which there is room on the disk from now on.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Gives the file its attribute, of at most [`ATTRIBUTE_BYTES_MAX`] bytes. File systems without such do nothing.
    fn set_attribute(&self, value: &[u8]) -> io::Result<()>;

    /// Has the machine begin to write these bytes to the disk, so that a sync finds less to do. Waits for nothing, and
    /// promises nothing.
    fn begin_writing(&self, offset: u64, length: u64);

    /// Drops what the machine remembers of it, so that the next read asks the disk. Only a hint.
    fn forget_cached(&self) -> io::Result<()>;

    /// Makes its bytes and its length durable. Says nothing about its name and its attribute.
    fn sync_data(&self) -> io::Result<()>;
}
