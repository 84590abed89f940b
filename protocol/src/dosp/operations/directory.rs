//! What an object manager asks of a directory manager.
//!
//! Where the VFS has something to refuse, the operation succeeds and the Out carries the VFS's error.

use super::operation;
use crate::digest::Content;
use crate::dosp::wire::layout;
use crate::dosp::{
    CALLBACK_HOSTS_BYTES_MAX, NEWS_MAX, REVOKED_MAX, Reference, SECRETS_MAX, UPLOAD_PAGE_BYTES_MAX,
};
use crate::id::{ClientFile, CustomerId, ObjectId, Token};
use crate::name::Name;
use crate::pair::{Asker, PAIRS_MAX, Stamp};
use crate::srl::{Mark, Secret};
use crate::vfs::{Upload, VfsError};

operation! {
    /// By what a customer's SRLs are checked.
    Access = 32 "access": AccessIn => AccessOut
}

/// In of [`Access`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessIn {
    /// Whose.
    pub customer: CustomerId,
}
layout!(AccessIn { customer });

/// Out of [`Access`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessOut {
    /// At most [`SECRETS_MAX`], each of at most [`SECRET_BYTES_MAX`](crate::dosp::SECRET_BYTES_MAX); none for an unknown
    /// customer, or one who is suspended.
    pub secrets: Vec<Secret>,
    /// What is refused though it is signed; at most [`REVOKED_MAX`].
    pub revoked: Vec<Mark>,
    /// Which generations of the customer's pairs are in force; at most [`PAIRS_MAX`].
    pub pairs: Vec<Stamp>,
}
layout!(AccessOut { secrets <= SECRETS_MAX, revoked <= REVOKED_MAX, pairs <= PAIRS_MAX });

operation! {
    /// Whose access changed; waits a moment for the first change.
    AccessNews = 40 "access-news": AccessNewsIn => AccessNewsOut
}

/// In of [`AccessNews`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessNewsIn {
    /// Where the answer before ended; 0 to hear where the news are now.
    pub since: u64,
}
layout!(AccessNewsIn { since });

/// Out of [`AccessNews`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessNewsOut {
    /// Where this answer ends; never 0.
    pub until: u64,
    /// Whose access is another since; at most [`NEWS_MAX`], and perhaps more after `until`.
    pub customers: Vec<CustomerId>,
}
layout!(AccessNewsOut { until, customers <= NEWS_MAX });

operation! {
    /// Makes a file row of an upload (VFS-17). The upload's token is also the key under which the VFS remembers its
    /// answer (SRL-18), so it may be asked again.
    CreateFile = 33 "create-file": CreateFileIn => CreateFileOut
}

/// In of [`CreateFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFileIn {
    /// Who asks.
    pub asker: Asker,
    /// In which folder.
    pub parent: ObjectId,
    /// Under which name.
    pub name: Name,
    /// Its bytes.
    pub upload: Upload,
}
layout!(CreateFileIn { asker, parent, name, upload });

/// Out of [`CreateFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFileOut {
    /// The file, or what the VFS says against it.
    pub file: Result<ObjectId, VfsError>,
}
layout!(CreateFileOut { file });

operation! {
    /// Gives up the reference of an upload, unless a row holds it.
    GiveUp = 34 "give-up": GiveUpIn => GiveUpOut
}

/// In of [`GiveUp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveUpIn {
    /// Which.
    pub reference: Reference,
    /// Of the port of a pair that asks.
    pub stamp: Option<Stamp>,
}
layout!(GiveUpIn { reference, stamp });

/// Out of [`GiveUp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveUpOut {
    /// Done, or what the VFS says against it.
    pub outcome: Result<(), VfsError>,
}
layout!(GiveUpOut { outcome });

operation! {
    /// Where a customer's end users are sent after an upload (DOSM-18).
    UploadPage = 35 "upload-page": UploadPageIn => UploadPageOut
}

/// In of [`UploadPage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPageIn {
    /// Whose.
    pub customer: CustomerId,
}
layout!(UploadPageIn { customer });

/// Out of [`UploadPage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadPageOut {
    /// The URL, of at most [`UPLOAD_PAGE_BYTES_MAX`]; empty if the customer has registered none.
    pub url: String,
}
layout!(UploadPageOut { url <= UPLOAD_PAGE_BYTES_MAX });

operation! {
    /// On which hosts a customer's callbacks may lie (SRL-10).
    CallbackHosts = 36 "callback-hosts": CallbackHostsIn => CallbackHostsOut
}

/// In of [`CallbackHosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackHostsIn {
    /// Whose.
    pub customer: CustomerId,
}
layout!(CallbackHostsIn { customer });

/// Out of [`CallbackHosts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackHostsOut {
    /// `host` or `host:port`, joined by spaces, of at most [`CALLBACK_HOSTS_BYTES_MAX`]; empty if none is allowed.
    pub hosts: String,
}
layout!(CallbackHostsOut { hosts <= CALLBACK_HOSTS_BYTES_MAX });

operation! {
    /// Makes an upload a file of the customer's own naming (PRIV-4). The upload's token is also the key under which the
    /// VFS remembers its answer (SRL-18), so it may be asked again.
    StoreClientFile = 37 "store-client-file": StoreClientFileIn => StoreClientFileOut
}

/// In of [`StoreClientFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreClientFileIn {
    /// Who asks.
    pub asker: Asker,
    /// Which file.
    pub file: ClientFile,
    /// Its bytes.
    pub upload: Upload,
    /// Take the place of what is stored as that file; else that is refused (`Exists`).
    pub replace: bool,
}
layout!(StoreClientFileIn { asker, file, upload, replace });

/// Out of [`StoreClientFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreClientFileOut {
    /// Done, or what the VFS says against it.
    pub outcome: Result<(), VfsError>,
}
layout!(StoreClientFileOut { outcome });

operation! {
    /// What is stored as a file of the customer's own naming now.
    FindClientFile = 38 "find-client-file": FindClientFileIn => FindClientFileOut
}

/// In of [`FindClientFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindClientFileIn {
    /// Whose.
    pub customer: CustomerId,
    /// Which file.
    pub file: ClientFile,
}
layout!(FindClientFileIn { customer, file });

/// Out of [`FindClientFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindClientFileOut {
    /// Its contents, or what the VFS says against it.
    pub content: Result<Content, VfsError>,
}
layout!(FindClientFileOut { content });

operation! {
    /// Removes a file of the customer's own naming, and gives up its contents.
    DeleteClientFile = 39 "delete-client-file": DeleteClientFileIn => DeleteClientFileOut
}

/// In of [`DeleteClientFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteClientFileIn {
    /// Who asks.
    pub asker: Asker,
    /// Which file.
    pub file: ClientFile,
    /// The key under which the VFS remembers its answer, so it may be asked again.
    pub key: Token,
}
layout!(DeleteClientFileIn { asker, file, key });

/// Out of [`DeleteClientFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteClientFileOut {
    /// Done, or what the VFS says against it.
    pub outcome: Result<(), VfsError>,
}
layout!(DeleteClientFileOut { outcome });
