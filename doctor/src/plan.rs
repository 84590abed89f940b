//! What is configured, as far as it can be compared with the machine. Made by whoever knows the configuration's format.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use failover::config::Config as Judge;

/// What a port, and its judge if it has one, are to be and to have.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where NFS is served.
    pub listen: SocketAddr,
    /// All that the port listens on.
    pub sockets: Vec<Wanted>,
    /// Where an rpcbind must run that is to be told of the port.
    pub rpcbind: Option<SocketAddr>,
    /// The storage center's front doors, each once.
    pub doors: Vec<Door>,
    /// Authorities in PEM by which they are known, in place of the public ones.
    pub authorities: Option<Vec<u8>>,
    /// Where something is kept.
    pub folders: Vec<Folder>,
    /// Of a port of a pair.
    pub pair: Option<Pair>,
}

/// A socket that the port listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What for, such as `NFS`.
    pub service: &'static str,
    /// Over UDP; else over TCP.
    pub is_datagram: bool,
    /// Where.
    pub address: SocketAddr,
}

/// A front door of the storage center.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// As configured.
    pub url: String,
    /// Under which keys of `[center]` it stands: `ddm`, `dosm`.
    pub keys: Vec<&'static str>,
}

/// A folder of the port's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The key that names it, such as `[journal] dir`.
    pub key: &'static str,
    /// Where.
    pub path: PathBuf,
    /// How many bytes there may be in it; `None` of one that holds little.
    pub bytes: Option<u64>,
}

/// The pair of which the port is one.
#[derive(Clone)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// `a` or `b`.
    pub member: String,
    /// The port's key, or why it cannot be used.
    pub key: Result<Vec<u8>, String>,
    /// Why the port's certificate cannot be used.
    pub certificate: Result<(), String>,
    /// Where the other port's journal is taken.
    pub listen: SocketAddr,
    /// The judge's configuration, or why there is none.
    pub judge: Result<Judge, String>,
}

/// Says nothing of the key.
impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("name", &self.name).field("member", &self.member).finish_non_exhaustive()
    }
}

/// Reads the judge's configuration.
///
/// # Errors
/// One line that says why it cannot be used.
pub fn judge_at(path: &Path) -> Result<Judge, String> {
    Judge::load(path).map_err(|error| error.to_string())
}

impl Plan {
    /// The judge's configuration, if there is one.
    pub fn judge(&self) -> Option<&Judge> {
        self.pair.as_ref()?.judge.as_ref().ok()
    }

    /// The floating addresses, which are on this machine only while it serves.
    pub fn floating(&self) -> Vec<IpAddr> {
        self.judge().map_or_else(Vec::new, |judge| judge.lan.addresses.iter().map(|net| net.ip()).collect())
    }

    /// The port's own address on the LAN; `None` of one that serves at every address and has no judge.
    pub fn own(&self) -> Option<IpAddr> {
        let ip = self.judge().map_or(self.listen.ip(), |judge| judge.lan.listen.ip());
        (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
    }
}
