//! A storage center of several hosts: directory service, object managers and storage nodes, each a process in a network
//! namespace of its own, all at one bridge.
//!
//! - [`centers`] is two of them at two places, which mirror each other, with [`certificates`].
//! - [`network`] is the bridge and the hosts; it cuts links and loses multicast.
//! - [`member`] is one process on its host.
//! - [`disks`] looks at a node's disks from outside, and harms them.
//! - [`http`] and [`client`] ask the center from a host of their own.
//! - [`files`] makes many files and looks after them.
//! - [`load`] keeps it busy, and knows what was acknowledged.
//! - [`forge`] sends packets that nobody should believe.
//! - [`status`] reads what `storage-center status` says.
//! - [`wan`] joins networks over a line that takes its time, loses packets, and can be cut.
//!
//! A [`Cluster`] removes everything when it is dropped. After a failed test with `E2E_KEEP=1` its folder stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use protocol::digest::Fingerprint;
use protocol::srl::Secret;
use tempfile::TempDir;

pub mod centers;
pub mod certificates;
pub mod client;
pub mod disks;
pub mod files;
pub mod forge;
pub mod http;
pub mod load;
pub mod member;
pub mod network;
pub mod status;
pub mod wan;

use self::client::{Client, Library};
use self::disks::Disk;
use self::http::Http;
use self::member::{Common, Member, Part};
use self::network::{Host, Network};
use crate::daemon::binary;
use crate::poll;
use crate::tools::run_ok;

/// Numbers of the processes, and last bytes of their hosts' addresses: storage nodes from here,
const NODES_FROM: u8 = 11;
/// object managers from here,
const MANAGERS_FROM: u8 = 51;
/// directory services from here,
const DIRECTORIES_FROM: u8 = 91;
/// and the clients' host.
const CLIENT: u8 = 200;
/// Customers of each cluster, 1 to this.
pub const CUSTOMERS: u32 = 3;
/// How long the processes may take to find each other.
const ASSEMBLY_PATIENCE: Duration = Duration::from_secs(20);

/// What tests change about a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Object managers.
    pub managers: u8,
    /// Storage nodes.
    pub nodes: u8,
    /// Disks of each node.
    pub disks: usize,
    /// Bytes of each disk, which is then a file system in memory that can be filled; `None` for directories.
    pub disk_bytes: Option<u64>,
    /// Bytes of each object manager's data cache; 0 for none.
    pub cache_bytes: u64,
    /// The order in which object managers look for objects.
    pub order: &'static str,
    /// How long a node is away before its objects are copied elsewhere.
    pub replicate_after: Duration,
    /// Whether processes find each other by multicast; else each is told the addresses of the others.
    pub multicast: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            managers: 2,
            nodes: 4,
            disks: 2,
            disk_bytes: None,
            cache_bytes: 0,
            order: "hedged",
            replicate_after: Duration::from_secs(3),
            multicast: true,
        }
    }
}

/// A running cluster. Fields are dropped in order: processes, then their hosts and disks, then what they stood on.
pub struct Cluster {
    /// The directory service.
    pub directory: Member,
    /// Object managers.
    pub managers: Vec<Member>,
    /// Storage nodes.
    pub nodes: Vec<Node>,
    client: Host,
    network: Network,
    common: Common,
    settings: Settings,
    /// Where its customers' secrets lie.
    secrets: PathBuf,
    /// Storage nodes of the other center.
    nodes_elsewhere: usize,
    dir: TempDir,
}

/// What a storage center is built on.
struct Ground {
    dir: TempDir,
    network: Network,
    key_file: PathBuf,
    first_number: u32,
    mirror: String,
    secrets: PathBuf,
    nodes_elsewhere: usize,
}

/// A storage node.
pub struct Node {
    /// Its process.
    pub member: Member,
    /// Its disks.
    pub disks: Vec<Disk>,
}

impl Node {
    /// Whether one of its disks has the object, as far as names tell.
    pub fn has(&self, fingerprint: Fingerprint) -> bool {
        self.disks.iter().any(|disk| disk.has(fingerprint))
    }

    /// Whether one of its disks has the object with the bytes of its name.
    pub fn has_whole(&self, fingerprint: Fingerprint) -> bool {
        self.disks.iter().any(|disk| disk.has_whole(fingerprint))
    }

    /// The disk that has the object.
    pub fn disk_of(&self, fingerprint: Fingerprint) -> &Disk {
        self.disks.iter().find(|disk| disk.has(fingerprint)).expect("the node has the object")
    }

    /// How many object files lie on it.
    pub fn objects(&self) -> usize {
        self.disks.iter().map(|disk| disk.object_files().len()).sum()
    }
}

