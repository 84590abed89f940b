//! What an operator may choose about the server: where it listens and how much it takes on.
//!
//! Plain data with safe defaults. It holds no sockets and reads no files; the daemon fills it from its configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use crate::duty::Duty;
use crate::nlm;

/// Port registered for NFS (RFC 1813 §2.1).
pub const NFS_PORT: u16 = 2049;
/// Port registered for rpcbind (RFC 1833 §2.1).
pub const RPCBIND_PORT: u16 = 111;

/// Where the server listens and which bounds it keeps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TCP addresses of NFS; MOUNT answers there too. Port 0 lets the system choose.
    pub nfs: Vec<SocketAddr>,
    /// TCP and UDP addresses of MOUNT; NFS answers on the TCP ones too. Empty: MOUNT is served, over TCP and UDP, at
    /// the addresses of NFS alone.
    pub mount: Vec<SocketAddr>,
    /// How clients learn these ports.
    pub rpcbind: Rpcbind,
    /// Threads that serve connections; more than the machine has cores are of no use.
    pub threads: usize,
    /// Whether and how locks are served (NLM, NSM): at the addresses of MOUNT, and over TCP at those of NFS too.
    pub locks: Option<nlm::Settings>,
    /// When clients are answered: always, unless there is another server that does it in turn.
    pub duty: Duty,
    /// The mark (`SO_MARK`) of the packets with which the server closes connections by its own decision: whoever mutes
    /// what a dead server's kernel says can so let these pass.
    pub close_mark: Option<u32>,
    /// Whether to listen at addresses that this machine does not have yet.
    pub listen_ahead: bool,
    /// How much is taken on at once.
    pub bounds: Bounds,
}

impl Default for Settings {
    /// NFS and MOUNT on port 2049 of every IPv4 address, rpcbind on 111, a thread for each core; no locks, which need a
    /// ledger.
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            nfs: vec![SocketAddr::new(any, NFS_PORT)],
            mount: Vec::new(),
            rpcbind: Rpcbind::Serve(vec![SocketAddr::new(any, RPCBIND_PORT)]),
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            locks: None,
            duty: Duty::default(),
            close_mark: None,
            listen_ahead: false,
            bounds: Bounds::default(),
        }
    }
}

/// How clients that know only program numbers find the ports (RFC 1833).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rpcbind {
    /// They do not: clients name the ports when they mount.
    Off,
    /// This server answers as rpcbind, over TCP and UDP, at these addresses.
    Serve(Vec<SocketAddr>),
    /// A running rpcbind at this (loopback) address is told, and told again to forget at the end.
    Register(SocketAddr),
}

/// Bounds of everything a client could make grow, and of every wait for a client.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// TCP connections at once.
    pub connections: usize,
    /// TCP connections at once from one address.
    pub connections_per_client: usize,
    /// Calls of one connection worked on at once; over it, its socket is not read.
    pub calls_per_connection: usize,
    /// Bytes of calls worked on, and of their replies, for one connection: so many for long replies, as many for large
    /// calls, and as many for the others. Over it, a call with a long reply waits while others go on; for a large call the
    /// socket is not read.
    pub bytes_per_connection: usize,
    /// Calls of all connections together that wait, each in 4 KiB at most, until there is room for their long replies;
    /// over it, the next such call keeps its socket from being read.
    pub calls_put_off: usize,
    /// Bytes of large calls and replies all connections together hold in memory.
    pub bytes_in_total: usize,
    /// Fragments of one record (RFC 5531 §11).
    pub fragments: usize,
    /// Longest wait for the first call of a connection.
    pub first_call: Duration,
    /// Longest wait for the rest of a call that has begun.
    pub rest_of_call: Duration,
    /// Longest silence on a connection without calls.
    pub idle: Duration,
    /// Longest wait for a client to take the next byte of its replies.
    pub write_stall: Duration,
    /// How long calls in progress may go on after the end was asked for.
    pub shutdown: Duration,
    /// Mounts remembered for DUMP (`showmount -a`); the oldest gives way.
    pub mounts: usize,
    /// UDP calls worked on at once, for each socket; more are dropped, as UDP allows.
    pub datagrams: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_client: 2048,
            calls_per_connection: 256,
            // All together, with what the file system holds, stay below 150 MiB: `tests/tests/hostile.rs`.
            bytes_per_connection: 4 << 20,
            calls_put_off: 4096,
            bytes_in_total: 64 << 20,
            fragments: 64,
            first_call: Duration::from_secs(60),
            rest_of_call: Duration::from_secs(60),
            idle: Duration::from_secs(15 * 60),
            write_stall: Duration::from_secs(60),
            shutdown: Duration::from_secs(5),
            mounts: 1024,
            datagrams: 64,
        }
    }
}
