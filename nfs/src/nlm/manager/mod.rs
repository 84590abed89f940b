//! The lock manager's core: who holds which bytes of which file, who waits, and whether this is the time after a
//! restart in which only old locks are taken again. Pure: it is told the time and calls nobody. Calls to be made to
//! clients come out of [`Manager::due`], and what became of them goes in by [`Manager::answered`].
//!
//! POSIX rules: a lock replaces what the same owner held of its bytes; locks of two owners exclude each other unless
//! both are shared. Every call may come twice and does the same the second time.

mod reboot;
mod shares;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use self::shares::Share;
pub use self::shares::{ShareRequest, ShareWay};
use self::waiting::Waiter;
pub(crate) use self::waiting::{CALLS_PER_ADDRESS, CallsOut};
pub use self::waiting::{Grant, Outcome};
use super::Limits;
use super::clients::{ClientId, Clients, Owner};
use super::table::{FileLocks, Kind, Piece, Plan, Range};
use super::wire::{Holder, Status};
use crate::filesystem::Handle;
use crate::nsm::ledger::Client;

/// Which lock of whom.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The client.
    pub client: &'a Client,
    /// Process number at the client.
    pub svid: u32,
    /// The owner at the client.
    pub oh: &'a [u8],
    /// The file.
    pub file: Handle,
    /// Which bytes, and how. UNLOCK alone does not mind how.
    pub piece: Piece,
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Whether the client would wait.
    pub block: bool,
    /// Whether it says that it had this lock before the server started anew.
    pub reclaim: bool,
    /// Whether a restart must find the client again. Without, it loses its locks unheard (NM_LOCK).
    pub monitored: bool,
    /// Whether it speaks in messages (LOCK_MSG) and is to be called back in one.
    pub by_message: bool,
    /// State number of its status monitor; 0 for none.
    pub state: u32,
    /// By which address it reached this server.
    pub local: IpAddr,
}

/// The ledger must have the client before it can be given a lock: store what [`Manager::admit`] gives, tell
/// [`Manager::recorded`], and ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecorded;

/// The state of all locks.
#[derive(Debug)]
pub struct Manager {
    limits: Limits,
    clients: Clients,
    files: HashMap<Handle, File>,
    /// In the order they came.
    waiters: BTreeMap<u64, Waiter>,
    next_waiter: u64,
    /// Files with somebody who waits for nothing but room.
    short_of_room: HashSet<Handle>,
    /// Whether there is more room than when they were looked at.
    has_more_room: bool,
    /// Locked ranges and shares of all clients.
    locks: usize,
    /// Until when only old locks are taken again.
    grace: Option<Instant>,
    /// Whether it is not known who had locks.
    anybody_may_reclaim: bool,
}

/// A file with locks, shares or waiters.
#[derive(Debug, Default)]
struct File {
    locks: FileLocks<Arc<Owner>>,
    shares: Vec<Share>,
    waiting: BTreeSet<u64>,
}

impl File {
    fn is_unused(&self) -> bool {
        self.locks.is_empty() && self.shares.is_empty() && self.waiting.is_empty()
    }

    /// Whether the file may have one more who waits.
    fn takes_waiter(&self, limits: &Limits) -> bool {
        let waiting = self.waiting.len() + 1;
        waiting <= limits.waiting_per_file && self.locks.owners().len() * waiting <= limits.pairs_per_file
    }

    /// Whether the file may have this owner, who may be one more.
    fn takes_owner(&self, owner: &Arc<Owner>, limits: &Limits) -> bool {
        let owners = self.locks.owners().len() + 1;
        let has_room =
            owners <= limits.owners_per_file && owners * self.waiting.len() <= limits.pairs_per_file;
        has_room || self.locks.count(owner) > 0
    }
}

/// How many locks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockCounts {
    /// Locked ranges and shares.
    pub held: usize,
    /// Locks that somebody waits for.
    pub waiting: usize,
}

impl Manager {
    /// How many locks there are.
    pub fn counts(&self) -> LockCounts {
        LockCounts { held: self.locks, waiting: self.waiters.len() }
    }

    /// Who is in the way of a lock, if somebody is. For some time after a restart nobody can know.
    ///
    /// # Errors
    /// The lock that is in the way.
    pub fn test(&self, request: &Request<'_>) -> Result<Status, Holder> {
        if self.grace.is_some() {
            return Ok(Status::DeniedGracePeriod);
        }
        let owner = self.owner(request);
        let in_the_way = self.in_the_way(&request.file, &owner, request.piece).next();
        in_the_way.map_or(Ok(Status::Granted), |(other, Piece { range, kind })| {
            Err(Holder { kind, svid: other.svid, oh: other.oh.clone(), range })
        })
    }

    /// Whether somebody at this address locks, waits, or did some minutes ago.
    pub fn is_known(&self, address: IpAddr) -> bool {
        self.clients.is_known(address)
    }

