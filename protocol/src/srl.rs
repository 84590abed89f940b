//! Storage resource locators: signed, expiring requests in the shape of a URL (SRL-1 to SRL-18).
//!
//! `http://<storage-cluster>/<encoded-request>/<certificate>/<customer-uri>`, where `encoded-request` is URL-safe
//! base64 of `type/version/expires/access/client/op/arguments`. The customer's part is not signed: it may give a
//! download its name and type, nothing else.
//!
//! Whether the customer has a reference to the object (SRL-17), and that a token takes effect once (SRL-18), is the
//! storage nodes' and the VFS's matter.

mod certificate;
mod mark;
mod payload;
mod signed;

pub use certificate::{Secret, SecretTooShort, check_control_ticket, control_ticket};
pub use mark::Mark;
pub use signed::SignedSrl;

use thiserror::Error;

use crate::digest::Fingerprint;
use crate::id::{ClientFile, CustomerId, ObjectId};

/// Seconds by which a clock may be behind before an SRL counts as expired.
pub const SKEW_SECONDS: u64 = 5;

/// What an SRL asks for, unsigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrlRequest {
    /// Standard or CDN.
    pub kind: SrlKind,
    /// How it is signed.
    pub version: SrlVersion,
    /// Seconds since the epoch; 0 for never.
    pub expires: u64,
    /// On whose behalf.
    pub access: AccessMethod,
    /// Whose objects, and whose secret signs.
    pub customer: CustomerId,
    /// What to do.
    pub operation: SrlOperation,
}

/// Table 1, "Type".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrlKind {
    /// 1: arguments name objects by fingerprint.
    Standard,
    /// 2: arguments name files by the client's unique file name (SRL-15).
    Cdn,
}

/// Table 1, "Version".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrlVersion {
    /// 1: the document's nested MD5.
    Md5,
    /// 2: HMAC-SHA-256 (SRL-16).
    HmacSha256,
}

/// Table 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMethod {
    /// 0x0001: a browser or anybody with the URL; may NO_OP, FETCH, FETCH_AUTH, STORE.
    EndUser,
    /// 0x0002: a storage port; may do everything.
    StoragePort,
}

/// Table 4, and what we added (marked).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SrlOperation {
    /// 0x0000: authenticate, nothing else.
    NoOp,
    /// 0x0010: store an object as a file of this folder (0: as an object without a row; storage ports only).
    Store {
        /// Parent folder.
        parent: ObjectId,
    },
    /// 0x0010 with `<32 hex>.UFID` in the folder's place: store an object as the customer's own file, in no folder.
    /// What an SRL permits is this one file, so it can be handed to anybody who shall upload it (PRIV-2).
    StoreClientFile {
        /// Which file.
        file: ClientFile,
        /// Take the place of what is stored as that file; else that is refused. Written as one more argument,
        /// `replace`.
        replace: bool,
    },
    /// 0x0020: the object's bytes.
    Fetch {
        /// Which.
        object: ObjectName,
    },
    /// 0x0021: the object's bytes after asking the callback.
    FetchAuth {
        /// Which.
        object: ObjectName,
        /// URL asked first.
        callback: String,
    },
    /// 0x0022 (ours): the object's block digests, for checking ranges.
    FetchDigests {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// 0x0050: give up one reference to contents, or a file of the customer's own naming.
    Delete {
        /// To which, or which.
        object: ObjectName,
    },
    /// 0x1000: a request document to the VFS; the ticket signs it.
    Control {
        /// `certificate` of the document's bytes, by this SRL's version.
        ticket: String,
    },
}

/// How FETCH and DELETE name their object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectName {
    /// `<32 hex>.MD5`, or the digits alone.
    Content(Fingerprint),
    /// `<32 hex>.UFID` (PRIV-4). In an SRL of kind [`SrlKind::Cdn`] the argument is the URL-encoded unique file id
    /// itself.
    ClientFile(ClientFile),
}

/// Why an SRL was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SrlError {
    /// Not an SRL at all → 400.
    #[error("not an SRL: {0}")]
    Malformed(&'static str),
    /// Unknown client or wrong certificate; one text for both → 403.
    #[error("the SRL is not authentic")]
    NotAuthentic,
    /// Past its time → 403.
    #[error("the SRL has expired")]
    Expired,
    /// The access method may not do this → 403.
    #[error("this access method may not do that")]
    NotAllowed,
}

impl AccessMethod {
    /// Table 3: whether this method may do that operation at all.
    fn may(self, operation: &SrlOperation) -> bool {
        use SrlOperation::{Fetch, FetchAuth, NoOp, Store, StoreClientFile};
        match self {
            Self::StoragePort => true,
            // An object without a row (parent 0) would be out of its customer's sight.
            Self::EndUser => match operation {
                NoOp | Fetch { .. } | FetchAuth { .. } | StoreClientFile { .. } => true,
                Store { parent } => *parent != ObjectId(0),
                _ => false,
            },
        }
    }
}
