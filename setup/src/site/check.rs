//! What no single value of a site file shows. Pure.

use std::net::IpAddr;

use super::{Pair, Role, Site, Tree, WanAddress};
use crate::fault::Fault;
use crate::words::{Host, Interface};

/// Most floating addresses of a pair, and most hosts that always answer.
const ADDRESSES_MAX: usize = 16;
const REFERENCES_MAX: usize = 4;

/// Adds what is wrong to `faults`.
pub(super) fn check(site: &Site, faults: &mut Vec<Fault>) {
    nics(site, faults);
    networks(site, faults);
    gateway("lan", site.lan.address, site.lan.gateway, faults);
    if let WanAddress::Fixed { address, gateway: router } = site.wan.address {
        gateway("wan", address, router, faults);
    }
    names(site, faults);
    exports(site, faults);
    if let Some(pair) = &site.pair {
        peer(site, pair, faults);
        floating(site, pair, faults);
        references(pair, faults);
    }
    advanced(site, faults);
}

/// One NIC cannot be two.
fn nics(site: &Site, faults: &mut Vec<Fault>) {
    let nics = site.nics();
    for (place, (role, nic)) in nics.iter().enumerate() {
        if let Some((other, _)) = nics[..place].iter().find(|(_, other)| other == nic) {
            let other = other.as_str();
            let text =
                format!("{nic} is that of [{other}] as well: each of the roles needs a NIC of its own");
            faults.push(Fault::new(role.as_str(), "nic", text));
        }
    }
}

/// That two networks are one, in words.
pub(crate) fn overlap(network: Interface, other: Role, taken: Interface) -> String {
    format!(
        "{} overlaps {} of [{}], so packets would take the wrong NIC: give each its own network",
        network.network(),
        taken.network(),
        other.as_str()
    )
}

/// A packet has one way.
fn networks(site: &Site, faults: &mut Vec<Fault>) {
    let mut networks = vec![(Role::Lan, site.lan.address)];
    if let WanAddress::Fixed { address, .. } = site.wan.address {
        networks.push((Role::Wan, address));
    }
    networks.extend(site.pair.as_ref().map(|pair| (Role::Heartbeat, pair.heartbeat)));
    for (place, (role, network)) in networks.iter().enumerate() {
        for (other, taken) in networks[..place].iter().filter(|(_, other)| network.overlaps(*other)) {
            faults.push(Fault::new(role.as_str(), "address", overlap(*network, *other, *taken)));
        }
    }
}

/// Why `router` cannot be that of a port with the address `own`.
pub(crate) fn no_gateway(own: Interface, router: IpAddr) -> Option<String> {
    if router == own.ip() {
        return Some(format!("{router} is this port's own address: give the router's"));
    }
    (!own.reaches(router) || own.is_reserved(router))
        .then(|| format!("{router} is no host of {}: give the router's address there", own.network()))
}

fn gateway(table: &str, own: Interface, router: Option<IpAddr>, faults: &mut Vec<Fault>) {
    let fault = router.and_then(|router| no_gateway(own, router));
    faults.extend(fault.map(|text| Fault::new(table, "gateway", text)));
}

/// A name is of no use where nobody knows it.
fn names(site: &Site, faults: &mut Vec<Fault>) {
    if site.wan.address == WanAddress::Dhcp || !site.wan.dns.is_empty() {
        return;
    }
    let urls = site.center.ddm.iter().chain(&site.center.dosm);
    let first = urls.map(|url| url.host()).chain(&site.ntp).find(|host| Host::is_name(host));
    if let Some(name) = first {
        let text = format!(
            "missing, so {name} cannot be looked up: write dns = [\"198.51.100.53\"], or addresses alone"
        );
        faults.push(Fault::new("wan", "dns", text));
    }
}

/// The port asks itself whether it serves, from its own address on the LAN.
fn exports(site: &Site, faults: &mut Vec<Fault>) {
    let own = site.lan.address.ip();
    let admits = |export: &super::Export| {
        export.allowed.is_empty() || export.allowed.iter().any(|network| network.contains(own))
    };
    if !site.exports.iter().any(admits) {
        let text = format!(
            "no export lets this port's own address {own} in, by which it finds out whether it serves: add it to \
             `allowed` of one"
        );
        faults.push(Fault::at("[[export]] allowed", text));
    }
    for export in &site.exports {
        if export.tree == Tree::Srl && export.versions == Some(true) {
            let place = format!("[[export]] {} versions", export.path);
            let text = "there are versions of files alone: leave the key out, or write tree = \"files\"";
            faults.push(Fault::at(place, text));
        }
    }
}

