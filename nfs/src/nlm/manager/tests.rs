//! The lock manager without a wire: clients, owners and ranges as the procedures would give them.

use std::time::Duration;

use super::*;
use crate::nsm::ledger::Remembered;

const SHARED: Kind = Kind::Shared;
const EXCLUSIVE: Kind = Kind::Exclusive;

/// A manager at a time of its own.
struct World {
    manager: Manager,
    now: Instant,
}

/// A process of a client: the client's address ends in the first number, the process has the second.
#[derive(Clone, Copy)]
struct Process(u8, u32);

fn client(host: u8) -> Client {
    Client { address: address(host), name: format!("host{host}").into_bytes().into() }
}

fn address(host: u8) -> IpAddr {
    [192, 0, 2, host].into()
}

fn file(number: u8) -> Handle {
    Handle::new(&[number; 8]).unwrap()
}

fn how() -> How {
    How { block: false, reclaim: false, monitored: true, by_message: false, state: 1, local: address(99) }
}

fn blocking() -> How {
    How { block: true, ..how() }
}

fn reclaiming() -> How {
    How { reclaim: true, ..how() }
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let now = Instant::now();
        Self { manager: Manager::new(limits, Some(&[]), now, now), now }
    }

    /// After a restart with clients that had locks.
    fn restarted(hosts: &[u8]) -> Self {
        let now = Instant::now();
        let remembered: Vec<_> =
            hosts.iter().map(|&host| Remembered { client: client(host), local: address(99) }).collect();
        Self { manager: Manager::new(Limits::default(), Some(&remembered), now + SECOND * 45, now), now }
    }

    fn request<T>(
        &mut self,
        Process(host, svid): Process,
        number: u8,
        (offset, len): (u64, u64),
        kind: Kind,
        ask: impl FnOnce(&mut Manager, &Request<'_>, Instant) -> T,
    ) -> T {
        let piece = Piece { range: Range::new(offset, len).unwrap(), kind };
        let client = client(host);
        let request = Request { client: &client, svid, oh: b"oh", file: file(number), piece };
        ask(&mut self.manager, &request, self.now)
    }

    /// A LOCK, with the client recorded if that is wanted.
    fn lock(&mut self, who: Process, range: (u64, u64), kind: Kind, how: How) -> Status {
        self.lock_of(1, who, range, kind, how)
    }

    fn lock_of(&mut self, file: u8, who: Process, range: (u64, u64), kind: Kind, how: How) -> Status {
        for _ in 0..2 {
            match self
                .request(who, file, range, kind, |manager, request, now| manager.lock(request, &how, now))
            {
                Ok(status) => return status,
                Err(Unrecorded) => {
                    if self.manager.admit(&client(who.0), how.local, self.now).is_none() {
                        return Status::DeniedNoLocks;
                    }
                    self.manager.recorded(&client(who.0));
                }
            }
        }
        panic!("recorded and still not");
    }

    fn unlock(&mut self, who: Process, range: (u64, u64)) -> Status {
        self.request(who, 1, range, SHARED, Manager::unlock)
    }

    fn cancel(&mut self, who: Process, range: (u64, u64), kind: Kind) -> Status {
        self.request(who, 1, range, kind, Manager::cancel)
    }

    /// Who is in the way: process number and range.
    fn test(&mut self, who: Process, range: (u64, u64), kind: Kind) -> Option<(u32, (u64, u64))> {
        let result = self.request(who, 1, range, kind, |manager, request, _| manager.test(request));
        result.err().map(|holder| (holder.svid, holder.range.on_wire()))
    }

    /// The processes to be called now, with the numbers of the calls.
    fn calls(&mut self) -> Vec<(u32, u64)> {
        self.manager
            .due(usize::MAX, &CallsOut::new(), self.now)
            .into_iter()
            .map(|grant| (grant.svid, grant.id))
            .collect()
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        self.manager.answered(id, outcome, self.now);
    }

    /// Nothing is counted that is not there.
    fn assert_sound(&self) {
        let manager = &self.manager;
        let mut locks = 0;
        for (id, known) in manager.clients.iter() {
            let of_client = |file: &File| {
                let owners = file.locks.owners().filter(|owner| owner.client == id);
                let ranges: usize = owners.map(|owner| file.locks.count(owner)).sum();
                ranges + file.shares.iter().filter(|share| share.owner.client == id).count()
            };
            let counted: usize = manager.files.values().map(of_client).sum();
            let waiters = manager.waiters.values().filter(|waiter| waiter.owner.client == id);
            let counted = counted + waiters.map(Waiter::room).sum::<usize>();
            assert_eq!(known.locks, counted);
            let waiting = manager.waiters.values().filter(|waiter| waiter.owner.client == id).count();
            assert_eq!(known.waiting, waiting);
            locks += counted;
        }
        assert_eq!(manager.locks, locks);
        let queued: usize = manager.files.values().map(|file| file.waiting.len()).sum();
        assert_eq!(queued, manager.waiters.len());
        assert!(manager.files.values().all(|file| !file.is_unused()), "an unused file is kept");
    }
}

