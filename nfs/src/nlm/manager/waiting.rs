//! Locks that are waited for: in the order they were asked for, each is given when nothing held is in its way; the
//! client is called until it confirms, and one that cannot be reached loses its turn.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Handle, How, Manager, Piece, Range, Request};
use crate::nlm::clients::Owner;
use crate::nlm::wire::Status;

/// A client is called again after this, then after twice as long, and so on up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A circle of owners that wait for each other is found up to this length: each LOCK that blocks is looked at.
const CIRCLE_MAX: usize = 64;

/// Calls out to one address: it cannot keep the courier from others.
pub(crate) const CALLS_PER_ADDRESS: usize = 2;
/// How many calls are out to whom.
pub(crate) type CallsOut = HashMap<IpAddr, usize>;

/// A lock somebody waits for.
#[derive(Debug)]
pub(super) struct Waiter {
    pub owner: Arc<Owner>,
    pub file: Handle,
    pub piece: Piece,
    by_message: bool,
    /// Once nothing is in its way.
    turn: Option<Turn>,
}

impl Waiter {
    /// Whether it was given what keeps `owner` from `piece`.
    pub fn is_in_the_way(&self, owner: &Arc<Owner>, piece: Piece) -> bool {
        let excludes = || self.piece.range.overlaps(piece.range) && self.piece.kind.excludes(piece.kind);
        self.turn.is_some() && self.owner != *owner && excludes()
    }

    /// Locks that are counted for it.
    pub fn room(&self) -> usize {
        self.turn.as_ref().map_or(0, |turn| turn.room)
    }
}

/// The lock is given, and in the way of others, but not in the table before the client has confirmed it: so what its
/// owner does with the same bytes meanwhile stays as it is if the lock is taken back.
#[derive(Debug)]
struct Turn {
    /// By how much the table will grow: counted already.
    room: usize,
    /// Calls begun.
    attempts: u32,
    /// Those of them that may have reached the client.
    heard: u32,
    is_being_called: bool,
    /// When it is called (again).
    due: Instant,
    /// When its turn is over.
    until: Instant,
}

/// A call to be made: that the lock is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number, for [`Manager::answered`].
    pub id: u64,
    /// Where the client is.
    pub address: IpAddr,
    /// By which address it knows this server: the call must come from there.
    pub local: IpAddr,
    /// What the client calls itself.
    pub name: Box<[u8]>,
    /// The owner there.
    pub oh: Box<[u8]>,
    /// The process there.
    pub svid: u32,
    /// The file.
    pub file: Handle,
    /// Which bytes, and how.
    pub piece: Piece,
    /// Whether the client speaks in messages.
    pub by_message: bool,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client has the lock.
    Accepted,
    /// It does not want it.
    Refused,
    /// No answer, or none that says something.
    Unknown,
    /// The call cannot have reached it.
    NotSent,
}

impl Manager {
    /// Notes that a lock is waited for.
    pub(super) fn wait(
        &mut self,
        request: &Request<'_>,
        owner: Arc<Owner>,
        how: &How,
        now: Instant,
    ) -> Status {
        if self.waiter(request, &owner).is_some() {
            return Status::Blocked;
        }
        if self.would_wait_for_itself(&owner, &request.file, request.piece) {
            return Status::Deadlock;
        }
        let of_client = self.clients.get(owner.client).map_or(0, |known| known.waiting);
        if self.waiters.len() >= self.limits.waiting
            || of_client >= self.limits.waiting_per_client
            || self.clients.load(owner.client).waiting >= self.limits.waiting_per_address
            || !self.files.get(&request.file).is_none_or(|file| file.takes_waiter(&self.limits))
        {
            return Status::DeniedNoLocks;
        }
        self.clients.count(owner.client, 0, 1, now);
        self.enqueue(Waiter {
            owner,
            file: request.file,
            piece: request.piece,
            by_message: how.by_message,
            turn: None,
        });
        Status::Blocked
    }

    /// Ends waiting. A lock that was given meanwhile, and whose client has not confirmed it, is taken back.
    pub fn cancel(&mut self, request: &Request<'_>, now: Instant) -> Status {
        let owner = self.owner(request);
        let Some(id) = self.waiter(request, &owner) else {
            // Nothing to cancel: it was cancelled before, or the client has the lock and must give it back.
            let holds = |file: &super::File| file.locks.holds(&owner, request.piece);
            return if self.files.get(&request.file).is_some_and(holds) {
                Status::Denied
            } else {
                Status::Granted
            };
        };
        self.take_back(id, now);
        Status::Granted
    }

