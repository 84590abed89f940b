//! A load of uploads, fetches and deletes through all object managers, with a ledger of what was acknowledged.
//!
//! Writers make files (by an object manager, or by the library calls), remove some, and store objects that stay without
//! a row and are given up soon. What is refused or lost is sent again with the same token until it is acknowledged:
//! that may take a while, but not for ever. Readers fetch what is in the ledger, whole or a range of it, and get no
//! second try: a fetch that fails, unless the object manager itself was away, is a failure of the storage center, as is
//! every wrong byte.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::digest::{Content, Fingerprint};
use protocol::id::{ObjectId, Token};
use rand::Rng;
use rand::rngs::StdRng;

use super::client::{Client, Library, Place, content_of, stored};
use super::http::Answer;
use crate::{data, poll};

/// Who writes. Each has its own objects.
const WRITERS: usize = 3;
/// Who reads.
const READERS: usize = 2;
/// Files of each writer.
const KEPT_MAX: usize = 60;
/// How long anything may take until it is acknowledged, whatever happens.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a client waits before it tries again.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Failures that are told; one is enough to fail a test.
const FAILURES_MAX: usize = 10;
/// The customer whose load this is.
pub const CUSTOMER: u32 = 1;

/// A file that was acknowledged, and not given up since.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its row.
    pub file: ObjectId,
    /// What it is.
    pub content: Content,
    /// The same, byte for byte.
    pub bytes: Bytes,
}

/// What was done since the last time somebody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Fetches that succeeded.
    pub fetches: u64,
    /// Changes that were acknowledged.
    pub changes: u64,
    /// Attempts at a change that were refused or got lost.
    pub refused: u64,
    /// The longest that a fetch took.
    pub slowest: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fetches, changes, refused, slowest } = self;
        write!(f, "{fetches} fetches, the slowest {slowest:.2?}, {changes} changes, {refused} sent again")
    }
}

/// The load, while it goes on.
pub struct Load<'site> {
    client: &'site Client,
    library: &'site Library,
    root: ObjectId,
    stop: AtomicBool,
    /// One list for each writer.
    kept: [Mutex<Vec<Kept>>; WRITERS],
    fetches: AtomicU64,
    changes: AtomicU64,
    tally: Mutex<Tally>,
    failures: Mutex<Vec<String>>,
    outages: Mutex<Vec<Outage>>,
}

/// A time in which the test itself kept object managers from answering.
struct Outage {
    /// Which; `None` for all.
    manager: Option<usize>,
    until: Option<Instant>,
}