const SECOND: Duration = Duration::from_secs(1);
const A: Process = Process(1, 10);
const B: Process = Process(2, 20);
const C: Process = Process(3, 30);
const D: Process = Process(4, 40);

#[test]
fn locks_exclude_others_and_not_their_owner() {
    let mut world = World::new();
    assert_eq!(world.lock(A, (0, 10), EXCLUSIVE, how()), Status::Granted);
    assert_eq!(world.lock(B, (5, 1), SHARED, how()), Status::Denied);
    assert_eq!(world.lock(B, (10, 0), EXCLUSIVE, how()), Status::Granted, "behind it");
    assert_eq!(world.test(B, (9, 1), SHARED), Some((10, (0, 10))));
    assert_eq!(world.test(A, (0, 0), SHARED), Some((20, (10, 0))));
    // Another process of the same client is another owner.
    assert_eq!(world.lock(Process(1, 11), (0, 1), SHARED, how()), Status::Denied);
    // Down and up again without ever letting go.
    assert_eq!(world.lock(A, (0, 10), SHARED, how()), Status::Granted);
    assert_eq!(world.lock(B, (5, 1), SHARED, how()), Status::Granted);
    assert_eq!(world.lock(A, (0, 10), EXCLUSIVE, how()), Status::Denied);
    assert_eq!(world.test(B, (0, 10), SHARED), None, "the shared lock is what it was");
    assert_eq!(world.lock(A, (0, 5), EXCLUSIVE, how()), Status::Granted, "a part can be had");
    world.assert_sound();
}

/// Retransmissions: each call does the same the second time.
#[test]
fn repeated_calls_change_nothing() {
    let mut world = World::new();
    for _ in 0..2 {
        assert_eq!(world.lock(A, (0, 10), EXCLUSIVE, how()), Status::Granted);
        assert_eq!(world.lock(B, (0, 10), EXCLUSIVE, blocking()), Status::Blocked);
    }
    assert_eq!(world.manager.waiters.len(), 1);
    for _ in 0..2 {
        assert_eq!(world.cancel(B, (0, 10), EXCLUSIVE), Status::Granted);
    }
    for _ in 0..2 {
        assert_eq!(world.unlock(A, (0, 10)), Status::Granted);
    }
    assert_eq!(world.unlock(C, (0, 0)), Status::Granted, "what was never held");
    assert!(world.manager.files.is_empty());
    world.assert_sound();
}

#[test]
fn waiting_locks_are_given_in_the_order_they_were_asked_for() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    for who in [B, C, D] {
        assert_eq!(world.lock(who, (0, 10), EXCLUSIVE, blocking()), Status::Blocked);
    }
    assert_eq!(world.calls(), []);
    world.unlock(A, (0, 10));
    for expected in [B, C, D] {
        let calls = world.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].0, expected.1);
        assert_eq!(world.calls(), [], "a call that is out is not made again");
        world.answer(calls[0].1, Outcome::Accepted);
        world.assert_sound();
        world.unlock(expected, (0, 10));
    }
    assert!(world.manager.files.is_empty());
}

#[test]
fn one_unlock_lets_all_in_that_do_not_exclude_each_other() {
    let mut world = World::new();
    world.lock(A, (0, 0), EXCLUSIVE, how());
    world.lock(B, (0, 10), SHARED, blocking());
    world.lock(C, (5, 10), SHARED, blocking());
    world.lock(D, (100, 1), EXCLUSIVE, blocking());
    world.unlock(A, (0, 0));
    let called: Vec<u32> = world.calls().iter().map(|call| call.0).collect();
    assert_eq!(called, [20, 30, 40]);
    world.assert_sound();
}