impl Cluster {
    /// A running cluster with the customers 1 to [`CUSTOMERS`], whose processes know each other.
    pub fn start(purpose: &str, settings: Settings) -> Self {
        let dir = new_folder();
        let (key_file, secrets) = (new_key(dir.path()), dir.path().to_owned());
        let (network, mirror) = (Network::new(purpose), String::new());
        let ground = Ground { dir, network, key_file, first_number: 0, mirror, secrets, nodes_elsewhere: 0 };
        let cluster = Self::build(settings, ground);
        cluster.add_customers();
        cluster.wait_assembled();
        cluster
    }

    /// Starts every process; they may not know each other yet, and there are no customers.
    fn build(settings: Settings, ground: Ground) -> Self {
        let Ground { dir, network, key_file, first_number, mirror, secrets, nodes_elsewhere } = ground;
        let hosts = |from: u8, count: u8| -> Vec<Host> {
            (from..from + count).map(|last| network.host(last)).collect()
        };
        let (directory, managers, nodes) = (
            network.host(DIRECTORIES_FROM),
            hosts(MANAGERS_FROM, settings.managers),
            hosts(NODES_FROM, settings.nodes),
        );
        let all = managers.iter().chain(&nodes).chain([&directory]);
        let peers = all.map(member::dosp).collect();
        let common = Common { key_file, first_number, multicast: settings.multicast, peers, mirror };

        let nodes = nodes.into_iter().map(|host| start_node(dir.path(), host, &settings, &common)).collect();
        let directory = Member::start(&dir.path().join("directory"), directory, &Part::Directory, &common);
        let managers =
            managers.into_iter().map(|host| start_manager(dir.path(), host, &settings, &common)).collect();
        let client = network.host(CLIENT);
        Self { directory, managers, nodes, client, network, common, settings, secrets, nodes_elsewhere, dir }
    }

    fn add_customers(&self) {
        for customer in 1..=CUSTOMERS {
            add_customer(&self.directory, &self.secrets, customer);
        }
    }

    /// Starts one more storage node, and gives its index. Nothing else is touched.
    pub fn join(&mut self) -> usize {
        let host = self.network.host(NODES_FROM + u8::try_from(self.nodes.len()).unwrap());
        self.nodes.push(start_node(self.dir.path(), host, &self.settings, &self.common));
        self.nodes.len() - 1
    }

    /// The network, to harm it.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The host the clients are on.
    pub fn client_host(&self) -> &Host {
        &self.client
    }

    /// A client of the object managers, on its own host.
    pub fn client(&self) -> Client {
        self.client_of(self.managers.iter().map(Member::http).collect())
    }

    /// A client of the object managers, on its own host, that signs for a customer with the secret in this file.
    pub fn client_with_secret(&self, customer: u32, file: &Path) -> Client {
        let secrets = BTreeMap::from([(customer, read_secret(file))]);
        let managers = self.managers.iter().map(Member::http).collect();
        Client::new(Http::new(self.client.entrance()), managers, Arc::new(secrets))
    }

    /// A client, on the same host, of these addresses in place of the object managers'.
    pub fn client_of(&self, addresses: Vec<SocketAddr>) -> Client {
        let secrets: BTreeMap<u32, Secret> =
            (1..=CUSTOMERS).map(|id| (id, secret(&self.secrets, id))).collect();
        Client::new(Http::new(self.client.entrance()), addresses, Arc::new(secrets))
    }

    /// Where everything lies.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A customer's library calls, on the clients' host.
    pub fn library(&self, customer: u32) -> Library {
        self.library_of(customer, self.managers.iter().map(Member::http).collect())
    }

    /// The same by these addresses of object managers.
    pub fn library_of(&self, customer: u32, managers: Vec<SocketAddr>) -> Library {
        self.library_by(customer, vec![self.directory.http()], managers)
    }

    fn library_by(&self, customer: u32, directories: Vec<SocketAddr>, managers: Vec<SocketAddr>) -> Library {
        Library::new(&self.client, directories, managers, customer, secret(&self.secrets, customer))
    }

