//! Bytes of objects: in, out, and where they are (DOSP-4 to DOSP-6, MC-6).

use super::operation;
use crate::digest::{Content, Digest, Fingerprint};
use crate::dosp::wire::layout;
use crate::dosp::{DIGESTS_BYTES_MAX, IDS_MAX, Streamed};
use crate::id::CustomerId;

operation! {
    /// Receives an object. A first reply without an Out says that the node takes it; if it says a failure, nothing
    /// follows. Then come chunks, each behind a [`StoreHeader`](crate::dosp::StoreHeader), and after the last the reply
    /// with the Out. What was received is staged on this connection, seen by nobody, until [`Keep`] or the next STORE of
    /// the connection or its end.
    ///
    /// [`Keep`]: super::Keep
    Store = 1 "store": StoreIn => StoreOut
}

/// In of [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIn {
    /// Bytes that will come; 0 if that is not known.
    pub length: u64,
    /// Disks of the node to stage it on: 1, or more where there is no other node for a second copy.
    pub copies: u8,
    /// Compute the fingerprint too. One of an object's nodes does it; MD5 is what costs.
    pub name: bool,
}
layout!(StoreIn { length, copies, name });

/// Out of [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOut {
    /// Bytes that came.
    pub size: u64,
    /// Their proof.
    pub digest: Digest,
    /// Their name, if it was asked for.
    pub fingerprint: Option<Fingerprint>,
}
layout!(StoreOut { size, digest, fingerprint });

operation! {
    /// The fingerprint of what is staged on this connection, where STORE was not asked for it: the node reads it again.
    Name = 27 "name": () => NameOut
}

/// Out of [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameOut {
    /// Its MD5.
    pub fingerprint: Fingerprint,
}
layout!(NameOut { fingerprint });

operation! {
    /// Gives an object: [`RetrieveHead`], its bytes, nothing.
    Retrieve = 2 "retrieve": RetrieveIn => ()
}

/// In of [`Retrieve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveIn {
    /// For whom: without a reference of this customer there is no such object (SRL-17). `None` for repair.
    pub customer: Option<CustomerId>,
    /// Which.
    pub fingerprint: Fingerprint,
}
layout!(RetrieveIn { customer, fingerprint });

/// Head of [`Retrieve`] and [`RetrieveRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveHead {
    /// The whole object.
    pub content: Content,
    /// Bytes that follow.
    pub length: u64,
}
layout!(RetrieveHead { content, length });

impl Streamed for Retrieve {
    type Head = RetrieveHead;

    fn length(head: &RetrieveHead) -> u64 {
        head.length
    }
}

operation! {
    /// Gives a part of an object: [`RetrieveHead`], the bytes, nothing.
    RetrieveRange = 3 "retrieve-range": RetrieveRangeIn => ()
}

/// In of [`RetrieveRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveRangeIn {
    /// For whom; as in [`RetrieveIn`].
    pub customer: Option<CustomerId>,
    /// Which.
    pub fingerprint: Fingerprint,
    /// First byte. At the end of the object or past it: REFUSED.
    pub offset: u64,
    /// Bytes wanted; fewer come if the object ends before.
    pub length: u64,
}
layout!(RetrieveRangeIn { customer, fingerprint, offset, length });

impl Streamed for RetrieveRange {
    type Head = RetrieveHead;

    fn length(head: &RetrieveHead) -> u64 {
        head.length
    }
}

operation! {
    /// Which of these objects are here. Asked by datagram, an answer is sent only if some are, and to the whole group;
    /// as it says the sender's number, everybody learns where they are.
    Locate = 18 "locate": LocateIn => LocateOut
}

/// In of [`Locate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocateIn {
    /// Which, at most [`IDS_MAX`].
    pub ids: Vec<Fingerprint>,
}
layout!(LocateIn { ids <= IDS_MAX });

/// Out of [`Locate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocateOut {
    /// Those that are here, at most [`IDS_MAX`].
    pub found: Vec<Located>,
}
layout!(LocateOut { found <= IDS_MAX });

/// An object on the node that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Which.
    pub content: Content,
    /// On which of its disks.
    pub disk: u32,
    /// It is being moved away from there: good to read, and no copy to count on.
    pub leaving: bool,
}
layout!(Located { content, disk, leaving });

operation! {
    /// An object's block digests, so that a part of it can be checked alone.
    Digests = 19 "digests": DigestsIn => DigestsOut
}

/// In of [`Digests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestsIn {
    /// For whom; as in [`RetrieveIn`].
    pub customer: Option<CustomerId>,
    /// Which.
    pub fingerprint: Fingerprint,
}
layout!(DigestsIn { customer, fingerprint });

/// Out of [`Digests`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestsOut {
    /// The whole object.
    pub content: Content,
    /// What [`BlockDigests::from_bytes`](crate::digest::BlockDigests::from_bytes) takes, at most
    /// [`DIGESTS_BYTES_MAX`].
    pub list: Box<[u8]>,
}
layout!(DigestsOut { content, list <= DIGESTS_BYTES_MAX });