#[test]
fn a_downgrade_lets_readers_in() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), SHARED, blocking());
    world.lock(A, (0, 10), SHARED, how());
    assert_eq!(world.calls().len(), 1);
}

#[test]
fn a_client_that_does_not_answer_is_called_again_and_then_loses_its_turn() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.lock(C, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    let mut calls_to_b = 0;
    let begin = world.now;
    let called_next = loop {
        match world.calls().first() {
            Some(&(20, id)) => {
                calls_to_b += 1;
                world.answer(id, Outcome::Unknown);
            }
            Some(&(svid, _)) => break svid,
            None => {}
        }
        world.now = world.manager.next_due(&CallsOut::new()).unwrap();
    };
    assert_eq!(called_next, 30, "the next one gets its turn");
    assert!(calls_to_b > 3, "after {calls_to_b} calls");
    assert_eq!(world.now - begin, Limits::default().turn);
    assert_eq!(world.test(B, (0, 10), SHARED), Some((30, (0, 10))), "it has lost it");
    world.assert_sound();
}

#[test]
fn a_lock_refused_by_its_client_goes_to_the_next() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.lock(C, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    let (_, id) = world.calls()[0];
    world.answer(id, Outcome::Refused);
    let (svid, id) = world.calls()[0];
    assert_eq!(svid, 30);
    // The first answer was lost: the client has the lock and knows of nothing it waits for.
    world.answer(id, Outcome::Unknown);
    world.now += SECOND;
    let again = world.calls();
    assert_eq!(again, [(30, id)]);
    world.answer(id, Outcome::Refused);
    assert_eq!(world.test(A, (0, 10), SHARED), Some((30, (0, 10))));
    assert_eq!(world.manager.next_due(&CallsOut::new()), None);
    world.assert_sound();
}

#[test]
fn answers_that_come_late_or_from_others_mean_nothing() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    let (_, id) = world.calls()[0];
    world.manager.answered_by(address(7), id, Outcome::Refused, world.now);
    assert_eq!(world.test(A, (0, 10), SHARED), Some((20, (0, 10))), "a stranger's answer");
    world.now += Limits::default().turn;
    assert_eq!(world.calls(), []);
    assert_eq!(world.lock(C, (0, 10), EXCLUSIVE, how()), Status::Granted);
    world.answer(id, Outcome::Accepted);
    assert_eq!(world.test(A, (0, 10), SHARED), Some((30, (0, 10))));
    world.assert_sound();
}

/// A client that asks again (Linux does every 30 s) learns of its lock by that, and need not be called any more.
#[test]
fn a_lock_asked_for_again_after_its_grant_is_confirmed() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    let (_, id) = world.calls()[0];
    assert_eq!(world.lock(B, (0, 10), EXCLUSIVE, blocking()), Status::Granted);
    assert_eq!(world.manager.next_due(&CallsOut::new()), None);
    world.answer(id, Outcome::Refused);
    assert_eq!(world.test(A, (0, 10), SHARED), Some((20, (0, 10))), "the late answer takes nothing away");
}

#[test]
fn a_cancel_takes_a_grant_back_that_is_not_confirmed() {
    let mut world = World::new();
    world.lock(A, (0, 10), SHARED, how());
    world.lock(B, (0, 10), SHARED, how());
    world.lock(B, (0, 20), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.cancel(B, (0, 20), EXCLUSIVE), Status::Granted);
    assert_eq!(world.test(A, (0, 20), EXCLUSIVE), Some((20, (0, 10))), "what it had before is there again");
    assert_eq!(world.test(A, (0, 20), SHARED), None);
    world.assert_sound();
    // A lock that is confirmed is to be unlocked, not cancelled.
    assert_eq!(world.cancel(B, (0, 10), SHARED), Status::Denied);
}

