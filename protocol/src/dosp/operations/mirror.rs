//! What the directory managers of storage centers that mirror each other ask of each other, and of a witness (VFS-21,
//! VFS-22).
//!
//! One center changes the directory, for as long as a *generation* lasts. Its changes are a log of numbered entries,
//! one for each transaction, or several in a row for a large one. A generation begins at a number of the log, so
//! generation and number say what somebody has.

use super::operation;
use crate::dosp::wire::layout;
use crate::dosp::{CENTER_BYTES_MAX, COPY_BYTES_MAX, ENTRIES_MAX, ENTRY_BYTES_MAX, GENERATIONS_MAX};
use crate::dosp::{DOCUMENT_BYTES_MAX, REPLIES_BYTES_MAX};
use crate::id::CustomerId;

/// A time in which one center changes the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Higher than that of any before; 0 for none yet.
    pub number: u64,
    /// The center that changes the directory; at most [`CENTER_BYTES_MAX`].
    pub writer: String,
    /// Number of its first entry, whether that is made yet or not.
    pub first: u64,
}
layout!(Generation { number, writer <= CENTER_BYTES_MAX, first });

operation! {
    /// Who changes the directory, as the one who is asked knows it.
    DirectoryState = 41 "directory-state": () => DirectoryStateOut
}

/// Out of [`DirectoryState`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryStateOut {
    /// The center of the one who is asked; at most [`CENTER_BYTES_MAX`].
    pub center: String,
    /// The last it knows.
    pub generation: Generation,
    /// Number of the last entry it has.
    pub position: u64,
    /// It changes the directory now; a writer that may not, or has not begun, says no.
    pub writes: bool,
}
layout!(DirectoryStateOut { center <= CENTER_BYTES_MAX, generation, position, writes });

operation! {
    /// Changes after the last one that a follower has; waits a moment for the first. To ask is to say what is safe.
    PullDirectory = 42 "pull-directory": PullDirectoryIn => PullDirectoryOut
}

/// In of [`PullDirectory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullDirectoryIn {
    /// The center that asks; at most [`CENTER_BYTES_MAX`].
    pub center: String,
    /// Version of its tables; another one cannot follow.
    pub schema: u32,
    /// The last generation it knows.
    pub generation: Generation,
    /// Number of the last entry that it has on its disk, as a part of its directory.
    pub durable: u64,
    /// Number of the last entry that it has in its memory: the first parts of a large transaction.
    pub after: u64,
}
layout!(PullDirectoryIn { center <= CENTER_BYTES_MAX, schema, generation, durable, after });

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; the next one's is higher by 1.
    pub number: u64,
    /// The next entry belongs to the same transaction.
    pub more: bool,
    /// Rows; at most [`ENTRY_BYTES_MAX`].
    pub rows: Box<[u8]>,
}
layout!(Entry { number, more, rows <= ENTRY_BYTES_MAX });

/// Out of [`PullDirectory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullDirectoryOut {
    /// `None`: the log goes on with `entries`. Else who asks must begin with a copy; of what it has, this many entries
    /// are unknown to the writer (all ones where it cannot tell).
    pub start_over: Option<u64>,
    /// Number of the writer's last entry.
    pub position: u64,
    /// Generations that began since the one that was told, up to the last of `entries`; at most [`GENERATIONS_MAX`].
    pub generations: Vec<Generation>,
    /// At most [`ENTRIES_MAX`], together about as many bytes as one may have.
    pub entries: Vec<Entry>,
}
layout!(PullDirectoryOut {
    start_over,
    position,
    generations <= GENERATIONS_MAX,
    entries <= ENTRIES_MAX,
});

operation! {
    /// A copy of the whole directory, piece by piece.
    CopyDirectory = 43 "copy-directory": CopyDirectoryIn => CopyDirectoryOut
}

/// In of [`CopyDirectory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyDirectoryIn {
    /// The center that asks; at most [`CENTER_BYTES_MAX`].
    pub center: String,
    /// Version of its tables; a copy with other tables is of no use to it.
    pub schema: u32,
    /// Which copy; 0 for a new one.
    pub copy: u64,
    /// Where the piece begins, in bytes.
    pub offset: u64,
}
layout!(CopyDirectoryIn { center <= CENTER_BYTES_MAX, schema, copy, offset });

/// Out of [`CopyDirectory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyDirectoryOut {
    /// Which copy.
    pub copy: u64,
    /// Bytes of it; 0 while it is being made: ask again.
    pub length: u64,
    /// BLAKE3 of it.
    pub digest: [u8; 32],
    /// The piece; at most [`COPY_BYTES_MAX`], empty only at the end.
    pub bytes: Box<[u8]>,
}
layout!(CopyDirectoryOut { copy, length, digest, bytes <= COPY_BYTES_MAX });

operation! {
    /// Asks the writer to make another center the writer.
    HandOver = 44 "hand-over": HandOverIn => HandOverOut
}

/// In of [`HandOver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOverIn {
    /// The next writer; at most [`CENTER_BYTES_MAX`].
    pub to: String,
}
layout!(HandOverIn { to <= CENTER_BYTES_MAX });

/// Out of [`HandOver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOverOut {
    /// The generation that began, which the next writer hears of by its next PULL DIRECTORY.
    pub generation: Generation,
}
layout!(HandOverOut { generation });

operation! {
    /// Has the writer answer a customer's document with changes in it; who asks has authenticated it.
    Forward = 45 "forward": ForwardIn => ForwardOut
}

/// In of [`Forward`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardIn {
    /// Whose.
    pub customer: CustomerId,
    /// Requests, as XML; at most [`DOCUMENT_BYTES_MAX`].
    pub document: Box<[u8]>,
}
layout!(ForwardIn { customer, document <= DOCUMENT_BYTES_MAX });

/// Out of [`Forward`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardOut {
    /// Number of an entry at which all that is answered is in the log.
    pub position: u64,
    /// Replies, as XML; at most [`REPLIES_BYTES_MAX`].
    pub document: Box<[u8]>,
}
layout!(ForwardOut { position, document <= REPLIES_BYTES_MAX });

operation! {
    /// Asks the witness to let a writer go on.
    RenewLease = 46 "renew-lease": RenewLeaseIn => LeaseOut
}

/// In of [`RenewLease`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewLeaseIn {
    /// The writer; at most [`CENTER_BYTES_MAX`].
    pub center: String,
    /// Its generation.
    pub generation: u64,
    /// It is about to answer changes that no other center has: none may take over.
    pub alone: bool,
}
layout!(RenewLeaseIn { center <= CENTER_BYTES_MAX, generation, alone });

operation! {
    /// Asks the witness for the next generation.
    ClaimLease = 47 "claim-lease": ClaimLeaseIn => LeaseOut
}

/// In of [`ClaimLease`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimLeaseIn {
    /// Who claims; at most [`CENTER_BYTES_MAX`].
    pub center: String,
    /// The last generation it knows.
    pub generation: u64,
}
layout!(ClaimLeaseIn { center <= CENTER_BYTES_MAX, generation });

/// Out of [`RenewLease`] and [`ClaimLease`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOut {
    /// For so many milliseconds from the moment of asking who asked writes; 0 for a refusal.
    pub granted_ms: u32,
    /// The generation in force.
    pub generation: u64,
    /// Its writer; at most [`CENTER_BYTES_MAX`].
    pub writer: String,
}
layout!(LeaseOut { granted_ms, generation, writer <= CENTER_BYTES_MAX });
