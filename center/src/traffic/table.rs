//! Which center a client belongs to. Pure.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::outbound::WebUrl;

/// A storage center, as others send requests to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Center {
    /// What it is called.
    pub name: String,
    /// Where SRLs begin.
    pub url: WebUrl,
    /// Networks of clients that are near to it.
    #[serde(default)]
    pub networks: Vec<IpNetwork>,
    /// Where it tells its health; at its URL by default.
    pub health: Option<WebUrl>,
}

impl Center {
    /// Where it tells its health.
    pub fn health_url(&self) -> WebUrl {
        let usual = || WebUrl { target: "/health".to_string(), ..self.url.clone() };
        self.health.clone().unwrap_or_else(usual)
    }
}

/// From which on a center takes nothing new, in percent.
const FULL_PERCENT: u32 = 100;

/// All centers, and which of them this is.
#[derive(Debug)]
pub struct Table {
    centers: Vec<Center>,
    here: usize,
    /// Networks with their centers: longer before shorter, of the same length this center's before others', others' in
    /// the order of the centers.
    networks: Vec<(IpNetwork, usize)>,
}

impl Table {
    /// `here` is the index of this center.
    pub fn new(centers: Vec<Center>, here: usize) -> Self {
        let numbered = centers.iter().enumerate();
        let mut networks: Vec<(IpNetwork, usize)> = numbered
            .flat_map(|(center, of)| of.networks.iter().map(move |network| (*network, center)))
            .collect();
        networks.sort_by_key(|(network, center)| (Reverse(network.prefix()), *center != here, *center));
        Self { centers, here, networks }
    }

    /// All of them.
    pub fn centers(&self) -> &[Center] {
        &self.centers
    }

    /// The index of this one.
    pub const fn here(&self) -> usize {
        self.here
    }

