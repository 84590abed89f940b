//! How the exports' shares are used: who is connected, and what they do.
//!
//! The CIFS server tells nobody's address, so the kernel is asked once a second, while the port serves, who is connected
//! to the server's address. What is told is as old as that; who comes and goes within a second may not be told at all.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cifs::usage::Usage;
use failover::net::sockets::{Sockets, SocketsError};
use serde::{Deserialize, Serialize};

/// How often the kernel is asked.
const EVERY: Duration = Duration::from_secs(1);

/// How CIFS does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CifsStatus {
    /// Where it is served.
    pub listen: String,
    /// Now: of a pair the port on duty alone does.
    pub is_serving: bool,
    /// Machines that are connected.
    pub clients: usize,
    /// Their connections.
    pub connections: usize,
    /// Files and folders that they have open, where the port itself serves: Samba counts for itself (smbstatus(1)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Bytes read since the start; as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes written since then; as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
}

/// A share of an export.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ShareStatus {
    /// What clients call it.
    pub name: String,
    /// Who may use it.
    pub users: Vec<String>,
}

/// A share, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// By which its export is mounted.
    pub export: String,
    /// The share.
    pub share: ShareStatus,
}

/// A machine with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// How many.
    pub connections: usize,
    /// Since when it was seen to have one at least.
    pub since: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct CifsAttendance {
    listen: SocketAddr,
    shares: Vec<Shared>,
    usage: Option<Arc<Usage>>,
    /// `None` while nobody is served.
    present: Mutex<Option<BTreeMap<IpAddr, Present>>>,
}

impl CifsAttendance {
    /// Of shares that are to be served at that address; `usage` is counted by the port's own server.
    pub fn new(listen: SocketAddr, shares: Vec<Shared>, usage: Option<Arc<Usage>>) -> Self {
        Self { listen, shares, usage, present: Mutex::default() }
    }

    /// The shares of the export at `path`.
    pub fn shares_of(&self, path: &str) -> Vec<ShareStatus> {
        let shares = self.shares.iter().filter(|shared| shared.export == path);
        shares.map(|shared| shared.share.clone()).collect()
    }

    /// Everybody who is connected, in order of address.
    pub fn list(&self) -> BTreeMap<IpAddr, Present> {
        self.lock().clone().unwrap_or_default()
    }

    /// How it does.
    pub fn status(&self) -> CifsStatus {
        let present = self.lock();
        let clients = present.as_ref();
        CifsStatus {
            listen: self.listen.to_string(),
            is_serving: present.is_some(),
            clients: clients.map_or(0, BTreeMap::len),
            connections: clients.map_or(0, |all| all.values().map(|client| client.connections).sum()),
            open_files: self.usage.as_ref().map(|usage| usage.open()),
            read_bytes: self.usage.as_ref().map(|usage| usage.read_bytes()),
            written_bytes: self.usage.as_ref().map(|usage| usage.written_bytes()),
        }
    }

    /// Looks who is connected to `address`, where this process listens, until this is dropped: a time of serving.
    pub(crate) async fn follow(&self, address: SocketAddr) {
        let _time = Time::begin(self);
        let mut is_told = false;
        loop {
            let looked = tokio::task::spawn_blocking(move || look(address)).await;
            match looked.map_err(|error| SocketsError::Kernel(io::Error::other(error))).flatten() {
                Ok(peers) => self.see(&peers, Instant::now()),
                Err(error) if !is_told => {
                    tracing::warn!("who is connected by CIFS is not known: {error}");
                    is_told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn see(&self, peers: &[SocketAddr], now: Instant) {
        let mut present = self.lock();
        let Some(before) = present.as_ref() else { return };
        let mut seen: BTreeMap<IpAddr, Present> = BTreeMap::new();
        for peer in peers {
            let client = peer.ip();
            let since = before.get(&client).map_or(now, |present| present.since);
            seen.entry(client).or_insert(Present { connections: 0, since }).connections += 1;
        }
        *present = Some(seen);
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<IpAddr, Present>>> {
        // No code panics while it holds the lock.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks for as long as the kernel walks its table: a few milliseconds.
fn look(address: SocketAddr) -> Result<Vec<SocketAddr>, SocketsError> {
    Sockets::new()?.connected_to(address)
}

/// Of serving.
struct Time<'a>(&'a CifsAttendance);

impl<'a> Time<'a> {
    fn begin(attendance: &'a CifsAttendance) -> Self {
        *attendance.lock() = Some(BTreeMap::new());
        Self(attendance)
    }
}

impl Drop for Time<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn attendance(listen: SocketAddr) -> CifsAttendance {
        CifsAttendance::new(listen, Vec::new(), None)
    }

    #[test]
    fn the_kernel_knows_who_is_connected() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(look(address).unwrap(), []);
        let client = TcpStream::connect(address).unwrap();
        let peer = client.local_addr().unwrap();
        assert_eq!(look(address).unwrap(), [peer]);
        let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
        assert_eq!(look(everywhere).unwrap(), [peer]);
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
        assert_eq!(look(elsewhere).unwrap(), [], "at another address");
    }

    #[test]
    fn a_client_is_present_from_its_first_connection_to_its_last() {
        let attendance = attendance("0.0.0.0:445".parse().unwrap());
        let begin = Instant::now();
        let peers = |all: &[&str]| all.iter().map(|peer| peer.parse().unwrap()).collect::<Vec<SocketAddr>>();
        attendance.see(&peers(&["192.0.2.7:1"]), begin);
        assert!(attendance.list().is_empty() && !attendance.status().is_serving, "before a time of serving");
        let time = Time::begin(&attendance);
        attendance.see(&peers(&["192.0.2.7:1"]), begin);
        attendance.see(&peers(&["192.0.2.8:1", "192.0.2.7:2", "192.0.2.7:3"]), begin + EVERY);
        let (clients, connections) = (attendance.status().clients, attendance.status().connections);
        assert_eq!((clients, connections), (2, 3));
        let first = attendance.list()[&IpAddr::from([192, 0, 2, 7])];
        assert_eq!(first, Present { connections: 2, since: begin });
        attendance.see(&[], begin + EVERY);
        attendance.see(&peers(&["192.0.2.7:4"]), begin + 2 * EVERY);
        assert_eq!(attendance.list()[&IpAddr::from([192, 0, 2, 7])].since, begin + 2 * EVERY);
        drop(time);
        assert!(attendance.list().is_empty() && !attendance.status().is_serving, "after it");
    }
}
