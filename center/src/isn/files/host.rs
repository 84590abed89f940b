//! The machine's own file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, CWD, FallocateFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;

use super::{ATTRIBUTE_BYTES_MAX, DiskFile, Entry, FileSystem, Space};

/// The attribute's name.
const ATTRIBUTE: &str = "user.sc";

/// The machine's file system.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl FileSystem for Host {
    type File = File;

    /// A disk that has to move its head, or to be asked over a wire, is asked for some things at once.
    const READERS: usize = 8;

    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    fn lock(&self, path: &Path) -> Result<File, TryLockError> {
        let file = self.open_or_create(path).map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_to_free_name(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        fs::read_dir(folder)?
            .map(|entry| {
                let entry = entry?;
                Ok(Entry { is_folder: entry.file_type()?.is_dir(), name: entry.file_name() })
            })
            .collect()
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn attribute(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; ATTRIBUTE_BYTES_MAX];
        match rustix::fs::getxattr(path, ATTRIBUTE, &mut buffer) {
            Ok(used) => Ok(Some(buffer[..used].to_vec())),
            // Too long is not ours.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_directory(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn sync_everything(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let told = rustix::fs::statvfs(path)?;
        Ok(Space {
            bytes_total: told.f_blocks.saturating_mul(told.f_frsize),
            bytes_free: told.f_bfree.saturating_mul(told.f_frsize),
            bytes_available: told.f_bavail.saturating_mul(told.f_frsize),
            inodes_used: told.f_files.saturating_sub(told.f_ffree),
            inodes_available: told.f_favail,
        })
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let old = DiskFile::length(self)?;
        if length <= old {
            return self.set_len(length);
        }
        match rustix::fs::fallocate(self, FallocateFlags::empty(), old, length - old) {
            Err(Errno::NOTSUP) => self.set_len(length),
            outcome => Ok(outcome?),
        }
    }

    fn set_attribute(&self, value: &[u8]) -> io::Result<()> {
        match rustix::fs::fsetxattr(self, ATTRIBUTE, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn begin_writing(&self, offset: u64, length: u64) {
        // What is dirty is begun to be written, not dropped. If it is not, the next sync has more to do.
        let _ = rustix::fs::fadvise(self, offset, NonZeroU64::new(length), Advice::DontNeed);
    }

    fn forget_cached(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(self, 0, None, Advice::DontNeed)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}
