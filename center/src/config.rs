//! The configuration file: TOML in, checked settings out. Every error is one line that says what and how to mend it.

mod mirror;
mod status_page;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::Deserialize;
use strsim::levenshtein as distance;
use thiserror::Error;

use crate::cluster::Order;
use crate::traffic::Center;
use crate::vfs::mirror::Names;
use crate::vfs::{Engine, Postgres, Retention, StoreError};

pub use self::mirror::{Mirror, Other, WitnessPlace};
pub use self::status_page::StatusPage;

/// Most storage centers, and networks of all of them: each request of a client that is near to none looks at all.
const CENTERS_MAX: usize = 64;
const NETWORKS_MAX: usize = 4_096;

/// All of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Parts of a storage center that this process plays.
    #[serde(default = "all_roles")]
    pub roles: Vec<Role>,
    /// What is logged: `error`, `warn`, `info`, `debug`, or tracing's directives.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where `storage-center check` reaches the running process; by default beside the database.
    pub control: Option<PathBuf>,
    /// Outward listeners.
    pub http: Option<Http>,
    /// The directory service.
    pub vfs: Option<Vfs>,
    /// The object manager.
    #[serde(default)]
    pub dosm: Dosm,
    /// The storage node.
    pub isn: Option<Isn>,
    /// The other storage centers, which requests may be sent to.
    pub traffic: Option<Traffic>,
    /// The other processes of the storage center, where one does not play all parts alone.
    pub cluster: Option<Cluster>,
    /// The storage centers that keep the same objects and the same directory.
    pub mirror: Option<Mirror>,
    /// The witness.
    pub witness: Option<Witness>,
    /// The page for a browser.
    pub status_page: Option<StatusPage>,
}

/// A part of a storage center.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Directory manager and VFS.
    Ddm,
    /// Object manager.
    Dosm,
    /// Storage node.
    Isn,
    /// Witness of centers that mirror each other; at a place of its own.
    Witness,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port, one or several.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// PEM certificate chain; with it and `key`, all listeners speak TLS.
    pub certificate: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
    /// Most open connections.
    #[serde(default = "default_connections")]
    pub connections_max: usize,
    /// Seconds for which it goes on serving after it was told to stop, its health being bad (SYS-10).
    #[serde(default)]
    pub drain_seconds: u64,
}

/// `[vfs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vfs {
    /// The SQLite file.
    pub database: Option<PathBuf>,
    /// A PostgreSQL server in its place: a connection string without a password.
    pub postgres: Option<String>,
    /// The file (mode 0600) with the server's password.
    pub password_file: Option<PathBuf>,
    /// Seconds for which what is deleted and overwritten is kept; 0 for not at all. Customers may have their own.
    #[serde(default)]
    pub keep_seconds: u32,
}

/// `[isn]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isn {
    /// Written on each disk, so that no disk of another cluster is taken.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// Number of the node in the cluster.
    #[serde(default = "default_node")]
    pub node: u32,
    /// One directory per disk.
    #[serde(default)]
    pub disks: Vec<PathBuf>,
    /// A bucket in place of disks.
    pub s3: Option<S3>,
    /// Bytes left free on every disk.
    #[serde(default = "default_reserve")]
    pub reserve_bytes: u64,
    /// Seconds from an object's last reference to its removal.
    #[serde(default = "default_unlink_grace")]
    pub unlink_grace_seconds: u64,
    /// Seconds that something no row refers to is kept.
    #[serde(default = "default_orphan_grace")]
    pub orphan_grace_seconds: u64,
    /// Seconds that another node may be away before what it held is copied anew (DFO-6).
    #[serde(default = "default_replicate_after")]
    pub replicate_after_seconds: u64,
    /// Days in which every object is read against its digests (ISN-12).
    #[serde(default = "default_scrub_days")]
    pub scrub_days: NonZeroU32,
}

/// `s3` in `[isn]`: objects lie in a bucket of an S3-type store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// URL of the server.
    pub endpoint: String,
    /// Region, as requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// What all names in it begin with; empty for the whole bucket.
    #[serde(default)]
    pub prefix: String,
    /// File with the key and its secret; its user alone may read it.
    pub credentials_file: PathBuf,
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, bucket, prefix, .. } = self;
        write!(f, "{}/{bucket}/{prefix}", endpoint.trim_end_matches('/'))
    }
}

