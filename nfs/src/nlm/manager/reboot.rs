//! Restarts: of this server, after which clients take their old locks again before new ones are given; and of
//! clients, whose locks go.

use std::net::IpAddr;
use std::time::Instant;

use super::{ClientId, Clients, Handle, Limits, Manager, Range, Status};
use crate::nlm::clients::same_name;
use crate::nsm::ledger::{Client, Remembered};

impl Manager {
    /// Begins after a (re)start. The clients in `remembered` may take their locks again until `grace_end`; without any,
    /// locks are given at once. `None` if it is not known who had locks: then anybody may say so.
    pub fn new(limits: Limits, remembered: Option<&[Remembered]>, grace_end: Instant, now: Instant) -> Self {
        // Nobody is left out: what an earlier start has promised is not subject to the bounds of this one.
        let bounds = Limits { clients: usize::MAX, clients_per_address: usize::MAX, ..limits };
        let mut clients = Clients::default();
        for Remembered { client, local } in remembered.unwrap_or_default() {
            let id = clients.admit(client, *local, &bounds, now);
            if let Some(known) = id.and_then(|id| clients.get_mut(id)) {
                (known.is_recorded, known.may_reclaim) = (true, true);
            }
        }
        let anybody_may_reclaim = remembered.is_none();
        let has_old_locks = remembered.is_none_or(|remembered| !remembered.is_empty());
        let grace = has_old_locks.then_some(grace_end);
        Self {
            limits,
            clients,
            files: Default::default(),
            waiters: Default::default(),
            next_waiter: 0,
            short_of_room: Default::default(),
            has_more_room: false,
            locks: 0,
            grace,
            anybody_may_reclaim,
        }
    }

    /// Why a lock or share is not given at this time, whatever others hold.
    pub(super) fn refusal(&self, client: ClientId, reclaim: bool) -> Option<Status> {
        if self.grace.is_some() != reclaim {
            return Some(Status::DeniedGracePeriod);
        }
        // It held nothing when the server ended, or lost it unheard and others may have had it since.
        let is_remembered = self.clients.get(client).is_some_and(|known| known.may_reclaim);
        let may_reclaim = is_remembered || self.anybody_may_reclaim;
        (reclaim && !may_reclaim).then_some(Status::DeniedNoLocks)
    }

    /// When the time of old locks ends, if this is it. It ends early only when all who had locks have lost them by
    /// their own restart: no client ever says that it has taken its last.
    pub fn grace_end(&self) -> Option<Instant> {
        self.grace
    }

    /// Whoever has not taken its locks by now may not do so any more. Store those who have, so that the next restart
    /// knows that too; then call [`Manager::end_grace`]. Between the two no new locks are given.
    pub fn close_grace(&mut self) -> Vec<Remembered> {
        self.anybody_may_reclaim = false;
        for known in self.clients.iter_mut() {
            known.may_reclaim = false;
            known.is_recorded &= !known.is_idle();
        }
        self.remembered()
    }

    /// From now on locks are given.
    pub fn end_grace(&mut self) {
        self.grace = None;
    }

    /// Notes a client that the ledger is about to have: whom it must have then. `None` if there are too many.
    pub fn admit(&mut self, client: &Client, local: IpAddr, now: Instant) -> Option<Vec<Remembered>> {
        self.clients.admit(client, local, &self.limits, now)?;
        let mut remembered = self.remembered();
        if remembered.iter().all(|other| other.client != *client) {
            remembered.push(Remembered { client: client.clone(), local });
        }
        Some(remembered)
    }

    /// The ledger has a client from now on: it may be given locks.
    pub fn recorded(&mut self, client: &Client) {
        let id = self.client_id(client);
        if let Some(known) = self.clients.get_mut(id) {
            known.is_recorded = true;
        }
    }