    /// The center that should serve a client; `None` for this one. A center is the nearer, the longer its network is
    /// that the client is in; one that has no such network is farther than any that has, and of those this one is
    /// nearest. The nearest that is well and not full serves, and if there is none, this one.
    ///
    /// `load` tells how busy a center is, in percent of what it takes; `None` if it is not to be sent anything.
    pub fn choose(&self, client: IpAddr, load: impl Fn(usize) -> Option<u32>) -> Option<&Center> {
        let near = self.networks.iter().filter(|(network, _)| network.contains(client));
        let far = std::iter::once(self.here).chain(0..self.centers.len());
        let is_able = |center: &usize| load(*center).is_some_and(|percent| percent < FULL_PERCENT);
        let chosen = near.map(|(_, center)| *center).chain(far).find(is_able)?;
        if chosen == self.here { None } else { self.centers.get(chosen) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    const WELL: Option<u32> = Some(0);
    const FULL: Option<u32> = Some(100);
    const AWAY: Option<u32> = None;

    fn table(networks: &[&[&str]], here: usize) -> Table {
        let centers = networks.iter().enumerate().map(|(number, networks)| Center {
            name: number.to_string(),
            url: format!("http://{number}.example").parse().unwrap(),
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            health: None,
        });
        Table::new(centers.collect(), here)
    }

    /// The index of the center that serves.
    fn serving(table: &Table, client: &str, loads: &[Option<u32>]) -> usize {
        let chosen = table.choose(client.parse().unwrap(), |center| loads[center]);
        chosen.map_or(table.here(), |center| center.name.parse().unwrap())
    }

    /// SYS-13: requests go to the nearest center, and from one that is full or away to the next closest.
    #[test]
    fn the_nearest_center_that_can_serves() {
        let networks: [&[&str]; 3] = [
            &["10.0.0.0/8", "2001:db8::/32"],
            &["10.1.0.0/16", "0.0.0.0/0"],
            &["10.1.2.0/24", "192.0.2.7/32"],
        ];
        for here in 0..3 {
            let table = table(&networks, here);
            for (client, loads, center) in [
                ("10.1.2.3", [WELL, WELL, WELL], 2),
                ("10.1.2.3", [WELL, WELL, FULL], 1),
                ("10.1.2.3", [WELL, WELL, AWAY], 1),
                ("10.1.2.3", [WELL, FULL, AWAY], 0),
                ("10.1.2.3", [WELL, Some(99), Some(101)], 1),
                ("10.1.2.3", [AWAY, AWAY, Some(99)], 2),
                ("10.1.3.3", [WELL, WELL, WELL], 1),
                ("10.2.3.3", [WELL, WELL, WELL], 0),
                ("10.2.3.3", [FULL, WELL, WELL], 1),
                ("10.2.3.3", [FULL, FULL, WELL], 2),
                ("192.0.2.7", [WELL, WELL, WELL], 2),
                ("192.0.2.8", [WELL, WELL, WELL], 1),
                ("2001:db8::1", [WELL, WELL, WELL], 0),
            ] {
                assert_eq!(serving(&table, client, &loads), center, "at {here}: {client} {loads:?}");
            }
            assert_eq!(serving(&table, "2001:db9::1", &[WELL; 3]), here, "near to none");
            assert_eq!(serving(&table, "10.1.2.3", &[FULL; 3]), here, "all are full");
            assert_eq!(serving(&table, "10.1.2.3", &[AWAY; 3]), here, "all are away");
        }
    }

    #[test]
    fn as_near_as_another_this_center_serves() {
        for here in 0..2 {
            let table = table(&[&["10.0.0.0/8"], &["10.0.0.0/8"]], here);
            assert_eq!(serving(&table, "10.1.2.3", &[WELL; 2]), here);
            let mut loads = [WELL; 2];
            loads[here] = FULL;
            assert_eq!(serving(&table, "10.1.2.3", &loads), 1 - here);
        }
        assert_eq!(serving(&table(&[&[], &[]], 1), "10.1.2.3", &[WELL, FULL]), 0, "without any network");
        assert_eq!(serving(&table(&[&[]], 0), "10.1.2.3", &[FULL]), 0, "the only one");
    }

    /// Few bits, so that networks and clients meet.
    fn address() -> impl Strategy<Value = IpAddr> {
        let bits = any::<u8>().prop_map(|bits| u32::from(bits) << 24 | u32::from(bits & 3));
        prop_oneof![
            bits.clone().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
            bits.prop_map(|bits| Ipv6Addr::from_bits(u128::from(bits) << 96).into()),
        ]
    }

    fn network() -> impl Strategy<Value = IpNetwork> {
        (address(), prop_oneof![0..=9u8, 30..=32u8])
            .prop_map(|(address, prefix)| IpNetwork::new(address, prefix).unwrap())
    }

    /// How many bits of a network and an address are the same, if the network has the address.
    fn matching(network: &IpNetwork, client: IpAddr) -> Option<u8> {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (4, u128::from(address.to_bits()) << 96),
            IpAddr::V6(address) => (6, address.to_bits()),
        };
        let ((version, network_bits), (client_version, client_bits)) = (bits(network.ip()), bits(client));
        let same = (network_bits ^ client_bits).leading_zeros();
        (version == client_version && same >= u32::from(network.prefix())).then_some(network.prefix())
    }

    proptest! {
        /// GEO-10: the longest prefix wins, whatever the table; against a plain reading of the rule.
        #[test]
        fn the_longest_prefix_wins(
            networks in vec(vec(network(), 0..6), 1..5),
            here in 0..4usize,
            client in address(),
            loads in vec(option::of(0..200u32), 5),
        ) {
            let here = here % networks.len();
            let texts: Vec<Vec<String>> =
                networks.iter().map(|networks| networks.iter().map(ToString::to_string).collect()).collect();
            let texts: Vec<Vec<&str>> = texts.iter().map(|texts| texts.iter().map(String::as_str).collect()).collect();
            let texts: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
            let mut order: Vec<usize> = (0..networks.len()).collect();
            order.sort_by_key(|center| {
                let longest = networks[*center].iter().filter_map(|network| matching(network, client)).max();
                (Reverse(longest), *center != here, *center)
            });
            let able = order.into_iter().find(|center| loads[*center].is_some_and(|percent| percent < 100));
            let chosen = serving(&table(&texts, here), &client.to_string(), &loads);
            prop_assert_eq!(chosen, able.unwrap_or(here));
        }
    }
}
