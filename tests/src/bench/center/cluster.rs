//! The storage centers that are measured, on the loopback: all in one process, or each part in its own.
//!
//! Of the cluster's object managers one has a cache in which everything fits, one has none, and one has a cache that
//! is too small for whatever is asked of it in turn: so each answers from where a work wants it to.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::digest::Fingerprint;
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::xml::decode_stored;
use tempfile::TempDir;

use super::http::{self, Connection};
use super::pid;
use crate::daemon::{Daemon, binary, free_port};
use crate::poll;
use crate::site::Site;
use crate::tools::run_ok;

/// The customer everything belongs to.
const CUSTOMER: u32 = 1;
/// Storage nodes of a cluster, with so many disks each.
const NODES: u32 = 2;
const DISKS_PER_NODE: usize = 2;
/// What the object manager with the large cache may keep: all objects that are fetched.
const CACHE_BYTES: u64 = 4 << 30;
/// What the one with the small cache may keep.
const SMALL_CACHE_BYTES: u64 = 32 << 20;
/// Seconds since the epoch from which on SRLs expire, each at another one, so that no two are the same.
const EXPIRES: u64 = 4_000_000_000;

/// How many processes a center is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One with all roles. It has no cache: its node's disks are its own.
    Alone,
    /// One directory manager, three object managers and the storage nodes.
    Cluster,
}

/// Which object manager is asked. A center of one process has one for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// The one with the large cache.
    Caching,
    /// The one without a cache.
    Passing,
    /// The one with the small cache.
    Filling,
}

/// A running center with one customer.
pub struct Center {
    processes: Processes,
    secret: Secret,
    serial: AtomicU64,
}

enum Processes {
    Alone(Box<Site>),
    // The processes stand first: they end before their directories go. Managers are in the order of `Manager`.
    Cluster { managers: Vec<Daemon>, nodes: Vec<Daemon>, dir: TempDir },
}

impl Center {
    /// Starts one and waits until it stores every object twice.
    pub fn start(layout: Layout) -> Self {
        let center = match layout {
            Layout::Alone => {
                let site = Site::start();
                let secret = site.secret(CUSTOMER);
                Self::new(Processes::Alone(Box::new(site)), secret)
            }
            Layout::Cluster => Self::start_cluster(),
        };
        poll::until("an object is stored on two disks, and of two nodes on both", PATIENCE, || {
            let mut connection = Connection::open(center.address(Manager::Caching)).ok()?;
            let mark = center.next_mark();
            let fingerprint =
                center.put(&mut connection, mark.len() as u64, |stream| io::Write::write_all(stream, &mark));
            (center.spread(fingerprint.ok()?) == center.spread_wanted()).then_some(())
        });
        center
    }

    fn start_cluster() -> Self {
        let dir = tempfile::Builder::new().prefix("bench-cluster-").tempdir().unwrap();
        let mut members = vec![
            Member::manager("caching", 1, "\"ddm\", \"dosm\"", CACHE_BYTES),
            Member::manager("passing", 2, "\"dosm\"", 0),
            Member::manager("filling", 3, "\"dosm\"", SMALL_CACHE_BYTES),
        ];
        members
            .extend((0..NODES).map(|node| Member::node(&format!("node{node}"), 11 + node, DISKS_PER_NODE)));
        make_cluster_key(dir.path());
        let configs: Vec<PathBuf> =
            members.iter().map(|member| member.write_config(dir.path(), &members)).collect();
        let secret = add_customer(&configs[0], dir.path());
        let daemons = members.iter().zip(&configs).map(|(member, config)| {
            eprintln!("  starting {}", member.name);
            serve(config)
        });
        let mut managers: Vec<Daemon> = daemons.collect();
        let nodes = managers.split_off(members.len() - NODES as usize);
        Self::new(Processes::Cluster { managers, nodes, dir }, secret)
    }

    fn new(processes: Processes, secret: Secret) -> Self {
        Self { processes, secret, serial: AtomicU64::new(0) }
    }

    fn manager(&self, manager: Manager) -> &Daemon {
        match &self.processes {
            Processes::Alone(site) => &site.center,
            Processes::Cluster { managers, .. } => &managers[manager as usize],
        }
    }

    /// Where an object manager serves.
    pub fn address(&self, manager: Manager) -> SocketAddr {
        self.manager(manager).address("http")
    }

