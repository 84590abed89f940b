//! The simulated machine as a disk sees it.

use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::world::{Inode, World};
use crate::isn::files::{DiskFile, Entry, FileSystem, Space};

/// The files of a [`World`], as of one start of it.
#[derive(Clone, Debug)]
pub struct SimulatedFiles {
    world: Arc<Mutex<World>>,
    boot: u64,
}

/// An open file.
#[derive(Debug)]
pub struct SimulatedFile {
    files: SimulatedFiles,
    inode: Inode,
}

impl SimulatedFiles {
    /// The files as of now.
    pub fn of(world: &Arc<Mutex<World>>) -> Self {
        let boot = world.lock().unwrap_or_else(PoisonError::into_inner).boot();
        Self { world: Arc::clone(world), boot }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: Inode) -> SimulatedFile {
        SimulatedFile { files: self.clone(), inode }
    }
}

impl FileSystem for SimulatedFiles {
    type File = SimulatedFile;

    /// One after the other: the same seed gives the same order.
    const READERS: usize = 1;

    fn create_new(&self, path: &Path) -> io::Result<SimulatedFile> {
        let inode = self.world().create_new(self.boot, path)?;
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<SimulatedFile> {
        let inode = self.world().open(self.boot, path)?;
        Ok(self.file(inode))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<SimulatedFile> {
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_new(path),
            opened => opened,
        }
    }

    fn lock(&self, path: &Path) -> Result<SimulatedFile, TryLockError> {
        self.open_or_create(path).map_err(TryLockError::Error)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().rename(self.boot, from, to, true)
    }

    fn rename_to_free_name(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().rename(self.boot, from, to, false)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.world().remove(self.boot, path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.world().create_folder(self.boot, path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.world().list(self.boot, folder)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let world = self.world();
        world.length(self.boot, world.open(self.boot, path)?)
    }

    fn attribute(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let world = self.world();
        world.attribute(self.boot, world.open(self.boot, path)?)
    }

    fn sync_directory(&self, folder: &Path) -> io::Result<()> {
        self.world().sync_directory(self.boot, folder)
    }

    fn sync_everything(&self, _path: &Path) -> io::Result<()> {
        self.world().sync_everything(self.boot)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let world = self.world();
        world.open(self.boot, path)?;
        let plenty = 1 << 40;
        let bytes_free = if world.is_full() { 0 } else { plenty };
        Ok(Space { bytes_total: plenty, bytes_free, bytes_available: bytes_free, ..Space::default() })
    }
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.files.world().length(self.files.boot, self.inode)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.files.world().read(self.files.boot, self.inode, bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.world().write(self.files.boot, self.inode, bytes, None)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.files.world().write(self.files.boot, self.inode, bytes, Some(offset))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.files.world().set_length(self.files.boot, self.inode, length)
    }

    fn set_attribute(&self, value: &[u8]) -> io::Result<()> {
        self.files.world().set_attribute(self.files.boot, self.inode, value)
    }

    fn begin_writing(&self, _offset: u64, _length: u64) {}

    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.files.world().sync_data(self.files.boot, self.inode)
    }
}
