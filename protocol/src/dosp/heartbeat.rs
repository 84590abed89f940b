//! What every process of the cluster says of itself every second (MC-2), and when it is asked (MC-3).

use std::net::SocketAddr;

use super::wire::{choice, layout};
use super::{DISKS_MAX, Malformed, Message, Reader};

/// One process, as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its number in the cluster; object and directory managers have one too.
    pub node: u32,
    /// The parts it plays.
    pub roles: Roles,
    /// Where it listens for DOSP: TCP, and UDP at the same number.
    pub address: SocketAddr,
    /// What it can be asked for.
    pub state: NodeState,
    /// One of its disks lost its index: references may be missing until they are compared with the VFS (REF-4).
    pub lost_references: bool,
    /// Operations it did in the last second.
    pub ops_per_second: u32,
    /// Operations it is doing now.
    pub outstanding: u32,
    /// Its disks in order, at most [`DISKS_MAX`]; the place in this list is the disk's number.
    pub disks: Vec<DiskLoad>,
}

/// One disk in a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLoad {
    /// What it can be asked for.
    pub state: DiskState,
    /// Bytes that objects may still take.
    pub bytes_free: u64,
    /// Bytes it has in all.
    pub bytes_total: u64,
}

/// The parts a process plays. On the wire one byte: 1 directory manager, 2 object manager, 4 storage node; other bits
/// are ignored, so that a later part does not make a process invisible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles {
    /// Directory manager.
    pub ddm: bool,
    /// Object manager.
    pub dosm: bool,
    /// Storage node.
    pub isn: bool,
}

/// What a process can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Everything.
    Online,
    /// To read: what it holds is being moved away.
    Draining,
    /// Nothing: it watched itself and stopped (ISN-8).
    Failed,
}

/// What a disk can be asked for (ISN-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskState {
    /// Everything.
    Online,
    /// To read what is on it, as far as it can; it takes nothing new: it is being drained, or failed to write.
    Offline,
    /// Nothing: it failed.
    Down,
}

layout!(Heartbeat {
    node,
    roles,
    address,
    state,
    lost_references,
    ops_per_second,
    outstanding,
    disks <= DISKS_MAX,
});
layout!(DiskLoad { state, bytes_free, bytes_total });
choice!(NodeState { Online = 0, Draining = 1, Failed = 2 });
choice!(DiskState { Online = 0, Offline = 1, Down = 2 });

impl Message for Roles {
    fn encode(&self, to: &mut Vec<u8>) {
        to.push(u8::from(self.ddm) | u8::from(self.dosm) << 1 | u8::from(self.isn) << 2);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bits: u8 = from.get()?;
        Ok(Self { ddm: bits & 1 != 0, dosm: bits & 2 != 0, isn: bits & 4 != 0 })
    }
}