/// `[dosm]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dosm {
    /// Objects whose places are remembered (DOSM-9).
    pub lookup_entries: NonZeroUsize,
    /// In which order objects are looked for.
    pub order: Order,
    /// Where objects are kept that were fetched from the nodes (DOSM-10); nothing is kept without it.
    pub cache_dir: Option<PathBuf>,
    /// Most bytes of them.
    pub cache_bytes: u64,
    /// Where each request is written down (SYS-7).
    pub usage_log: Option<PathBuf>,
    /// Networks besides the open Internet on which callbacks may lie (SRL-10).
    pub callback_networks: Vec<IpNetwork>,
}

impl Default for Dosm {
    fn default() -> Self {
        // A million of them take some 100 MB.
        let lookup_entries = NonZeroUsize::new(1_000_000).unwrap_or(NonZeroUsize::MIN);
        Self {
            lookup_entries,
            order: Order::default(),
            cache_dir: None,
            cache_bytes: 64 << 30,
            usage_log: None,
            callback_networks: Vec::new(),
        }
    }
}

/// `[traffic]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Name of this storage center among the `centers`.
    pub here: String,
    /// Requests under way in this process from which on new ones are sent to other centers; never without it.
    pub divert_from: Option<NonZeroUsize>,
    /// Proxies that are believed when they tell in `X-Forwarded-For` who asked.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNetwork>,
    /// All storage centers, this one among them.
    #[serde(rename = "center")]
    pub centers: Vec<Center>,
}

/// `[witness]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The file with what it must not forget.
    pub state: PathBuf,
}

/// `[cluster]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Number of this process in the cluster, unlike any other's; by default that of its storage node.
    pub node: Option<u32>,
    /// Name of the cluster; by default that on the disks.
    pub name: Option<String>,
    /// File with the key that all its processes share.
    pub key_file: PathBuf,
    /// Address and port for the other processes: TCP, and UDP at the same number.
    pub listen: SocketAddr,
    /// Multicast group and port, where the network has multicast.
    pub multicast: Option<SocketAddr>,
    /// `listen` of processes that multicast does not reach.
    #[serde(default)]
    pub peers: Vec<SocketAddr>,
    /// Nodes that each object lies on.
    #[serde(default = "default_copies")]
    pub copies: NonZeroUsize,
}

fn all_roles() -> Vec<Role> {
    vec![Role::Ddm, Role::Dosm, Role::Isn]
}

fn default_log() -> String {
    "info".to_string()
}

fn default_cluster() -> String {
    "main".to_string()
}

fn default_node() -> u32 {
    1
}

fn default_connections() -> usize {
    1_024
}

fn default_copies() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN)
}

fn default_region() -> String {
    "us-east-1".to_string()
}

/// The index must be able to grow when objects no longer can.
fn default_reserve() -> u64 {
    256 << 20
}

fn default_unlink_grace() -> u64 {
    600
}

fn default_orphan_grace() -> u64 {
    86_400
}

fn default_replicate_after() -> u64 {
    600
}

fn default_scrub_days() -> NonZeroU32 {
    NonZeroU32::new(14).unwrap_or(NonZeroU32::MIN)
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {reason}; name a file with --config")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Something in it is wrong.
    #[error("{path}, line {line}: {reason}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What, and how to mend it.
        reason: String,
    },
    /// The file as a whole makes no sense.
    #[error("{path}: {reason}")]
    Senseless {
        /// Which file.
        path: PathBuf,
        /// What, and how to mend it.
        reason: String,
    },
}

