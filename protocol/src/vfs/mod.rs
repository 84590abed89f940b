//! Requests to the VFS and its answers (VFS-3, VFS-19): values here, their XML form in [`xml`].
//!
//! A request document carries one or more operations; each is answered by itself, in order. It travels as
//! `POST /vfs/v1/<encoded-request>/<certificate>`, an SRL with op code CONTROL whose ticket signs the document.

pub mod xml;

use thiserror::Error;

use crate::digest::Content;
use crate::id::{FeedPosition, ObjectId, Timestamp, Token, VersionId};
use crate::name::Name;
use crate::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName, Stamp};

/// Most bytes of a request document.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most operations of a request document.
pub const OPERATIONS_MAX: usize = 64;
/// Most entries of one OPEN FOLDER answer.
pub const ENTRIES_MAX: u32 = 1_000;
/// Most versions of one VERSIONS answer.
pub const VERSIONS_MAX: u32 = 1_000;
/// Most changes of one CHANGES answer.
pub const CHANGES_MAX: u32 = 1_000;

/// What a request document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// In which generation of its pair a port asks for the changes in it; `None` for everybody else. Where a newer one is
    /// in force they are refused ([`VfsErrorCode::Superseded`]).
    pub stamp: Option<Stamp>,
    /// At most [`OPERATIONS_MAX`].
    pub requests: Vec<Request>,
}

/// One operation, and the key under which its answer is remembered for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A repeated request of the same customer with the same key gets the first answer and has no second effect.
    pub key: Option<Token>,
    /// What to do.
    pub operation: Operation,
}

/// What a VFS does. Element names in XML are the founding document's words (`open-folder`, `create-file` …).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The customer's root folder → [`Answer::Row`].
    OpenRoot,
    /// A folder with those of its entries whose id is above `after`, in order of id → [`Answer::Folder`].
    /// Ids grow, so a listing continued by id neither repeats nor skips an entry that was there throughout.
    OpenFolder {
        /// Which folder.
        folder: ObjectId,
        /// Last id already seen.
        after: Option<ObjectId>,
        /// Most entries wanted, 1 to [`ENTRIES_MAX`].
        limit: u32,
        /// Also sign download and upload SRLs that expire then (seconds since the epoch, 0 for never).
        srl_expires: Option<u64>,
    },
    /// A file or folder by itself → [`Answer::Row`]. For a file this is the document's "open file".
    Open {
        /// Which.
        target: Target,
        /// Also sign its SRL.
        srl_expires: Option<u64>,
    },
    /// A new folder → [`Answer::Changed`].
    CreateFolder {
        /// In which folder.
        parent: ObjectId,
        /// Name, free in it.
        name: Name,
        /// Client metadata.
        metadata: Vec<u8>,
    },
    /// A new file → [`Answer::Changed`].
    CreateFile {
        /// In which folder.
        parent: ObjectId,
        /// Name.
        name: Name,
        /// Client metadata.
        metadata: Vec<u8>,
        /// Contents; `None` for the empty object.
        upload: Option<Upload>,
        /// What to do when the name is taken by a file.
        existing: Existing,
    },
    /// Another folder, name or both → [`Answer::Changed`].
    Move {
        /// Which; of the given kind, or of any.
        target: Target,
        /// Refuse an object of another kind.
        kind: Option<Kind>,
        /// Its new folder.
        parent: ObjectId,
        /// Its new name.
        name: Name,
        /// Replace a file by a file, an empty folder by a folder, as POSIX `rename` does; else a taken name fails.
        replace: bool,
    },
    /// Removes a file, or a folder → [`Answer::Changed`] with `removed`.
    Delete {
        /// Which.
        target: Target,
        /// A file, or a folder; the other kind fails with `IsFolder` or `NotFolder`.
        kind: Kind,
        /// A folder with everything below it; else a folder with entries fails with `NotEmpty`.
        recursive: bool,
    },
    /// Changes metadata, times or contents of a file or folder → [`Answer::Changed`].
    Update {
        /// Which.
        id: ObjectId,
        /// Only if the row still has this version, else `VersionMismatch`.
        if_version: Option<u64>,
        /// New metadata.
        metadata: Option<Vec<u8>>,
        /// New modification time; without it, new contents set it to the present.
        modified: Option<Timestamp>,
        /// New change time, taken if it is above the old one; without it, or if not, the present or the old plus 1.
        changed: Option<Timestamp>,
        /// New contents (files only). The old contents' reference is given up.
        upload: Option<Upload>,
    },
    /// Those of the kept versions of something whose number is above `after`, in that order → [`Answer::Versions`].
    Versions {
        /// Of what.
        of: Versioned,
        /// Last version already seen.
        after: Option<VersionId>,
        /// Most versions wanted, 1 to [`VERSIONS_MAX`].
        limit: u32,
    },
    /// Makes a kept version a file again, or an empty folder; then it is a version no more → [`Answer::Changed`]. The file
    /// gets an id of its own; the folder has the one it had, by which the versions of what was in it are found.
    Restore {
        /// Which.
        version: VersionId,
        /// Into which folder; without, into the one it was in, which must still be there.
        parent: Option<ObjectId>,
        /// Its name there; without, the one it had.
        name: Option<Name>,
        /// Give a file that has the name these contents and this metadata, as UPDATE does: it keeps its id. Else a taken
        /// name fails, as it always does for a folder.
        replace: bool,
    },
    /// The customer's quota and use → [`Answer::Usage`].
    Usage,
    /// Changes after a position, waiting for the first of them → [`Answer::Changes`].
    Changes {
        /// The last position known.
        since: FeedPosition,
        /// How long to wait for a change, in milliseconds, at most 30,000.
        wait_ms: u32,
    },
    /// About the lease of a pair of ports → [`Answer::Lease`]. Its answer is not remembered, for it may be repeated anyway.
    PortLease {
        /// Which pair.
        pair: PairName,
        /// Who asks.
        member: Member,
        /// What.
        question: LeaseQuestion,
    },
}