    /// The processes that have part in what an object manager does: itself and the nodes.
    pub fn pids(&self, manager: Manager) -> Vec<u32> {
        let nodes: &[Daemon] = match &self.processes {
            Processes::Alone(_) => &[],
            Processes::Cluster { nodes, .. } => nodes,
        };
        [self.manager(manager)].into_iter().chain(nodes).map(pid).collect()
    }

    /// The end of an object manager's log.
    pub fn log_tail(&self, manager: Manager) -> String {
        self.manager(manager).log_tail()
    }

    /// 16 bytes that no other call gave: a token, or a mark by which a content differs from all others.
    pub fn next_mark(&self) -> [u8; 16] {
        // Not zero, as memory is before something is written to it.
        u128::from(self.serial.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes()
    }

    /// Stores an object of so many bytes, which `write` writes, by a connection to an object manager.
    pub fn put(
        &self,
        connection: &mut Connection,
        length: u64,
        write: impl FnOnce(&mut std::net::TcpStream) -> io::Result<()>,
    ) -> io::Result<Fingerprint> {
        let operation = SrlOperation::Store { parent: ObjectId(0) };
        let path = self.sign(AccessMethod::StoragePort, 0, operation);
        let token = Token(self.next_mark());
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: center\r\nContent-Length: {length}\r\nX-Upload-Token: {token}\r\n\r\n"
        );
        let stored =
            decode_stored(&connection.exchange(head.as_bytes(), write)?).map_err(io::Error::other)?;
        if (stored.content.size, stored.token) != (length, token) {
            return Err(io::Error::other(format!("something else was stored: {stored:?}")));
        }
        Ok(stored.content.fingerprint)
    }

    /// A request for an object, by an SRL that differs from those of other numbers: signed as the files under `/SRL`
    /// are by default.
    pub fn fetch(&self, manager: Manager, fingerprint: Fingerprint, number: u64) -> Vec<u8> {
        let operation = SrlOperation::Fetch { object: ObjectName::Content(fingerprint) };
        http::get(self.address(manager), &self.sign(AccessMethod::EndUser, EXPIRES + number, operation))
    }

    fn sign(&self, access: AccessMethod, expires: u64, operation: SrlOperation) -> String {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::Md5,
            expires,
            access,
            customer: CustomerId(CUSTOMER),
            operation,
        };
        request.sign(&self.secret).path(b"")
    }

    /// On how many nodes and disks an object lies.
    pub fn spread(&self, fingerprint: Fingerprint) -> Spread {
        let held = |disk: &PathBuf| object_path(disk, fingerprint).exists();
        let per_node: Vec<usize> = match &self.processes {
            Processes::Alone(site) => vec![site.disks().iter().filter(|disk| held(disk)).count()],
            Processes::Cluster { dir, .. } => (0..NODES)
                .map(|node| disks(&dir.path().join(format!("node{node}")), DISKS_PER_NODE))
                .map(|disks| disks.iter().filter(|disk| held(disk)).count())
                .collect(),
        };
        Spread { nodes: per_node.iter().filter(|disks| **disks > 0).count(), disks: per_node.iter().sum() }
    }

    /// Two disks, and where there are two nodes one of each.
    pub fn spread_wanted(&self) -> Spread {
        match self.processes {
            Processes::Alone(_) => Spread { nodes: 1, disks: 2 },
            Processes::Cluster { .. } => Spread { nodes: 2, disks: 2 },
        }
    }
}

/// How long a cluster may take to find itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the copies of an object lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// On so many nodes.
    pub nodes: usize,
    /// On so many disks of all nodes.
    pub disks: usize,
}

/// The file of an object on a disk of a node.
pub fn object_path(disk: &Path, fingerprint: Fingerprint) -> PathBuf {
    let [first, second, ..] = fingerprint.0;
    disk.join(format!("obj/{first:02x}/{second:02x}/{fingerprint}.MD5"))
}

