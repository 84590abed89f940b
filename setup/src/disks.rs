//! The data disks: which are mounted, and how large they are. A shell; what follows from it is [`crate::render`]'s.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

/// Most cache disks.
pub const CACHE_DISKS_MAX: usize = 8;

/// A mounted data disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where.
    pub path: PathBuf,
    /// Bytes that a daemon may use there.
    pub bytes: u64,
}

/// What this machine has for the daemons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    /// Below which folder they are mounted.
    pub data: PathBuf,
    /// `cache0` to `cache7`.
    pub caches: Vec<Disk>,
    /// `journal`.
    pub journal: Option<Disk>,
    /// `state`.
    pub state: Option<Disk>,
    /// Whether there is a hardware watchdog.
    pub has_watchdog: bool,
}

impl Disks {
    /// Looks what is mounted below `data`. A folder on which nothing is mounted is no disk.
    ///
    /// # Errors
    /// A disk that is mounted and cannot be looked at.
    pub fn find(data: &Path, watchdog: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let disk = |name: &str| {
            let path = data.join(name);
            mounted(&path).map_err(|error| (path, error))
        };
        let caches: Result<Vec<_>, _> =
            (0..CACHE_DISKS_MAX).map(|number| disk(&format!("cache{number}"))).collect();
        Ok(Self {
            data: data.to_owned(),
            caches: caches?.into_iter().flatten().collect(),
            journal: disk("journal")?,
            state: disk("state")?,
            has_watchdog: watchdog.exists(),
        })
    }
}

fn mounted(path: &Path) -> io::Result<Option<Disk>> {
    let own = match fs::symlink_metadata(path) {
        Ok(own) if own.is_dir() => own,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let above = fs::metadata(path.join(".."))?;
    if own.dev() == above.dev() {
        return Ok(None);
    }
    let stat = statvfs(path)?;
    // What is kept for root is of no use to a daemon that is not.
    let kept = stat.f_bfree.saturating_sub(stat.f_bavail);
    let bytes = stat.f_blocks.saturating_sub(kept).saturating_mul(stat.f_frsize);
    Ok(Some(Disk { path: path.to_owned(), bytes }))
}