impl Config {
    /// Reads and checks the file; looks at directories, but opens no disk and no database.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::Unreadable {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let config: Self = toml::from_str(&text).map_err(|error| ConfigError::Wrong {
            path: path.to_path_buf(),
            line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
            reason: explain(error.message()),
        })?;
        match config.nonsense() {
            None => Ok(config),
            Some(reason) => Err(ConfigError::Senseless { path: path.to_path_buf(), reason }),
        }
    }

    /// Which center this is, where several mirror their directory. PostgreSQL does that itself.
    pub fn mirror_names(&self) -> Option<Names> {
        let mirror =
            self.mirror.as_ref().filter(|_| self.vfs.as_ref().is_some_and(|vfs| vfs.database.is_some()))?;
        Some(Names {
            center: mirror.center.clone(),
            first_writer: mirror.first_writer.clone(),
            others: mirror.others.len(),
        })
    }

    /// Where the running process is reached by this machine's administrator: as configured, or beside the database, or
    /// beside the cluster's key under the number of the process.
    pub fn control_socket(&self) -> PathBuf {
        let beside_database = || Some(self.vfs.as_ref()?.database.as_ref()?.with_extension("control"));
        let beside_key = || {
            let cluster = self.cluster.as_ref()?;
            let node = cluster.node(self.isn.as_ref())?;
            Some(cluster.key_file.with_file_name(format!("storage-center-{node}.control")))
        };
        let configured = self.control.clone().or_else(beside_database).or_else(beside_key);
        configured.unwrap_or_else(|| PathBuf::from("storage-center.control"))
    }

    /// Whether the process plays a part.
    pub fn plays(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The directory service's part, for commands that need it.
    ///
    /// # Errors
    /// This process plays no directory manager.
    pub fn vfs(&self) -> Result<&Vfs, NotHere> {
        self.vfs.as_ref().filter(|_| self.plays(Role::Ddm)).ok_or(NotHere("a directory manager (role ddm)"))
    }

    fn nonsense(&self) -> Option<String> {
        let needs = |role: Role, is_there: bool, table: &str| {
            (self.plays(role) && !is_there)
                .then(|| format!("[{table}] is missing: the role {role:?} needs it").to_lowercase())
        };
        if self.roles.is_empty() {
            return Some("roles: give one at least of ddm, dosm and isn".to_string());
        }
        if let Some(missing) = all_roles().into_iter().find(|role| !self.plays(*role))
            && self.cluster.is_none()
        {
            return Some(
                format!("roles: {missing:?} is missing; give [cluster], in which another process plays it")
                    .to_lowercase(),
            );
        }
        needs(Role::Ddm, self.vfs.is_some(), "vfs")
            .or_else(|| needs(Role::Isn, self.isn.is_some(), "isn"))
            .or_else(|| needs(Role::Witness, self.witness.is_some(), "witness"))
            .or_else(|| needs(Role::Ddm, self.http.is_some(), "http"))
            .or_else(|| needs(Role::Dosm, self.http.is_some(), "http"))
            .or_else(|| self.http.as_ref().and_then(Http::nonsense))
            .or_else(|| self.traffic.as_ref().and_then(Traffic::nonsense))
            .or_else(|| self.status_page.as_ref().and_then(StatusPage::nonsense))
            .or_else(|| self.cluster.as_ref().and_then(|cluster| cluster.nonsense(self.isn.as_ref())))
            .or_else(|| {
                let listen = self.cluster.as_ref().map(|cluster| cluster.listen);
                self.mirror.as_ref().and_then(|mirror| mirror.nonsense(listen))
            })
            .or_else(|| self.isn.as_ref().and_then(|isn| isn.nonsense(self.cluster.is_some())))
            .or_else(|| self.vfs.as_ref().and_then(Vfs::nonsense))
    }
}

/// What was asked for is another process's part.
#[derive(Clone, Copy, Debug, Error)]
#[error("this process is not {0}; name the configuration of one that is")]
pub struct NotHere(pub &'static str);

impl Http {
    fn nonsense(&self) -> Option<String> {
        if self.listen.is_empty() {
            return Some("http.listen: give at least one address, such as \"127.0.0.1:8080\"".to_string());
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Some("http: give both `certificate` and `key` for TLS, or neither".to_string());
        }
        None
    }
}

impl Traffic {
    fn nonsense(&self) -> Option<String> {
        let names: Vec<&str> = self.centers.iter().map(|center| center.name.as_str()).collect();
        if !names.contains(&self.here.as_str()) {
            return Some(format!(
                "traffic.here: {:?} is none of the names in [[traffic.center]]; give this center's",
                self.here
            ));
        }
        if let Some(twice) = names.iter().enumerate().find(|(number, name)| names[..*number].contains(name)) {
            return Some(format!("traffic.center: {:?} is there twice; give each center a name", twice.1));
        }
        let networks: usize = self.centers.iter().map(|center| center.networks.len()).sum();
        if names.len() > CENTERS_MAX || networks > NETWORKS_MAX {
            return Some(format!(
                "traffic.center: give at most {CENTERS_MAX} centers with {NETWORKS_MAX} networks altogether"
            ));
        }
        let longer = self.centers.iter().find(|center| center.url.target != "/")?;
        Some(format!(
            "traffic.center: the url of {:?} has a path; give it as {:?}",
            longer.name,
            longer.url.origin()
        ))
    }
}

impl Cluster {
    /// Number of the process.
    pub fn node(&self, isn: Option<&Isn>) -> Option<u32> {
        self.node.or(isn.map(|isn| isn.node))
    }

    /// Name of the cluster.
    pub fn name(&self, isn: Option<&Isn>) -> String {
        self.name.clone().or(isn.map(|isn| isn.cluster.clone())).unwrap_or_else(default_cluster)
    }

    fn nonsense(&self, isn: Option<&Isn>) -> Option<String> {
        if self.node(isn).is_none() {
            return Some(
                "cluster.node: give this process a number that no other of the cluster has".to_string(),
            );
        }
        if isn.is_some_and(|isn| self.node.is_some_and(|node| node != isn.node)) {
            return Some("cluster.node and isn.node are the same number; give one of them".to_string());
        }
        if self.listen.ip().is_unspecified() || self.listen.port() == 0 {
            return Some(
                "cluster.listen: give the address and port by which the others reach this process"
                    .to_string(),
            );
        }
        if self.multicast.is_some_and(|group| !group.ip().is_multicast()) {
            return Some(
                "cluster.multicast: give a multicast group, such as \"239.10.3.100:7401\"".to_string(),
            );
        }
        None
    }
}

impl Vfs {
    fn nonsense(&self) -> Option<String> {
        if let Some(database) = &self.database
            && let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty())
            && !folder.is_dir()
        {
            return Some(format!("vfs.database: {} is no directory; make it", folder.display()));
        }
        if self.database.is_some() && self.password_file.is_some() {
            return Some("vfs.password_file: it belongs to vfs.postgres; a file needs none".to_string());
        }
        self.engine().err().map(|error| error.to_string())
    }

    /// For how long what is deleted and overwritten is kept, of customers for whom nothing else is said.
    pub fn retention(&self) -> Retention {
        Retention(self.keep_seconds)
    }

    /// The database, which this does not open.
    ///
    /// # Errors
    /// [`StoreError::Choice`], and [`StoreError::Server`] when the server's description or its password file is wrong.
    pub fn engine(&self) -> Result<Engine, StoreError> {
        match (&self.database, &self.postgres) {
            (Some(path), None) => Ok(Engine::Sqlite(path.clone())),
            (None, Some(server)) => {
                Ok(Engine::Postgres(Postgres::new(server, self.password_file.as_deref())?))
            }
            _ => Err(StoreError::Choice),
        }
    }
}