impl Operation {
    /// Whether it may change a file or folder: then it wants a key, so that it can be repeated.
    pub fn is_change(&self) -> bool {
        match self {
            Self::OpenRoot
            | Self::OpenFolder { .. }
            | Self::Open { .. }
            | Self::Versions { .. }
            | Self::Usage
            | Self::Changes { .. }
            | Self::PortLease { .. } => false,
            Self::CreateFolder { .. }
            | Self::CreateFile { .. }
            | Self::Move { .. }
            | Self::Delete { .. }
            | Self::Update { .. }
            | Self::Restore { .. } => true,
        }
    }

    /// Whether it has to be done where the directory is written.
    pub fn is_written(&self) -> bool {
        match self {
            Self::PortLease { question, .. } => question.is_change(),
            other => other.is_change(),
        }
    }
}

/// How an operation names its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By id.
    Id(ObjectId),
    /// By folder and name.
    Name(ObjectId, Name),
}

/// Of what versions are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versioned {
    /// Of one file or folder, whatever it was called; whether it is still there or not.
    Id(ObjectId),
    /// Of all that was in a folder and is not, or has other contents now; whether the folder is still there or not.
    Folder(ObjectId),
    /// Of all that had this name in a folder.
    Name(ObjectId, Name),
}

/// Contents stored in the cluster, held by one reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What was stored.
    pub content: Content,
    /// The token it was stored with; the row holds that reference from now on.
    pub token: Token,
}

/// What CREATE FILE does with a taken name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// `Exists`.
    Refuse,
    /// Leave the existing file as it is and answer it, with `created` false (`IsFolder` if it is a folder).
    Open,
    /// Give the existing file this metadata and these contents, as UPDATE does, and answer it, with `created` false
    /// (`IsFolder` if it is a folder). It keeps its id.
    Replace,
}

/// File or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file (symbolic links are files whose metadata says so).
    File,
}

/// A folder or file as the VFS knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: ObjectId,
    /// The folder it is in; `None` for a root.
    pub parent: Option<ObjectId>,
    /// Its name; `None` for a root.
    pub name: Option<Name>,
    /// Grows by one with every change of the row; a folder's also with every entry added, removed or renamed.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of anything; strictly growing.
    pub changed: Timestamp,
    /// Client metadata.
    pub metadata: Vec<u8>,
    /// What it is.
    pub body: Body,
    /// Download SRL of a file, upload SRL of a folder, where asked for: path only, no scheme and host.
    pub srl: Option<String>,
}

/// What a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A folder.
    Folder {
        /// Folders directly in it.
        subfolders: u32,
    },
    /// A file.
    File {
        /// Its bytes.
        content: Content,
    },
}

impl Row {
    /// File or folder.
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Folder { .. } => Kind::Folder,
            Body::File { .. } => Kind::File,
        }
    }
}

/// A row as it was, kept for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub id: VersionId,
    /// What became of the row.
    pub why: Why,
    /// When.
    pub at: Timestamp,
    /// The row just before; without an SRL.
    pub row: Row,
}

/// Why there is a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The file or folder was deleted.
    Deleted,
    /// The file got other contents; or another file took its name.
    Overwritten,
}

impl Why {
    /// Its word in XML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Overwritten => "overwritten",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Deleted, Self::Overwritten].into_iter().find(|why| why.as_str() == word)
    }
}

/// One operation's outcome.
pub type Reply = Result<Answered, VfsError>;

/// An answer and the feed position it was true at: a cache that has applied a later change of the same object must
/// not keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Position of the customer's feed in the transaction that made the answer.
    pub position: FeedPosition,
    /// The answer.
    pub answer: Answer,
}

