//! Whose request it is. Pure.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use ipnetwork::IpNetwork;

use crate::dosm::Fields;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request came from: the connection's other end, or, if that is a proxy that is trusted, the one
/// that the proxy had it from, as far back as proxies are trusted. What others wrote into the field counts for nothing.
pub fn of(peer: IpAddr, fields: &impl Fields, proxies: &[IpNetwork]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    if !is_proxy(address) {
        return address;
    }
    let lines: Vec<&[u8]> = fields.values(&FORWARDED_FOR).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let Some(before) = parse(hop) else { break };
        address = before;
        if !is_proxy(address) {
            break;
        }
    }
    address
}

/// An address, perhaps with a port behind it.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let plain = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    plain.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn client(peer: &str, lines: &[&str], proxies: &[&str]) -> String {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(&FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let proxies: Vec<IpNetwork> = proxies.iter().map(|network| network.parse().unwrap()).collect();
        of(peer.parse().unwrap(), &fields, &proxies).to_string()
    }

    /// SYS-13: nobody says he is somebody else, but a trusted proxy may say who asked it.
    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"];
        for (peer, lines, is) in [
            ("1.2.3.4", vec![], "1.2.3.4"),
            ("1.2.3.4", vec!["9.9.9.9"], "1.2.3.4"),
            ("::ffff:1.2.3.4", vec!["9.9.9.9"], "1.2.3.4"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["9.9.9.9"], "9.9.9.9"),
            ("::ffff:10.0.0.1", vec!["9.9.9.9"], "9.9.9.9"),
            ("2001:db8::1", vec!["9.9.9.9:1234"], "9.9.9.9"),
            ("10.0.0.1", vec!["2001:1::7"], "2001:1::7"),
            ("10.0.0.1", vec!["[2001:1::7]:80"], "2001:1::7"),
            ("10.0.0.1", vec!["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", vec!["6.6.6.6, 9.9.9.9 ,10.7.7.7"], "9.9.9.9"),
            ("10.0.0.1", vec!["6.6.6.6", "9.9.9.9", "10.7.7.7"], "9.9.9.9"),
            ("10.0.0.1", vec!["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", vec!["6.6.6.6, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["6.6.6.6, unknown, 10.7.7.7"], "10.7.7.7"),
            ("10.0.0.1", vec![""], "10.0.0.1"),
            ("10.0.0.1", vec!["gr\u{f6}\u{df}e"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, &lines, &proxies), is, "{peer} {lines:?}");
        }
        assert_eq!(client("10.0.0.1", &["9.9.9.9"], &[]), "10.0.0.1");
    }
}