/// The client has its lock, gives it back, and only then its answer to the call arrives.
#[test]
fn an_unlock_that_overtakes_the_answer_to_a_call_holds() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    let (_, id) = world.calls()[0];
    world.unlock(B, (0, 10));
    assert_eq!(world.test(A, (0, 10), SHARED), None);
    world.answer(id, Outcome::Accepted);
    assert_eq!(world.test(A, (0, 10), SHARED), None);
    assert_eq!(world.calls(), []);
    world.assert_sound();
}

/// Another thread of the process unlocks before its client could hear that the first has its lock.
#[test]
fn an_unlock_before_the_call_leaves_the_lock_to_who_waits_for_it() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    world.unlock(B, (0, 5));
    assert_eq!(world.test(A, (0, 10), SHARED), Some((20, (0, 10))));
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    world.answer(calls[0].1, Outcome::Refused);
    assert_eq!(world.test(A, (0, 10), EXCLUSIVE), None, "nothing stays behind");
    world.assert_sound();
}

/// What its owner locks or unlocks meanwhile is not touched when a lock that was given is taken back.
#[test]
fn a_lock_taken_back_leaves_what_its_owner_did_meanwhile() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.lock(B, (5, 10), SHARED, blocking());
    world.unlock(A, (0, 10));
    assert_eq!(world.lock(B, (2, 2), EXCLUSIVE, how()), Status::Granted, "another thread of the same owner");
    world.unlock(B, (6, 1));
    assert_eq!(world.test(A, (6, 1), SHARED), Some((20, (0, 10))), "nobody has heard of it: it stays given");
    assert_eq!(world.calls().len(), 2);
    assert_eq!(world.cancel(B, (0, 10), EXCLUSIVE), Status::Granted);
    assert_eq!(world.cancel(B, (5, 10), SHARED), Status::Granted);
    assert_eq!(world.test(A, (0, 0), SHARED), Some((20, (2, 2))));
    assert_eq!(world.test(A, (4, 0), EXCLUSIVE), None);
    world.assert_sound();
}

/// A client that was called in vain has not heard of its lock: when it says no, it does not have it.
#[test]
fn a_refusal_after_calls_that_were_never_delivered_is_a_refusal() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    for outcome in [Outcome::NotSent, Outcome::NotSent, Outcome::Refused] {
        let calls = world.calls();
        assert_eq!(calls.len(), 1);
        world.answer(calls[0].1, outcome);
        world.now += SECOND * 10;
    }
    assert_eq!(world.test(A, (0, 10), SHARED), None);
    world.assert_sound();
}

#[test]
fn a_lock_for_which_there_was_no_room_is_given_when_there_is() {
    let mut world = World::with(Limits { locks: 1, ..Limits::default() });
    assert_eq!(world.lock(A, (0, 1), EXCLUSIVE, how()), Status::Granted);
    assert_eq!(world.lock(B, (0, 1), EXCLUSIVE, blocking()), Status::Blocked);
    assert_eq!(world.lock_of(2, C, (0, 1), EXCLUSIVE, how()), Status::DeniedNoLocks);
    world.unlock(A, (0, 1));
    let calls = world.calls();
    assert_eq!(calls[0].0, 20);
    // Another file's lock takes the room, and gives it back.
    assert_eq!(world.lock_of(2, C, (0, 1), EXCLUSIVE, blocking()), Status::DeniedNoLocks);
    world.answer(calls[0].1, Outcome::Accepted);
    assert_eq!(world.lock(B, (0, 1), SHARED, how()), Status::Granted);
    assert_eq!(world.lock(C, (0, 1), EXCLUSIVE, blocking()), Status::Blocked);
    world.manager.limits.locks = 0;
    world.unlock(B, (0, 1));
    assert_eq!(world.calls(), [], "no room");
    world.manager.limits.locks = 1;
    world.manager.has_more_room = true;
    assert!(world.manager.has_work());
    assert_eq!(world.calls()[0].0, 30);
    world.assert_sound();
}

/// One address keeps two callers busy at most, and its other turns do not run out meanwhile.
#[test]
fn one_address_is_called_twice_at_once_at_most() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    for at in 0..5 {
        world.lock(B, (at, 1), EXCLUSIVE, blocking());
    }
    world.lock(C, (9, 1), EXCLUSIVE, blocking());
    world.unlock(A, (0, 10));
    assert_eq!(world.calls().iter().map(|call| call.0).collect::<Vec<_>>(), [20, 20, 30]);
    let busy = CallsOut::from([(address(2), CALLS_PER_ADDRESS)]);
    assert_eq!(world.manager.due(usize::MAX, &busy, world.now), []);
    let turn = Limits::default().turn;
    assert_eq!(world.manager.next_due(&busy), Some(world.now + turn), "nothing is due at once");
    world.now += turn;
    assert_eq!(world.calls().len(), 2, "the next two begin only now");
    world.assert_sound();
}

