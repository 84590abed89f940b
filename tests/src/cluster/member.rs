//! One process of a cluster, on a host of its own: its configuration, and its fate.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Output;

use super::network::Host;
use crate::daemon::{Daemon, binary};
use crate::tools::run;

/// Where clients are served.
const HTTP_PORT: u16 = 8080;
/// Where the cluster's own protocol is spoken, TCP and UDP.
const DOSP_PORT: u16 = 7400;
/// The group every process hears.
pub const MULTICAST: &str = "239.10.3.100:7401";

/// What a process plays, with that part of its configuration which is not everybody's.
#[derive(Clone, Debug)]
pub enum Part {
    /// The directory service.
    Directory,
    /// An object manager, with lines of its `[dosm]`.
    Manager(String),
    /// A storage node, with its disks and more lines of its `[isn]`.
    Node(Vec<PathBuf>, String),
    /// Who is asked which of two centers goes on alone.
    Witness,
}

/// What all processes of a storage center have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The cluster's key.
    pub key_file: PathBuf,
    /// What is added to the last byte of a host's address for the number of its process.
    pub first_number: u32,
    /// Whether they find each other by multicast; else by `peers`.
    pub multicast: bool,
    /// Addresses of all.
    pub peers: Vec<SocketAddr>,
    /// The table `[mirror]` and those below it; empty for a center that is alone.
    pub mirror: String,
}

/// A process, and the host it runs on.
pub struct Member {
    /// The process.
    pub daemon: Daemon,
    number: u32,
    config: PathBuf,
    host: Host,
}

impl Member {
    /// Starts a process in the folder `dir`. Returns when it is ready.
    pub fn start(dir: &Path, host: Host, part: &Part, common: &Common) -> Self {
        let number = common.first_number + u32::from(host.address().octets()[3]);
        let config = write_config(dir, number, &host, part, common);
        let daemon = Daemon::start_in(
            Some(host.namespace().name()),
            "storage-center",
            &["serve", "--config", config.to_str().unwrap()],
            &dir.join("log"),
        );
        Self { daemon, number, config, host }
    }

    /// Its number in the cluster.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Changes its configuration file, which has `from` once at least; it takes effect with the next start.
    #[track_caller]
    pub fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "no `{from}` in {text}");
        fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
    }

    /// Its host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where it serves clients.
    pub fn http(&self) -> SocketAddr {
        self.host.port(HTTP_PORT)
    }

    /// Where it serves the cluster.
    pub fn dosp(&self) -> SocketAddr {
        dosp(&self.host)
    }

    /// Kills it, and starts it again.
    pub fn crash(&mut self) {
        self.daemon.kill_9();
        self.daemon.restart();
    }

    /// Runs `storage-center` with a command, this process's configuration and more arguments, on its host.
    pub fn command(&self, command: &[&str], arguments: &[&str]) -> Output {
        let (program, config) = (binary("storage-center"), self.config.to_str().unwrap());
        let inside = ["netns", "exec", self.host.namespace().name(), program.to_str().unwrap()];
        run("ip", &[&inside, command, &["--config", config], arguments].concat())
    }
}

/// Where a process on this host serves the cluster.
pub fn dosp(host: &Host) -> SocketAddr {
    dosp_at(host.address())
}

/// Where a process at this address serves the cluster.
pub fn dosp_at(address: Ipv4Addr) -> SocketAddr {
    (address, DOSP_PORT).into()
}

fn write_config(dir: &Path, number: u32, host: &Host, part: &Part, common: &Common) -> PathBuf {
    fs::create_dir_all(dir).unwrap();
    let http = format!("[http]\nlisten = \"{}\"\n", host.port(HTTP_PORT));
    let (role, own) = match part {
        Part::Directory => ("ddm", format!("{http}\n[vfs]\ndatabase = \"{}/vfs.sqlite\"\n", dir.display())),
        Part::Manager(lines) => ("dosm", format!("{http}\n[dosm]\n{lines}")),
        Part::Node(disks, lines) => ("isn", format!("[isn]\nnode = {number}\ndisks = {disks:?}\n{lines}")),
        Part::Witness => ("witness", format!("[witness]\nstate = \"{}/witness\"\n", dir.display())),
    };
    let multicast = if common.multicast { format!("multicast = \"{MULTICAST}\"\n") } else { String::new() };
    let peers: Vec<String> = common
        .peers
        .iter()
        .filter(|peer| !common.multicast && **peer != dosp(host))
        .map(|peer| format!("{:?}", peer.to_string()))
        .collect();
    let peers = if peers.is_empty() { String::new() } else { format!("peers = [{}]\n", peers.join(", ")) };
    let text = format!(
        r#"roles = ["{role}"]
control = "{dir}/control"

{own}
[cluster]
node = {number}
name = "e2e"
key_file = "{key}"
listen = "{dosp}"
{multicast}{peers}copies = 2

{mirror}"#,
        dir = dir.display(),
        key = common.key_file.display(),
        dosp = dosp(host),
        mirror = common.mirror,
    );
    let config = dir.join("center.toml");
    fs::write(&config, text).unwrap();
    config
}
