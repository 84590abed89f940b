//! Who opened the files that are open, and what for. Pure.
//!
//! A file is read and written with the rights of who opened it, whoever asks for it then: programs hand descriptors on, and
//! Samba has threads read and write that may still act as another user.

use std::collections::HashMap;

use fuser::FileHandle;
use nfs::filesystem::Caller;

/// As many as the kernel lets programs open; it tells when the last of those with one opening has closed it.
#[derive(Debug, Default)]
pub(crate) struct Openings {
    last: u64,
    open: HashMap<u64, Opening>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// Who asked for it.
    pub caller: Caller,
    /// It may be written to.
    pub is_written: bool,
}

impl Openings {
    /// By what the kernel calls it from now on.
    pub fn add(&mut self, opening: Opening) -> FileHandle {
        self.last += 1;
        self.open.insert(self.last, opening);
        FileHandle(self.last)
    }

    pub fn get(&self, file: FileHandle) -> Option<Opening> {
        self.open.get(&file.0).cloned()
    }

    pub fn remove(&mut self, file: FileHandle) {
        self.open.remove(&file.0);
    }
}
