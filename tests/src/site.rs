//! A whole installation in a temporary directory: one storage center with three disks, a customer, storage ports.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Center, Settings};
use protocol::id::{CustomerId, ObjectId};
use protocol::srl::Secret;
use protocol::vfs::{Answer, Operation, Request};
use tempfile::TempDir;

use crate::certificate::{self, Signed};
use crate::daemon::{Daemon, binary, free_port};
use crate::mount::Mount;
use crate::poll;
use crate::rpc::Credential;
use crate::tools::run_ok;

/// A storage center, its customers and their secrets. Everything goes when this is dropped.
pub struct Site {
    dir: TempDir,
    /// The network namespace everything runs in; `None` for the test's own.
    netns: Option<String>,
    /// The storage center's process.
    pub center: Daemon,
    center_address: SocketAddr,
}

/// A storage port of a [`Site`].
pub struct Port {
    /// Its process.
    pub daemon: Daemon,
    dir: PathBuf,
}

/// What tests change about a storage port.
#[derive(Clone, Debug)]
pub struct PortSettings {
    /// Bytes of the data cache, on two disks in equal parts.
    pub cache_bytes: u64,
    /// Entries of the directory cache.
    pub directory_entries: usize,
    /// Bytes of the write journal.
    pub journal_bytes: u64,
    /// How long a file is quiet before it is uploaded.
    pub quiet: Duration,
    /// The customer whose tree it exports.
    pub customer: u32,
    /// `none`, `root` or `all`.
    pub squash: &'static str,
    /// `off`, or the port's own rpcbind on port 111.
    pub rpcbind: &'static str,
    /// Where it serves, with the well-known ports; `None` for free ports of 127.0.0.1.
    pub address: Option<IpAddr>,
    /// How long after a restart only old locks are taken again.
    pub grace_seconds: u64,
    /// More of the configuration: whole tables of TOML.
    pub more: String,
}

impl Default for PortSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 1 << 30,
            directory_entries: 250_000,
            journal_bytes: 1 << 30,
            quiet: Duration::from_millis(100),
            customer: 1,
            squash: "none",
            rpcbind: "off",
            address: None,
            grace_seconds: 45,
            more: String::new(),
        }
    }
}

/// The password of the status pages whose hash [`write_password_hash`] writes.
pub const PAGE_PASSWORD: &str = "right & good horse";

