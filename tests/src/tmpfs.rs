//! A small file system in memory, for disks that are to be full.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::{run, run_ok};

/// A mounted tmpfs, gone when dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one at `path`, which is made.
    pub fn mount(path: &Path, options: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        run_ok("mount", &["-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()]);
        Self(path.to_owned())
    }

    /// Changes its options, such as `ro` or `size=400m`.
    pub fn remount(&self, options: &str) {
        run_ok("mount", &["-o", &format!("remount,{options}"), self.0.to_str().unwrap()]);
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}