#[test]
fn a_circle_of_waiting_owners_is_refused() {
    let mut world = World::new();
    world.lock(A, (0, 1), EXCLUSIVE, how());
    world.lock(B, (1, 1), EXCLUSIVE, how());
    world.lock_of(2, C, (2, 1), EXCLUSIVE, how());
    assert_eq!(world.lock(A, (1, 1), EXCLUSIVE, blocking()), Status::Blocked);
    assert_eq!(world.lock(B, (0, 1), EXCLUSIVE, blocking()), Status::Deadlock);
    // Over another file and one owner more.
    assert_eq!(world.lock_of(2, B, (2, 1), SHARED, blocking()), Status::Blocked);
    assert_eq!(world.lock(C, (0, 1), SHARED, blocking()), Status::Deadlock);
    assert_eq!(
        world.lock(C, (0, 1), SHARED, how()),
        Status::Denied,
        "who does not wait cannot be in a circle"
    );
    assert_eq!(world.lock(D, (0, 1), SHARED, blocking()), Status::Blocked, "who holds nothing neither");
    world.assert_sound();
}

#[test]
fn a_rebooted_client_loses_everything_once() {
    let mut world = World::new();
    world.lock(A, (0, 10), EXCLUSIVE, how());
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    world.lock(B, (20, 1), EXCLUSIVE, how());
    let reboot = |world: &mut World, from: u8, name: &[u8], state| {
        world.manager.rebooted(address(from), name, state, world.now);
    };
    reboot(&mut world, 2, b"host1", 3);
    reboot(&mut world, 1, b"host2", 3);
    assert_eq!(world.test(C, (0, 1), SHARED), Some((10, (0, 10))), "nobody speaks for others");
    reboot(&mut world, 1, b"host1", 1);
    assert_eq!(world.test(C, (0, 1), SHARED), Some((10, (0, 10))), "the state it had when it locked");
    reboot(&mut world, 1, b"HOST1.example.org", 3);
    assert_eq!(world.calls()[0].0, 20, "whoever waited has it");
    world.assert_sound();
    assert_eq!(world.lock(A, (30, 1), EXCLUSIVE, How { state: 3, ..how() }), Status::Granted);
    reboot(&mut world, 1, b"host1", 3);
    assert_eq!(world.test(C, (30, 1), SHARED), Some((10, (30, 1))), "said twice, it is one reboot");
    // By its address, with one that waits or is called.
    reboot(&mut world, 2, b"192.0.2.2", 9);
    assert_eq!(world.manager.waiters.len(), 0);
    world.manager.free_all(address(1), b"host1", world.now);
    assert!(world.manager.files.is_empty());
    world.assert_sound();
}

#[test]
fn a_client_that_locks_after_its_reboot_and_before_the_news_of_it_has_lost_its_old_locks() {
    let mut world = World::new();
    let how = |state| How { state, ..how() };
    world.lock(A, (0, 10), EXCLUSIVE, how(5));
    world.lock(B, (0, 10), EXCLUSIVE, blocking());
    assert_eq!(world.lock(A, (20, 1), EXCLUSIVE, how(0)), Status::Granted, "no number says nothing");
    assert_eq!(world.calls(), []);
    assert_eq!(world.lock(A, (30, 1), EXCLUSIVE, how(7)), Status::Granted);
    assert_eq!(world.calls()[0].0, 20, "whoever waited has it");
    world.manager.rebooted(address(1), b"host1", 7, world.now);
    assert_eq!(
        world.test(C, (20, 20), SHARED),
        Some((10, (30, 1))),
        "the new lock stays, the old ones are gone"
    );
    assert_eq!(world.test(C, (20, 5), SHARED), None);
    world.assert_sound();
}

