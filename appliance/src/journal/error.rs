//! Why the journal refuses.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// See each for what the caller does next; all from `NoSpace` on are for the operator, and `Io` or `NoSpace` for the client.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    /// Upload something, and let the client try again later.
    #[error("the journal is full until files are uploaded")]
    Full,
    /// Read the row again and repeat the call with it.
    #[error("the row is older than the last upload of this file")]
    StaleBase,
    /// The client's mistake: past the largest file size, or more than a record takes.
    #[error("past the largest file size")]
    TooLarge,
    /// The journal's disk has less room than the bound allows.
    #[error("no space left on the journal's disk: free some at {0}, or lower the journal's `bytes`")]
    NoSpace(PathBuf),
    /// A sync failed: nothing is acknowledged any more until a restart has read back what the disk really has.
    #[error("the journal's disk failed: {0}; nothing more is acknowledged: check the disk, then restart")]
    Failed(Arc<str>),
    /// Off duty: the call is another port's.
    #[error("the journal mirrors that of the other port and takes nothing of this one's")]
    IsMirror,
    /// What another port sent came too late: this one is on duty by now.
    #[error("the journal mirrors no other")]
    NotAMirror,
    /// Another process has it open.
    #[error("the journal {0} is in use by another process")]
    InUse(PathBuf),
    /// Any other error of the disk.
    #[error("journal {path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: Arc<io::Error>,
    },
}

impl JournalError {
    /// Of the journal in `path`.
    pub(super) fn from_io(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(path.to_owned()),
            _ => Self::Io { path: path.to_owned(), error: Arc::new(error) },
        }
    }
}
