//! What a pair stands on: the networks, the storage center behind the WAN, a client and an observer on the LAN.

use std::net::SocketAddr;

use super::networks::{Host, Link, Networks};
use crate::qemu::guest::Guest;
use crate::site::Site;

/// Where the storage center serves.
const CENTER_PORT: u16 = 8080;
/// Last bytes of addresses.
const CENTER: u8 = 10;
const CLIENT: u8 = 211;
const OBSERVER: u8 = 212;

/// Dropped after its pairs, it leaves nothing behind.
pub struct Ground {
    /// The storage center, with customer 1.
    pub site: Site,
    /// Where the center runs.
    pub center: Host,
    /// Where clients run.
    pub client: Host,
    /// Where the question runs who has the address.
    pub observer: Host,
    /// What joins them.
    pub networks: Networks,
}

impl Ground {
    /// Makes the networks and starts the storage center.
    pub fn new(purpose: &str) -> Self {
        let networks = Networks::new(purpose);
        let center = networks.host("center", CENTER, &[Link::Wan]);
        let client = networks.host("client", CLIENT, &[Link::Lan]);
        let observer = networks.host("observer", OBSERVER, &[Link::Lan]);
        let address = SocketAddr::from((center.address(Link::Wan), CENTER_PORT));
        let site = Site::start_at(Some(center.namespace().name()), address);
        Self { site, center, client, observer, networks }
    }

    /// Boots a guest on the LAN; its number makes its address, see [`Guest::boot`].
    pub fn boot(&self, number: u8) -> Guest {
        let tap = format!("tap{number}");
        let hub = self.networks.hub();
        hub.run_ok("ip", &["tuntap", "add", "dev", &tap, "mode", "tap"]);
        hub.run_ok("ip", &["link", "set", &tap, "master", Link::Lan.interface(), "up"]);
        Guest::boot(hub, self.site.path(), number, &tap)
    }
}
