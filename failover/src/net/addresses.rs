//! The floating addresses on the LAN interface, each with a lifetime at whose end the kernel removes it by itself.
//!
//! The lifetime is the last of the three things that take the addresses from a judge that has stopped: the fence shuts
//! within the lease, the kernel removes the addresses within `valid` and a second more (it looks after lifetimes once a
//! second), and then there is the watchdog. Where there is no nftables it is the first.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::Interface;
use super::netlink::{Netlink, ROUTE};

/// Why the addresses cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} the floating address {address}: {error}")]
pub struct AddressError {
    doing: &'static str,
    address: IpNetwork,
    error: io::Error,
}

/// The floating addresses of a pair on this machine.
#[derive(Debug)]
pub struct Addresses {
    netlink: Netlink,
    interface: u32,
    floating: Vec<IpNetwork>,
}

impl Addresses {
    /// Those on this interface. Nothing is changed; [`Addresses::drop_all`] removes what an earlier judge may have
    /// left.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(interface: &Interface, floating: Vec<IpNetwork>) -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open(ROUTE, 0)?, interface: interface.index, floating })
    }

    /// Adds them, or renews those that are there, for `valid` from now on, in whole seconds and at least one.
    ///
    /// # Errors
    /// The kernel refuses; the others may be there.
    pub fn hold(&mut self, valid: Duration) -> Result<(), AddressError> {
        let seconds = u32::try_from(valid.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        for &address in &self.floating {
            let wish = RouteNetlinkMessage::NewAddress(message(self.interface, address, seconds));
            self.netlink.ask(wish, NLM_F_CREATE | NLM_F_REPLACE).map_err(|error| AddressError {
                doing: "add",
                address,
                error,
            })?;
        }
        Ok(())
    }

    /// Removes those that are there.
    ///
    /// # Errors
    /// The kernel refuses to remove one; the others are gone.
    pub fn drop_all(&mut self) -> Result<(), AddressError> {
        let mut outcome = Ok(());
        for &address in &self.floating {
            let wish = RouteNetlinkMessage::DelAddress(message(self.interface, address, 0));
            match self.netlink.ask(wish, 0) {
                Ok(_) => {}
                // The interface itself may be gone: then the address is too.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => {}
                Err(error) => outcome = Err(AddressError { doing: "remove", address, error }),
            }
        }
        outcome
    }

    /// Those that are there now.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn held(&mut self) -> io::Result<Vec<IpNetwork>> {
        let all = self.netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        let here = all.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(found) if found.header.index == self.interface => Some(found),
            _ => None,
        });
        let addresses: Vec<IpAddr> = here.filter_map(address_of).collect();
        Ok(self.floating.iter().copied().filter(|floating| addresses.contains(&floating.ip())).collect())
    }
}

pub(super) fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    // Of IPv4 the own address is the local one; IPv6 has but the other where there is no peer.
    let of = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
    of(|attribute| if let AddressAttribute::Local(address) = attribute { Some(*address) } else { None })
        .or_else(|| {
            of(
                |attribute| {
                    if let AddressAttribute::Address(address) = attribute { Some(*address) } else { None }
                },
            )
        })
}

fn message(interface: u32, address: IpNetwork, seconds: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = interface;
    message.header.prefix_len = address.prefix();
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = seconds;
    message.attributes = vec![AddressAttribute::Local(address.ip()), AddressAttribute::Address(address.ip())];
    match address {
        IpNetwork::V4(_) => {
            message.header.family = AddressFamily::Inet;
            lifetime.ifa_preferred = seconds;
        }
        IpNetwork::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            // It is not for connections that this machine opens by itself, which would not survive a move: with a
            // preferred lifetime of zero the kernel takes it as source only where a socket is bound to it. And the
            // kernel's own duplicate detection would keep it silent for a second; ours has been done by then.
            lifetime.ifa_preferred = 0;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    message
}
