//! The pair's three networks: a namespace with a bridge each for LAN, WAN and heartbeat, and the hosts at them.
//!
//! What goes wrong with a network goes wrong here, at the bridges: a plug without carrier, a plug whose frames are lost
//! in silence, a way between two plugs that loses them, a switch that filters gratuitous ARP. What is lost is said in
//! one `nft` transaction, so that all links of a host are silent at once.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::netns::NetworkNamespace;

/// The table of what the bridges lose.
const TABLE: &str = "loss";
/// The last byte of the hub's own address at the LAN: somebody who always answers, as a site's router does.
pub const REFERENCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// Networks that this process made, for their names.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// One of the three networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// The clients', 192.0.2.0/24 and 2001:db8::/64.
    Lan,
    /// To the storage center, 10.98.0.0/24.
    Wan,
    /// Between the ports, 10.99.0.0/24.
    Heartbeat,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lan, Self::Wan, Self::Heartbeat];

    /// The name of the bridge, and of the hosts' interfaces at it.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Heartbeat => "hb",
        }
    }

    /// The address that ends in `last`.
    pub fn address(self, last: u8) -> Ipv4Addr {
        match self {
            Self::Lan => Ipv4Addr::new(192, 0, 2, last),
            Self::Wan => Ipv4Addr::new(10, 98, 0, last),
            Self::Heartbeat => Ipv4Addr::new(10, 99, 0, last),
        }
    }
}

/// The bridges. Dropped after its hosts, it leaves nothing behind.
pub struct Networks {
    name: String,
    hub: NetworkNamespace,
}

/// A host at some of the networks; its address ends with the same byte in each, and so does its link-layer address.
pub struct Host {
    namespace: NetworkNamespace,
    name: String,
    last: u8,
}

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{}", parts.join(":"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Networks {
    /// Three bridges without hosts.
    pub fn new(purpose: &str) -> Self {
        let name = format!("{purpose}{}", NETWORKS.fetch_add(1, Ordering::Relaxed));
        let hub = NetworkNamespace::new(&format!("{name}-hub"));
        for link in Link::ALL {
            let options = ["stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"];
            let bridge = link.interface();
            hub.run_ok("ip", &[&["link", "add", bridge, "type", "bridge"], &options[..]].concat());
            hub.run_ok("ip", &["link", "set", bridge, "up"]);
        }
        hub.run_ok("ip", &["address", "add", &format!("{REFERENCE}/24"), "dev", Link::Lan.interface()]);
        let networks = Self { name, hub };
        networks.nft(&format!(
            "add table bridge {TABLE}
             add set bridge {TABLE} silent {{ type ifname; }}
             add set bridge {TABLE} parted {{ type ifname . ifname; }}
             add chain bridge {TABLE} come {{ type filter hook prerouting priority 0; }}
             add rule bridge {TABLE} come iifname @silent drop
             add chain bridge {TABLE} pass {{ type filter hook forward priority 0; }}
             add rule bridge {TABLE} pass iifname . oifname @parted drop
             add chain bridge {TABLE} leave {{ type filter hook postrouting priority 0; }}
             add rule bridge {TABLE} leave oifname @silent drop
             add chain bridge {TABLE} gratuitous
             add rule bridge {TABLE} pass jump gratuitous"
        ));
        networks
    }

    /// A host with these links.
    pub fn host(&self, name: &str, last: u8, links: &[Link]) -> Host {
        let namespace = NetworkNamespace::new(&format!("{}-{name}", self.name));
        let host = Host { namespace, name: name.to_owned(), last };
        for &link in links {
            let (plug, interface) = (host.plug(link), link.interface());
            let mac = host.mac(link).to_string();
            let peer =
                ["type", "veth", "peer", "name", interface, "address", &mac, "netns", host.namespace.name()];
            self.hub.run_ok("ip", &[&["link", "add", &plug], &peer[..]].concat());
            self.hub.run_ok("ip", &["link", "set", &plug, "master", interface, "up"]);
            let address = format!("{}/24", link.address(last));
            host.namespace.run_ok("ip", &["address", "add", &address, "dev", interface]);
            if link == Link::Lan {
                let address = format!("2001:db8::{last:x}/64");
                host.namespace.run_ok("ip", &["address", "add", &address, "dev", interface, "nodad"]);
            }
            host.namespace.run_ok("ip", &["link", "set", interface, "up"]);
        }
        host
    }

    /// The namespace of the bridges, for guests at the LAN.
    pub fn hub(&self) -> &NetworkNamespace {
        &self.hub
    }

    /// Takes the carrier from a host's interface, as if the cable was drawn.
    pub fn unplug(&self, host: &Host, link: Link) {
        self.hub.run_ok("ip", &["link", "set", &host.plug(link), "down"]);
    }

    /// Puts the cable back.
    pub fn plug_in(&self, host: &Host, link: Link) {
        self.hub.run_ok("ip", &["link", "set", &host.plug(link), "up"]);
    }

    /// Loses every frame from and to a host on these links, all from the same moment; the carrier stays.
    pub fn silence(&self, host: &Host, links: &[Link]) {
        self.nft(&format!("add element bridge {TABLE} silent {{ {} }}", host.plugs(links)));
    }

    /// Ends [`silence`](Self::silence).
    pub fn unsilence(&self, host: &Host, links: &[Link]) {
        self.nft(&format!("delete element bridge {TABLE} silent {{ {} }}", host.plugs(links)));
    }

    /// Loses what two hosts send each other on these links; others are heard as before.
    pub fn part(&self, one: &Host, other: &Host, links: &[Link]) {
        self.nft(&format!("add element bridge {TABLE} parted {{ {} }}", ways(one, other, links)));
    }

    /// Ends [`part`](Self::part).
    pub fn unpart(&self, one: &Host, other: &Host, links: &[Link]) {
        self.nft(&format!("delete element bridge {TABLE} parted {{ {} }}", ways(one, other, links)));
    }

    /// Has the LAN's switch filter gratuitous ARP for this address, as some do; or filter no more.
    pub fn filter_gratuitous(&self, address: Ipv4Addr, is_filtered: bool) {
        self.nft(&format!("flush chain bridge {TABLE} gratuitous"));
        if is_filtered {
            self.nft(&format!(
                "add rule bridge {TABLE} gratuitous arp saddr ip {address} arp daddr ip {address} drop"
            ));
        }
    }

    fn nft(&self, script: &str) {
        // One transaction, however many lines.
        self.hub.run_ok("nft", &[script]);
    }
}

impl Host {
    /// Its namespace, for programs that are to run on it.
    pub fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    /// Its address on a link.
    pub fn address(&self, link: Link) -> Ipv4Addr {
        link.address(self.last)
    }

    /// Its link-layer address there.
    pub fn mac(&self, link: Link) -> Mac {
        Mac([2, 0, 0, 0, link as u8, self.last])
    }

    /// The bridge's end of its cable.
    fn plug(&self, link: Link) -> String {
        format!("{}-{}", self.name, link.interface())
    }

    fn plugs(&self, links: &[Link]) -> String {
        links.iter().map(|link| self.plug(*link)).collect::<Vec<_>>().join(", ")
    }
}

fn ways(one: &Host, other: &Host, links: &[Link]) -> String {
    let ways = links.iter().map(|link| {
        let (one, other) = (one.plug(*link), other.plug(*link));
        format!("{one} . {other}, {other} . {one}")
    });
    ways.collect::<Vec<_>>().join(", ")
}