/// Makes the directories and the configuration of a node with one disk that belongs to nobody else: its configuration
/// and its disk.
pub fn write_lone_node(layout: Layout, dir: &Path) -> (PathBuf, PathBuf) {
    match layout {
        Layout::Alone => {
            let disk = disks(&dir.join("node"), 1).remove(0);
            fs::create_dir_all(&disk).unwrap();
            let mut text = "[http]\nlisten = \"127.0.0.1:0\"\n".to_owned();
            text += &format!("[vfs]\ndatabase = {:?}\n", dir.join("vfs.sqlite"));
            text += &format!("[isn]\ndisks = [{disk:?}]\nreserve_bytes = 0\n");
            let config = dir.join("node.toml");
            fs::write(&config, text).unwrap();
            (config, disk)
        }
        Layout::Cluster => {
            make_cluster_key(dir);
            let member = Member::node("node", 11, 1);
            let config = member.write_config(dir, &[]);
            (config, disks(&dir.join("node"), 1).remove(0))
        }
    }
}

/// A process of a center, ready.
pub fn serve(config: &Path) -> Daemon {
    let arguments = ["serve", "--config", config.to_str().unwrap()];
    Daemon::start("storage-center", &arguments, &config.with_extension("log"))
}

/// A process of a cluster: what is different from the others.
struct Member {
    name: String,
    node: u32,
    /// As they stand in the configuration's list.
    roles: &'static str,
    /// Where it speaks with the others.
    address: SocketAddr,
    kind: Kind,
}

enum Kind {
    /// An object manager, with a cache if it has bytes for one.
    Manager {
        cache_bytes: u64,
    },
    Node {
        disks: usize,
    },
}

impl Member {
    fn manager(name: &str, node: u32, roles: &'static str, cache_bytes: u64) -> Self {
        Self::new(name, node, roles, Kind::Manager { cache_bytes })
    }

    fn node(name: &str, node: u32, disks: usize) -> Self {
        Self::new(name, node, "\"isn\"", Kind::Node { disks })
    }

    fn new(name: &str, node: u32, roles: &'static str, kind: Kind) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self { name: name.to_owned(), node, roles, address, kind }
    }

    /// Makes its directories and writes its configuration.
    fn write_config(&self, dir: &Path, members: &[Self]) -> PathBuf {
        let own = dir.join(&self.name);
        fs::create_dir_all(&own).unwrap();
        let mut text = format!("roles = [{}]\n", self.roles);
        match self.kind {
            Kind::Manager { cache_bytes } => {
                text += "[http]\nlisten = \"127.0.0.1:0\"\n";
                if self.roles.contains("ddm") {
                    text += &format!("[vfs]\ndatabase = {:?}\n", own.join("vfs.sqlite"));
                }
                if cache_bytes > 0 {
                    let cache = own.join("cache");
                    fs::create_dir_all(&cache).unwrap();
                    text += &format!("[dosm]\ncache_dir = {cache:?}\ncache_bytes = {cache_bytes}\n");
                }
            }
            Kind::Node { disks: count } => {
                let disks = disks(&own, count);
                disks.iter().for_each(|disk| fs::create_dir_all(disk).unwrap());
                text += &format!("[isn]\nnode = {}\ndisks = {disks:?}\nreserve_bytes = 0\n", self.node);
            }
        }
        let others: Vec<String> = members
            .iter()
            .filter(|member| member.node != self.node)
            .map(|member| format!("{:?}", member.address.to_string()))
            .collect();
        text += &format!(
            "[cluster]\nnode = {}\nname = \"main\"\nkey_file = {:?}\nlisten = \"{}\"\npeers = [{}]\n",
            self.node,
            dir.join(KEY),
            self.address,
            others.join(", "),
        );
        let config = dir.join(format!("{}.toml", self.name));
        fs::write(&config, text).unwrap();
        config
    }
}

fn disks(node: &Path, count: usize) -> Vec<PathBuf> {
    (0..count).map(|disk| node.join(format!("disk{disk}"))).collect()
}

const KEY: &str = "cluster.key";

fn make_cluster_key(dir: &Path) {
    let key = dir.join(KEY);
    let program = binary("storage-center");
    run_ok(program.to_str().unwrap(), &["cluster", "key", "--out", key.to_str().unwrap()]);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "the key is secret");
}

fn add_customer(config: &Path, dir: &Path) -> Secret {
    let file = dir.join("customer.secret");
    let id = CUSTOMER.to_string();
    let (config, out) = (config.to_str().unwrap(), file.to_str().unwrap());
    let arguments =
        ["customer", "add", "--config", config, "--id", &id, "--name", "bench", "--secret-out", out];
    run_ok(binary("storage-center").to_str().unwrap(), &arguments);
    Secret::from_file_content(&fs::read(&file).unwrap()).unwrap()
}
