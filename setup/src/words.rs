//! The single values of a site file, each a type that cannot hold anything else. Pure.
//!
//! What passes here stands in shell scripts, in file names and in other programs' configurations without quoting: every
//! form is a short list of permitted characters.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;

/// Why a text is not such a value: what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotA(pub(crate) &'static str);

/// Longest label of a DNS name, and so longest host name.
const LABEL_BYTES_MAX: usize = 63;
/// Longest DNS name.
const NAME_BYTES_MAX: usize = 253;
/// Longest name of a file beside the site file.
const FILE_BYTES_MAX: usize = 128;

fn is_label(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_good)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The name of a machine: one label of a DNS name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl FromStr for HostName {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let is_good = is_label(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        is_good.then(|| Self(text.to_owned())).ok_or(NotA(
            "write 1 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends, like port-a",
        ))
    }
}

/// A host on a network: its DNS name or its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// Whether it is a name, which somebody must look up.
    pub fn is_name(&self) -> bool {
        self.0.parse::<IpAddr>().is_err()
    }
}

impl FromStr for Host {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let is_address = text.parse::<IpAddr>().is_ok();
        // What ends in a number is no name; somebody has mistyped an address.
        let ends_in_number =
            text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let is_name = text.len() <= NAME_BYTES_MAX && text.split('.').all(is_label) && !ends_in_number;
        (is_address || is_name)
            .then(|| Self(text.to_owned()))
            .ok_or(NotA("write a DNS name like ntp.example, or an address like 192.0.2.5"))
    }
}

/// Where a storage center answers: scheme, host and perhaps a port, without anything behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CenterUrl {
    text: String,
    host: Host,
}

impl CenterUrl {
    /// Who answers there.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for CenterUrl {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        const FORM: NotA =
            NotA("write it like https://center.example:8443: scheme, host and port, and nothing behind them");
        let text = text.strip_suffix('/').unwrap_or(text);
        let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(FORM)?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']').ok_or(FORM)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| FORM)?;
                match rest {
                    "" => (host, None),
                    rest => (host, Some(rest.strip_prefix(':').ok_or(FORM)?)),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        if !port.is_none_or(is_port) {
            return Err(FORM);
        }
        Ok(Self { text: text.to_owned(), host: host.parse().map_err(|_| FORM)? })
    }
}

/// By what a NIC is told from the others, whatever the kernel calls it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NicId {
    /// Its own address: `52:54:00:00:00:01`.
    Mac([u8; 6]),
    /// Its place on the PCI bus, domain, bus, device and function: `0000:00:03.0`.
    Pci(PciPath),
}

/// See [`NicId::Pci`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciPath(String);

impl FromStr for PciPath {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let is_hex = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parts = || {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            let is_good = is_hex(domain, 4)
                && is_hex(bus, 2)
                && is_hex(device, 2)
                && matches!(function.as_bytes(), [b'0'..=b'7']);
            is_good.then(|| Self(text.to_ascii_lowercase()))
        };
        parts().ok_or(NotA("write a PCI path like 0000:00:03.0"))
    }
}

impl FromStr for NicId {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        if let Ok(path) = text.parse() {
            return Ok(Self::Pci(path));
        }
        let byte = |pair: &str| {
            let is_pair = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_pair.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let mac: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
        match mac {
            Some(mac) if mac == [0; 6] || mac[0] & 1 == 1 => Err(NotA(
                "no NIC has that MAC: copy the NIC's own from its label, or from `storage-port setup`",
            )),
            Some(mac) => Ok(Self::Mac(mac)),
            None => {
                Err(NotA("write the NIC's MAC, like 52:54:00:00:00:01, or its PCI path, like 0000:00:03.0"))
            }
        }
    }
}

impl fmt::Display for NicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Self::Pci(PciPath(path)) => f.write_str(path),
        }
    }
}

/// An address of a machine with the network that it is in: `192.0.2.11/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface(IpNetwork);

impl Interface {
    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// The network.
    pub fn network(self) -> IpNetwork {
        // The prefix came from a network, so it makes one.
        IpNetwork::new(self.0.network(), self.0.prefix()).unwrap_or(self.0)
    }

    /// Whether a host of that address can be asked without a router.
    pub fn reaches(self, ip: IpAddr) -> bool {
        self.0.contains(ip)
    }

    /// The network that both are in.
    pub fn overlaps(self, other: Self) -> bool {
        self.0.contains(other.0.network()) || other.0.contains(self.0.network())
    }

    /// Whether `ip` is one of the network's that no host may have.
    pub fn is_reserved(self, ip: IpAddr) -> bool {
        match self.0 {
            IpNetwork::V4(net) => net.prefix() < 31 && (ip == net.network() || ip == net.broadcast()),
            IpNetwork::V6(net) => net.prefix() < 127 && ip == net.network(),
        }
    }
}

