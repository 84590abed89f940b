//! What the probes see, before anybody judges it.

use std::time::Duration;

/// One observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Runnable and hanging threads of the machine for each of its processors, over the last minute.
    Load(f64),
    /// How late an ordinary thread was woken.
    Lateness(Duration),
    /// Threads of the port that are in an uninterruptible sleep now, by id.
    Sleeping(Vec<u32>),
    /// Memory that is free or can be freed, of all.
    Memory {
        /// Bytes.
        available: u64,
        /// Bytes.
        total: u64,
    },
    /// The hottest sensor, measured against its limit.
    Temperature {
        /// As the driver calls it.
        sensor: String,
        /// Degrees.
        celsius: f32,
        /// What the driver calls too hot.
        critical: Option<f32>,
    },
    /// Of a disk, by its place among the disks that are probed.
    Disk(usize, DiskSample),
    /// Frames that came damaged or were lost at a NIC, ever.
    NicErrors(Nic, u64),
    /// Whether a NIC has carrier.
    Carrier(Nic, bool),
}

/// One observation of a disk.
#[derive(Clone, Debug, PartialEq)]
pub enum DiskSample {
    /// Bytes were written, synced and read back in this time.
    Answered(Duration),
    /// They have been on their way for so long.
    Pending(Duration),
    /// The disk refused, or gave other bytes back.
    Failed(String),
    /// Room for ordinary users, of all.
    Space {
        /// Bytes.
        free: u64,
        /// Bytes.
        total: u64,
    },
    /// I/O errors of the device, ever.
    Errors(u64),
    /// What the device says of itself.
    Smart {
        /// It expects to live.
        passed: bool,
    },
}

/// The three roles of a NIC (FO-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nic {
    /// To the peer.
    Heartbeat,
    /// To the clients.
    Lan,
    /// To the center.
    Wan,
}

impl Nic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Heartbeat, Self::Lan, Self::Wan];
}

impl std::fmt::Display for Nic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Heartbeat => "heartbeat",
            Self::Lan => "LAN",
            Self::Wan => "WAN",
        })
    }
}