/// Does `work` under load; what it gave, and all that was acknowledged at the end. Panics if anything failed.
pub fn under_load<T>(
    client: &Client,
    library: &Library,
    seed: u64,
    work: impl FnOnce(&Load<'_>) -> T,
) -> (T, Vec<Kept>) {
    let load = Load {
        client,
        library,
        root: library.root(),
        stop: AtomicBool::new(false),
        kept: Default::default(),
        fetches: AtomicU64::new(0),
        changes: AtomicU64::new(0),
        tally: Mutex::default(),
        failures: Mutex::default(),
        outages: Mutex::default(),
    };
    let done = thread::scope(|scope| {
        // Also if `work` panics: else the scope would wait for ever.
        let _stop = StopOnDrop(&load.stop);
        for writer in 0..WRITERS {
            let (load, rng) = (&load, data::rng(seed + writer as u64));
            scope.spawn(move || Writer { load, number: writer, rng, made: 0, pending: Vec::new() }.run());
        }
        for reader in 0..READERS {
            let (load, rng) = (&load, data::rng(seed + (WRITERS + reader) as u64));
            scope.spawn(move || load.read_until_stopped(rng));
        }
        work(&load)
    });
    load.assert_no_failure();
    (done, load.kept())
}

struct StopOnDrop<'flag>(&'flag AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load<'_> {
    /// Everything in the ledger.
    pub fn kept(&self) -> Vec<Kept> {
        self.kept.iter().flat_map(|kept| lock(kept).clone()).collect()
    }

    /// Whether the file is in the ledger still.
    pub fn keeps(&self, file: ObjectId) -> bool {
        self.kept.iter().any(|kept| lock(kept).iter().any(|kept| kept.file == file))
    }

    /// What was done since this was called last.
    pub fn tally(&self) -> Tally {
        std::mem::take(&mut lock(&self.tally))
    }

    /// Waits until so many more fetches succeeded and so many more changes were acknowledged.
    #[track_caller]
    pub fn advance(&self, fetches: u64, changes: u64) {
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (fetches, changes) = (now(&self.fetches) + fetches, now(&self.changes) + changes);
        poll::until("the load makes headway", PATIENCE, || {
            self.assert_no_failure();
            (now(&self.fetches) >= fetches && now(&self.changes) >= changes).then_some(())
        });
    }

    /// Does `work`, in which an object manager (or, with `None`, every one) may be away; what fails there meanwhile is
    /// no failure. Clients ask the others, as a load-balancing fabric would (SYS-10).
    pub fn without_manager<T>(&self, manager: Option<usize>, work: impl FnOnce() -> T) -> T {
        let index = {
            let mut outages = lock(&self.outages);
            outages.push(Outage { manager, until: None });
            outages.len() - 1
        };
        let done = work();
        lock(&self.outages)[index].until = Some(Instant::now());
        done
    }

    /// Panics if anything failed.
    #[track_caller]
    pub fn assert_no_failure(&self) {
        let failures = lock(&self.failures);
        assert!(failures.is_empty(), "{failures:#?}");
    }

    fn fail(&self, failure: String) {
        let mut failures = lock(&self.failures);
        if failures.len() < FAILURES_MAX {
            failures.push(failure);
        }
    }

    fn was_away(&self, manager: usize, since: Instant) -> bool {
        lock(&self.outages).iter().any(|outage| {
            outage.manager.is_none_or(|away| away == manager) && outage.until.is_none_or(|end| end >= since)
        })
    }

    fn manager(&self, rng: &mut StdRng) -> usize {
        let first = self.client.any_manager(rng);
        let mut others = (0..self.client.managers()).map(|step| (first + step) % self.client.managers());
        others.find(|&manager| !self.was_away(manager, Instant::now())).unwrap_or(first)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        lock(&self.tally).changes += 1;
    }

    fn read_until_stopped(&self, mut rng: StdRng) {
        while !self.stop.load(Ordering::Relaxed) {
            let object = {
                let kept = lock(&self.kept[rng.random_range(0..WRITERS)]);
                if kept.is_empty() { None } else { Some(kept[rng.random_range(0..kept.len())].clone()) }
            };
            match object {
                Some(object) => {
                    self.fetch(&object.bytes, object.content, &mut rng, || self.keeps(object.file))
                }
                None => poll::pause(AGAIN_AFTER),
            }
        }
    }

    /// Fetches an object, whole or in part, from any object manager, and from its counterpart if there is one and the
    /// first refuses. `wanted`: whether it is still there to be fetched.
    fn fetch(&self, bytes: &Bytes, content: Content, rng: &mut StdRng, wanted: impl Fn() -> bool) {
        let (first, began) = (self.manager(rng), Instant::now());
        let part = (!bytes.is_empty() && rng.random_ratio(1, 3)).then(|| {
            let start = rng.random_range(0..bytes.len());
            start..rng.random_range(start..bytes.len()) + 1
        });
        let mut refusals = Vec::new();
        for manager in [first].into_iter().chain(self.client.counterpart(first)) {
            match self.attempt_fetch(manager, bytes, content.fingerprint, part.clone()) {
                Fetched::Right => {
                    self.fetches.fetch_add(1, Ordering::Relaxed);
                    let mut tally = lock(&self.tally);
                    tally.fetches += 1;
                    tally.slowest = tally.slowest.max(began.elapsed());
                    return;
                }
                Fetched::WrongBytes => {
                    let name = content.fingerprint;
                    self.fail(format!("{name} ({} bytes) from {manager}: WRONG BYTES", content.size));
                    return;
                }
                Fetched::Not(_) if self.was_away(manager, began) => {}
                Fetched::Not(reason) => {
                    refusals.push(format!("from {manager} after {:.2?}: {reason}", began.elapsed()));
                }
            }
        }
        if !refusals.is_empty() && wanted() {
            let (name, refusals) = (content.fingerprint, refusals.join("; "));
            self.fail(format!("{name} ({} bytes) {refusals}", content.size));
        }
    }

    fn attempt_fetch(
        &self,
        manager: usize,
        bytes: &Bytes,
        name: Fingerprint,
        part: Option<Range<usize>>,
    ) -> Fetched {
        let (answer, expected, status) = match part {
            None => (self.client.fetch(manager, CUSTOMER, name), bytes.clone(), 200),
            Some(part) => {
                let (offset, len) = (part.start as u64, part.len() as u64);
                (self.client.fetch_range(manager, CUSTOMER, name, offset, len), bytes.slice(part), 206)
            }
        };
        match answer {
            Ok(answer) if answer.status == status && answer.body == expected => Fetched::Right,
            Ok(answer) if answer.status == status => Fetched::WrongBytes,
            Ok(answer) => Fetched::Not(answer.summary()),
            Err(error) => Fetched::Not(error.to_string()),
        }
    }
}

