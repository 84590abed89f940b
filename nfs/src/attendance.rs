//! Who is served and how: the clients that are connected, what they have mounted and locked, and what became of calls.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::mount;
use crate::nlm::manager::LockCounts;
use crate::nlm::terms::Present;
use crate::settings::Bounds;
use crate::tally::{Counted, Tally};
use crate::transport::listener::Clients;

/// A client at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// How many connections it has.
    pub connections: usize,
    /// Since when it has had one without a pause; `None` of one that has none now.
    pub connected: Option<Instant>,
    /// What it mounted, as far as it has not said that it has done with it, and when. NFS knows no more: a client that
    /// was switched off has its mounts still.
    pub mounts: Vec<(String, Instant)>,
}

/// Knows who is served. Clones know the same.
#[derive(Clone, Debug)]
pub struct Attendance {
    pub(crate) mounts: Arc<mount::Table>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) locks: Option<Present>,
}

impl Attendance {
    /// Of a server with these bounds and locks.
    pub(crate) fn new(bounds: &Bounds, locks: Option<Present>) -> Self {
        Self {
            mounts: Arc::new(mount::Table::new(bounds.mounts)),
            clients: Clients::new(bounds.connections, bounds.connections_per_client),
            tally: Arc::default(),
            locks,
        }
    }

    /// The procedures of NFS that were called.
    pub fn calls(&self) -> Vec<Counted> {
        self.tally.counted()
    }

    /// How many locks there are; none where none are served now.
    pub fn locks(&self) -> LockCounts {
        let present = self.locks.as_ref().and_then(|present| present.borrow().clone());
        present.map_or_else(LockCounts::default, |locks| locks.counts())
    }

    /// Everybody, in order of address: at most as many as there may be connections and mounts.
    pub fn list(&self) -> Vec<Client> {
        let mut all: BTreeMap<IpAddr, Client> = BTreeMap::new();
        let new = |address| Client { address, connections: 0, connected: None, mounts: Vec::new() };
        for (address, present) in self.clients.list() {
            let client = all.entry(address).or_insert_with(|| new(address));
            (client.connections, client.connected) = (present.connections, Some(present.since));
        }
        for mounted in self.mounts.list() {
            let client = all.entry(mounted.client).or_insert_with(|| new(mounted.client));
            client.mounts.push((mounted.path, mounted.at));
        }
        all.into_values().collect()
    }
}
