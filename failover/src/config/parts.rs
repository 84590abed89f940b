//! The tables of a configuration file, key by key, with their defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::machine::event::Member;

/// `[pair]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Pair {
    /// By which the center knows the pair, among those of the customer: 1 to 64 of `a-z`, `0-9` and `-`.
    pub name: String,
    /// `a` or `b`.
    #[serde(deserialize_with = "member")]
    pub member: Member,
    /// The key that only the two have, at least 32 bytes, for nobody but the judge to read.
    pub key_file: PathBuf,
    /// The key before: what is sealed with it is believed as well, until both ports have the new one.
    pub old_key_file: Option<PathBuf>,
}

fn member<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Member, D::Error> {
    match String::deserialize(from)?.as_str() {
        "a" => Ok(Member::A),
        "b" => Ok(Member::B),
        other => Err(serde::de::Error::custom(format!("`member` is `a` or `b`, not `{other}`"))),
    }
}

/// `[heartbeat]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Heartbeat {
    /// The NIC.
    pub interface: String,
    /// This port's own address on it, and a UDP port.
    pub listen: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
}

/// `[lan]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Lan {
    /// The NIC.
    pub interface: String,
    /// This port's own address on it, and a UDP port.
    pub listen: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
    /// The floating ones, that clients mount, with their prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// Whoever always answers there, a router perhaps: if none of them does, the LAN is dead.
    #[serde(default)]
    pub reference: Vec<IpAddr>,
}

/// `[wan]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Wan {
    /// The NIC.
    pub interface: String,
}

/// `[port]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Port {
    /// `[state] dir` of the storage port: its control socket is there.
    pub state_dir: PathBuf,
    /// Where it serves NFS at the floating addresses.
    #[serde(default = "Port::default_nfs_port")]
    pub nfs_port: u16,
    /// Where it serves CIFS there, if it does.
    pub cifs_port: Option<u16>,
}

impl Port {
    /// Where clients have connections that follow the floating addresses.
    pub fn client_ports(&self) -> Vec<u16> {
        [self.nfs_port].into_iter().chain(self.cifs_port).collect()
    }

    fn default_nfs_port() -> u16 {
        2049
    }
}

/// `[center]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Center {
    /// URLs of directory managers, the preferred one first.
    pub ddm: Vec<String>,
    /// Authorities in PEM that `https` URLs are checked against, in place of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The customer whose pair it is: the first `[[customer]]` of the storage port.
    pub customer: u32,
    /// The file with his secret, for nobody but the judge to read.
    pub secret_file: PathBuf,
}

/// `[state]`.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// Holds the newest generation, and the control socket.
    pub dir: PathBuf,
}

/// `[timers]`. Both ports must have the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Timers {
    /// How long a promise of the passive is good: how long nobody serves when the active has died in silence.
    pub lease_ms: u32,
    /// How often the passive asks.
    pub query_ms: u32,
    /// How long a lease of the center is good that is asked for while the peer may only have paused: if this port dies with
    /// it, the peer must wait for so long.
    pub center_lease_ms: u32,
    /// The same when the peer is gone: nobody waits for its end, and a center may be slow for as long.
    pub center_lease_alone_ms: u32,
    /// After so long without the center the active makes room for a peer that reaches it.
    pub wan_lost_ms: u32,
    /// After the addresses have moved by ill health they do not move by it again for so long; doubled if they soon do.
    pub hold_down_ms: u32,
    /// Longest of these.
    pub hold_down_max_ms: u32,
    /// How often the NFS service is asked.
    pub service_probe_ms: u32,
    /// After so long without an answer it counts as dead.
    pub service_silent_ms: u32,
    /// How often the references on the LAN are asked.
    pub lan_probe_ms: u32,
    /// After so long without an answer of any the LAN counts as dead.
    pub lan_silent_ms: u32,
}

impl Default for Timers {
    /// As measured on a busy machine with real-time priority: no false alarm in hours.
    fn default() -> Self {
        Self {
            lease_ms: 100,
            query_ms: 10,
            center_lease_ms: 300,
            center_lease_alone_ms: 1_500,
            wan_lost_ms: 450,
            hold_down_ms: 10_000,
            hold_down_max_ms: 300_000,
            service_probe_ms: 50,
            service_silent_ms: 300,
            lan_probe_ms: 50,
            lan_silent_ms: 350,
        }
    }
}

impl Timers {
    /// `lease_ms`.
    pub fn lease(&self) -> Duration {
        millis(self.lease_ms)
    }

    /// `query_ms`.
    pub fn query(&self) -> Duration {
        millis(self.query_ms)
    }

    /// `center_lease_ms`.
    pub fn center_lease(&self) -> Duration {
        millis(self.center_lease_ms)
    }

    /// `center_lease_alone_ms`.
    pub fn center_lease_alone(&self) -> Duration {
        millis(self.center_lease_alone_ms)
    }