impl Isn {
    fn nonsense(&self, is_clustered: bool) -> Option<String> {
        match &self.s3 {
            Some(_) if !self.disks.is_empty() => {
                return Some("isn: give either `disks` or `s3`; a node has one or the other".to_string());
            }
            Some(_) if is_clustered => {
                return Some(
                    "isn.s3: a storage node of a cluster keeps objects on disks; give isn.disks, or leave out [cluster]"
                        .to_string(),
                );
            }
            Some(s3) => return s3.nonsense(),
            None if self.disks.is_empty() => {
                return Some("isn.disks: give at least one directory, or isn.s3".to_string());
            }
            None => {}
        }
        for (number, disk) in self.disks.iter().enumerate() {
            if self.disks[..number].contains(disk) {
                return Some(format!("isn.disks: {} is named twice", disk.display()));
            }
            if !disk.is_dir() {
                return Some(format!(
                    "isn.disks: {} is no directory; make it, or mount the disk",
                    disk.display()
                ));
            }
        }
        None
    }
}

impl S3 {
    fn nonsense(&self) -> Option<String> {
        let host = self.endpoint.strip_prefix("https://").or_else(|| self.endpoint.strip_prefix("http://"));
        // A name before an @ would be a credential, and an endpoint is logged.
        if host.is_none_or(|host| host.is_empty() || host.contains(['@', '?', '#'])) {
            return Some(
                "isn.s3.endpoint: give the server's URL, such as \"https://s3.example.com\"".to_string(),
            );
        }
        let is_plain = |text: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !text.is_empty() && text != "." && text != ".." && text.bytes().all(is_plain)
        };
        if !is_plain(&self.bucket) {
            return Some("isn.s3.bucket: give the bucket's name".to_string());
        }
        if !self.prefix.is_empty() && !self.prefix.split('/').all(is_plain) {
            return Some(
                "isn.s3.prefix: give letters, digits, `-`, `.` and `_`, with single slashes between them"
                    .to_string(),
            );
        }
        None
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let texts = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    };
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let form = "give an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
            serde::de::Error::custom(format!("listen: {text:?} is no address; {form}"))
        })
    };
    texts.iter().map(parse).collect()
}

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into a hint at the key that was probably meant.
fn explain(message: &str) -> String {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let known = words.get(1..).unwrap_or_default();
    let nearest = words.first().and_then(|unknown| {
        known.iter().min_by_key(|known| distance(unknown, known)).map(|known| (unknown, known))
    });
    match nearest {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            format!("unknown key `{unknown}`; did you mean `{known}`?")
        }
        _ => message.replace('\n', " "),
    }
}