impl FromStr for Interface {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let is_bare = text.parse::<IpAddr>().is_ok();
        if is_bare {
            return Err(NotA("the length of the network is missing: write it like 192.0.2.11/24"));
        }
        let network: IpNetwork = text
            .parse()
            .map_err(|_| NotA("write an address and the length of its network, like 192.0.2.11/24"))?;
        // Nothing but what it means itself: no netmask in dots, no spaces.
        if network.to_string() != text.to_ascii_lowercase() && !network.is_ipv6() {
            return Err(NotA("write an address and the length of its network, like 192.0.2.11/24"));
        }
        let interface = Self(network);
        let ip = interface.ip();
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || network.prefix() == 0 {
            return Err(NotA("no host of a site has that address"));
        }
        if interface.is_reserved(ip) {
            return Err(NotA(
                "that is the network's own address, or its broadcast: give one of a host in it",
            ));
        }
        Ok(interface)
    }
}

/// A file, or a folder, beside the site file or below its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name =
            |name: &str| !name.is_empty() && !name.starts_with(['.', '-']) && name.bytes().all(is_good);
        (text.len() <= FILE_BYTES_MAX && text.split('/').all(is_name)).then(|| Self(text.to_owned())).ok_or(NotA(
            "write the name of a file beside site.toml: letters, digits, `.`, `_` and `-`, like center-ca.pem",
        ))
    }
}

macro_rules! shows_its_text {
    ($($name:ident: $text:tt),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.$text.fmt(f)
            }
        }
    )*};
}

shows_its_text!(HostName: 0, Host: 0, CenterUrl: text, PciPath: 0, Interface: 0, FileName: 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn good<T: FromStr<Err = NotA> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            match text.parse::<T>() {
                Ok(value) => assert_eq!(value.to_string(), text.to_ascii_lowercase()),
                Err(error) => panic!("{text}: {error}"),
            }
        }
    }

    fn bad<T: FromStr<Err = NotA> + fmt::Debug>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_value_has_its_form() {
        good::<HostName>(&["port-a", "a", "7"]);
        bad::<HostName>(&["", "-a", "a-", "a.b", "Port", "a b", "a\n", "$(reboot)", &"a".repeat(64)]);
        good::<Host>(&["ntp.example", "192.0.2.5", "2001:db8::5", "a"]);
        bad::<Host>(&["", "a..b", "192.0.2", "192.0.2.999", "a;b", "a/b", ".", "a.", &"a.".repeat(200)]);
        good::<CenterUrl>(&["https://center.example:8443", "http://10.0.0.1", "https://[2001:db8::1]:8443"]);
        bad::<CenterUrl>(&[
            "center.example",
            "ftp://center.example",
            "https://",
            "https://a:0",
            "https://a:70000",
            "https://a:+1",
            "https://u@a",
            "https://a/b",
            "https://a?b",
            "https://[::1",
            "https://[a]:1",
            "https://a:",
            "https://::1",
        ]);
        good::<NicId>(&["52:54:00:00:00:01", "52:54:00:AB:cd:EF", "0000:00:03.0", "0000:FE:1f.7"]);
        bad::<NicId>(&[
            "",
            "eth0",
            "52:54:00:00:00",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "0000:00:03.8",
            "52:54:00:00:00:+1",
            "0000:00:03.0.",
            "0:0:3.0",
            "ff:ff:ff:ff:ff:ff",
        ]);
        good::<Interface>(&["192.0.2.11/24", "10.0.0.0/31", "2001:db8::1/64", "192.0.2.1/32"]);
        bad::<Interface>(&[
            "192.0.2.11",
            "192.0.2.0/24",
            "192.0.2.255/24",
            "0.0.0.0/8",
            "127.0.0.1/8",
            "192.0.2.1/33",
            "224.0.0.1/24",
            "192.0.2.11/255.255.255.0",
            "1.2.3.4/0",
            "2001:db8::/64",
            "fe80::1%eth0/64",
        ]);
        good::<FileName>(&["center-ca.pem", "pair", "keys/a"]);
        bad::<FileName>(&[
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a b",
            ".ssh",
            "-rf",
            "a/",
            "a//b",
            "a$b",
            "é",
        ]);
    }

    #[test]
    fn networks_know_who_is_in_them() {
        let lan: Interface = "192.0.2.11/24".parse().unwrap();
        assert!(lan.reaches("192.0.2.1".parse().unwrap()) && !lan.reaches("192.0.3.1".parse().unwrap()));
        assert!(
            lan.overlaps("192.0.0.1/16".parse().unwrap()) && !lan.overlaps("192.0.3.1/24".parse().unwrap())
        );
        assert!(!lan.overlaps("2001:db8::1/64".parse().unwrap()));
        assert_eq!(lan.network().to_string(), "192.0.2.0/24");
        assert!(lan.is_reserved("192.0.2.255".parse().unwrap()));
    }
}
