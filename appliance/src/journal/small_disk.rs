//! A disk that is soon full, for tests.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory of so many bytes; gone when dropped. Needs root.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(crate) fn new(bytes: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let size = format!("size={bytes},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(dir.path()).status();
        assert!(mounted.unwrap().success(), "cannot mount a tmpfs: run the tests as root");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what is open in it may close later.
        Command::new("umount").arg("-l").arg(self.path()).status().ok();
    }
}
