//! How the processes of the cluster are (DOSP-3, MC-2 to MC-5).

use super::operation;
use crate::dosp::heartbeat::{self, DiskState, NodeState, Roles};
use crate::dosp::wire::layout;
use crate::dosp::{DISKS_MAX, REASON_BYTES_MAX};

/// Most bytes of a path or a program's version.
const TEXT_BYTES_MAX: usize = 4_096;

operation! {
    /// Does nothing, and says who answers.
    Null = 0 "null": () => NullOut
}

/// Out of [`Null`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NullOut {
    /// Highest version of the protocol that it speaks.
    pub version: u16,
    /// Its number in the cluster.
    pub node: u32,
    /// The parts it plays.
    pub roles: Roles,
}
layout!(NullOut { version, node, roles });

operation! {
    /// The heartbeat, asked for (MC-3).
    Heartbeat = 6 "heartbeat": () => heartbeat::Heartbeat
}

operation! {
    /// The state of a disk, or of all (MC-4). A disk that the node does not have: NOT_FOUND.
    GetDiskState = 7 "disk-state": DiskIn => DiskStateOut
}

/// In of [`GetDiskState`] and [`GetDiskStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskIn {
    /// Which; `None` for all.
    pub disk: Option<u32>,
}
layout!(DiskIn { disk });

/// Out of [`GetDiskState`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStateOut {
    /// One for each disk asked for, in order, at most [`DISKS_MAX`].
    pub states: Vec<DiskState>,
}
layout!(DiskStateOut { states <= DISKS_MAX });

operation! {
    /// Numbers of a disk, or of all (MC-5).
    GetDiskStatus = 8 "disk-status": DiskIn => DiskStatusOut
}

/// Out of [`GetDiskStatus`]: one list for each number, one entry for each disk asked for, in order, at most
/// [`DISKS_MAX`] (ISN-10). Zeros for a disk that is down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskStatusOut {
    /// Bytes free.
    pub bytes_free: Vec<u64>,
    /// Of these, what objects may take.
    pub bytes_available: Vec<u64>,
    /// Inodes used.
    pub inodes_used: Vec<u64>,
    /// Inodes free.
    pub inodes_available: Vec<u64>,
    /// Operations under way.
    pub outstanding: Vec<u64>,
}
layout!(DiskStatusOut {
    bytes_free <= DISKS_MAX,
    bytes_available <= DISKS_MAX,
    inodes_used <= DISKS_MAX,
    inodes_available <= DISKS_MAX,
    outstanding <= DISKS_MAX,
});

operation! {
    /// All that `storage-center status` shows of one process.
    GetNodeStatus = 26 "node-status": () => NodeStatus
}

/// Out of [`GetNodeStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its number in the cluster.
    pub node: u32,
    /// The parts it plays.
    pub roles: Roles,
    /// What it can be asked for.
    pub state: NodeState,
    /// The program's version.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_seconds: u64,
    /// Operations it did in the last second.
    pub ops_per_second: u32,
    /// Operations it is doing now.
    pub outstanding: u32,
    /// References may be missing until they are compared with the VFS.
    pub lost_references: bool,
    /// Objects here that have fewer copies in the cluster than they should.
    pub copies_owed: u64,
    /// Copies it made for others since it was started.
    pub copies_made: u64,
    /// Copies here that are one too many and go soon (GEO-4).
    pub copies_spare: u64,
    /// Its disks in order, at most [`DISKS_MAX`].
    pub disks: Vec<DiskReport>,
}
layout!(NodeStatus {
    node,
    roles,
    state,
    version <= TEXT_BYTES_MAX,
    uptime_seconds,
    ops_per_second,
    outstanding,
    lost_references,
    copies_owed,
    copies_made,
    copies_spare,
    disks <= DISKS_MAX,
});

/// One disk in a [`NodeStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskReport {
    /// Its directory on that machine.
    pub path: String,
    /// What it can be asked for.
    pub state: DiskState,
    /// Why it is not online; empty if it is.
    pub reason: String,
    /// What it holds is being moved away, by command.
    pub draining: bool,
    /// Bytes that objects may still take.
    pub bytes_free: u64,
    /// Bytes it has in all.
    pub bytes_total: u64,
    /// Objects on it.
    pub objects: u64,
    /// Damaged ones that were put aside.
    pub quarantined: u64,
    /// How far it is in reading all its objects (ISN-12).
    pub scrub: Scrub,
}
layout!(DiskReport {
    path <= TEXT_BYTES_MAX,
    state,
    reason <= REASON_BYTES_MAX,
    draining,
    bytes_free,
    bytes_total,
    objects,
    quarantined,
    scrub,
});

/// The reading of all objects of a disk, again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrub {
    /// Objects read in this round.
    pub read: u64,
    /// Of these, damaged.
    pub damaged: u64,
    /// When this round began, in seconds since the epoch; 0 if none did.
    pub began: u64,
    /// When the last whole round ended, in seconds since the epoch; 0 if none did.
    pub ended: u64,
}
layout!(Scrub { read, damaged, began, ended });