    /// The calls to be made now, `most` of them at most; `busy` says how many are out to an address. Each is out until
    /// [`Manager::answered`].
    pub fn due(&mut self, most: usize, busy: &CallsOut, now: Instant) -> Vec<Grant> {
        let over: Vec<u64> = self.turns().filter(|(_, turn)| turn.until <= now).map(|(id, _)| id).collect();
        for id in over {
            tracing::debug!(id, "a client cannot be told of its lock: the next one gets it");
            self.take_back(id, now);
        }
        self.use_room(now);
        let mut calls = Vec::new();
        let mut busy = busy.clone();
        for (&id, waiter) in &mut self.waiters {
            if calls.len() >= most {
                break;
            }
            let Some(turn) = waiter.turn.as_mut().filter(|turn| !turn.is_being_called && turn.due <= now)
            else {
                continue;
            };
            let Some(known) = self.clients.get(waiter.owner.client) else { continue };
            let out = busy.entry(known.client.address).or_default();
            if *out >= CALLS_PER_ADDRESS {
                continue;
            }
            *out += 1;
            turn.is_being_called = true;
            turn.attempts += 1;
            turn.heard += 1;
            turn.until = turn.until.min(now + self.limits.turn);
            calls.push(Grant {
                id,
                address: known.client.address,
                local: known.local,
                name: known.client.name.clone(),
                oh: waiter.owner.oh.clone(),
                svid: waiter.owner.svid,
                file: waiter.file,
                piece: waiter.piece,
                by_message: waiter.by_message,
            });
        }
        calls
    }

    /// When [`Manager::due`] has something to do next, as long as those calls are out.
    pub fn next_due(&self, busy: &CallsOut) -> Option<Instant> {
        let can_be_called = |id: u64| {
            let client = self.waiters.get(&id).and_then(|waiter| self.clients.get(waiter.owner.client));
            client.is_some_and(|known| {
                busy.get(&known.client.address).is_none_or(|&out| out < CALLS_PER_ADDRESS)
            })
        };
        let next = |(id, turn): (u64, &Turn)| {
            let waits = turn.is_being_called || !can_be_called(id);
            if waits { turn.until } else { turn.due.min(turn.until) }
        };
        self.turns().map(next).min()
    }

    /// Whether a client is to be told of a lock, or one may be given by now.
    pub fn has_work(&self) -> bool {
        let may_give = self.has_more_room && !self.short_of_room.is_empty();
        may_give || self.turns().next().is_some()
    }

    /// Gives locks for which there was no room, as far as there is now.
    fn use_room(&mut self, now: Instant) {
        if std::mem::take(&mut self.has_more_room) {
            for file in std::mem::take(&mut self.short_of_room) {
                self.wake(file, Range::ALL, now);
            }
        }
    }

    /// Takes in what became of a call. Late answers, of which nobody knows any more, mean nothing.
    pub fn answered(&mut self, id: u64, outcome: Outcome, now: Instant) {
        let Some(turn) = self.waiters.get_mut(&id).and_then(|waiter| waiter.turn.as_mut()) else { return };
        match outcome {
            Outcome::Refused if turn.heard <= 1 => self.take_back(id, now),
            // Told twice, a client refuses the second time because it has the lock: its first answer was lost.
            Outcome::Accepted | Outcome::Refused => self.confirm(id, now),
            Outcome::Unknown | Outcome::NotSent => {
                turn.heard = turn.heard.saturating_sub(u32::from(outcome == Outcome::NotSent));
                turn.is_being_called = false;
                let doubled = PAUSE.saturating_mul(1 << turn.attempts.saturating_sub(1).min(8));
                turn.due = now + doubled.min(PAUSE_MAX);
            }
        }
    }

    /// The same for an answer that came as a call of the client's own (GRANTED_RES).
    pub fn answered_by(&mut self, address: IpAddr, id: u64, outcome: Outcome, now: Instant) {
        let client = self.waiters.get(&id).and_then(|waiter| self.clients.get(waiter.owner.client));
        if client.is_some_and(|known| known.client.address == address) {
            self.answered(id, outcome, now);
        }
    }

    /// Gives locks of a file to those who wait, in their order, as far as nothing is in their way.
    pub(super) fn wake(&mut self, file: Handle, range: Range, now: Instant) {
        let Some(found) = self.files.get(&file) else { return };
        let waiting: Vec<u64> = found.waiting.iter().copied().collect();
        for id in waiting {
            let Some(waiter) = self.waiters.get(&id) else { continue };
            let (owner, piece) = (Arc::clone(&waiter.owner), waiter.piece);
            if waiter.turn.is_some()
                || !piece.range.overlaps(range)
                || self.has_conflict(&file, &owner, piece)
            {
                continue;
            }
            let plan =
                self.files.get(&file).map(|file| file.locks.plan(&owner, piece.range, Some(piece.kind)));
            // At least one: what is given is kept somewhere, too.
            let room = plan.map_or(1, |plan| plan.growth().max(1).unsigned_abs());
            if !self.has_room(owner.client, room, &self.limits) {
                self.short_of_room.insert(file);
                continue;
            }
            if let Some(waiter) = self.waiters.get_mut(&id) {
                // Longer only as long as others keep the courier from its first call.
                let until = now + 4 * self.limits.turn;
                let turn = Turn { room, attempts: 0, heard: 0, is_being_called: false, due: now, until };
                waiter.turn = Some(turn);
                self.count(owner.client, room as isize, now);
            }
        }
    }

