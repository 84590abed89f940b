//! Whose disk a directory is: taken on first use, checked on every other.
//!
//! Refuses a directory that holds anything but a disk of this node, so that a wrong path or a swapped disk is never
//! written to.

use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files::FileSystem;
use super::layout::optional;
use super::names::Names;

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

/// Whose a disk must be, or becomes if it is empty.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The node in it.
    pub node: u32,
    /// The id of a new disk: 32 random hex digits.
    pub new_disk_id: &'a str,
}

/// Holds a disk for this process until dropped.
#[derive(Debug)]
pub struct Claim<F: FileSystem> {
    /// What the disk says it is.
    pub format: Format,
    /// Whether it was empty.
    pub fresh: bool,
    _lock: F::File,
}

/// Takes the disk: formats an empty directory, checks any other.
pub fn claim<F: FileSystem>(names: &Names<F>, owner: &Owner<'_>) -> Result<Claim<F>, FormatError> {
    let Names { files, layout } = names;
    let path = || layout.root().to_path_buf();
    let io = |error| FormatError::Io { path: path(), error };

    let bytes = optional(files.read(&layout.format())).map_err(io)?;
    if bytes.is_none() && !is_blank(names).map_err(io)? {
        return Err(FormatError::Occupied { path: path() });
    }
    let lock = lock(names)?;
    let fresh = bytes.is_none();
    let format = match bytes {
        Some(bytes) => toml::from_slice::<Format>(&bytes)
            .map_err(|error| FormatError::Damaged { path: path(), reason: error.message().to_string() })?,
        None => {
            let format = Format {
                version: VERSION,
                cluster: owner.cluster.to_string(),
                node: owner.node,
                disk: owner.new_disk_id.to_string(),
            };
            write(names, &format).map_err(io)?;
            format
        }
    };
    if (format.version, format.cluster.as_str(), format.node) != (VERSION, owner.cluster, owner.node) {
        return Err(FormatError::Foreign {
            path: path(),
            found: format!(
                "node {} of cluster {:?} (format {})",
                format.node, format.cluster, format.version
            ),
            expected: format!("node {} of cluster {:?} (format {VERSION})", owner.node, owner.cluster),
        });
    }
    make_folders(names).map_err(io)?;
    Ok(Claim { format, fresh, _lock: lock })
}

/// Empty, or left by a first use that was interrupted before `FORMAT` was written.
fn is_blank<F: FileSystem>(names: &Names<F>) -> io::Result<bool> {
    let entries = names.files.list(names.layout.root())?;
    let known = |name: OsString| ["LOCK", "FORMAT.new", "lost+found"].iter().any(|known| name == *known);
    Ok(entries.into_iter().all(|entry| known(entry.name)))
}

fn lock<F: FileSystem>(names: &Names<F>) -> Result<F::File, FormatError> {
    let path = names.layout.root().to_path_buf();
    match names.files.lock(&names.layout.lock()) {
        Ok(file) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FormatError::InUse { path }),
        Err(TryLockError::Error(error)) => Err(FormatError::Io { path, error }),
    }
}

fn write<F: FileSystem>(names: &Names<F>, format: &Format) -> io::Result<()> {
    let text = toml::to_string(format).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let Names { files, layout } = names;
    files.write_whole(&layout.root().join("FORMAT.new"), &layout.format(), text.as_bytes())?;
    files.sync_directory(layout.root())
}

fn make_folders<F: FileSystem>(names: &Names<F>) -> io::Result<()> {
    let Names { files, layout } = names;
    for folder in [layout.temporary(), layout.objects(), layout.quarantine()] {
        files.create_folder(&folder)?;
    }
    files.sync_directory(layout.root())
}
