//! What goes wrong with a disk, and what that says about the disk.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use protocol::digest::Fingerprint;
use protocol::id::Token;
use rustix::io::Errno;
use thiserror::Error;

use super::committer::CommitError;
use super::format::FormatError;

/// Why a disk did not do what it was asked.
#[derive(Debug, Error)]
pub enum DiskError {
    /// No room; choose another disk.
    #[error("the disk is full")]
    Full,
    /// Takes no new objects because it is to be emptied; choose another disk.
    #[error("the disk is to be emptied")]
    Draining,
    /// Writes are refused; reads go on.
    #[error("the disk is read-only")]
    ReadOnly,
    /// Another content of the same fingerprint is stored: nothing was merged, the new bytes are gone.
    #[error("another object has the fingerprint {0}")]
    Collision(Fingerprint),
    /// The reference of this upload was given up while the object was on its way.
    #[error("the reference {0} was given up meanwhile")]
    GivenUp(Token),
    /// The object is not on this disk, or not whole.
    #[error("object {0} is missing or damaged")]
    Missing(Fingerprint),
    /// Some bytes cannot be read; the copy they belong to is lost, the disk perhaps not.
    #[error("unreadable: {0}")]
    Unreadable(String),
    /// Not the disk's fault: this process has too many files open or no memory.
    #[error("{0}")]
    Busy(String),
    /// The disk is not usable any more.
    #[error("{0}")]
    Failed(String),
}

impl From<&io::Error> for DiskError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => match Errno::from_io_error(error) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Self::Busy(error.to_string()),
                _ => Self::Failed(error.to_string()),
            },
        }
    }
}

/// What an error says that came of reading an object's bytes.
pub fn unreadable(error: io::Error) -> DiskError {
    let spoiled = [Errno::IO, Errno::BADMSG, Errno::UCLEAN];
    let ends_early = error.kind() == ErrorKind::UnexpectedEof;
    if ends_early || Errno::from_io_error(&error).is_some_and(|errno| spoiled.contains(&errno)) {
        DiskError::Unreadable(error.to_string())
    } else {
        error.into()
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&redb::Error> for DiskError {
    fn from(error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            // Whoever met the error itself says what it means for the disk.
            redb::Error::PreviousIo => Self::Busy(error.to_string()),
            error => Self::Failed(format!("index: {error}")),
        }
    }
}

impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> Self {
        Self::from(&error)
    }
}

impl From<CommitError> for DiskError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Index(error) => Self::from(&*error),
            CommitError::Closed => Self::Failed("the disk is closed".to_string()),
        }
    }
}

/// Why a disk could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Not our disk, or not usable.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The disk is ours, but something on it cannot be read or written.
    #[error("disk {path}: {error}; mend or replace the disk")]
    Disk {
        /// Its directory.
        path: PathBuf,
        /// What went wrong.
        error: DiskError,
    },
}

impl OpenError {
    /// Whether the disk itself failed, so that a node may go on with its others. Anything else is a mistake in the
    /// configuration, which nobody would notice if the node went on.
    pub fn is_failure_of_the_disk(&self) -> bool {
        match self {
            Self::Disk { error: DiskError::Busy(_), .. } => false,
            Self::Disk { .. } => true,
            Self::Format(FormatError::Io { error, .. }) => {
                matches!(DiskError::from(error), DiskError::ReadOnly | DiskError::Full)
                    || Errno::from_io_error(error) == Some(Errno::IO)
            }
            Self::Format(_) => false,
        }
    }
}