/// Clients without a status monitor always say 0.
#[test]
fn a_client_without_state_number_keeps_its_locks() {
    let mut world = World::new();
    for at in [0, 10] {
        world.lock(A, (at, 1), EXCLUSIVE, How { state: 0, ..how() });
    }
    assert_eq!(world.test(B, (0, 5), SHARED), Some((10, (0, 1))));
}

#[test]
fn after_a_restart_only_old_locks_are_taken_until_it_is_known_who_has_which() {
    let mut world = World::restarted(&[1, 2]);
    assert_eq!(world.lock(A, (0, 1), EXCLUSIVE, how()), Status::DeniedGracePeriod);
    let test = world.request(C, 1, (0, 1), SHARED, |manager, request, _| manager.test(request));
    assert_eq!(test, Ok(Status::DeniedGracePeriod));
    assert_eq!(world.lock(A, (0, 10), EXCLUSIVE, reclaiming()), Status::Granted);
    assert_eq!(world.lock(A, (0, 10), EXCLUSIVE, reclaiming()), Status::Granted, "said again");
    assert_eq!(world.lock(B, (0, 10), SHARED, reclaiming()), Status::Denied, "one of them is wrong");
    assert_eq!(world.lock(C, (50, 1), SHARED, reclaiming()), Status::DeniedNoLocks, "it had none");
    assert_eq!(world.unlock(B, (0, 10)), Status::Granted);
    assert_eq!(world.manager.grace_end(), Some(world.now + SECOND * 45));

    let remembered: Vec<_> = world.manager.close_grace().into_iter().map(|one| one.client).collect();
    assert_eq!(remembered, [client(1)], "who took nothing may not do so after the next restart");
    assert_eq!(world.lock(B, (50, 1), SHARED, reclaiming()), Status::DeniedNoLocks);
    world.manager.end_grace();
    assert_eq!(world.lock(B, (50, 1), SHARED, reclaiming()), Status::DeniedGracePeriod);
    assert_eq!(world.lock(A, (0, 10), EXCLUSIVE, reclaiming()), Status::Granted, "said again, late");
    assert_eq!(world.lock(C, (0, 10), EXCLUSIVE, how()), Status::Denied);
    assert_eq!(world.lock(C, (50, 1), EXCLUSIVE, how()), Status::Granted);
    world.assert_sound();
}

#[test]
fn while_nobody_knows_who_had_locks_anybody_may_take_them_again() {
    let now = Instant::now();
    let mut world = World { manager: Manager::new(Limits::default(), None, now + SECOND * 45, now), now };
    assert_eq!(world.lock(A, (0, 1), EXCLUSIVE, how()), Status::DeniedGracePeriod);
    assert_eq!(world.lock(A, (0, 1), EXCLUSIVE, reclaiming()), Status::Granted);
    world.manager.free_all(address(1), b"host1", now);
    assert_eq!(world.manager.grace_end(), Some(now + SECOND * 45), "others may have had some");
    world.lock(B, (0, 1), EXCLUSIVE, reclaiming());
    let remembered: Vec<_> = world.manager.close_grace().into_iter().map(|one| one.client).collect();
    assert_eq!(remembered, [client(2)]);
    assert_eq!(world.lock(A, (5, 1), EXCLUSIVE, reclaiming()), Status::DeniedNoLocks);
}

#[test]
fn without_remembered_clients_locks_are_given_at_once() {
    let mut world = World::new();
    assert_eq!(world.manager.grace_end(), None);
    assert_eq!(world.lock(A, (0, 1), EXCLUSIVE, reclaiming()), Status::DeniedGracePeriod, "nothing is old");
}

#[test]
fn the_time_of_old_locks_ends_early_only_when_nobody_can_have_any() {
    let mut world = World::restarted(&[1, 2]);
    world.lock(A, (0, 10), EXCLUSIVE, reclaiming());
    world.manager.rebooted(address(1), b"host1", 9, world.now);
    assert_ne!(world.manager.grace_end(), Some(world.now));
    world.manager.free_all(address(2), b"host2", world.now);
    assert_eq!(world.manager.grace_end(), Some(world.now));
    world.assert_sound();
}

