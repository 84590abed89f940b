//! Work that a node is told to do on what it has.

use super::operation;
use crate::digest::Fingerprint;
use crate::dosp::wire::layout;

operation! {
    /// Reads every copy of an object on the node against its digest; damaged ones are put aside (ISN-12).
    Verify = 23 "verify": VerifyIn => VerifyOut
}

/// In of [`Verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyIn {
    /// Which.
    pub fingerprint: Fingerprint,
}
layout!(VerifyIn { fingerprint });

/// Out of [`Verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyOut {
    /// Copies that are as they should be.
    pub good: u32,
    /// Copies that were not.
    pub bad: u32,
}
layout!(VerifyOut { good, bad });

operation! {
    /// Begins or ends to move away what a disk, or the whole node, holds. The answer comes at once, not at the end.
    Drain = 24 "drain": DrainIn => ()
}

/// In of [`Drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainIn {
    /// Which disk; `None` for the node.
    pub disk: Option<u32>,
    /// Begin, or else end.
    pub on: bool,
}
layout!(DrainIn { disk, on });

operation! {
    /// Makes the index of every disk say what the disk's names say (ISN-2).
    Scan = 25 "scan": () => ScanOut
}

/// Out of [`Scan`], of all disks together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanOut {
    /// Objects on the disks.
    pub objects: u64,
    /// Of these, unknown to an index before.
    pub found: u64,
    /// In an index, but no longer on the disk.
    pub lost: u64,
}
layout!(ScanOut { objects, found, lost });

operation! {
    /// Tells a node that every reference a row of the VFS has was restored on it since it was told to [`Scan`] (REF-4).
    Restored = 30 "restored": () => ()
}

operation! {
    /// Copies an object of the node, with its references, to another node. The answer comes when the copy is durable.
    Replicate = 28 "replicate": ReplicateIn => ()
}

/// In of [`Replicate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicateIn {
    /// Which.
    pub fingerprint: Fingerprint,
    /// To which node.
    pub target: u32,
}
layout!(ReplicateIn { fingerprint, target });
