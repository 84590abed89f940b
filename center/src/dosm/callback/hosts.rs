//! Which hosts a customer's callbacks may lie on. Pure.

use std::fmt;
use std::str::FromStr;

use crate::outbound::{BadUrl, Host, WebUrl, parse_port};

/// `host` or `host:port`. Without a port, the one of the URL's scheme alone is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host,
    port: Option<u16>,
}

/// A customer's hosts; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<AllowedHost>);

impl FromStr for AllowedHost {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => (host, Some(parse_port(port).ok_or(BadUrl::Port)?)),
            _ => (text, None),
        };
        Ok(Self { host: host.parse()?, port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl AllowedHosts {
    /// Those of a text as [`Self::to_text`] writes it. What is no host in it allows nothing.
    pub fn from_text(text: &str) -> Self {
        Self(text.split_whitespace().filter_map(|host| host.parse().ok()).collect())
    }

    /// These, joined by spaces.
    pub fn to_text(hosts: &[AllowedHost]) -> String {
        hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// Whether the URL lies on one of them.
    pub fn allow(&self, url: &WebUrl) -> bool {
        self.0.iter().any(|allowed| {
            allowed.host == url.host && allowed.port.map_or(url.has_default_port(), |port| port == url.port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(hosts: &str, url: &str) -> bool {
        AllowedHosts::from_text(hosts).allow(&url.parse().unwrap())
    }

    /// SRL-10: a host is allowed by its whole name, and a port by its number.
    #[test]
    fn only_hosts_on_the_list_are_allowed() {
        for (hosts, url) in [
            ("pay.example", "http://pay.example/x"),
            ("pay.example", "https://PAY.example/x"),
            ("a.example PAY.Example:8443", "https://pay.example:8443/x"),
            ("pay.example:443", "https://pay.example/x"),
            ("192.0.2.7", "http://192.0.2.7/x"),
            ("[2001:db8::7]", "http://[2001:0db8::0007]/x"),
            ("[2001:db8::7]:81", "http://[2001:db8::7]:81/x"),
        ] {
            assert!(allow(hosts, url), "{hosts} {url}");
        }
        for (hosts, url) in [
            ("", "http://pay.example/x"),
            ("pay.example", "http://www.pay.example/x"),
            ("pay.example", "http://pay.example.evil.example/x"),
            ("pay.example", "http://ay.example/x"),
            ("pay.example", "http://pay.example:8080/x"),
            ("pay.example", "http://pay.example:443/x"),
            ("pay.example:8443", "https://pay.example/x"),
            ("pay.example:8443", "http://pay.example:844/x"),
            ("*.example", "http://pay.example/x"),
            ("https://pay.example", "https://pay.example/x"),
            ("pay.example/x", "https://pay.example/x"),
            ("192.0.2.7", "http://[::ffff:192.0.2.7]/x"),
        ] {
            assert!(!allow(hosts, url), "{hosts} {url}");
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let texts = ["pay.example", "Pay.example:8443", "[2001:DB8::7]:81", "192.0.2.7"];
        let hosts: Vec<AllowedHost> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let text = AllowedHosts::to_text(&hosts);
        assert_eq!(text, "pay.example pay.example:8443 [2001:db8::7]:81 192.0.2.7");
        assert_eq!(AllowedHosts::from_text(&text), AllowedHosts(hosts));
        for wrong in
            ["", ":80", "pay.example:", "pay.example:0", "pay.example:x", "::1", "u@pay.example", "a b"]
        {
            assert!(wrong.parse::<AllowedHost>().is_err(), "{wrong:?}");
        }
    }
}
