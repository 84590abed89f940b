//! Which addresses a callback may be sent to: those of the open Internet, and what the operator permits besides. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

/// What of IPv4 is not for everybody (IANA, IPv4 Special-Purpose Address Registry), multicast and reserved besides.
const INNER_V4: [Ipv4Network; 14] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 3),
];

/// All of IPv6 that is given to anybody; loopback, link-local, unique-local, multicast lie outside (RFC 4291 §2.4).
const GLOBAL_V6: Ipv6Network = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// What of that is not for everybody: protocols' own (Teredo among them) and documentation.
const INNER_V6: [Ipv6Network; 3] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];
/// IPv4 behind a translator, the address in the last four bytes (RFC 6052).
const NAT64: Ipv6Network = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// 6to4, the IPv4 address of the gateway in bytes 2 to 5 (RFC 3056).
const SIX_TO_FOUR: Ipv6Network = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Network {
    match Ipv4Network::new_checked(Ipv4Addr::new(a, b, c, d), prefix) {
        Some(network) => network,
        None => panic!("a prefix of more than 32 bits"),
    }
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Network {
    match Ipv6Network::new_checked(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix) {
        Some(network) => network,
        None => panic!("a prefix of more than 128 bits"),
    }
}

/// The address to connect to, if a callback may: IPv4 in IPv6's clothes comes out as what it is. `permitted` are the
/// networks that the operator allows whatever they are.
pub fn admit(address: IpAddr, permitted: &[IpNetwork]) -> Option<IpAddr> {
    let address = address.to_canonical();
    let is_permitted = permitted.iter().any(|network| network.contains(address));
    (is_permitted || is_outer(address)).then_some(address)
}

fn is_outer(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_outer_v4(address),
        IpAddr::V6(address) => {
            let bytes = address.octets();
            let inside = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
            if NAT64.contains(address) {
                return is_outer_v4(inside(12));
            }
            if SIX_TO_FOUR.contains(address) {
                return is_outer_v4(inside(2));
            }
            GLOBAL_V6.contains(address) && !INNER_V6.iter().any(|network| network.contains(address))
        }
    }
}

fn is_outer_v4(address: Ipv4Addr) -> bool {
    !INNER_V4.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(address: &str, permitted: &[&str]) -> Option<String> {
        let permitted: Vec<IpNetwork> = permitted.iter().map(|network| network.parse().unwrap()).collect();
        admit(address.parse().unwrap(), &permitted).map(|address| address.to_string())
    }

    /// SRL-10: at both ends of every network that is not for everybody.
    #[test]
    fn inner_addresses_are_refused() {
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:c0a8:101::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "1fff:ffff::1",
        ] {
            assert_eq!(admitted(address, &[]), None, "{address}");
        }
    }

    #[test]
    fn addresses_beside_them_are_admitted() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2002:808:808::1",
            "2606:4700::1",
            "3ffe:ffff::1",
            "3fff:1000::1",
            "64:ff9b::808:808",
        ] {
            assert_eq!(admitted(address, &[]), Some(address.to_string()));
        }
    }

    /// SRL-10: the checked address is the one that is connected to.
    #[test]
    fn an_address_in_other_clothes_is_what_it_is() {
        assert_eq!(admitted("::ffff:8.8.8.8", &[]).as_deref(), Some("8.8.8.8"));
        assert_eq!(admitted("::ffff:10.3.0.1", &["10.3.0.0/16"]).as_deref(), Some("10.3.0.1"));
    }

    #[test]
    fn the_operator_permits_networks() {
        let permitted = ["10.3.0.0/16", "fd00:1::/32"];
        for (address, is_admitted) in [
            ("10.3.0.0", true),
            ("10.3.255.255", true),
            ("10.2.255.255", false),
            ("10.4.0.0", false),
            ("fd00:1::7", true),
            ("fd00:2::7", false),
            ("127.0.0.1", false),
            ("64:ff9b::a03:1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(admitted(address, &permitted).is_some(), is_admitted, "{address}");
        }
    }
}
