//! What others see of the journal.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use protocol::digest::Content;
use protocol::id::{CustomerId, ObjectId, Timestamp, Token};

use super::layer::{Layer, resolve};

/// A file of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub file: ObjectId,
}

/// Number of a journal record; grows, and is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// What a staged file's changes stand on: the contents of its row at a version of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// Contents.
    pub content: Content,
    /// `Row::version` with these contents.
    pub version: u64,
}

/// A staged file as clients see it, in place of what its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedView {
    /// What the changes stand on.
    pub base: Base,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of anything; strictly growing while staged. Show the later of this and the row's.
    pub changed: Timestamp,
    /// The file's last record: COMMIT is `sync` of it.
    pub lsn: Lsn,
    /// Records up to this are at the center.
    pub uploaded: Lsn,
    /// An upload has begun and not ended, perhaps before a restart: the center may hold a reference under its token.
    pub is_uploading: bool,
    /// There are changes behind those of that upload.
    pub is_written_since: bool,
}

/// A piece of a staged file's bytes, in order.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In the journal: never rewritten or truncated while the `File` lives; fit for `sendfile`.
    Staged {
        /// The segment file.
        log: Arc<File>,
        /// First byte in it.
        position: u64,
        /// Length in bytes.
        len: u64,
    },
    /// Bytes of the base contents.
    Base {
        /// First byte in them.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// Zeros.
    Zero {
        /// Length in bytes.
        len: u64,
    },
}

impl Piece {
    /// Length in bytes.
    pub fn length(&self) -> u64 {
        match *self {
            Self::Staged { len, .. } | Self::Base { len, .. } | Self::Zero { len } => len,
        }
    }
}

/// The contents of a staged file at one moment, to be stored. Fixed: later writes go beside it.
#[derive(Clone, Debug)]
pub struct UploadSnapshot {
    /// Which file.
    pub file: FileKey,
    /// Store under this token: durable, and the same at every repetition of this upload.
    pub token: Token,
    /// What it stands on; `Update{if_version: base.version}`.
    pub base: Base,
    /// Size in bytes.
    pub size: u64,
    /// For `Update.modified`.
    pub modified: Timestamp,
    /// For `Update.changed`.
    pub changed: Timestamp,
    pub(super) layer: Arc<Layer>,
}

impl UploadSnapshot {
    /// The contents are the base's and only times changed: there is nothing to store.
    pub fn is_base(&self) -> bool {
        self.layer.shows_all_of(self.base.content.size)
    }

    /// Where the bytes `offset .. offset + len` are, cut at the end of the file.
    pub fn pieces(&self, offset: u64, len: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let to = offset.saturating_add(len).min(self.size);
        if offset < to {
            resolve(&[&self.layer], self.base.content.size, offset, to, &mut pieces);
        }
        pieces
    }
}

/// Which files to upload now.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Not written for so long …
    pub quiet: Duration,
    /// … or dirty for so long.
    pub age_max: Duration,
    /// Most files wanted.
    pub limit: usize,
}

/// A file that is [`Ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub file: FileKey,
    /// Its upload was begun before, and is to be ended however the file is.
    pub is_begun: bool,
    /// Its size in bytes: all of it is uploaded.
    pub size: u64,
    /// For how long it was not written.
    pub quiet: Duration,
    /// For how long it has been dirty.
    pub dirty: Duration,
}

/// What the center does not have yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Files with something staged.
    pub files: u64,
    /// Of them, those whose upload has begun.
    pub uploading: u64,
    /// Bytes that are to be uploaded, of what clients would read of them now.
    pub bytes: u64,
    /// When the first of what is owed was written.
    pub oldest: Option<Timestamp>,
}

/// One file of [`Owed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwedFile {
    /// Which.
    pub file: FileKey,
    /// Bytes of it that are to be uploaded.
    pub bytes: u64,
    /// Its upload has begun.
    pub is_begun: bool,
    /// When the first of it was written.
    pub first: Timestamp,
    /// When the last of it was.
    pub last: Timestamp,
}

/// How full the journal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the log.
    pub bytes_used: u64,
    /// Bound of them.
    pub bytes_max: u64,
    /// Extents in memory.
    pub extents: usize,
    /// Staged files.
    pub files: usize,
}
