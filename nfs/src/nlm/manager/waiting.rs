//! Locks that are waited for: in the order they were asked for, each is given when nothing held is in its way; the
//! client is called until it confirms, and one that cannot be reached loses its turn.

use std::collections::HashSet;
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

/// A lock somebody waits for.
#[derive(Debug)]
pub(super) struct Waiter {
    pub owner: Arc<Owner>,
    pub file: Handle,
    piece: Piece,
    by_message: bool,
    /// Once nothing is in its way.
    turn: Option<Turn>,
}

/// The lock is in the table; the client must be told.
#[derive(Debug)]
struct Turn {
    /// What the owner held of these bytes before.
    before: Vec<Piece>,
    /// Calls begun.
    attempts: u32,
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
        if self.waiters.len() >= self.limits.waiting || of_client >= self.limits.waiting_per_client {
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

    /// The calls to be made now, `most` of them at most. Each is out until [`Manager::answered`].
    pub fn due(&mut self, most: usize, now: Instant) -> Vec<Grant> {
        let over: Vec<u64> = self.turns().filter(|(_, turn)| turn.until <= now).map(|(id, _)| id).collect();
        for id in over {
            tracing::debug!(id, "a client cannot be told of its lock: the next one gets it");
            self.take_back(id, now);
        }
        let mut calls = Vec::new();
        for (&id, waiter) in &mut self.waiters {
            if calls.len() >= most {
                break;
            }
            let Some(turn) = waiter.turn.as_mut().filter(|turn| !turn.is_being_called && turn.due <= now)
            else {
                continue;
            };
            let Some(known) = self.clients.get(waiter.owner.client) else { continue };
            turn.is_being_called = true;
            turn.attempts += 1;
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

    /// When [`Manager::due`] has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        self.turns()
            .map(|(_, turn)| if turn.is_being_called { turn.until } else { turn.due.min(turn.until) })
            .min()
    }

    /// Takes in what became of a call. Late answers, of which nobody knows any more, mean nothing.
    pub fn answered(&mut self, id: u64, outcome: Outcome, now: Instant) {
        let Some(turn) = self.waiters.get_mut(&id).and_then(|waiter| waiter.turn.as_mut()) else { return };
        match outcome {
            Outcome::Refused if turn.attempts == 1 => self.take_back(id, now),
            // Told twice, a client refuses the second time because it has the lock: its first answer was lost.
            Outcome::Accepted | Outcome::Refused => drop(self.remove_waiter(id)),
            Outcome::Unknown => {
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
            let before =
                self.files.get(&file).map_or_else(Vec::new, |file| file.locks.held(&owner, piece.range));
            if self.change(file, &owner, piece.range, Some(piece.kind), now)
                && let Some(waiter) = self.waiters.get_mut(&id)
            {
                let until = now + self.limits.turn;
                waiter.turn = Some(Turn { before, attempts: 0, is_being_called: false, due: now, until });
            }
        }
    }

    /// Ends waiting for a lock that its client has now.
    pub(super) fn settle(&mut self, request: &Request<'_>, owner: &Owner) {
        if let Some(id) = self.waiter(request, owner) {
            self.remove_waiter(id);
        }
    }

    /// Before an UNLOCK of bytes of which the owner was given some and has not confirmed it. If its client was called, it
    /// has heard of its lock and gives it back before its answer is here. If not, somebody else of the same owner
    /// unlocks, and it waits as before.
    pub(super) fn before_unlock(&mut self, file: Handle, owner: &Arc<Owner>, range: Range, now: Instant) {
        let mut heard = Vec::new();
        let mut unheard = Vec::new();
        for (&id, waiter) in &mut self.waiters {
            if waiter.file != file || waiter.owner != *owner || !waiter.piece.range.overlaps(range) {
                continue;
            }
            match waiter.turn.take_if(|turn| turn.attempts == 0) {
                Some(turn) => unheard.push((waiter.piece.range, turn)),
                None if waiter.turn.is_some() => heard.push(id),
                None => {}
            }
        }
        for id in heard {
            self.remove_waiter(id);
        }
        for (range, turn) in unheard {
            self.undo(file, owner, range, turn, now);
        }
    }

    /// Takes a waiter out; a lock it was given and has not confirmed goes to the next.
    pub(super) fn take_back(&mut self, id: u64, now: Instant) {
        let Some(waiter) = self.remove_waiter(id) else { return };
        if let Some(turn) = waiter.turn {
            let Waiter { owner, file, piece: Piece { range, .. }, .. } = waiter;
            self.undo(file, &owner, range, turn, now);
            self.wake(file, range, now);
        }
    }

    /// Puts back what an owner held before its turn.
    fn undo(&mut self, file: Handle, owner: &Arc<Owner>, range: Range, turn: Turn, now: Instant) {
        self.change_back(file, owner, range, None, now);
        for Piece { range, kind } in turn.before {
            self.change_back(file, owner, range, Some(kind), now);
        }
    }

    fn enqueue(&mut self, waiter: Waiter) {
        let id = self.next_waiter;
        self.next_waiter += 1;
        self.files.entry(waiter.file).or_default().waiting.insert(id);
        self.waiters.insert(id, waiter);
    }

    fn remove_waiter(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        if let Some(known) = self.clients.get_mut(waiter.owner.client) {
            known.waiting = known.waiting.saturating_sub(1);
        }
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
            let Some(file) = self.files.get(file) else { return Vec::new() };
            file.locks.conflicts(owner, piece).map(|(other, _)| Arc::clone(other)).collect()
        };
        let mut seen = HashSet::new();
        let mut todo = in_the_way(file, owner, piece);
        while let Some(next) = todo.pop() {
            if next == *owner {
                return true;
            }
            if seen.len() >= CIRCLE_MAX || !seen.insert(Arc::clone(&next)) {
                continue;
            }
            for waiter in self.waiters.values().filter(|waiter| waiter.owner == next && waiter.turn.is_none())
            {
                todo.extend(in_the_way(&waiter.file, &next, waiter.piece));
            }
        }
        false
    }
}
