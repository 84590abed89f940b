//! The write journal: what clients wrote and the storage center does not have yet.
//!
//! SIGNATURES FIRST — bodies follow. Clone freely (one `Arc` inside).

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::digest::Content;
use protocol::id::{CustomerId, ObjectId, Timestamp, Token};

/// A file of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub file: ObjectId,
}

/// Number of a journal record; grows by one with each, never reused.
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

/// How a journal is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own directory; made if it is not there.
    pub dir: PathBuf,
    /// Most bytes on disk; at least four segments.
    pub bytes_max: u64,
    /// Size of a segment file; default 64 MiB.
    pub segment_bytes: u64,
    /// Most extents in memory, about 100 bytes each.
    pub extents_max: usize,
    /// Most files staged at once.
    pub files_max: usize,
}

/// What `open` found.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Files with changes to upload.
    pub files: usize,
    /// Records replayed.
    pub records: u64,
    /// Bytes of a record at the end that had not been written whole: never acknowledged.
    pub torn_bytes: u64,
    /// One line per damage found inside the journal: what was lost, where it is kept. Alarm the operator.
    pub damage: Vec<String>,
}

/// Why the journal refused. `Full` → `TryLater` and wake the uploader; `StaleBase` → read the row again and repeat;
/// `TooLarge` → `FileTooLarge`; the others → `Io` (`NoSpace` → `NoSpace`).
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Upload something first.
    #[error("the journal is full until files are uploaded")]
    Full,
    /// The row given as base is older than the last upload of this file.
    #[error("the row is older than the last upload of this file")]
    StaleBase,
    /// Past the largest file size, or a write above `WRITE_BYTES_MAX`.
    #[error("past the largest file size")]
    TooLarge,
    /// The journal's disk has less space than `bytes_max`.
    #[error("no space left on the journal's disk {0}")]
    NoSpace(PathBuf),
    /// A sync failed: nothing is acknowledged any more until a restart.
    #[error("the journal's disk failed: {0}; nothing more is acknowledged until a restart")]
    Failed(Arc<str>),
    /// Any other error of the disk.
    #[error("journal {path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: Arc<std::io::Error>,
    },
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
}

impl UploadSnapshot {
    /// The contents are the base's; only the times changed: no STORE needed.
    pub fn is_base(&self) -> bool {
        todo!()
    }
    /// Where the bytes `offset .. offset + len` are, cut at the end of the file.
    pub fn pieces(&self, _offset: u64, _len: u64) -> Vec<Piece> {
        todo!()
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

/// How full the journal is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Bytes of segment files on disk.
    pub bytes_used: u64,
    /// Bound of them.
    pub bytes_max: u64,
    /// Extents in memory.
    pub extents: usize,
    /// Staged files.
    pub files: usize,
}

/// Largest payload of one `write`.
pub const WRITE_BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Clone)]
pub struct Journal {}

impl Journal {
    /// Opens or makes the journal and replays it. Blocks: call it before serving.
    pub fn open(_settings: Settings) -> Result<(Self, Recovery), JournalError> {
        todo!()
    }
    /// Stages bytes. `base` is the file's row as the caller knows it; it counts only if the file is not staged yet.
    /// The bytes are readable at once, durable after `sync(lsn)`.
    pub async fn write(
        &self,
        _file: FileKey,
        _base: Base,
        _offset: u64,
        _data: Bytes,
        _now: Timestamp,
    ) -> Result<Lsn, JournalError> {
        todo!()
    }
    /// Stages a new size: cuts, or extends with zeros.
    pub async fn truncate(
        &self,
        _file: FileKey,
        _base: Base,
        _size: u64,
        _now: Timestamp,
    ) -> Result<Lsn, JournalError> {
        todo!()
    }
    /// SETATTR of times on a staged file (the caller also updates the row). `None` if it is not staged.
    pub async fn set_times(
        &self,
        _file: FileKey,
        _modified: Timestamp,
        _changed: Timestamp,
    ) -> Result<Option<Lsn>, JournalError> {
        todo!()
    }
    /// Waits until every record up to `lsn` is durable. Many callers share one disk sync.
    pub async fn sync(&self, _lsn: Lsn) -> Result<(), JournalError> {
        todo!()
    }
    /// Makes everything appended so far durable (graceful stop).
    pub async fn sync_all(&self) -> Result<(), JournalError> {
        todo!()
    }
    /// The file as staged; `None` if its row says all. Never blocks on the disk.
    pub fn view(&self, _file: FileKey) -> Option<StagedView> {
        todo!()
    }
    /// The view and where the bytes `offset .. offset + len` are (cut at the end of the file), at one moment.
    pub fn read(&self, _file: FileKey, _offset: u64, _len: u64) -> Option<(StagedView, Vec<Piece>)> {
        todo!()
    }
    /// Files to upload now: those that hold up the oldest journal space first. Files with an upload begun and not
    /// finished are always among them.
    pub fn candidates(&self, _now: Timestamp, _ready: Ready) -> Vec<FileKey> {
        todo!()
    }
    /// Fixes the file's present contents for an upload under `token`, made durable before this returns. If an
    /// upload was begun before (also before a crash), that one is given again, with its own token and contents.
    /// `None` if nothing is staged.
    pub async fn begin_upload(
        &self,
        _file: FileKey,
        _token: Token,
        _now: Timestamp,
    ) -> Result<Option<UploadSnapshot>, JournalError> {
        todo!()
    }
    /// The row now holds the upload `token` begun for (`base`: its contents and version). Writes taken since stay staged on it. Frees
    /// journal space. No effect if that upload is not the one begun.
    pub async fn finish_upload(
        &self,
        _file: FileKey,
        _token: Token,
        _base: Base,
        _now: Timestamp,
    ) -> Result<(), JournalError> {
        todo!()
    }
    /// Somebody else changed the row: puts the staged changes onto other contents. An upload begun is undone; the
    /// caller gives up what it stored under the old token.
    pub async fn rebase(&self, _file: FileKey, _base: Base, _now: Timestamp) -> Result<(), JournalError> {
        todo!()
    }
    /// The row moved on to `version` with the same contents (a rename, a mode): only the version is taken over.
    pub async fn set_version(&self, _file: FileKey, _version: u64) -> Result<(), JournalError> {
        todo!()
    }
    /// The file is gone: forgets its changes.
    pub async fn drop_file(&self, _file: FileKey, _now: Timestamp) -> Result<(), JournalError> {
        todo!()
    }
    /// How full it is.
    pub fn usage(&self) -> Usage {
        todo!()
    }
}