    /// Takes a lock, or waits for it.
    ///
    /// # Errors
    /// The client must be recorded first.
    pub fn lock(&mut self, request: &Request<'_>, how: &How, now: Instant) -> Result<Status, Unrecorded> {
        self.heard_of_state(request.client, how.state, now);
        let owner = self.owner(request);
        let holds = |file: &File| file.locks.holds(&owner, request.piece);
        // Said again, or asked after a grant that did not reach the client: now it knows.
        if self.confirm_given(request, &owner, now) || self.files.get(&request.file).is_some_and(holds) {
            self.settle(request, &owner, now);
            return Ok(Status::Granted);
        }
        if let Some(refusal) = self.refusal(owner.client, how.reclaim) {
            return Ok(refusal);
        }
        let has_conflict = self.has_conflict(&request.file, &owner, request.piece);
        if has_conflict && !how.block {
            return Ok(Status::Denied);
        }
        if how.monitored && !self.clients.get(owner.client).is_some_and(|known| known.is_recorded) {
            return Err(Unrecorded);
        }
        let Some(client) = self.clients.admit(request.client, how.local, &self.limits, now) else {
            return Ok(Status::DeniedNoLocks);
        };
        self.heard_of_state(request.client, how.state, now);
        let owner = Arc::new(Owner { client, svid: owner.svid, oh: owner.oh.clone() });
        if has_conflict {
            return Ok(self.wait(request, owner, how, now));
        }
        if !self.files.get(&request.file).is_none_or(|file| file.takes_owner(&owner, &self.limits)) {
            return Ok(Status::DeniedNoLocks);
        }
        if !self.change(request.file, &owner, request.piece.range, Some(request.piece.kind), now) {
            return Ok(Status::DeniedNoLocks);
        }
        self.settle(request, &owner, now);
        // An exclusive lock made shared lets others in.
        self.wake(request.file, request.piece.range, now);
        Ok(Status::Granted)
    }

    /// Gives bytes back, held or not.
    pub fn unlock(&mut self, request: &Request<'_>, now: Instant) -> Status {
        let (file, range) = (request.file, request.piece.range);
        let owner = self.owner(request);
        self.before_unlock(file, &owner, range, now);
        if self.files.get(&file).is_none_or(|file| file.locks.count(&owner) == 0) {
            return Status::Granted;
        }
        let is_done = self.change(file, &owner, range, None, now);
        self.wake(file, range, now);
        if is_done { Status::Granted } else { Status::DeniedNoLocks }
    }

    /// The owner of a request; of a client that has no locks, one that nobody else is.
    fn owner(&self, request: &Request<'_>) -> Arc<Owner> {
        let client = self.client_id(request.client);
        Arc::new(Owner { client, svid: request.svid, oh: request.oh.into() })
    }

    fn has_conflict(&self, file: &Handle, owner: &Arc<Owner>, piece: Piece) -> bool {
        self.in_the_way(file, owner, piece).next().is_some()
    }

    /// What keeps an owner from a lock: what others hold, and what was given to others who have not confirmed it.
    fn in_the_way(
        &self,
        file: &Handle,
        owner: &Arc<Owner>,
        piece: Piece,
    ) -> impl Iterator<Item = (&Arc<Owner>, Piece)> {
        let file = self.files.get(file).into_iter();
        file.flat_map(move |file| {
            let waiters = file.waiting.iter().filter_map(|id| self.waiters.get(id));
            let given = waiters.filter(move |waiter| waiter.is_in_the_way(owner, piece));
            let given = given.map(|waiter| (&waiter.owner, waiter.piece));
            file.locks.conflicts(owner, piece).chain(given)
        })
    }

    /// Makes `owner` hold `range` in `kind`, or not at all. `false`, and nothing is changed, if a bound is reached.
    fn change(
        &mut self,
        file: Handle,
        owner: &Arc<Owner>,
        range: Range,
        kind: Option<Kind>,
        now: Instant,
    ) -> bool {
        let plan = self.files.get(&file).map(|file| file.locks.plan(owner, range, kind));
        let plan = plan.unwrap_or_else(|| FileLocks::default().plan(owner, range, kind));
        // Whoever gives back the middle of a lock, at the bound, must not keep all of it.
        let limits = if kind.is_none() { self.limits.with_slack() } else { self.limits };
        let fits = plan.growth() <= 0 || self.has_room(owner.client, plan.growth().unsigned_abs(), &limits);
        if fits {
            self.carry_out(file, owner, plan, now);
        }
        fits
    }

    /// The same without a look at the bounds, for what was given before.
    fn change_back(
        &mut self,
        file: Handle,
        owner: &Arc<Owner>,
        range: Range,
        kind: Option<Kind>,
        now: Instant,
    ) {
        let plan = self.files.entry(file).or_default().locks.plan(owner, range, kind);
        self.carry_out(file, owner, plan, now);
    }

    fn carry_out(&mut self, file: Handle, owner: &Arc<Owner>, plan: Plan, now: Instant) {
        self.count(owner.client, plan.growth(), now);
        self.files.entry(file).or_default().locks.carry_out(owner, plan);
        self.drop_if_unused(&file);
    }

    fn has_room(&self, client: ClientId, growth: usize, limits: &Limits) -> bool {
        let of_client = self.clients.get(client).map_or(0, |known| known.locks);
        self.locks + growth <= limits.locks
            && of_client + growth <= limits.locks_per_client
            && self.clients.load(client).locks + growth <= limits.locks_per_address
    }

    fn count(&mut self, client: ClientId, locks: isize, now: Instant) {
        self.locks = self.locks.saturating_add_signed(locks);
        self.has_more_room |= locks < 0;
        self.clients.count(client, locks, 0, now);
    }

    fn drop_if_unused(&mut self, file: &Handle) {
        if self.files.get(file).is_some_and(File::is_unused) {
            self.files.remove(file);
        }
    }
}
