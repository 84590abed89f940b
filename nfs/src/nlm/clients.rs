//! The clients that hold or want locks: who they are, how much each has, and whether a restart would find them again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Limits;
use crate::nsm::ledger::Client;

/// A client without locks is forgotten after this: it may be about to lock again, and remembering costs a disk sync.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// A client's number, as long as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// Nobody who is known.
    pub const UNKNOWN: Self = Self(u64::MAX);
}

/// One process, or whatever a client calls an owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Whose.
    pub client: ClientId,
    /// Process number at the client.
    pub svid: u32,
    /// The owner, opaque.
    pub oh: Box<[u8]>,
}

/// What is known of a client.
#[derive(Debug)]
pub struct Known {
    /// Who it is.
    pub client: Client,
    /// By which address it reached this server.
    pub local: IpAddr,
    /// State number of its status monitor, as it said last; 0 if it did not.
    pub state: u32,
    /// Whether the ledger has it.
    pub is_recorded: bool,
    /// Whether it had locks when the server ended and may take them again.
    pub may_reclaim: bool,
    /// Locked ranges and shares.
    pub locks: usize,
    /// Locks it waits for.
    pub waiting: usize,
    /// When it last had something.
    idle_since: Instant,
}

impl Known {
    /// Whether it has nothing and waits for nothing.
    pub const fn is_idle(&self) -> bool {
        self.locks == 0 && self.waiting == 0
    }
}

/// What all clients behind one address have together: names can be invented.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Locked ranges and shares.
    pub locks: usize,
    /// Locks they wait for.
    pub waiting: usize,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    ids: HashMap<(IpAddr, Box<[u8]>), ClientId>,
    known: HashMap<ClientId, Known>,
    addresses: HashMap<IpAddr, Load>,
    next: u64,
}

impl Clients {
    /// The number of a client that is known.
    pub fn id(&self, client: &Client) -> Option<ClientId> {
        // The key is borrowed only as a whole; names are short.
        self.ids.get(&(client.address, client.name.clone())).copied()
    }

    /// The number of a client, known from now on. `None` if there are too many.
    pub fn admit(
        &mut self,
        client: &Client,
        local: IpAddr,
        limits: &Limits,
        now: Instant,
    ) -> Option<ClientId> {
        if let Some(id) = self.id(client) {
            return Some(id);
        }
        let same_address = || self.known.values().filter(|known| known.client.address == client.address);
        if self.known.len() >= limits.clients || same_address().count() >= limits.clients_per_address {
            return None;
        }
        let id = ClientId(self.next);
        self.next += 1;
        self.ids.insert((client.address, client.name.clone()), id);
        let known = Known {
            client: client.clone(),
            local,
            state: 0,
            is_recorded: false,
            may_reclaim: false,
            locks: 0,
            waiting: 0,
            idle_since: now,
        };
        self.known.insert(id, known);
        Some(id)
    }

    /// A client by its number.
    pub fn get(&self, id: ClientId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// A client by its number, to be changed.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Known> {
        self.known.get_mut(&id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Known)> {
        self.known.iter().map(|(&id, known)| (id, known))
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Known> {
        self.known.values_mut()
    }

    /// Notes what a client has; one that has nothing any more is idle from now on.
    pub fn count(&mut self, id: ClientId, locks: isize, waiting: isize, now: Instant) {
        if let Some(known) = self.known.get_mut(&id) {
            known.locks = known.locks.saturating_add_signed(locks);
            known.waiting = known.waiting.saturating_add_signed(waiting);
            known.idle_since = now;
            let load = self.addresses.entry(known.client.address).or_default();
            load.locks = load.locks.saturating_add_signed(locks);
            load.waiting = load.waiting.saturating_add_signed(waiting);
            if load.locks == 0 && load.waiting == 0 {
                self.addresses.remove(&known.client.address);
            }
        }
    }

    /// What the address of a client has.
    pub fn load(&self, id: ClientId) -> Load {
        let of_address = |known: &Known| self.addresses.get(&known.client.address);
        self.known.get(&id).and_then(of_address).copied().unwrap_or_default()
    }

    /// Whether a client at this address has locks, waits for some, or did some minutes ago.
    pub fn is_known(&self, address: IpAddr) -> bool {
        self.known.values().any(|known| known.client.address == address)
    }

    /// Forgets clients that have had nothing for some minutes. `true` if the ledger has one of them.
    pub fn retire(&mut self, now: Instant) -> bool {
        let mut was_recorded = false;
        self.known.retain(|_, known| {
            let keep = !known.is_idle() || known.may_reclaim || now < known.idle_since + IDLE_MAX;
            was_recorded |= !keep && known.is_recorded;
            keep
        });
        let known = &self.known;
        self.ids.retain(|_, id| known.contains_key(id));
        was_recorded
    }
}

/// Whether a client that calls itself `said` is the one we know as `known`: a name may come with its domain or
/// without, and in either case.
pub fn same_name(said: &[u8], known: &[u8]) -> bool {
    let label = |name: &[u8]| name.iter().position(|&byte| byte == b'.').unwrap_or(name.len());
    let is_address = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| name.parse::<IpAddr>().is_ok());
    if said.eq_ignore_ascii_case(known) {
        return true;
    }
    let (short, long) = if said.len() < known.len() { (said, known) } else { (known, said) };
    !is_address(long) && !short.is_empty() && label(short) == short.len() && {
        long[..label(long)].eq_ignore_ascii_case(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(host: u8, name: &str) -> Client {
        Client { address: [192, 0, 2, host].into(), name: name.as_bytes().into() }
    }

    #[test]
    fn clients_are_bounded_in_all_and_per_address() {
        let limits = Limits { clients: 3, clients_per_address: 2, ..Limits::default() };
        let (mut clients, now) = (Clients::default(), Instant::now());
        let local = [192, 0, 2, 99].into();
        let mut admit = |client: &Client| clients.admit(client, local, &limits, now);
        assert!(admit(&client(1, "a")).is_some());
        assert!(admit(&client(1, "b")).is_some());
        assert!(admit(&client(1, "c")).is_none(), "a third of one address");
        assert_eq!(admit(&client(1, "a")), admit(&client(1, "a")), "known ones stay who they are");
        assert!(admit(&client(2, "a")).is_some(), "one name at two addresses is two clients");
        assert!(admit(&client(3, "a")).is_none(), "a fourth in all");
    }

    #[test]
    fn only_idle_clients_are_forgotten_and_only_after_a_while() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let local = [192, 0, 2, 99].into();
        let [busy, idle] =
            [1, 2].map(|host| clients.admit(&client(host, "x"), local, &Limits::default(), now).unwrap());
        clients.count(busy, 1, 0, now);
        clients.get_mut(idle).unwrap().is_recorded = true;
        assert!(!clients.retire(now + IDLE_MAX / 2));
        assert!(clients.retire(now + IDLE_MAX), "the ledger has one too many now");
        assert!(clients.get(busy).is_some() && clients.get(idle).is_none());
        assert!(clients.id(&client(2, "x")).is_none());
    }

    #[test]
    fn names_match_with_and_without_their_domain() {
        assert!(same_name(b"web1", b"web1"));
        assert!(same_name(b"web1", b"WEB1.example.org"));
        assert!(same_name(b"web1.example.org", b"web1"));
        assert!(!same_name(b"web1.example.org", b"web1.example.com"));
        assert!(!same_name(b"web", b"web1"));
        assert!(!same_name(b"", b"web1"));
        assert!(!same_name(b"192", b"192.0.2.1"), "an address has no domain");
    }
}
