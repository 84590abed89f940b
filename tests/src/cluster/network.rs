//! The hosts' network: a namespace for each host, and a bridge in a namespace of its own that joins them. Addresses
//! are those of the founding document's example, 10.3.100.x/24, unless a test wants others; nobody else sees them, so
//! clusters never collide.
//!
//! A host has no route but to its own network, and to those behind a [`Wan`](super::wan::Wan); so multicast goes out
//! only where a program names its interface.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::netns::{Entrance, NetworkNamespace};

const BRIDGE: &str = "br0";
/// The table of what the bridge loses.
const TABLE: &str = "loss";

/// The first three bytes of a network's addresses: a /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet(pub [u8; 3]);

/// The network of a cluster that is alone, or of the first of two.
pub const NORTH: Subnet = Subnet([10, 3, 100]);
/// That of the second: the other half of the founding document's example.
pub const SOUTH: Subnet = Subnet([10, 10, 100]);
/// That of a third place.
pub const WEST: Subnet = Subnet([10, 20, 100]);
/// All of them and more.
const EVERY_NETWORK: &str = "10.0.0.0/8";
/// Last byte of a router's addresses.
const ROUTER: u8 = 254;

/// Networks that this process made, for their names.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

impl Subnet {
    /// The address that ends in `last`.
    pub fn address(self, last: u8) -> Ipv4Addr {
        let [first, second, third] = self.0;
        Ipv4Addr::new(first, second, third, last)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.address(0))
    }
}

/// A bridge. Dropped after its hosts, it leaves nothing behind.
pub struct Network {
    name: String,
    bridge: NetworkNamespace,
    subnet: Subnet,
    /// Who knows the way to other networks.
    router: Option<Ipv4Addr>,
}

/// A host at a [`Network`].
pub struct Host {
    namespace: NetworkNamespace,
    address: Ipv4Addr,
    /// Its plug at the bridge.
    plug: String,
}

impl Network {
    /// A network without hosts, with the addresses 10.3.100.x.
    pub fn new(purpose: &str) -> Self {
        Self::at(purpose, NORTH)
    }

    /// A network without hosts, with these addresses.
    pub fn at(purpose: &str, subnet: Subnet) -> Self {
        let name = format!("{purpose}{}", NETWORKS.fetch_add(1, Ordering::Relaxed));
        let bridge = NetworkNamespace::new(&format!("{name}-bridge"));
        let options = ["stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"];
        bridge.run_ok("ip", &[&["link", "add", BRIDGE, "type", "bridge"], &options[..]].concat());
        bridge.run_ok("ip", &["link", "set", BRIDGE, "up"]);
        bridge.run_ok("nft", &["add", "table", "bridge", TABLE]);
        let hook = "{ type filter hook forward priority 0; }";
        bridge.run_ok("nft", &["add", "chain", "bridge", TABLE, "forward", hook]);
        Self { name, bridge, subnet, router: None }
    }

    /// A host whose address ends in `last`.
    pub fn host(&self, last: u8) -> Host {
        let namespace = NetworkNamespace::new(&format!("{}-{last}", self.name));
        let (plug, address) = self.plug_in(&namespace, "eth0", last);
        if let Some(router) = self.router {
            namespace.run_ok("ip", &["route", "add", EVERY_NETWORK, "via", &router.to_string()]);
        }
        Host { namespace, address, plug }
    }

    /// Attaches a host of another network to this one too, with an address of the same last byte.
    pub fn attach(&self, host: &Host) -> Ipv4Addr {
        let [.., last] = host.address.octets();
        self.plug_in(&host.namespace, &format!("eth{}", self.subnet.0[2]), last).1
    }

    /// Has the hosts that are made from now on send what is for other networks to a router.
    pub(super) fn set_router(&mut self, router: &NetworkNamespace, interface: &str) {
        self.router = Some(self.plug_in(router, interface, ROUTER).1);
    }

    /// Its addresses.
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// Joins a namespace to the bridge: the plug, and the address that the interface got.
    fn plug_in(&self, namespace: &NetworkNamespace, interface: &str, last: u8) -> (String, Ipv4Addr) {
        let (plug, address) = (format!("h{last}"), self.subnet.address(last));
        let peer = ["type", "veth", "peer", "name", interface, "netns", namespace.name()];
        self.bridge.run_ok("ip", &[&["link", "add", &plug], &peer[..]].concat());
        self.bridge.run_ok("ip", &["link", "set", &plug, "master", BRIDGE, "up"]);
        namespace.run_ok("ip", &["address", "add", &format!("{address}/24"), "dev", interface]);
        namespace.run_ok("ip", &["link", "set", interface, "up"]);
        (plug, address)
    }

    /// Pulls the plug of a host: what it sends and what is sent to it gets lost, in silence.
    pub fn cut(&self, host: &Host) {
        self.bridge.run_ok("ip", &["link", "set", &host.plug, "down"]);
    }

    /// Puts it back.
    pub fn restore(&self, host: &Host) {
        self.bridge.run_ok("ip", &["link", "set", &host.plug, "up"]);
    }

    /// Loses so many of a hundred multicast packets from now on, for each receiver by itself.
    pub fn lose_multicast(&self, percent: u8) {
        self.bridge.run_ok("nft", &["flush", "chain", "bridge", TABLE, "forward"]);
        if percent > 0 {
            // All of them is no matter of chance, and nft says so.
            let chance =
                if percent < 100 { format!("numgen random mod 100 < {percent}") } else { String::new() };
            let rule = format!("ip daddr 224.0.0.0/4 {chance} counter name lost drop");
            // Made once; a second time does no harm.
            self.bridge.run_ok("nft", &["add", "counter", "bridge", TABLE, "lost"]);
            self.bridge.run_ok("nft", &["add", "rule", "bridge", TABLE, "forward", &rule]);
        }
    }

    /// Multicast packets lost so far.
    pub fn multicast_lost(&self) -> u64 {
        let listed = self.bridge.run_ok("nft", &["list", "counters", "table", "bridge", TABLE]);
        let listed = String::from_utf8(listed).unwrap();
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).map_or(0, |packets| packets.parse().unwrap())
    }
}

impl Host {
    /// Its namespace, for programs that are to run on it.
    pub fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    /// A way in for threads of the test.
    pub fn entrance(&self) -> Entrance {
        self.namespace.entrance()
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// One of its ports.
    pub fn port(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }
}
