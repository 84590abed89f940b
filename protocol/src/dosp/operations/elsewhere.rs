//! What one storage center asks another that mirrors it (GEO-1, DFO-4). No datagram goes between centers: these are the
//! questions that stand in for heartbeats and for the multicast LOCATE.

use super::operation;
use crate::digest::Fingerprint;
use crate::dosp::heartbeat;
use crate::dosp::wire::layout;

/// Most processes in one answer of [`Members`]: all that a state table holds.
pub const MEMBERS_MAX: usize = 1_024;
/// Most places in one answer of [`Find`].
pub const FOUND_MAX: usize = 32;

operation! {
    /// The processes of the center that is asked, with their last heartbeats.
    Members = 48 "members": () => MembersOut
}

/// Out of [`Members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersOut {
    /// Those heard of, at most [`MEMBERS_MAX`].
    pub members: Vec<MemberReport>,
}
layout!(MembersOut { members <= MEMBERS_MAX });

/// One process, as another of its center hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// What it said last.
    pub heartbeat: heartbeat::Heartbeat,
    /// Greater with each start of the process.
    pub boot: u64,
    /// Milliseconds since it said so.
    pub silent_ms: u64,
}
layout!(MemberReport { heartbeat, boot, silent_ms });

operation! {
    /// Asks the group of the center that is asked where an object is; empty if nobody there tells (DFO-4).
    Find = 49 "find": FindIn => FindOut
}

/// In of [`Find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindIn {
    /// Which object.
    pub fingerprint: Fingerprint,
}
layout!(FindIn { fingerprint });

/// Out of [`Find`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindOut {
    /// Nodes of that center, and disks, at most [`FOUND_MAX`].
    pub places: Vec<FoundPlace>,
}
layout!(FindOut { places <= FOUND_MAX });

/// Where a copy was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPlace {
    /// The node.
    pub node: u32,
    /// The disk in it.
    pub disk: u32,
}
layout!(FoundPlace { node, disk });
