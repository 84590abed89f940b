//! Whose disk a directory is: taken on first use, checked on every other.
//!
//! Refuses a directory that holds anything but a disk of this node, so that a wrong path or a swapped disk is never
//! written to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::layout::{Layout, optional, sync_directory};

const VERSION: u32 = 1;

/// What `FORMAT` says. Text (TOML), for the person who holds the disk in his hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// Version of the layout.
    pub version: u32,
    /// The cluster the disk belongs to.
    pub cluster: String,
    /// The node in it.
    pub node: u32,
    /// 32 random hex digits that no other disk has.
    pub disk: String,
}

/// Why a directory cannot be used as a disk, and what to do about it.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Cannot be read or written.
    #[error("disk {path}: {error}; make it a directory this process may read and write")]
    Io {
        /// The disk's directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Holds something else.
    #[error("disk {path} is not empty and not a disk of a storage node; give an empty directory")]
    Occupied {
        /// The disk's directory.
        path: PathBuf,
    },
    /// `FORMAT` is not readable as such.
    #[error(
        "disk {path}: FORMAT is damaged ({reason}); restore it from another disk of this node with its own disk id"
    )]
    Damaged {
        /// The disk's directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Belongs to another cluster, node or version.
    #[error(
        "disk {path} belongs to {found}, this is {expected}; attach the right disk or correct the configuration"
    )]
    Foreign {
        /// The disk's directory.
        path: PathBuf,
        /// Its owner.
        found: String,
        /// Us.
        expected: String,
    },
    /// Another process serves it.
    #[error("disk {path} is in use by another process; stop it first")]
    InUse {
        /// The disk's directory.
        path: PathBuf,
    },
}

/// Holds a disk for this process until dropped.
#[derive(Debug)]
pub struct Claim {
    /// What the disk says it is.
    pub format: Format,
    /// Whether it was empty.
    pub fresh: bool,
    _lock: File,
}

/// Takes the disk: formats an empty directory, checks any other.
pub fn claim(layout: &Layout, cluster: &str, node: u32, new_disk_id: &str) -> Result<Claim, FormatError> {
    let path = || layout.root().to_path_buf();
    let io = |error| FormatError::Io { path: path(), error };

    let text = optional(fs::read_to_string(layout.format())).map_err(io)?;
    if text.is_none() && !is_blank(layout).map_err(io)? {
        return Err(FormatError::Occupied { path: path() });
    }
    let lock = lock(layout)?;
    let fresh = text.is_none();
    let format = match text {
        Some(text) => toml::from_str::<Format>(&text)
            .map_err(|error| FormatError::Damaged { path: path(), reason: error.message().to_string() })?,
        None => {
            let format = Format {
                version: VERSION,
                cluster: cluster.to_string(),
                node,
                disk: new_disk_id.to_string(),
            };
            write(layout, &format).map_err(io)?;
            format
        }
    };
    if (format.version, format.cluster.as_str(), format.node) != (VERSION, cluster, node) {
        return Err(FormatError::Foreign {
            path: path(),
            found: format!(
                "node {} of cluster {:?} (format {})",
                format.node, format.cluster, format.version
            ),
            expected: format!("node {node} of cluster {cluster:?} (format {VERSION})"),
        });
    }
    make_folders(layout).map_err(io)?;
    Ok(Claim { format, fresh, _lock: lock })
}

/// Empty, or left by a first use that was interrupted before `FORMAT` was written.
fn is_blank(layout: &Layout) -> io::Result<bool> {
    for entry in fs::read_dir(layout.root())? {
        let name = entry?.file_name();
        if !["LOCK", "FORMAT.new", "lost+found"].iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(layout: &Layout) -> Result<File, FormatError> {
    let path = layout.root().to_path_buf();
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(layout.lock());
    let file = opened.map_err(|error| FormatError::Io { path: path.clone(), error })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FormatError::InUse { path }),
        Err(TryLockError::Error(error)) => Err(FormatError::Io { path, error }),
    }
}

fn write(layout: &Layout, format: &Format) -> io::Result<()> {
    let text = toml::to_string(format).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let new = layout.root().join("FORMAT.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, layout.format())?;
    sync_directory(layout.root())
}

fn make_folders(layout: &Layout) -> io::Result<()> {
    fs::create_dir_all(layout.temporary())?;
    fs::create_dir_all(layout.objects())?;
    sync_directory(layout.root())
}