    /// Whom the ledger must have.
    fn remembered(&self) -> Vec<Remembered> {
        let recorded = self.clients.iter().filter(|(_, known)| known.is_recorded);
        recorded.map(|(_, known)| Remembered { client: known.client.clone(), local: known.local }).collect()
    }

    /// Forgets clients that have had nothing for some minutes. Whom the ledger must have now, if that are fewer.
    pub fn retire(&mut self, now: Instant) -> Option<Vec<Remembered>> {
        self.clients.retire(now).then(|| self.remembered())
    }

    /// The status monitor of a client says that the client has restarted: its locks go. The same said again, with a
    /// state number that is known already, means nothing: the client may have new locks by now.
    pub fn rebooted(&mut self, address: IpAddr, name: &[u8], state: u32, now: Instant) {
        for id in self.clients_named(address, name) {
            if let Some(known) = self.clients.get_mut(id)
                && known.state != state
            {
                known.state = state;
                self.free(id, now);
            }
        }
    }

    /// A client locks, with the state number of its status monitor: another one than before means that it has restarted
    /// since, and the news of that has not come yet.
    pub(super) fn heard_of_state(&mut self, client: &Client, state: u32, now: Instant) {
        let id = self.client_id(client);
        // 0: it has no status monitor, or does not ask it.
        if let Some(known) = self.clients.get(id)
            && state != 0
            && known.state != 0
            && known.state != state
        {
            self.free(id, now);
        }
        if let Some(known) = self.clients.get_mut(id).filter(|_| state != 0) {
            known.state = state;
        }
    }

    /// A client says that it has no locks (any more).
    pub fn free_all(&mut self, address: IpAddr, name: &[u8], now: Instant) {
        for id in self.clients_named(address, name) {
            self.free(id, now);
        }
    }

    /// A client's number, or that of nobody.
    pub(super) fn client_id(&self, client: &Client) -> ClientId {
        self.clients.id(client).unwrap_or(ClientId::UNKNOWN)
    }

    /// Only what came from the client's own address is believed; an address may have several clients behind it, which
    /// their names tell apart. Its address may stand in place of its name.
    fn clients_named(&self, address: IpAddr, name: &[u8]) -> Vec<ClientId> {
        let is_address = std::str::from_utf8(name).is_ok_and(|name| name.parse() == Ok(address));
        let same = self.clients.iter().filter(|(_, known)| known.client.address == address);
        same.filter(|(_, known)| is_address || same_name(name, &known.client.name))
            .map(|(id, _)| id)
            .collect()
    }

    fn free(&mut self, client: ClientId, now: Instant) {
        let Some(known) = self.clients.get_mut(client) else { return };
        known.may_reclaim = false;
        let has_nothing = known.is_idle();
        let is_anybody_left =
            self.anybody_may_reclaim || self.clients.iter().any(|(_, known)| known.may_reclaim);
        if self.grace.is_some() && !is_anybody_left {
            self.grace = Some(now);
        }
        if has_nothing {
            return;
        }
        let waiting = self.waiters.iter().filter(|(_, waiter)| waiter.owner.client == client);
        for id in waiting.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.take_back(id, now);
        }
        let files: Vec<Handle> = self.files.keys().copied().collect();
        for file in files {
            self.free_file(file, client, now);
        }
    }

    fn free_file(&mut self, handle: Handle, client: ClientId, now: Instant) {
        let Some(file) = self.files.get_mut(&handle) else { return };
        let shares = file.shares.len();
        file.shares.retain(|share| share.owner.client != client);
        let growth = file.shares.len() as isize - shares as isize;
        let owners: Vec<_> = file.locks.owners().filter(|owner| owner.client == client).cloned().collect();
        self.count(client, growth, now);
        for owner in &owners {
            self.change_back(handle, owner, Range::ALL, None, now);
        }
        if !owners.is_empty() {
            self.wake(handle, Range::ALL, now);
        }
        self.drop_if_unused(&handle);
    }
}