    /// `wan_lost_ms`.
    pub fn wan_lost(&self) -> Duration {
        millis(self.wan_lost_ms)
    }

    /// `hold_down_ms`.
    pub fn hold_down(&self) -> Duration {
        millis(self.hold_down_ms)
    }

    /// `hold_down_max_ms`.
    pub fn hold_down_max(&self) -> Duration {
        millis(self.hold_down_max_ms)
    }

    /// `service_probe_ms`.
    pub fn service_probe(&self) -> Duration {
        millis(self.service_probe_ms)
    }

    /// `service_silent_ms`.
    pub fn service_silent(&self) -> Duration {
        millis(self.service_silent_ms)
    }

    /// `lan_probe_ms`.
    pub fn lan_probe(&self) -> Duration {
        millis(self.lan_probe_ms)
    }

    /// `lan_silent_ms`.
    pub fn lan_silent(&self) -> Duration {
        millis(self.lan_silent_ms)
    }
}

fn millis(count: u32) -> Duration {
    Duration::from_millis(u64::from(count))
}

/// `[health]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Health {
    /// A port whose weights of what is wrong come to this makes room for a better peer.
    pub threshold: u32,
    /// How often the machine is looked at.
    pub interval_ms: u32,
    /// Directories of the port's data cache, each a disk.
    pub cache_disks: Vec<PathBuf>,
    /// The directory of its write journal.
    pub journal_disks: Vec<PathBuf>,
    /// What each thing costs.
    pub weights: Weights,
    /// From where on it is wrong.
    pub limits: Limits,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            threshold: 100,
            interval_ms: 250,
            cache_disks: Vec::new(),
            journal_disks: Vec::new(),
            weights: Weights::default(),
            limits: Limits::default(),
        }
    }
}

impl Health {
    /// `interval_ms`.
    pub fn interval(&self) -> Duration {
        millis(self.interval_ms)
    }
}

/// `[health.weights]`: against `threshold`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Weights {
    /// More work than the processors can do, for long.
    pub processor: u32,
    /// Threads of the port that hang in the kernel.
    pub hung_threads: u32,
    /// Next to no memory left.
    pub memory: u32,
    /// Each disk of the data cache that fails or hangs. Half a threshold: two of them make a port sick.
    pub cache_disk: u32,
    /// The journal's disk fails or hangs.
    pub journal_disk: u32,
    /// Each disk that is full.
    pub disk_full: u32,
    /// Each NIC without carrier, or with many errors. The LAN's carrier counts by itself.
    pub nic: u32,
    /// Hotter than the machine may be.
    pub temperature: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            processor: 30,
            hung_threads: 50,
            memory: 50,
            cache_disk: 50,
            journal_disk: 100,
            disk_full: 20,
            nic: 20,
            temperature: 50,
        }
    }
}

/// `[health.limits]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Runnable and hanging threads for each processor.
    pub load_per_core: u32,
    /// How late an ordinary thread is woken.
    pub lateness_ms: u32,
    /// For so long without a pause.
    pub overload_seconds: u32,
    /// How long a thread may hang in the kernel.
    pub hung_seconds: u32,
    /// Memory that is free or can be freed.
    pub memory_available_percent: u8,
    /// How long writing, syncing and reading back a few KiB may take.
    pub disk_probe_ms: u32,
    /// Room left.
    pub disk_free_percent: u8,
    /// Frames that came damaged or were lost, of one NIC.
    pub nic_errors_per_minute: u32,
    /// Of the hottest sensor, unless it names its own limit.
    pub celsius: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            load_per_core: 20,
            lateness_ms: 500,
            overload_seconds: 60,
            hung_seconds: 30,
            memory_available_percent: 2,
            disk_probe_ms: 2000,
            disk_free_percent: 1,
            nic_errors_per_minute: 600,
            celsius: 95,
        }
    }
}

impl Limits {
    /// `lateness_ms`.
    pub fn lateness(&self) -> Duration {
        millis(self.lateness_ms)
    }

    /// `overload_seconds`.
    pub fn overload(&self) -> Duration {
        Duration::from_secs(u64::from(self.overload_seconds))
    }

    /// `hung_seconds`.
    pub fn hung(&self) -> Duration {
        Duration::from_secs(u64::from(self.hung_seconds))
    }

    /// `disk_probe_ms`.
    pub fn disk_probe(&self) -> Duration {
        millis(self.disk_probe_ms)
    }
}

/// `[watchdog]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Watchdog {
    /// `/dev/watchdog`.
    #[serde(default = "Watchdog::default_device")]
    pub device: PathBuf,
    /// After so long without food it resets the machine.
    #[serde(default = "Watchdog::default_timeout")]
    pub timeout_seconds: u32,
}

impl Watchdog {
    fn default_device() -> PathBuf {
        PathBuf::from("/dev/watchdog")
    }

    fn default_timeout() -> u32 {
        10
    }

    /// `timeout_seconds`.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }
}