/// What an operation found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One row.
    Row(Row),
    /// A folder and some of its entries, in order of id.
    Folder {
        /// The folder itself.
        folder: Row,
        /// Entries.
        entries: Vec<Row>,
        /// Whether more follow.
        more: bool,
    },
    /// Versions, in order of their numbers.
    Versions {
        /// They.
        versions: Vec<Version>,
        /// Whether more follow.
        more: bool,
    },
    /// A change was made (or had been made, under the same key).
    Changed(Changed),
    /// Quota and use.
    Usage(Usage),
    /// Changes in order.
    Changes {
        /// What changed.
        changes: Vec<Change>,
        /// The position to ask from next.
        position: FeedPosition,
        /// The feed no longer reaches back that far: forget everything.
        reset: bool,
    },
    /// What became of the lease of a pair.
    Lease(LeaseAnswer),
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The object after the change; `None` when it was removed.
    pub row: Option<Row>,
    /// The object before the change, where it existed.
    pub before: Option<Before>,
    /// Whether a CREATE made it (false: it was there).
    pub created: bool,
    /// The object that went away, by DELETE or by being replaced.
    pub removed: Option<ObjectId>,
    /// The folders whose entries changed: one, or two for a move between folders (the old one first).
    pub folders: Vec<FolderChange>,
}

/// A folder around a change, read in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderChange {
    /// Just before.
    pub before: Before,
    /// Just after.
    pub after: Row,
}

/// A row's version and times just before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Version.
    pub version: u64,
    /// Size in bytes; 0 for a folder.
    pub size: u64,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of anything.
    pub changed: Timestamp,
}

/// Quota and use of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all files.
    pub bytes_used: u64,
    /// Files and folders.
    pub files_used: u64,
    /// Most bytes; `None` for no quota.
    pub bytes_quota: Option<u64>,
    /// Most files and folders; `None` for no quota.
    pub files_quota: Option<u64>,
    /// Free bytes of the storage nodes' disks, two copies counted.
    pub bytes_free: u64,
}

/// One entry of the change feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub position: FeedPosition,
    /// The row that changed.
    pub id: ObjectId,
    /// Its version since; `None` if it is gone.
    pub version: Option<u64>,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct VfsError {
    /// What a program decides by.
    pub code: VfsErrorCode,
    /// What a person reads.
    pub message: String,
}

impl VfsError {
    /// The directory service cannot do it now; it may be asked again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: VfsErrorCode::Unavailable, message: message.into() }
    }

    /// The port that asks is not the active one of its pair any more.
    pub fn superseded(in_force: Generation) -> Self {
        let message = format!("generation {in_force} is in force: the other port of the pair is active");
        Self { code: VfsErrorCode::Superseded(in_force), message }
    }
}

/// The kinds of failure. In XML: `not-found`, `version-mismatch` …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VfsErrorCode {
    /// No such object, or none of this customer.
    NotFound,
    /// The name is taken.
    Exists,
    /// The folder has entries.
    NotEmpty,
    /// Not a folder.
    NotFolder,
    /// A folder.
    IsFolder,
    /// The row has another version by now.
    VersionMismatch,
    /// Over the quota.
    QuotaExceeded,
    /// The request makes no sense: a folder into its own subtree, the root moved, a bound exceeded.
    Invalid,
    /// The contents are not in the cluster under this customer's token.
    NoSuchObject,
    /// The request did not authenticate.
    Denied,
    /// The VFS cannot answer now; the same request may be sent again.
    Unavailable,
    /// The port that asks is not the active one of its pair any more: this generation is in force. Nothing was changed.
    Superseded(Generation),
}

impl VfsErrorCode {
    /// All that are told by a word alone.
    pub const ALL: [Self; 11] = [
        Self::NotFound,
        Self::Exists,
        Self::NotEmpty,
        Self::NotFolder,
        Self::IsFolder,
        Self::VersionMismatch,
        Self::QuotaExceeded,
        Self::Invalid,
        Self::NoSuchObject,
        Self::Denied,
        Self::Unavailable,
    ];

    /// Its word in XML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::NotEmpty => "not-empty",
            Self::NotFolder => "not-folder",
            Self::IsFolder => "is-folder",
            Self::VersionMismatch => "version-mismatch",
            Self::QuotaExceeded => "quota-exceeded",
            Self::Invalid => "invalid",
            Self::NoSuchObject => "no-such-object",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Superseded(_) => "superseded",
        }
    }

    /// Reads its word, and the generation that goes with `superseded`.
    pub fn parse(word: &str, generation: Option<Generation>) -> Option<Self> {
        match generation {
            Some(generation) => Some(Self::Superseded(generation)).filter(|code| code.as_str() == word),
            None => Self::ALL.into_iter().find(|code| code.as_str() == word),
        }
    }

    /// The generation in force, of a refusal for its sake.
    pub fn generation(self) -> Option<Generation> {
        match self {
            Self::Superseded(generation) => Some(generation),
            _ => None,
        }
    }
}