#[test]
fn no_client_gets_a_lock_before_the_ledger_has_it() {
    let mut world = World::new();
    let ask = |world: &mut World, how| {
        world.request(A, 1, (0, 1), EXCLUSIVE, |manager, request, now| manager.lock(request, &how, now))
    };
    assert_eq!(ask(&mut world, how()), Err(Unrecorded));
    assert_eq!(ask(&mut world, blocking()), Err(Unrecorded));
    let to_store = world.manager.admit(&client(1), address(99), world.now).unwrap();
    assert_eq!(to_store, [Remembered { client: client(1), local: address(99) }]);
    assert_eq!(ask(&mut world, how()), Err(Unrecorded), "it is not stored yet");
    world.lock(B, (0, 1), EXCLUSIVE, how());
    assert_eq!(ask(&mut world, how()), Ok(Status::Denied), "for that it need not be stored");
    assert_eq!(ask(&mut world, blocking()), Err(Unrecorded));
    world.unlock(B, (0, 1));
    assert_eq!(ask(&mut world, How { monitored: false, ..how() }), Ok(Status::Granted), "NM_LOCK");
    let remembered = world.manager.close_grace();
    assert!(remembered.iter().all(|one| one.client != client(1)), "nobody would tell it of a restart");
}

#[test]
fn every_bound_holds_at_its_edge() {
    let limits =
        Limits { locks: 5, locks_per_client: 3, waiting: 3, waiting_per_client: 2, ..Limits::default() };
    let mut world = World::with(limits);
    for at in [0, 2, 4] {
        assert_eq!(world.lock(A, (at, 1), EXCLUSIVE, how()), Status::Granted);
    }
    assert_eq!(world.lock(A, (6, 1), EXCLUSIVE, how()), Status::DeniedNoLocks, "a fourth of one client");
    assert_eq!(world.lock(A, (1, 1), EXCLUSIVE, how()), Status::Granted, "joins two, so there is room again");
    assert_eq!(world.lock(A, (10, 9), EXCLUSIVE, how()), Status::Granted);
    assert_eq!(world.unlock(A, (14, 1)), Status::Granted, "an unlock that splits has room of its own");
    assert_eq!(world.unlock(A, (12, 1)), Status::DeniedNoLocks, "which is bounded too");
    assert_eq!(world.unlock(A, (15, 99)), Status::Granted);
    assert_eq!(world.lock(B, (100, 1), EXCLUSIVE, how()), Status::Granted);
    assert_eq!(world.lock(B, (102, 1), EXCLUSIVE, how()), Status::Granted);
    assert_eq!(world.lock(B, (104, 1), EXCLUSIVE, how()), Status::DeniedNoLocks, "a sixth in all");
    let wait = |world: &mut World, who, at| world.lock(who, (at, 1), SHARED, blocking());
    assert_eq!(wait(&mut world, B, 0), Status::Blocked);
    assert_eq!(wait(&mut world, B, 1), Status::Blocked);
    assert_eq!(wait(&mut world, B, 2), Status::DeniedNoLocks, "a third of one client");
    assert_eq!(wait(&mut world, C, 0), Status::Blocked);
    assert_eq!(wait(&mut world, D, 0), Status::DeniedNoLocks, "a fourth in all");
    world.assert_sound();
}

/// Names can be invented: what counts in the end is the address.
#[test]
fn clients_behind_one_address_share_its_bounds() {
    let limits = Limits { locks_per_address: 2, waiting_per_address: 1, ..Limits::default() };
    let mut world = World::with(limits);
    let mut lock = |host: u8, name: &str, at, how: How| {
        let client = Client { address: address(host), name: name.as_bytes().into() };
        let piece = Piece { range: Range::new(at, 1).unwrap(), kind: EXCLUSIVE };
        let request = Request { client: &client, svid: 1, oh: b"oh", file: file(1), piece };
        let how = How { monitored: false, ..how };
        let status = world.manager.lock(&request, &how, world.now).unwrap();
        world.assert_sound();
        status
    };
    assert_eq!(lock(1, "a", 0, how()), Status::Granted);
    assert_eq!(lock(1, "b", 2, how()), Status::Granted);
    assert_eq!(lock(1, "c", 4, how()), Status::DeniedNoLocks, "a third of one address");
    assert_eq!(lock(2, "c", 4, how()), Status::Granted);
    assert_eq!(lock(1, "a", 4, blocking()), Status::Blocked);
    assert_eq!(lock(1, "b", 4, blocking()), Status::DeniedNoLocks, "a second that waits");
}