/// What came of an attempt to fetch.
enum Fetched {
    Right,
    WrongBytes,
    /// Refused, or broken off.
    Not(String),
}

/// One who writes.
struct Writer<'load> {
    load: &'load Load<'load>,
    number: usize,
    rng: StdRng,
    made: u64,
    /// References that are given up and not yet acknowledged as such.
    pending: Vec<(Fingerprint, Token)>,
}

/// What came of an attempt.
pub(super) enum Attempt<T> {
    /// It is acknowledged.
    Done(T),
    /// Refused for now, or lost: nobody knows what was done.
    Again(String),
    /// Refused for good.
    Never(String),
}

impl Writer<'_> {
    fn run(mut self) {
        while !self.load.stop.load(Ordering::Relaxed) {
            let kept = lock(&self.load.kept[self.number]).len();
            match self.rng.random_range(0..10) {
                0..6 if kept < KEPT_MAX => self.make_file(),
                6..8 if kept > KEPT_MAX / 2 => self.remove_file(),
                8 => self.pass_by(),
                _ => self.give_up_pending(),
            }
        }
        let began = Instant::now();
        while !self.pending.is_empty() && began.elapsed() < PATIENCE {
            self.give_up_pending();
        }
        if !self.pending.is_empty() {
            self.load.fail(format!("{} references were not given up", self.pending.len()));
        }
    }

    /// Any length up to a few MiB, most of them small.
    fn bytes(&mut self) -> Bytes {
        let len = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(1 << 20..4 << 20),
            1..4 => self.rng.random_range(64 << 10..1 << 20),
            _ => self.rng.random_range(1..64 << 10),
        };
        data::bytes(self.rng.random(), len).into()
    }

    fn make_file(&mut self) {
        let (bytes, token) = (self.bytes(), Token(self.rng.random()));
        self.made += 1;
        let name = format!("{}-{}", self.number, self.made);
        let place = Place { parent: self.load.root, name: &name };
        let by_library = self.rng.random();
        let content = content_of(&bytes);
        let made = self.until_done("an upload", |load, rng| {
            if by_library {
                return match load.library.make_file(place, token, bytes.clone()) {
                    Ok(file) => Attempt::Done(file),
                    Err(error) if error.is_unavailable() => Attempt::Again(error.to_string()),
                    Err(error) => may_pass(error.to_string(), refused_status(&error)),
                };
            }
            let answer = load.client.store_file(load.manager(rng), CUSTOMER, place, token, &bytes);
            accepted(answer, |answer| match stored(answer) {
                Some((told, Some(file))) if told == content => Some(file),
                _ => None,
            })
        });
        if let Some(file) = made {
            lock(&self.load.kept[self.number]).push(Kept { file, content, bytes });
            self.load.changed();
        }
    }

    fn remove_file(&mut self) {
        let file = {
            let mut kept = lock(&self.load.kept[self.number]);
            let victim = self.rng.random_range(0..kept.len());
            kept.swap_remove(victim).file
        };
        let key = Token(self.rng.random());
        let removed = self.until_done("a removal", |load, _| match load.library.remove(file, key) {
            Ok(()) => Attempt::Done(()),
            Err(error) if error.is_unavailable() => Attempt::Again(error.to_string()),
            Err(error) => may_pass(error.to_string(), refused_status(&error)),
        });
        if removed.is_some() {
            self.load.changed();
        }
    }

    /// Stores an object without a row, fetches it, and gives it up, each by any object manager.
    fn pass_by(&mut self) {
        let (bytes, token) = (self.bytes(), Token(self.rng.random()));
        let content = content_of(&bytes);
        let held = self.until_done("a store", |load, rng| {
            let answer = load.client.store(load.manager(rng), CUSTOMER, token, &bytes);
            accepted(answer, |answer| stored(answer).filter(|(told, _)| *told == content))
        });
        if held.is_some() {
            self.load.changed();
            self.load.fetch(&bytes, content, &mut self.rng, || true);
            self.pending.push((content.fingerprint, token));
            self.give_up_pending();
        }
    }

    /// One attempt at the oldest.
    fn give_up_pending(&mut self) {
        let Some(&(object, token)) = self.pending.first() else { return };
        let manager = self.load.manager(&mut self.rng);
        match self.load.client.delete(manager, CUSTOMER, object, token) {
            Ok(answer) if answer.status == 204 => {
                self.pending.remove(0);
                self.load.changed();
            }
            Ok(answer) if answer.status < 500 => {
                self.load.fail(format!("a reference is not given up: {}", answer.summary()));
            }
            _ => {
                lock(&self.load.tally).refused += 1;
                self.pending.rotate_left(1);
                poll::pause(AGAIN_AFTER);
            }
        }
    }

    /// Attempts until one is done. `None`: it failed, and that is told.
    fn until_done<T>(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&Load<'_>, &mut StdRng) -> Attempt<T>,
    ) -> Option<T> {
        let began = Instant::now();
        loop {
            match attempt(self.load, &mut self.rng) {
                Attempt::Done(done) => return Some(done),
                Attempt::Again(why) if began.elapsed() > PATIENCE => {
                    self.load.fail(format!("{what} is not acknowledged within {PATIENCE:?}: {why}"));
                    return None;
                }
                Attempt::Again(_) => lock(&self.load.tally).refused += 1,
                Attempt::Never(why) => {
                    self.load.fail(format!("{what} is refused: {why}"));
                    return None;
                }
            }
            poll::pause(AGAIN_AFTER);
        }
    }
}

/// What came of a change, whose acknowledgement `read` knows.
pub(super) fn accepted<T>(
    answer: std::io::Result<Answer>,
    read: impl Fn(&Answer) -> Option<T>,
) -> Attempt<T> {
    match answer {
        Err(error) => Attempt::Again(error.to_string()),
        Ok(answer) => match read(&answer) {
            Some(done) => Attempt::Done(done),
            None => may_pass(answer.summary(), answer.status),
        },
    }
}

/// A server's own trouble passes, and so does a body that came too slowly (408); a request that is wrong does not.
fn may_pass<T>(why: String, status: u16) -> Attempt<T> {
    if status >= 500 || status == 408 { Attempt::Again(why) } else { Attempt::Never(why) }
}

fn refused_status(error: &::client::ClientError) -> u16 {
    match error {
        ::client::ClientError::Refused { status, .. } => status.as_u16(),
        _ => 0,
    }
}
