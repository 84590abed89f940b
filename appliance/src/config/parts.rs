//! The tables of a configuration file, key by key, with their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::translator::export;
use crate::translator::handle;

/// `[state]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct State {
    /// Holds the handle key and the directory cache's snapshots.
    pub dir: PathBuf,
}

/// `[center]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Center {
    /// URLs of directory managers, the preferred one first.
    pub ddm: Vec<String>,
    /// URLs of object managers, the preferred one first.
    pub dosm: Vec<String>,
    /// Authorities in PEM that `https` URLs are checked against, in place of the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long a call may take before the center counts as away.
    #[serde(default = "Center::default_deadline")]
    pub deadline_seconds: NonZeroU64,
}

impl Center {
    /// The time a client's call may wait for a miss, before it is told to try again.
    fn default_deadline() -> NonZeroU64 {
        const { NonZeroU64::new(10).expect("not zero") }
    }
}

/// `[[customer]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Customer {
    /// As the center's `customer add` gave it.
    pub id: u32,
    /// The file with his secret, for nobody but the port to read.
    pub secret_file: PathBuf,
}

/// `[[export]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ExportEntry {
    /// What clients mount.
    pub path: String,
    /// Files or SRLs.
    #[serde(default)]
    pub tree: Tree,
    /// Whose tree.
    pub customer: u32,
    /// Which folder of it.
    #[serde(default = "ExportEntry::root_folder")]
    pub folder: String,
    /// Networks whose clients may use it; all if none is named.
    #[serde(default)]
    pub allowed: Vec<IpNetwork>,
    /// Whether nothing may be changed.
    #[serde(default)]
    pub read_only: bool,
    /// Whether each change of a name is told.
    #[serde(default)]
    pub audit: bool,
    /// Whether `.versions` shows what is kept of deleted and overwritten files.
    #[serde(default)]
    pub versions: bool,
    /// Whose rights clients have.
    #[serde(default)]
    pub squash: Squash,
    /// User id of squashed callers.
    #[serde(default = "ExportEntry::nobody")]
    pub anonymous_uid: u32,
    /// Group id of squashed callers.
    #[serde(default = "ExportEntry::nobody")]
    pub anonymous_gid: u32,
    /// Seconds for which an SRL is good; 0 for ever.
    #[serde(default = "ExportEntry::srl_hour")]
    pub srl_seconds: u64,
    /// What stands before an SRL's path; the first `dosm` by default.
    pub srl_host: Option<String>,
    /// 1: the founding document's MD5; 2: HMAC-SHA-256.
    #[serde(default = "ExportEntry::srl_first", deserialize_with = "srl_version")]
    pub srl_version: u8,
}

impl ExportEntry {
    fn root_folder() -> String {
        "/".into()
    }

    fn nobody() -> u32 {
        65_534
    }

    fn srl_hour() -> u64 {
        3_600
    }

    fn srl_first() -> u8 {
        1
    }
}

fn srl_version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match u8::deserialize(from)? {
        version @ 1..=2 => Ok(version),
        _ => Err(serde::de::Error::custom("an SRL has version 1 or 2")),
    }
}

/// `tree` of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tree {
    /// The files.
    #[default]
    Files,
    /// Their SRLs.
    Srl,
}

impl From<Tree> for handle::Tree {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Files => Self::Files,
            Tree::Srl => Self::Srl,
        }
    }
}

/// `squash` of an export.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Squash {
    /// Nobody.
    None,
    /// Root.
    #[default]
    Root,
    /// Everybody.
    All,
}

impl From<Squash> for export::Squash {
    fn from(squash: Squash) -> Self {
        match squash {
            Squash::None => Self::None,
            Squash::Root => Self::Root,
            Squash::All => Self::All,
        }
    }
}

/// `[nfs]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct Nfs {
    /// TCP address of NFS.
    pub listen: SocketAddr,
    /// TCP and UDP address of MOUNT; that of NFS if not set.
    pub mount_listen: Option<SocketAddr>,
    /// How clients find these ports.
    pub rpcbind: RpcbindMode,
    /// Where rpcbind is, or is served; 111 if not set.
    pub rpcbind_port: Option<u16>,
    /// Whether clients can lock.
    pub locks: bool,
    /// How long after a restart only old locks are taken again.
    pub grace_seconds: u64,
    /// The name by which clients mount this port, if they do not by its address.
    pub host_name: Option<String>,
    /// Where clients' rpcbind is; 111 if not set.
    pub client_rpcbind_port: Option<u16>,
}

impl Default for Nfs {
    /// This machine alone, until the operator says which network.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, nfs::settings::NFS_PORT)),
            mount_listen: None,
            rpcbind: RpcbindMode::Off,
            rpcbind_port: None,
            locks: true,
            grace_seconds: 45,
            host_name: None,
            client_rpcbind_port: None,
        }
    }
}

/// `rpcbind`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RpcbindMode {
    /// The port answers as rpcbind.
    Serve,
    /// A running rpcbind is told.
    Register,
    /// Clients name the ports when they mount.
    Off,
}

/// `[cache]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Cache {
    /// Disks of the data cache.
    #[serde(default)]
    pub disk: Vec<CacheDisk>,
    /// Most entries of each customer's directory cache; about 1 KiB of memory each.
    #[serde(default = "Cache::default_entries")]
    pub directory_entries: NonZeroUsize,
    /// How long an entry is believed while the center answers but its change feed does not.
    #[serde(default = "Cache::default_believe")]
    pub believe_seconds: u64,
    /// Which part of each disk may be pinned.
    #[serde(default = "Cache::default_pinned_share")]
    pub pinned_share: f64,
}

impl Cache {
    fn default_entries() -> NonZeroUsize {
        const { NonZeroUsize::new(250_000).expect("not zero") }
    }

    fn default_believe() -> u64 {
        30
    }

    fn default_pinned_share() -> f64 {
        0.5
    }
}

/// `[[cache.disk]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CacheDisk {
    /// Its directory.
    pub path: PathBuf,
    /// Most bytes in it.
    pub bytes: u64,
}

/// `[journal]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Journal {
    /// Its directory.
    pub dir: PathBuf,
    /// Most bytes in it.
    pub bytes: u64,
}

/// `[upload]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct Upload {
    /// How long a file is left alone after its last write before it is uploaded.
    pub quiet_ms: u64,
}

impl Default for Upload {
    fn default() -> Self {
        Self { quiet_ms: 200 }
    }
}

impl Upload {
    /// The same as a duration.
    pub fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet_ms)
    }
}
