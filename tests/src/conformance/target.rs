//! The servers that are put to the test: a storage port with a storage center behind it, and the library's file
//! system in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use nfs::filesystem::Time;
use nfs::memory::MemoryFilesystem;
use nfs::server::Server;
use nfs::settings::{Rpcbind, Settings};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::client::{Client, Kind};
use super::libnfs::{Libnfs, build_driver};
use super::nfs3_client::Nfs3Client;
use crate::site::{Port, PortSettings, Site};

/// Customer whose quota the cases use up: this many bytes and files.
pub const QUOTA: (u64, u64) = (1 << 20, 1_000_000);

/// A running server.
pub struct Target {
    /// Its NFS address.
    pub nfs: SocketAddr,
    /// Its MOUNT address.
    pub mount: SocketAddr,
    /// The storage port and its center, where it is one.
    pub port: Option<(Site, Port)>,
    _memory: Option<Runtime>,
    driver: PathBuf,
    _folder: TempDir,
}

impl Target {
    /// A storage port with `/export`, `/SRL`, the same read-only as `/read-only`, the folder `/inner` of it as
    /// `/inner`, and `/quota` of a customer who may not have much.
    pub fn port() -> Self {
        let site = Site::start();
        let (bytes, files) = (QUOTA.0.to_string(), QUOTA.1.to_string());
        site.add_customer(2, &["--quota-bytes", &bytes, "--quota-files", &files]);
        let settings = PortSettings { more: more_exports(&site), ..PortSettings::default() };
        let port = site.port_with("port", &settings);
        let (nfs, mount) = (port.nfs(), port.mount_address());
        Self { port: Some((site, port)), ..Self::at(nfs, mount) }
    }

    /// The file system in memory, in this process.
    pub fn memory() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let start = Time { seconds: 1_000_000_000, nanos: 0 };
        let filesystem = MemoryFilesystem::new(&["/export", "/SRL"], start);
        let anywhere = || vec![(Ipv4Addr::LOCALHOST, 0).into()];
        let settings =
            Settings { nfs: anywhere(), mount: anywhere(), rpcbind: Rpcbind::Off, ..Settings::default() };
        let server = runtime.block_on(Server::bind(settings)).unwrap();
        let (nfs, mount) = (server.addresses().nfs[0], server.addresses().mount[0]);
        runtime.spawn(server.serve(filesystem.into(), std::future::pending()));
        Self { _memory: Some(runtime), ..Self::at(nfs, mount) }
    }

    fn at(nfs: SocketAddr, mount: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let driver = build_driver(folder.path());
        Self { nfs, mount, port: None, _memory: None, driver, _folder: folder }
    }

    /// A new client of it.
    pub fn client(&self, kind: Kind) -> Box<dyn Client> {
        match kind {
            Kind::Nfs3Client => Box::new(Nfs3Client::new(self.nfs, self.mount)),
            Kind::Libnfs => Box::new(Libnfs::connect(&self.driver, self.nfs, self.mount)),
        }
    }

    /// The storage center's site; panics for a server that has none.
    pub fn site(&self) -> &Site {
        &self.port.as_ref().expect("a case for a storage port").0
    }
}

fn more_exports(site: &Site) -> String {
    format!(
        r#"
[[customer]]
id = 2
secret_file = "{secret}"

[[export]]
path = "/read-only"
tree = "files"
customer = 1
squash = "none"
read_only = true

[[export]]
path = "/quota"
tree = "files"
customer = 2
squash = "none"
"#,
        secret = site.secret_file(2).display()
    )
}