    /// Every process.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.nodes.iter().map(|node| &node.member).chain(&self.managers).chain([&self.directory])
    }

    fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        let nodes = self.nodes.iter_mut().map(|node| &mut node.member);
        nodes.chain(&mut self.managers).chain([&mut self.directory])
    }

    /// Waits until every process sees every node online, those of the other center too if there is one.
    #[track_caller]
    pub fn wait_assembled(&self) {
        for member in self.members() {
            poll::until("every process sees every node", ASSEMBLY_PATIENCE, || {
                let status = status::of(member)?;
                (status.online() == self.nodes.len() + self.nodes_elsewhere).then_some(())
            });
        }
    }

    /// Kills every process, then starts all of them.
    pub fn crash_all(&mut self) {
        self.kill_all();
        self.start_all();
    }

    /// Kills every process.
    pub fn kill_all(&mut self) {
        self.members_mut().for_each(|member| member.daemon.kill_9());
    }

    /// Starts every process again.
    pub fn start_all(&mut self) {
        thread::scope(|scope| {
            for member in self.members_mut() {
                scope.spawn(|| member.daemon.restart());
            }
        });
    }

    /// Stops the object managers, takes their data caches away, and starts them anew: they know nothing.
    pub fn wipe_managers(&mut self) {
        for manager in &mut self.managers {
            manager.daemon.stop();
            let cache = manager.config().with_file_name("cache");
            if cache.exists() {
                fs::remove_dir_all(&cache).unwrap();
                fs::create_dir(&cache).unwrap();
            }
            manager.daemon.restart();
        }
        self.wait_assembled();
    }

    /// On how many nodes the object lies, as far as names tell.
    pub fn copies(&self, fingerprint: Fingerprint) -> usize {
        self.nodes.iter().filter(|node| node.has(fingerprint)).count()
    }

    /// The same of running nodes only, by index.
    pub fn copies_on(&self, fingerprint: Fingerprint, nodes: &[usize]) -> usize {
        nodes.iter().filter(|&&index| self.nodes[index].has(fingerprint)).count()
    }

    /// The indexes of the nodes that have the object.
    pub fn holders(&self, fingerprint: Fingerprint) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&index| self.nodes[index].has(fingerprint)).collect()
    }

    /// Runs `storage-center check`, which compares references with rows: whether they agree, and what it printed.
    pub fn check(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.directory.command(&["check"], arguments);
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Waits until references and rows are the same.
    #[track_caller]
    pub fn wait_references_equal_rows(&self, patience: Duration) {
        let mut last = String::new();
        poll::until("references equal rows", patience, || {
            let (agree, text) = self.check(&[]);
            if !agree && text != last {
                eprintln!("{text}");
                last = text;
            }
            agree.then_some(())
        });
    }

    /// No file on any disk is an object that is not whole.
    #[track_caller]
    pub fn assert_objects_whole(&self) {
        for disk in self.nodes.iter().flat_map(|node| &node.disks) {
            for path in disk.object_files() {
                let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
                let bytes = match fs::read(&path) {
                    // What nobody refers to any more goes at any time.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    read => read.unwrap(),
                };
                assert_eq!(crate::data::md5_hex(&bytes), name, "{}", path.display());
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // For a look at what a failed test left: E2E_KEEP=1.
        if thread::panicking() && std::env::var_os("E2E_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("--- kept: {}", self.dir.path().display());
        }
    }
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("storage-port-cluster-").tempdir().unwrap()
}

/// A cluster's key, in this folder.
fn new_key(dir: &Path) -> PathBuf {
    let file = dir.join("cluster.key");
    let center = binary("storage-center");
    run_ok(center.to_str().unwrap(), &["cluster", "key", "--out", file.to_str().unwrap()]);
    file
}

fn start_node(dir: &Path, host: Host, settings: &Settings, common: &Common) -> Node {
    let folder = dir.join(format!("node-{}", host.address()));
    let disks: Vec<Disk> = (0..settings.disks)
        .map(|disk| Disk::new(folder.join(format!("disk{disk}")), settings.disk_bytes))
        .collect();
    let lines = format!(
        "reserve_bytes = 0\nunlink_grace_seconds = 1\nreplicate_after_seconds = {}\n",
        settings.replicate_after.as_secs()
    );
    let part = Part::Node(disks.iter().map(Disk::objects).collect(), lines);
    Node { member: Member::start(&folder, host, &part, common), disks }
}

fn start_manager(dir: &Path, host: Host, settings: &Settings, common: &Common) -> Member {
    let folder = dir.join(format!("manager-{}", host.address()));
    let usage = folder.join("usage.log");
    let mut lines = format!("order = {:?}\nusage_log = {usage:?}\n", settings.order);
    if settings.cache_bytes > 0 {
        let cache = folder.join("cache");
        fs::create_dir_all(&cache).unwrap();
        lines.push_str(&format!("cache_dir = {cache:?}\ncache_bytes = {}\n", settings.cache_bytes));
    }
    Member::start(&folder, host, &Part::Manager(lines), common)
}

fn add_customer(directory: &Member, dir: &Path, id: u32) {
    let (id_text, name, secret) = (id.to_string(), format!("customer {id}"), secret_file(dir, id));
    let secret = secret.to_str().unwrap();
    let added =
        directory.command(&["customer", "add"], &["--id", &id_text, "--name", &name, "--secret-out", secret]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
}

fn secret_file(dir: &Path, customer: u32) -> PathBuf {
    dir.join(format!("customer-{customer}.secret"))
}

fn secret(dir: &Path, customer: u32) -> Secret {
    read_secret(&secret_file(dir, customer))
}

fn read_secret(file: &Path) -> Secret {
    Secret::from_file_content(&fs::read(file).unwrap()).unwrap()
}