#[test]
fn a_file_has_bounds_of_its_own() {
    let limits = Limits { owners_per_file: 3, waiting_per_file: 2, pairs_per_file: 4, ..Limits::default() };
    let mut world = World::with(limits);
    for svid in 0..3 {
        assert_eq!(world.lock(Process(1, svid), (2 * u64::from(svid), 1), EXCLUSIVE, how()), Status::Granted);
    }
    assert_eq!(world.lock(B, (20, 1), EXCLUSIVE, how()), Status::DeniedNoLocks, "a fourth owner");
    assert_eq!(world.lock(Process(1, 0), (20, 1), EXCLUSIVE, how()), Status::Granted, "one that it has");
    assert_eq!(world.lock(B, (0, 1), EXCLUSIVE, blocking()), Status::Blocked);
    assert_eq!(world.lock(C, (0, 1), EXCLUSIVE, blocking()), Status::DeniedNoLocks, "3 times 2 is over 4");
    world.unlock(Process(1, 2), (0, 0));
    assert_eq!(world.lock(C, (0, 1), EXCLUSIVE, blocking()), Status::Blocked);
    assert_eq!(world.lock(D, (0, 1), EXCLUSIVE, blocking()), Status::DeniedNoLocks, "a third that waits");
    assert_eq!(world.lock(D, (30, 1), EXCLUSIVE, how()), Status::DeniedNoLocks, "3 times 2 again");
    world.assert_sound();
}

/// The worst a file may be, with everybody in everybody's way: no call takes long.
#[test]
fn no_call_takes_long_on_the_worst_file() {
    let mut world = World::new();
    world.lock(A, (0, 0), SHARED, how());
    for svid in 0..255 {
        assert_eq!(world.lock(Process(2, svid), (0, 0), SHARED, how()), Status::Granted);
    }
    let timed = |what: &str, call: &mut dyn FnMut()| {
        let begun = Instant::now();
        call();
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(250), "{what} took {took:?}");
    };
    for svid in 0..512 {
        timed("LOCK", &mut || {
            let status = world.lock(Process(3, svid), (0, 0), EXCLUSIVE, blocking());
            assert_eq!(status, Status::Blocked, "{svid}");
        });
    }
    timed("LOCK of one that is waited for", &mut || {
        world.lock_of(2, Process(4, 1), (0, 0), EXCLUSIVE, how());
        world.lock_of(2, A, (0, 0), EXCLUSIVE, blocking());
    });
    timed("UNLOCK", &mut || assert_eq!(world.unlock(A, (0, 0)), Status::Granted));
    timed("a restart", &mut || world.manager.rebooted(address(2), b"host2", 99, world.now));
    assert_eq!(world.calls().len(), 1);
    world.assert_sound();
}

#[test]
fn shares_exclude_what_they_deny() {
    let mut world = World::new();
    let mut share = |who: u8, access, deny| {
        let client = client(who);
        let request = ShareRequest { client: &client, oh: b"oh", file: file(1), deny, access };
        let way = ShareWay { reclaim: false, local: address(99) };
        let status = world.manager.share(&request, way, world.now);
        world.assert_sound();
        status
    };
    let (read, write, nothing) = (1, 2, 0);
    assert_eq!(share(1, read, write), Status::Granted);
    assert_eq!(share(1, read, write), Status::Granted, "said again");
    assert_eq!(share(2, write, nothing), Status::Denied, "denied by the first");
    assert_eq!(share(2, read, read), Status::Denied, "denies what the first does");
    assert_eq!(share(2, read, nothing), Status::Granted);
    assert_eq!(share(1, read, nothing), Status::Granted, "opened otherwise");
    assert_eq!(share(3, write, nothing), Status::Granted);
    let close = |world: &mut World, who| {
        let client = client(who);
        let request = ShareRequest { client: &client, oh: b"oh", file: file(1), deny: 0, access: 0 };
        world.manager.unshare(&request, world.now)
    };
    for who in [1, 2, 3, 3] {
        assert_eq!(close(&mut world, who), Status::Granted);
        world.assert_sound();
    }
    assert!(world.manager.files.is_empty());
}
