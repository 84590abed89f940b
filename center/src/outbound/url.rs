//! URLs that this process asks, taken apart. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use serde::Deserialize;
use thiserror::Error;

/// Longest name in the DNS (RFC 1035 §2.3.4), and longest part of one.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Why a text is no URL that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadUrl {
    /// No URL at all.
    #[error("it is no URL")]
    Malformed,
    /// Not http or https.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// User name or password.
    #[error("it has a user name in it")]
    User,
    /// Neither a name nor an address.
    #[error("its host is neither a name nor an address")]
    Host,
    /// Not 1 to 65535.
    #[error("its port is no port")]
    Port,
    /// Something that is not sent.
    #[error("it has a fragment")]
    Fragment,
}

/// A URL that may be asked, as far as its text tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebUrl {
    /// Whether under TLS.
    pub is_tls: bool,
    /// Where.
    pub host: Host,
    /// Where; that of the scheme if none was given.
    pub port: u16,
    /// What is asked for, path and query, byte for byte as it was given.
    pub target: String,
}

/// A name in the DNS, in lower case, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl FromStr for WebUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        // A URL's parser would leave it out in silence.
        if text.contains('#') {
            return Err(BadUrl::Fragment);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(BadUrl::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| BadUrl::Malformed)?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(BadUrl::Scheme),
        };
        let authority = uri.authority().ok_or(BadUrl::Host)?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::User);
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => default_port(is_tls),
            Some(rest) => rest.strip_prefix(':').and_then(parse_port).ok_or(BadUrl::Port)?,
            None => return Err(BadUrl::Host),
        };
        let host = host.parse()?;
        // An empty path stands in a request as `/` (RFC 9112 §3.2.1).
        let target = match uri.path_and_query().map_or("", PathAndQuery::as_str) {
            target if target.starts_with('/') => target.to_string(),
            query => format!("/{query}"),
        };
        Ok(Self { is_tls, host, port, target })
    }
}

impl TryFrom<String> for WebUrl {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        text.parse()
    }
}

impl WebUrl {
    /// All of it but the target.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }

    /// Whether its port is the one that needs no mention.
    pub fn has_default_port(&self) -> bool {
        self.port == default_port(self.is_tls)
    }

    /// Host and port as they stand in the header field `Host` (RFC 9110 §7.2).
    pub fn authority(&self) -> String {
        match self.has_default_port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// 1 to 65535, in digits alone.
pub fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

impl FromStr for Host {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return inner
                .parse()
                .map(|address: Ipv6Addr| Self::Address(address.into()))
                .map_err(|_| BadUrl::Host);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        // Resolvers take `127.1` and `0x7f000001` for addresses; nobody else needs names like those.
        let is_numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with(['0']);
        if is_numeric || text.len() > NAME_BYTES_MAX || !text.split('.').all(is_label) {
            return Err(BadUrl::Host);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    let is_named = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let is_long_enough = (1..=LABEL_BYTES_MAX).contains(&label.len());
    is_named && is_long_enough && !label.starts_with('-') && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<WebUrl, BadUrl> {
        text.parse()
    }

    /// SRL-10: it is asked for exactly what the SRL says.
    #[test]
    fn a_url_is_taken_apart_and_its_target_kept() {
        for (text, is_tls, authority, port, target) in [
            ("http://pay.example", false, "pay.example", 80, "/"),
            ("HTTP://Pay.Example/", false, "pay.example", 80, "/"),
            ("https://pay.example/may?who=7&x=%2F%00", true, "pay.example", 443, "/may?who=7&x=%2F%00"),
            ("https://pay.example:443/a", true, "pay.example", 443, "/a"),
            ("http://pay.example:8080/a//../b", false, "pay.example:8080", 8080, "/a//../b"),
            ("http://pay.example?x=1", false, "pay.example", 80, "/?x=1"),
            ("http://192.0.2.7:1/a", false, "192.0.2.7:1", 1, "/a"),
            ("http://[2001:DB8::7]:65535/a", false, "[2001:db8::7]:65535", 65535, "/a"),
            ("http://x_1.a-b.example/a@b:c", false, "x_1.a-b.example", 80, "/a@b:c"),
        ] {
            let url = parse(text).unwrap();
            let told = (url.is_tls, url.authority(), url.port, url.target.as_str());
            assert_eq!(told, (is_tls, authority.to_string(), port, target), "{text}");
        }
    }

    /// SRL-10: what could be read in two ways is not read at all.
    #[test]
    fn what_is_no_plain_url_is_refused() {
        let long = format!("http://{}.example/", "a".repeat(64));
        let longer = format!("http://{}example/", "a.".repeat(124));
        for (text, error) in [
            ("", BadUrl::Malformed),
            ("/may", BadUrl::Scheme),
            ("pay.example", BadUrl::Scheme),
            ("ftp://pay.example/", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Malformed),
            ("gopher://pay.example/", BadUrl::Scheme),
            ("http://", BadUrl::Malformed),
            ("http://u@pay.example/", BadUrl::User),
            ("http://u:p@pay.example/", BadUrl::User),
            ("http://pay.example@10.0.0.1/", BadUrl::User),
            ("http://pay.example/#x", BadUrl::Fragment),
            ("http://pay.example#@10.0.0.1/", BadUrl::Fragment),
            ("http://pay.example/a b", BadUrl::Malformed),
            ("http://pay.example/a\r\nX: y", BadUrl::Malformed),
            ("http://pay.example/\u{0}", BadUrl::Malformed),
            ("http://pay.example\\@10.0.0.1/", BadUrl::Malformed),
            ("http://gr\u{f6}\u{df}e.example/", BadUrl::Malformed),
            ("http://pay.example:/", BadUrl::Port),
            ("http://pay.example:0/", BadUrl::Port),
            ("http://pay.example:080/", BadUrl::Port),
            ("http://127.1/", BadUrl::Host),
            ("http://2130706433/", BadUrl::Host),
            ("http://0x7f000001/", BadUrl::Host),
            ("http://0x7f.0.0.1/", BadUrl::Host),
            ("http://127.0.0.01/", BadUrl::Host),
            ("http://pay.0x1/", BadUrl::Host),
            ("http://pay.example./", BadUrl::Host),
            ("http://.example/", BadUrl::Host),
            ("http://-a.example/", BadUrl::Host),
            ("http://a%2eexample/", BadUrl::Malformed),
            (&long, BadUrl::Host),
            (&longer, BadUrl::Host),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        for text in [
            "http://pay.example:65536/",
            "http://pay.example:+80/",
            "http://[fe80::1%25eth0]/",
            "http://[::1/",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        /// SRL-10: whatever is taken says the same when it is read again, and stands in one line of a request.
        #[test]
        fn what_is_taken_is_plain(
            scheme in prop_oneof![Just("http"), Just("https"), Just("ftp"), Just("")],
            rest in prop_oneof!["://([a-z0-9]{1,5}[.:@_-]?){0,3}[/?#]?[!-~]{0,8}", "\\PC{0,40}"],
        ) {
            let Ok(url) = parse(&format!("{scheme}{rest}")) else { return Ok(()) };
            prop_assert!(url.target.starts_with('/') && url.port > 0);
            prop_assert!(url.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
            prop_assert!(!url.authority().contains('@'));
            prop_assert_eq!(parse(&format!("{}{}", url.origin(), url.target)), Ok(url.clone()));
            prop_assert_eq!(url.host.to_string().parse(), Ok(url.host));
        }
    }
}
