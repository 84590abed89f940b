//! Which storage center an address belongs to, and which addresses of different centers are each other's counterparts
//! (Table 6, GEO-2). Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnetwork::IpNetwork;

use crate::config::Mirror;

/// A storage center among those that mirror each other: 0 is this one, the others follow in the order of the
/// configuration.
pub type CenterNumber = usize;

/// This center.
pub const HERE: CenterNumber = 0;

/// All centers. Without a mirror there is one, and every address is in it.
#[derive(Clone, Debug, Default)]
pub struct Centers {
    centers: Vec<Center>,
    /// Where the witness is, which keeps nothing: after the centers.
    witness: Option<(String, IpAddr)>,
}

#[derive(Clone, Debug)]
struct Center {
    name: String,
    networks: Vec<IpNetwork>,
    /// From addresses of this center's.
    overrides: BTreeMap<IpAddr, IpAddr>,
}

impl Centers {
    /// As configured.
    pub fn new(mirror: &Mirror) -> Self {
        let here = Center {
            name: mirror.center.clone(),
            networks: mirror.networks.clone(),
            overrides: BTreeMap::new(),
        };
        let others = mirror.others.iter().map(|other| Center {
            name: other.center.clone(),
            networks: other.networks.clone(),
            overrides: other.overrides.clone(),
        });
        let witness = mirror.witness.as_ref();
        let witness = witness.map(|witness| (witness.center.clone(), witness.listen.ip()));
        Self { centers: [here].into_iter().chain(others).collect(), witness }
    }

    /// How many there are; the witness is none of them.
    pub fn count(&self) -> usize {
        self.centers.len().max(1)
    }

    /// What a center is called, or the witness.
    pub fn name(&self, center: CenterNumber) -> &str {
        let witness = self.witness.as_ref().filter(|_| center == self.centers.len());
        self.centers
            .get(center)
            .map(|center| &center.name)
            .or(witness.map(|(name, _)| name))
            .map_or("", String::as_str)
    }

    /// Where an address is; the witness's is behind the last center. One that is in nobody's network is taken to be here: it
    /// is spoken to as before there was a mirror.
    pub fn of(&self, address: IpAddr) -> CenterNumber {
        let has = |center: &Center| center.networks.iter().any(|network| network.contains(address));
        let is_witness = self.witness.as_ref().is_some_and(|(_, witness)| *witness == address);
        let known = is_witness.then_some(self.centers.len()).or_else(|| self.centers.iter().position(has));
        known.unwrap_or(HERE)
    }

    /// The numbers that addresses are given.
    pub fn places(&self) -> Range<CenterNumber> {
        HERE..self.count() + usize::from(self.witness.is_some())
    }

    /// The counterpart in a center of an address in any: the same host in the network with the same number, unless an
    /// override says otherwise. `None` for an address that is in no network.
    pub fn counterpart(&self, address: IpAddr, center: CenterNumber) -> Option<IpAddr> {
        let here = self.to_here(address)?;
        if center == HERE {
            return Some(here);
        }
        let there = self.centers.get(center)?;
        match there.overrides.get(&here) {
            Some(counterpart) => Some(*counterpart),
            None => moved(here, &self.centers.first()?.networks, &there.networks),
        }
    }

    fn to_here(&self, address: IpAddr) -> Option<IpAddr> {
        let center = self.centers.get(self.of(address))?;
        let overridden = center.overrides.iter().find(|(_, counterpart)| **counterpart == address);
        match overridden {
            Some((here, _)) => Some(*here),
            None => moved(address, &center.networks, &self.centers.first()?.networks),
        }
    }
}

/// The address with the subnet portion of its network exchanged for that of the network with the same number.
fn moved(address: IpAddr, from: &[IpNetwork], to: &[IpNetwork]) -> Option<IpAddr> {
    let number = from.iter().position(|network| network.contains(address))?;
    match (address, to.get(number)?) {
        (IpAddr::V4(address), IpNetwork::V4(to)) => {
            let mask = to.mask().to_bits();
            Some(Ipv4Addr::from_bits(to.network().to_bits() & mask | address.to_bits() & !mask).into())
        }
        (IpAddr::V6(address), IpNetwork::V6(to)) => {
            let mask = to.mask().to_bits();
            Some(Ipv6Addr::from_bits(to.network().to_bits() & mask | address.to_bits() & !mask).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centers() -> Centers {
        let mirror = r#"
            center = "north"
            networks = ["10.3.100.0/24", "fd00:3::/64"]
            certificate = "c"
            key = "k"
            authority = "a"
            first_writer = "north"
            witness = { center = "east", listen = "10.30.100.1:7400" }
            [[other]]
            center = "south"
            networks = ["10.10.100.0/24", "fd00:10::/64"]
            peers = ["10.10.100.1:7400"]
            overrides = { "10.3.100.7" = "10.10.100.70" }
            [[other]]
            center = "west"
            networks = ["10.20.100.0/24", "fd00:20::/64"]
            peers = ["10.20.100.1:7400"]
        "#;
        Centers::new(&toml::from_str(mirror).unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// GEO-2: the example of the founding document, IPv6, overrides both ways, and between two other centers.
    #[test]
    fn counterparts_differ_in_their_subnets() {
        let centers = centers();
        for (address, center, counterpart) in [
            ("10.3.100.1", 1, Some("10.10.100.1")),
            ("10.10.100.1", 0, Some("10.3.100.1")),
            ("10.3.100.1", 0, Some("10.3.100.1")),
            ("fd00:3::5", 1, Some("fd00:10::5")),
            ("10.3.100.7", 1, Some("10.10.100.70")),
            ("10.10.100.70", 0, Some("10.3.100.7")),
            ("10.10.100.70", 2, Some("10.20.100.7")),
            ("10.20.100.7", 1, Some("10.10.100.70")),
            ("10.4.100.1", 1, None),
            ("10.30.100.1", 1, None),
            ("10.3.100.1", 3, None),
        ] {
            assert_eq!(
                centers.counterpart(ip(address), center),
                counterpart.map(ip),
                "{address} in {center}"
            );
        }
    }

    /// GEO-1: an address tells its center; without a mirror there is one center.
    #[test]
    fn addresses_tell_their_center() {
        let centers = centers();
        let of = |address| centers.of(ip(address));
        assert_eq!([of("10.3.100.9"), of("10.10.100.9"), of("fd00:20::9"), of("192.0.2.1")], [0, 1, 2, 0]);
        assert_eq!((centers.count(), centers.name(1), centers.name(2)), (3, "south", "west"));
        assert_eq!((of("10.30.100.1"), of("10.30.100.2"), centers.name(3)), (3, HERE, "east"), "the witness");
        assert_eq!(centers.places(), 0..4);
        let alone = Centers::default();
        assert_eq!((alone.count(), alone.of(ip("10.10.100.9"))), (1, HERE));
    }
}