    /// Ends waiting for a lock that its client has now.
    pub(super) fn settle(&mut self, request: &Request<'_>, owner: &Owner, now: Instant) {
        if let Some(id) = self.waiter(request, owner) {
            self.remove_waiter(id, now);
        }
    }

    /// A client has what it was given: from now on it holds it.
    fn confirm(&mut self, id: u64, now: Instant) {
        let Some(Waiter { owner, file, piece, .. }) = self.remove_waiter(id, now) else { return };
        self.change_back(file, &owner, piece.range, Some(piece.kind), now);
        // An exclusive lock made shared lets others in.
        self.wake(file, piece.range, now);
    }

    /// The same for one that asks for just that. `false` if it was given nothing like it.
    pub(super) fn confirm_given(&mut self, request: &Request<'_>, owner: &Owner, now: Instant) -> bool {
        let given = |id: &u64| self.waiters.get(id).is_some_and(|waiter| waiter.turn.is_some());
        let Some(id) = self.waiter(request, owner).filter(given) else { return false };
        self.confirm(id, now);
        true
    }

    /// Before an UNLOCK of bytes of which the owner was given some and has not confirmed it. If its client was called, it
    /// has heard of its lock and gives it back before its answer is here. If not, somebody else of the same owner
    /// unlocks, and what was given stays given.
    pub(super) fn before_unlock(&mut self, file: Handle, owner: &Arc<Owner>, range: Range, now: Instant) {
        let waiting = self.files.get(&file).into_iter().flat_map(|file| &file.waiting);
        let heard = |id: &&u64| {
            self.waiters.get(id).is_some_and(|waiter| {
                let has_heard = waiter.turn.as_ref().is_some_and(|turn| turn.heard > 0);
                has_heard && waiter.owner == *owner && waiter.piece.range.overlaps(range)
            })
        };
        for id in waiting.filter(heard).copied().collect::<Vec<_>>() {
            self.confirm(id, now);
        }
    }

    /// Takes a waiter out; a lock it was given and has not confirmed goes to the next.
    pub(super) fn take_back(&mut self, id: u64, now: Instant) {
        let Some(waiter) = self.remove_waiter(id, now) else { return };
        if waiter.turn.is_some() {
            self.wake(waiter.file, waiter.piece.range, now);
        }
    }

    fn enqueue(&mut self, waiter: Waiter) {
        let id = self.next_waiter;
        self.next_waiter += 1;
        self.files.entry(waiter.file).or_default().waiting.insert(id);
        self.waiters.insert(id, waiter);
    }

    fn remove_waiter(&mut self, id: u64, now: Instant) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.count(waiter.owner.client, -(waiter.room() as isize), now);
        self.clients.count(waiter.owner.client, 0, -1, now);
        if let Some(file) = self.files.get_mut(&waiter.file) {
            file.waiting.remove(&id);
        }
        self.drop_if_unused(&waiter.file);
        Some(waiter)
    }

    /// Who waits for exactly this.
    fn waiter(&self, request: &Request<'_>, owner: &Owner) -> Option<u64> {
        let file = self.files.get(&request.file)?;
        let is_same = |id: &&u64| {
            let waiter = self.waiters.get(id);
            waiter.is_some_and(|waiter| waiter.piece == request.piece && *waiter.owner == *owner)
        };
        file.waiting.iter().find(is_same).copied()
    }

    fn turns(&self) -> impl Iterator<Item = (u64, &Turn)> {
        self.waiters.iter().filter_map(|(&id, waiter)| Some((id, waiter.turn.as_ref()?)))
    }

    /// Whether those in the way of a lock wait, perhaps through others, for its owner.
    fn would_wait_for_itself(&self, owner: &Arc<Owner>, file: &Handle, piece: Piece) -> bool {
        let in_the_way = |file: &Handle, owner: &Arc<Owner>, piece| -> Vec<Arc<Owner>> {
            let found = self.in_the_way(file, owner, piece).take(CIRCLE_MAX);
            found.map(|(other, _)| Arc::clone(other)).collect()
        };
        let mut looks_left = CIRCLE_MAX;
        let mut seen = HashSet::new();
        let mut todo = in_the_way(file, owner, piece);
        while let Some(next) = todo.pop() {
            if next == *owner {
                return true;
            }
            if seen.len() >= CIRCLE_MAX || !seen.insert(Arc::clone(&next)) {
                continue;
            }
            let waits = |waiter: &&Waiter| waiter.owner == next && waiter.turn.is_none();
            for waiter in self.waiters.values().filter(waits) {
                // Too much to look at: it waits, and whoever tires of it cancels.
                let Some(left) = looks_left.checked_sub(1) else { return false };
                looks_left = left;
                todo.extend(in_the_way(&waiter.file, &next, waiter.piece));
            }
        }
        false
    }
}
