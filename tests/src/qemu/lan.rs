//! A network of the test's own: a namespace with a bridge, at which the storage port and the guests stand.

use std::net::Ipv4Addr;
use std::thread;

use tempfile::TempDir;

use super::guest::Guest;
use crate::netns::NetworkNamespace;
use crate::site::{Port, PortSettings, Site};

/// The host's own address at the bridge (RFC 5737's first network for examples): the storage port's.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BRIDGE: &str = "br0";

/// The network. Dropped after its guests, it leaves nothing behind.
pub struct Lan {
    namespace: NetworkNamespace,
    dir: TempDir,
}

impl Lan {
    /// A network without guests.
    pub fn new(purpose: &str) -> Self {
        let namespace = NetworkNamespace::new(purpose);
        let address = format!("{SERVER}/24");
        namespace.run_ok("ip", &["link", "add", BRIDGE, "type", "bridge"]);
        namespace.run_ok("ip", &["address", "add", &address, "dev", BRIDGE]);
        namespace.run_ok("ip", &["link", "set", BRIDGE, "up"]);
        let dir = tempfile::Builder::new().prefix("storage-port-guests-").tempdir().unwrap();
        Self { namespace, dir }
    }

    /// The namespace, for programs that are to run at the server's address.
    pub fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    /// A storage center and a storage port at [`SERVER`], with rpcbind and the well-known ports.
    pub fn serve(&self, settings: PortSettings) -> (Site, Port) {
        let site = Site::start_in(Some(self.namespace.name()));
        let settings = PortSettings { rpcbind: "serve", address: Some(SERVER.into()), ..settings };
        let port = site.port_with("port", &settings);
        (site, port)
    }

    /// Boots a guest. Its number (1 to 99) makes its name (`client1`) and address (`192.0.2.11`).
    pub fn boot(&self, number: u8) -> Guest {
        let tap = format!("tap{number}");
        self.namespace.run_ok("ip", &["tuntap", "add", "dev", &tap, "mode", "tap"]);
        self.namespace.run_ok("ip", &["link", "set", &tap, "master", BRIDGE, "up"]);
        Guest::boot(&self.namespace, self.dir.path(), number, &tap)
    }

    /// Boots the guests 1 to `N` at once.
    pub fn boot_all<const N: usize>(&self) -> [Guest; N] {
        thread::scope(|scope| {
            let booting: [_; N] = std::array::from_fn(|index| {
                let number = u8::try_from(index + 1).unwrap();
                scope.spawn(move || self.boot(number))
            });
            booting.map(|guest| guest.join().expect("the guest boots"))
        })
    }
}