/// Writes the hash of [`PAGE_PASSWORD`] to a file in `dir`, as an operator makes it.
pub fn write_password_hash(dir: &Path) -> PathBuf {
    let program = binary("storage-port");
    let line = format!("printf '%s\\n' \"$1\" | {} status-page password", program.display());
    let hash = run_ok("sh", &["-c", &line, "sh", PAGE_PASSWORD]);
    let path = dir.join("status-page.hash");
    fs::write(&path, hash).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Site {
    /// A running storage center with customer 1.
    pub fn start() -> Self {
        Self::start_in(None)
    }

    /// The same in a network namespace, where well-known ports are free.
    pub fn start_in(netns: Option<&str>) -> Self {
        Self::start_at(netns, (Ipv4Addr::LOCALHOST, free_port()).into())
    }

    /// The same with the storage center at this address of the namespace.
    pub fn start_at(netns: Option<&str>, center: SocketAddr) -> Self {
        let dir = new_dir();
        let disks = (0..3).map(|disk| dir.path().join(format!("disk{disk}")));
        let disks: Vec<String> = disks
            .map(|disk| {
                fs::create_dir_all(&disk).unwrap();
                format!("{disk:?}")
            })
            .collect();
        Self::start_on(dir, netns, center, &format!("disks = [{}]\nreserve_bytes = 0", disks.join(", ")))
    }

    /// The same with objects where `isn` says, which is the body of the table `[isn]`, perhaps with tables behind it.
    /// `DIR` in it is the site's directory.
    pub fn start_with(isn: &str) -> Self {
        Self::start_on(new_dir(), None, (Ipv4Addr::LOCALHOST, free_port()).into(), isn)
    }

    fn start_on(dir: TempDir, netns: Option<&str>, center_address: SocketAddr, isn: &str) -> Self {
        let config = write_center_config(dir.path(), center_address, isn);
        add_customer(&config, dir.path(), 1, &[]);
        let center = Daemon::start_in(
            netns,
            "storage-center",
            &["serve", "--config", config.to_str().unwrap()],
            &dir.path().join("center.log"),
        );
        Self { dir, netns: netns.map(str::to_owned), center, center_address }
    }

    /// Adds a customer; `extra` are further arguments of `customer add`.
    pub fn add_customer(&self, id: u32, extra: &[&str]) {
        add_customer(&self.center_config(), self.dir.path(), id, extra);
    }

    /// The file of a customer's secret.
    pub fn secret_file(&self, customer: u32) -> PathBuf {
        self.dir.path().join(format!("customer-{customer}.secret"))
    }

    /// A customer's secret.
    pub fn secret(&self, customer: u32) -> Secret {
        let text = fs::read_to_string(self.secret_file(customer)).unwrap();
        Secret::new(text.trim_end().as_bytes().to_vec()).unwrap()
    }

    /// A customer's root folder.
    pub fn root(&self, customer: u32) -> ObjectId {
        root_folder(&self.center_url(), CustomerId(customer), self.secret(customer))
    }

    /// Where everything lies.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The storage center's configuration file.
    pub fn center_config(&self) -> PathBuf {
        self.dir.path().join("center.toml")
    }

    /// Restarts the storage center with TLS and a certificate for this address, good until the beginning of a year; the
    /// certificate of the authority that signed it.
    pub fn serve_tls(&mut self, address: &str, until: i32) -> String {
        let Signed { authority, certificate, key } = certificate::signed(address, until);
        let [certificate_file, key_file] = ["tls.pem", "tls.key"].map(|name| self.path().join(name));
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        let config = self.center_config();
        let content = fs::read_to_string(&config).unwrap();
        if !content.contains("certificate") {
            let lines = format!("[http]\ncertificate = {certificate_file:?}\nkey = {key_file:?}\n");
            fs::write(&config, content.replace("[http]\n", &lines)).unwrap();
        }
        self.center.stop();
        self.center.restart();
        authority
    }

    /// The center's address.
    pub fn center_address(&self) -> SocketAddr {
        self.center_address
    }

    /// The storage center's URL.
    pub fn center_url(&self) -> String {
        format!("http://{}", self.center_address)
    }

    /// Starts a storage port with the defaults.
    pub fn port(&self, name: &str) -> Port {
        self.port_with(name, &PortSettings::default())
    }

    /// Starts a storage port; of the same name, it finds its old directories again.
    pub fn port_with(&self, name: &str, settings: &PortSettings) -> Port {
        let (dir, config) = self.write_port_config(name, settings);
        self.start_port(dir, &config)
    }

    /// Starts a storage port of what [`Site::write_port_config`] gave.
    pub fn start_port(&self, dir: PathBuf, config: &Path) -> Port {
        let daemon = Daemon::start_in(
            self.netns.as_deref(),
            "storage-port",
            &["serve", "--config", config.to_str().unwrap()],
            &dir.join("port.log"),
        );
        Port { daemon, dir }
    }

    /// Writes a storage port's directories and configuration without starting it.
    pub fn write_port_config(&self, name: &str, settings: &PortSettings) -> (PathBuf, PathBuf) {
        let dir = self.dir.path().join(name);
        for folder in ["state", "journal", "cache0", "cache1"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let [nfs, mount] = [2_049, 20_048].map(|port| match settings.address {
            Some(address) => SocketAddr::new(address, port),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
        });
        // Ports of one site are given one key, as a pair has it, so that each knows the others' handles.
        let key = dir.join("state/handle_key");
        fs::write(&key, [7; 32]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            r#"
[state]
dir = "{dir}/state"

[center]
ddm = ["{center}"]
dosm = ["{center}"]

[[customer]]
id = {customer}
secret_file = "{secret}"

[[export]]
path = "/export"
tree = "files"
customer = {customer}
squash = "{squash}"

[[export]]
path = "/SRL"
tree = "srl"
customer = {customer}
squash = "{squash}"
srl_seconds = 3600

[nfs]
listen = "{nfs}"
mount_listen = "{mount}"
rpcbind = "{rpcbind}"
grace_seconds = {grace_seconds}

[cache]
directory_entries = {directory_entries}
[[cache.disk]]
path = "{dir}/cache0"
bytes = {cache_bytes}
[[cache.disk]]
path = "{dir}/cache1"
bytes = {cache_bytes}

[journal]
dir = "{dir}/journal"
bytes = {journal_bytes}

[upload]
quiet_ms = {quiet_ms}
{more}"#,
            dir = dir.display(),
            center = self.center_url(),
            customer = settings.customer,
            secret = self.secret_file(settings.customer).display(),
            squash = settings.squash,
            rpcbind = settings.rpcbind,
            grace_seconds = settings.grace_seconds,
            cache_bytes = settings.cache_bytes / 2,
            directory_entries = settings.directory_entries,
            journal_bytes = settings.journal_bytes,
            quiet_ms = settings.quiet.as_millis(),
            more = settings.more,
        );
        let config = dir.join("port.toml");
        fs::write(&config, text).unwrap();
        (dir, config)
    }

    /// The disks of the storage node.
    pub fn disks(&self) -> Vec<PathBuf> {
        (0..3).map(|disk| self.dir.path().join(format!("disk{disk}"))).collect()
    }

    /// How many disks hold the object of this MD5 name.
    pub fn copies(&self, md5_hex: &str) -> usize {
        self.object_files(md5_hex).len()
    }

    /// The files of the object of this MD5 name on the storage node's disks.
    pub fn object_files(&self, md5_hex: &str) -> Vec<PathBuf> {
        let (first, second) = (&md5_hex[..2], &md5_hex[2..4]);
        self.disks()
            .into_iter()
            .map(|disk| disk.join("obj").join(first).join(second).join(format!("{md5_hex}.MD5")))
            .filter(|path| path.exists())
            .collect()
    }

    /// Runs `storage-center check`, which compares references with rows: whether they agree, and what it printed.
    pub fn check(&self) -> (bool, String) {
        let output = crate::tools::run(
            binary("storage-center").to_str().unwrap(),
            &["check", "--config", self.center_config().to_str().unwrap()],
        );
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // For a look at what a failed test left: E2E_KEEP=1.
        if std::thread::panicking() && std::env::var_os("E2E_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("--- kept: {}", self.dir.path().display());
        }
    }
}

impl Port {
    /// Its NFS address.
    pub fn nfs(&self) -> SocketAddr {
        self.daemon.address("nfs")
    }

    /// Its MOUNT address.
    pub fn mount_address(&self) -> SocketAddr {
        self.daemon.address("mount")
    }

    /// Mounts an export as root.
    pub fn mount(&self, export: &str) -> Mount {
        self.mount_as(export, Credential::root())
    }

    /// Mounts an export as somebody.
    pub fn mount_as(&self, export: &str, credential: Credential) -> Mount {
        Mount::new(self.nfs(), export, credential).unwrap()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("port.toml")
    }

    /// Changes its configuration file, which has `from` once at least.
    #[track_caller]
    pub fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "no `{from}` in {text}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    /// Runs `storage-port reload`, which must succeed; what it said.
    #[track_caller]
    pub fn reload(&self) -> String {
        said(&self.config(), &["reload"])
    }

    /// Where its state, journal and caches lie.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The URL by which libnfs's tools reach a path of an export.
    pub fn libnfs_url(&self, path: &str) -> String {
        let (nfs, mount) = (self.nfs(), self.mount_address());
        format!(
            "nfs://{}{path}?nfsport={}&mountport={}&version=3&uid=0&gid=0",
            nfs.ip(),
            nfs.port(),
            mount.port()
        )
    }

    /// Waits until the object of this MD5 name stands on two disks of the storage node.
    pub fn wait_uploaded(&self, site: &Site, md5_hex: &str) {
        poll::until(&format!("two copies of {md5_hex}"), Duration::from_secs(60), || {
            (site.copies(md5_hex) >= 2).then_some(())
        });
    }

    /// Waits until all that was written is the center's, its directory's as well: other ports see it from then on.
    pub fn wait_nothing_owed(&self) {
        poll::until("nothing is owed", Duration::from_secs(60), || {
            (told(&self.config(), &["journal"])["owed_bytes"] == 0).then_some(())
        });
    }
}

/// What a command of the port with this configuration says, for people.
#[track_caller]
pub fn said(config: &Path, command: &[&str]) -> String {
    let program = binary("storage-port");
    let arguments = [command, &["--config", config.to_str().unwrap()]].concat();
    String::from_utf8(run_ok(program.to_str().unwrap(), &arguments)).unwrap()
}

/// The same for programs.
#[track_caller]
pub fn told(config: &Path, command: &[&str]) -> serde_json::Value {
    serde_json::from_str(&said(config, &[command, &["--json"]].concat())).unwrap()
}

/// A customer's root folder in the storage center at this URL.
pub fn root_folder(center: &str, customer: CustomerId, secret: Secret) -> ObjectId {
    let urls = vec![center.to_owned()];
    let settings = Settings::new(urls.clone(), urls, customer, secret);
    let open = Request { key: None, operation: Operation::OpenRoot };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answered = runtime.block_on(async { Center::new(settings).unwrap().operate(open).await });
    match answered.unwrap().answer {
        Answer::Row(row) => row.id,
        other => panic!("{other:?}"),
    }
}

fn new_dir() -> TempDir {
    tempfile::Builder::new().prefix("storage-port-e2e-").tempdir().unwrap()
}

fn write_center_config(dir: &Path, listen: SocketAddr, isn: &str) -> PathBuf {
    let text = format!(
        r#"
roles = ["ddm", "dosm", "isn"]

[http]
listen = "{listen}"

[vfs]
database = "DIR/vfs.sqlite"

[isn]
{isn}
"#
    );
    let config = dir.join("center.toml");
    fs::write(&config, text.replace("DIR", dir.to_str().unwrap())).unwrap();
    config
}

fn add_customer(config: &Path, dir: &Path, id: u32, extra: &[&str]) {
    let (id_text, name) = (id.to_string(), format!("customer {id}"));
    let secret = dir.join(format!("customer-{id}.secret"));
    let mut arguments = vec![
        "customer",
        "add",
        "--config",
        config.to_str().unwrap(),
        "--id",
        &id_text,
        "--name",
        &name,
        "--secret-out",
        secret.to_str().unwrap(),
    ];
    arguments.extend(extra);
    run_ok(binary("storage-center").to_str().unwrap(), &arguments);
}
