//! All network interfaces of this machine with their addresses, for whoever looks for a mistake in its set-up.

use std::io;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use pnet_base::MacAddr;

use super::addresses::address_of;
use super::netlink::{Netlink, ROUTE};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the kernel calls it.
    pub name: String,
    /// Its own address on the link, if it has one of Ethernet's kind.
    pub mac: Option<MacAddr>,
    /// Somebody has switched it on.
    pub is_up: bool,
    /// The other end of the cable answers.
    pub has_carrier: bool,
    /// Longest packet, in bytes without the link's own header.
    pub mtu: u32,
    /// Its addresses, each with the length of its network's prefix.
    pub addresses: Vec<IpNetwork>,
}

impl Seen {
    /// Whether it has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.ip() == address)
    }
}

/// Those of the calling thread's network namespace, in the kernel's order.
///
/// # Errors
/// The kernel does not say.
pub fn list() -> io::Result<Vec<Seen>> {
    let mut kernel = Netlink::open(ROUTE, 0)?;
    let links = kernel.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let addresses = kernel.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let of = |index: u32| {
        let here = addresses.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(address) if address.header.index == index => Some(address),
            _ => None,
        });
        here.filter_map(|found| IpNetwork::new(address_of(found)?, found.header.prefix_len).ok()).collect()
    };
    let seen = links.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => seen(link, of(link.header.index)),
        _ => None,
    });
    Ok(seen.collect())
}

fn seen(link: &LinkMessage, addresses: Vec<IpNetwork>) -> Option<Seen> {
    let flags = link.header.flags;
    let mut name = None;
    let (mut mac, mut mtu) = (None, 0);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(own) => name = Some(own.clone()),
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            LinkAttribute::Address(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr::from);
            }
            _ => {}
        }
    }
    Some(Seen {
        name: name?,
        mac,
        is_up: flags.contains(LinkFlags::Up),
        has_carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        mtu,
        addresses,
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_loopback_has_its_address() {
        let seen = list().unwrap();
        let loopback = seen.iter().find(|interface| interface.name == "lo").unwrap();
        assert!(
            loopback.is_up && loopback.mtu >= 1280 && loopback.has(Ipv4Addr::LOCALHOST.into()),
            "{seen:?}"
        );
        assert!(!loopback.has(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}