/// Why `peer` cannot be the other port's address where this one has `own`.
pub(crate) fn no_peer(role: Role, own: Interface, peer: IpAddr) -> Option<String> {
    let table = role.as_str();
    if peer == own.ip() {
        return Some(format!("{peer} is this port's own address in [{table}]: give the other port's"));
    }
    (!own.reaches(peer) || own.is_reserved(peer)).then(|| {
        let network = own.network();
        format!(
            "{peer} is no host of {network}, the network of [{table}]: give the other port's address there"
        )
    })
}

fn peer(site: &Site, pair: &Pair, faults: &mut Vec<Fault>) {
    let sides = [
        ("peer_lan", no_peer(Role::Lan, site.lan.address, pair.peer_lan)),
        ("peer_heartbeat", no_peer(Role::Heartbeat, pair.heartbeat, pair.peer_heartbeat)),
    ];
    faults.extend(sides.into_iter().filter_map(|(key, text)| Some(Fault::new("pair", key, text?))));
}

/// Why the two ports of a pair cannot share `address`.
pub(crate) fn no_floating(own: Interface, router: Option<IpAddr>, address: Interface) -> Option<String> {
    let ip = address.ip();
    let free = "give one that nobody has, for the two ports to share";
    if ip == own.ip() {
        return Some(format!("{ip} is this port's own address in [lan]: {free}"));
    }
    if router == Some(ip) {
        return Some(format!("{ip} is the router's: {free}"));
    }
    (address.network() != own.network()).then(|| {
        let network = own.network();
        format!(
            "{address} is not in the LAN's network {network}: give a free address there, with the same length"
        )
    })
}

fn floating(site: &Site, pair: &Pair, faults: &mut Vec<Fault>) {
    let mut tell = |text: String| faults.push(Fault::new("pair", "addresses", text));
    if pair.addresses.len() > ADDRESSES_MAX {
        tell(format!("more than {ADDRESSES_MAX}: remove some"));
    }
    for (place, address) in pair.addresses.iter().enumerate() {
        let ip = address.ip();
        if let Some(text) = no_floating(site.lan.address, site.lan.gateway, *address) {
            tell(text);
        }
        let taken = [
            (ip == pair.peer_lan, "the other port's own address"),
            (pair.reference.contains(&ip), "one of `reference`"),
            (pair.addresses[..place].iter().any(|other| other.ip() == ip), "there twice"),
        ];
        for (_, whose) in taken.iter().filter(|(is_taken, _)| *is_taken) {
            tell(format!("{ip} is {whose}: give one that nobody has, for the two ports to share"));
        }
    }
}

fn references(pair: &Pair, faults: &mut Vec<Fault>) {
    if pair.reference.len() > REFERENCES_MAX {
        faults.push(Fault::new("pair", "reference", format_args!("more than {REFERENCES_MAX}: remove some")));
    }
    for reference in &pair.reference {
        if !pair.addresses.iter().any(|address| address.reaches(*reference)) {
            let text = format!(
                "{reference} is not on the LAN: give a router or another host there that always answers"
            );
            faults.push(Fault::new("pair", "reference", text));
        } else if *reference == pair.peer_lan {
            let text =
                format!("{reference} is the other port, which is heard anyway: give a third host, or nobody");
            faults.push(Fault::new("pair", "reference", text));
        }
    }
}

/// What the machine is built around, or what the site file says in another place.
const RESERVED: [(&str, &str); 9] = [
    ("state", "dir"),
    ("journal", "dir"),
    ("cache", "disk"),
    ("customer", ""),
    ("export", ""),
    ("pair", "key_file"),
    ("pair", "certificate_file"),
    ("pair", "certificate_key_file"),
    ("pair", "ca_file"),
];
const RESERVED_JUDGE: [(&str, &str); 4] =
    [("state", "dir"), ("port", "state_dir"), ("pair", "key_file"), ("center", "secret_file")];

fn advanced(site: &Site, faults: &mut Vec<Fault>) {
    let tables = [
        ("storage-port", &site.advanced.port, &RESERVED[..]),
        ("port-failover", &site.advanced.judge, &RESERVED_JUDGE[..]),
    ];
    for (daemon, table, reserved) in tables {
        for (name, key) in reserved {
            let below = table.get(*name);
            let is_there = match key {
                &"" => below.is_some(),
                key => below.and_then(|below| below.get(key)).is_some(),
            };
            if is_there {
                let text =
                    "is not for [advanced] to say: it follows from the disks, or from the rest of this file";
                faults.push(Fault::new(&format!("advanced.{daemon}.{name}"), key, text));
            }
        }
    }
    if site.pair.is_none() && !site.advanced.judge.is_empty() {
        faults.push(Fault::new(
            "advanced.port-failover",
            "",
            "is for a port of a pair: remove it, or add [pair]",
        ));
    }
}
