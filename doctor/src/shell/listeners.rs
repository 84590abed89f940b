//! Who listens on this machine, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::within;
use crate::plan::Plan;

/// A socket on which somebody waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// UDP; else TCP.
    pub is_datagram: bool,
    /// Where.
    pub address: SocketAddr,
    /// The user who made it.
    pub user: u32,
    /// Whose process it is, and what that is called; `None` if this user may not see it.
    pub owner: Option<(u32, String)>,
}

/// Looks at the ports that the plan names.
pub(crate) async fn look(plan: &Plan, patience: Duration) -> Result<Vec<Listener>, String> {
    let ports: Vec<u16> = plan
        .sockets
        .iter()
        .map(|wanted| wanted.address)
        .chain(plan.rpcbind)
        .map(|address| address.port())
        .collect();
    match within(patience, move || find(&ports)).await {
        Some(found) => found.map_err(|error| format!("cannot read /proc/net: {error}")),
        None => Err("looking through /proc takes too long".to_owned()),
    }
}

fn find(ports: &[u16]) -> io::Result<Vec<Listener>> {
    let mut rows = Vec::new();
    for (file, is_datagram) in [("tcp", false), ("tcp6", false), ("udp", true), ("udp6", true)] {
        match fs::read_to_string(format!("/proc/net/{file}")) {
            Ok(table) => rows.extend(table.lines().filter_map(|line| row(line, is_datagram))),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    rows.retain(|row| ports.contains(&row.address.port()));
    let owners = owners(&rows.iter().map(|row| row.inode).collect::<Vec<_>>());
    let listener = |row: Row| Listener {
        is_datagram: row.is_datagram,
        address: row.address,
        user: row.user,
        owner: owners.get(&row.inode).cloned(),
    };
    Ok(rows.into_iter().map(listener).collect())
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    is_datagram: bool,
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// A line of `/proc/net/tcp` and its like: number, local, remote, state, queues, timer, retransmissions, user, probes,
/// inode (proc(5)).
fn row(line: &str, is_datagram: bool) -> Option<Row> {
    /// `TCP_LISTEN`, and what an unconnected UDP socket has, `TCP_CLOSE`.
    const WAITING: [&str; 2] = ["0A", "07"];
    let words: Vec<&str> = line.split_whitespace().collect();
    (*words.get(3)? == WAITING[usize::from(is_datagram)]).then_some(())?;
    let (ip, port) = words[1].split_once(':')?;
    Some(Row {
        is_datagram,
        address: SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?),
        user: words.get(7)?.parse().ok()?,
        inode: words.get(9)?.parse().ok()?,
    })
}

/// Words of 32 bits in the machine's own order, each in hexadecimal.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (place, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                place.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Which process has each of these sockets open.
fn owners(inodes: &[u64]) -> HashMap<u64, (u32, String)> {
    let mut owners = HashMap::new();
    let wanted: HashMap<String, u64> =
        inodes.iter().map(|inode| (format!("socket:[{inode}]"), *inode)).collect();
    // Processes end meanwhile, and those of others are not shown.
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        for open in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(open.path()) else { continue };
            let target = String::from_utf8_lossy(target.as_os_str().as_bytes()).into_owned();
            if let Some(inode) = wanted.get(&target) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                owners.insert(*inode, (pid, name.trim().to_owned()));
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn own_sockets_are_found_with_their_process() {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0");
        let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut addresses =
            vec![(stream.local_addr().unwrap(), false), (datagram.local_addr().unwrap(), true)];
        addresses.extend(six.as_ref().ok().map(|six| (six.local_addr().unwrap(), false)));
        let ports: Vec<u16> = addresses.iter().map(|(address, _)| address.port()).collect();
        let found = find(&ports).unwrap();
        for (address, is_datagram) in addresses {
            let listener =
                found.iter().find(|one| one.address == address && one.is_datagram == is_datagram).unwrap();
            assert_eq!(listener.owner.as_ref().unwrap().0, std::process::id());
        }
    }

    #[test]
    fn a_line_that_is_none_is_passed_over() {
        let line = "   1: 00000000:006F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let found = row(line, false).unwrap();
        assert_eq!((found.address.to_string().as_str(), found.inode), ("0.0.0.0:111", 4711));
        assert_eq!(row(line, true), None, "TCP_LISTEN is no state of UDP");
        assert_eq!(row(&line.replace(" 0A ", " 01 "), false), None, "established");
        for end in 0..line.len() - 7 {
            assert_eq!(row(&line[..end], false), None);
        }
    }
}
