//! What an object manager asks of a directory manager.
//!
//! Where the VFS has something to refuse, the operation succeeds and the Out carries the VFS's error.

use super::operation;
use crate::digest::Content;
use crate::dosp::wire::layout;
use crate::dosp::{CALLBACK_HOSTS_BYTES_MAX, Reference, SECRETS_MAX, UPLOAD_PAGE_BYTES_MAX};
use crate::id::{ClientFile, CustomerId, ObjectId, Token};
use crate::name::Name;
use crate::srl::Secret;
use crate::vfs::{Upload, VfsError};

operation! {
    /// A customer's live secrets.
    Secrets = 32 "secrets": SecretsIn => SecretsOut
}

/// In of [`Secrets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretsIn {
    /// Whose.
    pub customer: CustomerId,
}
layout!(SecretsIn { customer });

/// Out of [`Secrets`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsOut {
    /// At most [`SECRETS_MAX`], each of at most [`SECRET_BYTES_MAX`](crate::dosp::SECRET_BYTES_MAX); none for an unknown
    /// customer.
    pub secrets: Vec<Secret>,
}
layout!(SecretsOut { secrets <= SECRETS_MAX });

operation! {
    /// Makes a file row of an upload (VFS-17). The upload's token is also the key under which the VFS remembers its
    /// answer (SRL-18), so it may be asked again.
    CreateFile = 33 "create-file": CreateFileIn => CreateFileOut
}

/// In of [`CreateFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFileIn {
    /// Whose.
    pub customer: CustomerId,
    /// In which folder.
    pub parent: ObjectId,
    /// Under which name.
    pub name: Name,
    /// Its bytes.
    pub upload: Upload,
}
layout!(CreateFileIn { customer, parent, name, upload });

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUpIn {
    /// Which.
    pub reference: Reference,
}
layout!(GiveUpIn { reference });

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreClientFileIn {
    /// Whose.
    pub customer: CustomerId,
    /// Which file.
    pub file: ClientFile,
    /// Its bytes.
    pub upload: Upload,
    /// Take the place of what is stored as that file; else that is refused (`Exists`).
    pub replace: bool,
}
layout!(StoreClientFileIn { customer, file, upload, replace });

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteClientFileIn {
    /// Whose.
    pub customer: CustomerId,
    /// Which file.
    pub file: ClientFile,
    /// The key under which the VFS remembers its answer, so it may be asked again.
    pub key: Token,
}
layout!(DeleteClientFileIn { customer, file, key });

/// Out of [`DeleteClientFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteClientFileOut {
    /// Done, or what the VFS says against it.
    pub outcome: Result<(), VfsError>,
}
layout!(DeleteClientFileOut { outcome });
