//! What is told to the whole cluster without being asked (MC-2, MC-7, DFO-1). Every announcement is a hint: nothing is
//! wrong when one is lost, late or repeated.

use super::Message;
use super::heartbeat::Heartbeat;
use super::operations;
use super::wire::layout;
use crate::digest::{Content, Fingerprint};

/// A structure that is announced under a code.
pub trait Announcement: Message {
    /// Its number in the datagram. Announcements and operations share one room of numbers.
    const CODE: u16;
}

/// A node has an object (MC-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// Which.
    pub content: Content,
    /// On which node.
    pub node: u32,
    /// On which of its disks.
    pub disk: u32,
}

/// A reference to an object was given up: what a cache knows of it is to be asked again (DOSM-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Which.
    pub fingerprint: Fingerprint,
}

/// Where an object lies changed: it was moved, repaired or found damaged (DOSM-20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Which.
    pub fingerprint: Fingerprint,
}

/// A node cannot be used (DOSM-21). It says so of itself, or another met it dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub node: u32,
}

layout!(New { content, node, disk });
layout!(Deleted { fingerprint });
layout!(Updated { fingerprint });
layout!(Failed { node });

impl Announcement for Heartbeat {
    const CODE: u16 = <operations::Heartbeat as super::Operation>::CODE;
}

impl Announcement for New {
    const CODE: u16 = 64;
}

impl Announcement for Deleted {
    const CODE: u16 = 65;
}

impl Announcement for Updated {
    const CODE: u16 = 66;
}

impl Announcement for Failed {
    const CODE: u16 = 67;
}
