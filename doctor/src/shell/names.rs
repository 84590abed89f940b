//! The storage center's names: looked up as the daemon does it, and the name servers asked one by one.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use http::Uri;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::within;
use crate::plan::Door;

/// How long a name may take, and a name server.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// The C library heeds three.
const SERVERS_MAX: usize = 3;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Each name once, with its addresses.
    pub names: Vec<(String, Result<Vec<IpAddr>, Unknown>)>,
    /// Each name server, and the code of its answer (RFC 1035 4.1.1) if it gave one. None was asked where there is no
    /// name to look up.
    pub servers: Vec<(IpAddr, Option<u8>)>,
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There was no answer in time.
    Silent,
    /// In the C library's words.
    Told(String),
}

impl Names {
    /// The addresses behind a host, which may be one itself; `None` if they are not known.
    pub fn of(&self, host: &str) -> Option<Vec<IpAddr>> {
        if let Some(address) = literal(host) {
            return Some(vec![address]);
        }
        self.names.iter().find(|(name, _)| name == host)?.1.clone().ok()
    }
}

/// The host of a URL, and the port.
pub(crate) fn host_of(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let default = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(default)))
}

/// A host that is an address.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

pub(crate) async fn look_up(doors: &[Door]) -> Names {
    let mut hosts: Vec<String> =
        doors.iter().filter_map(|door| host_of(&door.url)).map(|(host, _)| host).collect();
    hosts.retain(|host| literal(host).is_none());
    hosts.sort();
    hosts.dedup();
    let Some(first) = hosts.first().cloned() else { return Names::default() };
    let names: Vec<_> = hosts
        .into_iter()
        .map(|host| tokio::spawn(async move { (host.clone(), look_up_one(host).await) }))
        .collect();
    let servers: Vec<_> = servers()
        .into_iter()
        .map(|server| {
            let name = first.clone();
            tokio::spawn(async move { (server, ask(server, &name).await) })
        })
        .collect();
    let mut found = Names::default();
    for name in names {
        found.names.extend(name.await);
    }
    for server in servers {
        found.servers.extend(server.await);
    }
    found
}

async fn look_up_one(host: String) -> Result<Vec<IpAddr>, Unknown> {
    let looked =
        within(PATIENCE, move || (host.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    match looked.await {
        None => Err(Unknown::Silent),
        Some(Err(error)) => Err(Unknown::Told(error.to_string())),
        Some(Ok(found)) => Ok(found.iter().map(SocketAddr::ip).collect()),
    }
}

/// Those of `/etc/resolv.conf`, as far as it can be read.
fn servers() -> Vec<IpAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named: Vec<IpAddr> = named_in(&text);
    // Without any the C library asks this machine (resolv.conf(5)).
    if named.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { named }
}

fn named_in(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| line.trim().strip_prefix("nameserver")?.split('%').next()?.trim().parse().ok();
    text.lines().filter_map(address).take(SERVERS_MAX).collect()
}

async fn ask(server: IpAddr, name: &str) -> Option<u8> {
    let exchange = async {
        let own: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((own, 0)).await?;
        socket.connect((server, 53)).await?;
        socket.send(&question(name)).await?;
        let mut answer = [0; 512];
        loop {
            let length = socket.recv(&mut answer).await?;
            if let Some(code) = code_of(&answer[..length]) {
                return Ok::<u8, io::Error>(code);
            }
        }
    };
    timeout(PATIENCE, exchange).await.ok()?.ok()
}

/// Which question it is; from a port of its own, so that no other answer comes there.
const NUMBER: [u8; 2] = *b"SP";

/// "Which IPv4 addresses has `name`?" (RFC 1035 4.1).
fn question(name: &str) -> Vec<u8> {
    // Recursion desired; one question, nothing else.
    let mut bytes = [&NUMBER[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.trim_end_matches('.').split('.') {
        let label = &label.as_bytes()[..label.len().min(63)];
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}

/// The code of an answer to it.
fn code_of(answer: &[u8]) -> Option<u8> {
    let [high, low, flags, code, ..] = *answer else { return None };
    ([high, low] == NUMBER && flags & 0x80 != 0).then_some(code & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let of = |url: &str| host_of(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("https://center.example").as_deref(), Some("center.example 443"));
        assert_eq!(of("http://192.0.2.1:8080/").as_deref(), Some("192.0.2.1 8080"));
        assert_eq!(of("http://[2001:db8::1]:8080").as_deref(), Some("[2001:db8::1] 8080"));
        assert_eq!(of("ftp://center"), None);
        assert_eq!(literal("[2001:db8::1]").unwrap().to_string(), "2001:db8::1");
        assert_eq!(literal("center.example"), None);
    }

    /// RFC 1035 4.1.1 and 4.1.2.
    #[test]
    fn a_question_is_as_the_standard_says_and_an_answer_has_its_code() {
        assert_eq!(question("ab.example."), b"SP\x01\0\0\x01\0\0\0\0\0\0\x02ab\x07example\0\0\x01\0\x01");
        assert_eq!(code_of(b"SP\x81\x83\0\x01"), Some(3), "no such name");
        assert_eq!(code_of(b"SP\x01\0"), None, "a question");
        assert_eq!(code_of(b"XP\x81\x80"), None, "to another question");
        assert_eq!(code_of(b"SP\x81"), None);
    }

    #[test]
    fn name_servers_are_read_as_the_c_library_does() {
        let text =
            "# a comment\nsearch example\nnameserver 192.0.2.53\n nameserver\tfe80::1%lan\nnameserver x\n";
        let named: Vec<String> = named_in(text).iter().map(ToString::to_string).collect();
        assert_eq!(named, ["192.0.2.53", "fe80::1"]);
    }
}
