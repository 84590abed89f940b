//! Random operations on a simulated disk, and a model of what was acknowledged.
//!
//! The driver plays the node: one operation at a time, an operator who starts again what has stopped, and a VFS that
//! restores references. After each start, and in between, the disk must be what the model says.

mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use protocol::digest::{BlockDigests, Content, Digest, Fingerprint, ObjectHasher};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, Token};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};

use super::files::SimulatedFiles;
use super::world::{Fault, Sabotage, Stop, World};
use crate::isn::disk::{Disk, Opening, State};
use crate::isn::fault::DiskError;
use crate::isn::files::FileSystem;
use crate::isn::format::Owner;
use crate::isn::health::Thresholds;
use crate::isn::index::tables::RELEASE_REMEMBERED_SECONDS;
use crate::isn::layout::Layout;
use crate::isn::receive::Temporary;
use crate::isn::scan::scan;
use crate::isn::verify::Verified;

/// Operations of a run.
const OPERATIONS: usize = 60;
/// Operations from one comparison with the model to the next.
const CHECK_EVERY: usize = 12;
const UNLINK_GRACE: u64 = 600;
const ORPHAN_GRACE: u64 = 86_400;
/// Starts that fail one after the other before a disk is said not to open any more.
const STARTS_MAX: usize = 20;

/// What is stored.
struct Object {
    bytes: Vec<u8>,
    content: Content,
    blocks: BlockDigests,
}

impl Object {
    fn new(bytes: Vec<u8>) -> Self {
        let mut hasher = ObjectHasher::new();
        hasher.update(&bytes);
        let (content, blocks) = hasher.finish();
        Self { bytes, content, blocks }
    }
}

/// Small and large objects, one of two blocks, and two different ones of one MD5.
static OBJECTS: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(1);
    let lengths = [1, 300, 4_096, 70_000, 150_000, (1 << 20) + 5];
    let random = lengths.map(|length| {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        bytes
    });
    let (first, second) = crate::isn::tests::colliding_objects();
    random.into_iter().chain([first, second]).map(Object::new).collect()
});

/// How sure the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    No,
    /// The last operation about it was not acknowledged.
    Unsure,
}

/// What was acknowledged.
#[derive(Default)]
struct Model {
    references: BTreeMap<Reference, Held>,
    /// Which of the objects of one MD5 was acknowledged last.
    stored: BTreeMap<Fingerprint, usize>,
    /// Releases the disk remembers; `false` where that is not sure.
    releases: BTreeMap<Reference, (u64, bool)>,
    /// Copies whose bytes were spoiled and that may still stand where they were.
    spoiled: BTreeSet<Fingerprint>,
    /// Copies in quarantine.
    gone: BTreeSet<Fingerprint>,
    /// The index was lost and not all references are restored. `None`: all are, and whether that is noted is not sure.
    restoring: Option<bool>,
    draining: Option<bool>,
    acknowledged: bool,
}

impl Model {
    fn held(&self, fingerprint: Fingerprint) -> impl Iterator<Item = Reference> {
        let of_it = move |(reference, held): &(&Reference, &Held)| {
            reference.fingerprint == fingerprint && **held == Held::Yes
        };
        self.references.iter().filter(of_it).map(|(reference, _)| *reference)
    }

    fn is_held(&self, fingerprint: Fingerprint) -> bool {
        self.held(fingerprint).next().is_some()
    }
}

type Step = Result<(), String>;

struct Driver {
    world: Arc<Mutex<World>>,
    disk: Option<Disk<SimulatedFiles>>,
    rng: StdRng,
    now: u64,
    model: Model,
}

/// Runs one seed. The trace's digest, or what went wrong.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Result<Digest, String> {
    let world = Arc::new(Mutex::new(World::new(seed, sabotage)));
    let mut driver = Driver {
        world: Arc::clone(&world),
        disk: None,
        rng: StdRng::seed_from_u64(!seed),
        now: 1_800_000_000,
        model: Model { restoring: Some(false), draining: Some(false), ..Model::default() },
    };
    driver.start()?;
    for operation in 1..=OPERATIONS {
        driver.arrange();
        driver.operate()?;
        driver.check_state()?;
        if driver.needs_start() {
            driver.start()?;
        } else if operation % CHECK_EVERY == 0 {
            driver.check()?;
        }
    }
    driver.empty()?;
    drop(driver);
    let world = Arc::into_inner(world).ok_or("somebody holds on to the files")?;
    Ok(world.into_inner().unwrap_or_else(PoisonError::into_inner).trace())
}

impl Driver {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> &Disk<SimulatedFiles> {
        self.disk.as_ref().unwrap()
    }

    /// What is to happen during the next operations.
    fn arrange(&mut self) {
        let steps = self.rng.random_range(1..40);
        let what = self.rng.random_range(0..100);
        let mut world = self.world();
        match what {
            0..30 => world.crash_after(steps),
            30..36 => world.fail_after(steps, Fault::Io),
            36..40 => world.fail_after(steps, Fault::Full),
            40..42 => world.fail_read_after(steps % 4),
            42..46 => world.fill_after(steps),
            46..60 if world.is_full() => world.make_room(),
            _ => {}
        }
    }

    /// ISN-8: a full disk is no failure. It can be read, and it goes on when there is room.
    fn check_state(&self) -> Step {
        let (state, world) = (self.disk().state(), self.world());
        if state == State::Online || world.is_harmed() {
            return Ok(());
        }
        Err(format!("taken out of use for nothing (full: {}): {}", world.is_full(), self.disk().reason()))
    }

    fn needs_start(&self) -> bool {
        self.world().is_down() || self.disk().state() != State::Online
    }

    /// Ends the process, if it has not ended by itself, and starts it until it runs; then all must be as acknowledged.
    fn start(&mut self) -> Step {
        for attempt in 0..STARTS_MAX {
            self.disk = None;
            let stop =
                if self.world().is_down() && self.rng.random_bool(0.7) { Stop::PowerCut } else { Stop::Kill };
            self.world().start_again(stop);
            if attempt >= STARTS_MAX / 2 {
                // A disk that lost its index needs room for another.
                self.world().make_room();
            }
            if attempt < STARTS_MAX / 2 && self.rng.random_bool(0.2) {
                let steps = self.rng.random_range(1..30);
                self.world().crash_after(steps);
            }
            if self.open().is_ok() && self.recover()? {
                return self.check();
            }
        }
        Err("the disk does not open any more".to_string())
    }

    fn open(&mut self) -> Result<(), String> {
        let opening = Opening {
            owner: Owner { cluster: "test", node: 1, new_disk_id: "0123456789abcdef0123456789abcdef" },
            reserve_bytes: 0,
            thresholds: Thresholds::default(),
        };
        let disk = Disk::open_on(SimulatedFiles::of(&self.world), Path::new("/"), opening);
        self.disk = Some(disk.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// What the node does after a start. Answers whether it came to its end.
    fn recover(&mut self) -> Result<bool, String> {
        let temporary = Layout::new(Path::new("/")).temporary();
        if self.files().list(&temporary).is_ok_and(|left| !left.is_empty()) {
            return Err("temporary files outlive a start".to_string());
        }
        let lost = self.disk().lost_index();
        if lost && self.model.restoring == Some(false) && self.model.acknowledged {
            return Err("the index was lost".to_string());
        }
        if !lost && self.model.restoring == Some(true) {
            return Err("the disk forgot that its index had been lost".to_string());
        }
        if lost && !self.restore()? {
            return Ok(false);
        }
        self.model.restoring = Some(false);
        for fingerprint in self.model.spoiled.clone() {
            if !self.verify_spoiled(fingerprint)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Restores what the VFS has after the index was lost. Answers whether it came to its end.
    fn restore(&mut self) -> Result<bool, String> {
        let orphan_from = self.now + ORPHAN_GRACE;
        if scan(self.disk(), orphan_from).is_err() {
            return Ok(false);
        }
        for (reference, held) in self.model.references.clone() {
            if held != Held::Yes {
                // Where it was not sure that it was there, it is not any more.
                self.model.references.insert(reference, Held::No);
                continue;
            }
            let object = self.model.stored[&reference.fingerprint];
            match self.disk().hold(&OBJECTS[object].content, reference, self.now) {
                Ok(()) => {}
                Err(DiskError::Missing(missing))
                    if self.model.gone.contains(&missing) || self.model.spoiled.contains(&missing) =>
                {
                    self.model.references.insert(reference, Held::No);
                }
                Err(error) if self.is_told(&error) => return Ok(false),
                Err(error) => return Err(format!("{reference:?} cannot be restored: {error}")),
            }
        }
        if self.disk().references_restored().is_err() {
            self.model.restoring = None;
            return Ok(false);
        }
        self.model.releases.clear();
        Ok(true)
    }

    /// Whether the operation failed for a reason that this simulation gave it.
    fn is_told(&self, error: &DiskError) -> bool {
        self.disk().note(error);
        self.needs_start() || matches!(error, DiskError::Full | DiskError::Unreadable(_))
    }

    fn expect(&self, what: &str, error: &DiskError) -> Step {
        if self.is_told(error) { Ok(()) } else { Err(format!("{what}: {error}")) }
    }

    fn files(&self) -> SimulatedFiles {
        SimulatedFiles::of(&self.world)
    }

    fn operate(&mut self) -> Step {
        match self.rng.random_range(0..100) {
            0..34 => self.store(),
            34..42 => self.hold(),
            42..60 => self.release(),
            60..70 => self.replicate(),
            70..80 => self.collect(),
            80..84 => self.scan(),
            84..87 => self.give_up(),
            87..89 => self.drain(),
            89..93 => self.spoil(),
            93..95 => self.lose_index(),
            95..97 => self.forge(),
            97..98 => self.scrub().map(|_| ()),
            _ => self.start(),
        }
    }

    fn any_object(&mut self) -> usize {
        // The large one is slow, the colliding ones are the most interesting.
        *[0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 7].choose(&mut self.rng).unwrap()
    }

    fn any_reference(&mut self, object: usize) -> Reference {
        Reference {
            fingerprint: OBJECTS[object].content.fingerprint,
            customer: CustomerId(self.rng.random_range(1..=2)),
            token: Token([self.rng.random_range(1..=3); 16]),
        }
    }

    fn receive(&self, object: &Object) -> Result<Temporary<SimulatedFiles>, DiskError> {
        let mut temporary = self.disk().begin()?;
        let middle = object.bytes.len() / 2;
        self.disk().append(&mut temporary, &object.bytes[..middle])?;
        self.disk().append(&mut temporary, &object.bytes[middle..])?;
        Ok(temporary)
    }

    fn store(&mut self) -> Step {
        let object = self.any_object();
        let reference = self.any_reference(object);
        let Object { content, blocks, .. } = &OBJECTS[object];
        // REF-3: a client repeats what it got no answer to, or what it did.
        for _ in 0..self.rng.random_range(1..=2) {
            let received = match self.receive(&OBJECTS[object]) {
                Err(DiskError::Draining) if self.model.draining != Some(false) => return Ok(()),
                received => received,
            };
            let stored =
                received.and_then(|temporary| match self.disk().hold(content, reference, self.now) {
                    Err(DiskError::Missing(_)) => {
                        self.disk().commit(temporary, content, blocks, reference, self.now)
                    }
                    outcome => outcome,
                });
            self.held(object, reference, stored)?;
            if self.needs_start() {
                break;
            }
        }
        Ok(())
    }

    fn hold(&mut self) -> Step {
        let object = self.any_object();
        let reference = self.any_reference(object);
        let content = &OBJECTS[object].content;
        match self.disk().hold(content, reference, self.now) {
            Err(DiskError::Missing(_)) => {
                let excused = |set: &BTreeSet<_>| set.contains(&content.fingerprint);
                if self.model.is_held(content.fingerprint)
                    && !excused(&self.model.gone)
                    && !excused(&self.model.spoiled)
                {
                    return Err(format!("{content:?} is missing"));
                }
                Ok(())
            }
            outcome => self.held(object, reference, outcome),
        }
    }

    /// The outcome of something that makes a reference.
    fn held(&mut self, object: usize, reference: Reference, outcome: Result<(), DiskError>) -> Step {
        match outcome {
            Ok(()) => {
                self.stored(object)?;
                self.model.references.insert(reference, Held::Yes);
                self.model.releases.remove(&reference);
                Ok(())
            }
            Err(DiskError::Collision(_)) => self.collided(object),
            Err(error) => {
                let held = self.model.references.entry(reference).or_insert(Held::No);
                if *held != Held::Yes {
                    *held = Held::Unsure;
                }
                if let Some(release) = self.model.releases.get_mut(&reference) {
                    release.1 = false;
                }
                self.expect("a store", &error)
            }
        }
    }

    fn stored(&mut self, object: usize) -> Step {
        let fingerprint = OBJECTS[object].content.fingerprint;
        let before = self.model.stored.insert(fingerprint, object);
        if before.is_some_and(|before| before != object) && self.model.is_held(fingerprint) {
            return Err(format!("two objects of the fingerprint {fingerprint} were merged"));
        }
        self.model.acknowledged = true;
        if !self.model.spoiled.contains(&fingerprint) {
            self.model.gone.remove(&fingerprint);
        }
        Ok(())
    }

    /// ISN-5: a collision is right only if another object is there, or was and is still held.
    fn collided(&self, object: usize) -> Step {
        if self.needs_start() {
            return Ok(());
        }
        let content = OBJECTS[object].content;
        let other = |found: &Content| *found != content && found.fingerprint == content.fingerprint;
        let look = || {
            let there = self.disk().find(content.fingerprint)?;
            Ok::<_, DiskError>((there, self.disk().index().missing_object(content.fingerprint)?))
        };
        let (there, missing) = match look() {
            Ok(found) => found,
            // An error may be waiting for whoever looks.
            Err(error) => return self.expect("a look at what collides", &error),
        };
        if there.as_ref().is_some_and(other) || missing.as_ref().is_some_and(other) {
            Ok(())
        } else {
            Err(format!("{content:?} collides with nothing"))
        }
    }

    fn release(&mut self) -> Step {
        let object = self.any_object();
        let reference = self.any_reference(object);
        let unlink_from = self.now + UNLINK_GRACE;
        for _ in 0..self.rng.random_range(1..=2) {
            let until = self.now + RELEASE_REMEMBERED_SECONDS;
            match self.disk().release(reference, self.now, unlink_from) {
                Ok(()) => {
                    self.model.references.insert(reference, Held::No);
                    self.model.releases.insert(reference, (until, true));
                }
                Err(error) => {
                    let held = self.model.references.entry(reference).or_insert(Held::No);
                    if *held != Held::No {
                        *held = Held::Unsure;
                    }
                    self.model.releases.entry(reference).or_insert((until, false)).1 = false;
                    return self.expect("a release", &error);
                }
            }
        }
        Ok(())
    }

    fn replicate(&mut self) -> Step {
        let object = self.any_object();
        let references: BTreeSet<_> =
            (0..self.rng.random_range(1..=3)).map(|_| self.any_reference(object)).collect();
        let told: Vec<_> = references.iter().map(|&reference| (reference, self.now)).collect();
        let Object { content, blocks, .. } = &OBJECTS[object];
        let unlink_from = self.now + UNLINK_GRACE;
        let received = match self.receive(&OBJECTS[object]) {
            Err(DiskError::Draining) if self.model.draining != Some(false) => return Ok(()),
            received => received,
        };
        let outcome = received
            .and_then(|temporary| self.disk().commit_replica(temporary, content, blocks, &told, unlink_from));
        match outcome {
            Ok(()) => self.stored(object)?,
            Err(DiskError::Collision(_)) => return self.collided(object),
            Err(_) => {}
        }
        for reference in references {
            let held = self.model.references.entry(reference).or_insert(Held::No);
            *held = match (self.model.releases.get(&reference), &outcome, *held) {
                (_, _, Held::Yes) => Held::Yes,
                (Some((_, true)), ..) => *held,
                (None, Ok(()), _) => Held::Yes,
                _ => Held::Unsure,
            };
        }
        outcome.or_else(|error| self.expect("a replication", &error))
    }

    fn collect(&mut self) -> Step {
        self.now += [1, UNLINK_GRACE, 2 * ORPHAN_GRACE][self.rng.random_range(0..3)];
        let now = self.now;
        match self.collect_now() {
            Ok(()) => self.model.releases.retain(|_, (until, _)| *until > now),
            Err(error) => {
                for release in self.model.releases.values_mut().filter(|(until, _)| *until <= now) {
                    release.1 = false;
                }
                return self.expect("a collection", &error);
            }
        }
        Ok(())
    }

    fn collect_now(&self) -> Result<(), DiskError> {
        for fingerprint in self.disk().index().unlinkable(self.now, 100)? {
            self.disk().unlink(fingerprint, self.now)?;
        }
        self.disk().sweep_releases(self.now)
    }

    fn scan(&mut self) -> Step {
        match scan(self.disk(), self.now + ORPHAN_GRACE) {
            Ok(_) => Ok(()),
            Err(error) => self.expect("a scan", &error),
        }
    }

    /// ISN-3: a client that goes away in the middle.
    fn give_up(&mut self) -> Step {
        let object = self.any_object();
        match self.receive(&OBJECTS[object]) {
            Ok(_) => Ok(()),
            Err(DiskError::Draining) if self.model.draining != Some(false) => Ok(()),
            Err(error) => self.expect("an upload", &error),
        }
    }

    fn drain(&mut self) -> Step {
        let draining = !self.disk().draining();
        match self.disk().set_draining(draining) {
            Ok(()) => self.model.draining = Some(draining),
            Err(error) => {
                self.model.draining = None;
                return self.expect("a drain", &error);
            }
        }
        Ok(())
    }

    /// ISN-12: a flipped bit is found, and its copy goes.
    fn spoil(&mut self) -> Step {
        let object = self.any_object();
        let content = OBJECTS[object].content;
        let fingerprint = content.fingerprint;
        if !self.model.is_held(fingerprint)
            || self.model.stored[&fingerprint] != object
            || self.model.gone.contains(&fingerprint)
            || self.model.spoiled.contains(&fingerprint)
        {
            return Ok(());
        }
        self.world().spoil(&Layout::new(Path::new("/")).object(fingerprint));
        self.model.spoiled.insert(fingerprint);
        if !self.scrub()? {
            return Ok(());
        }
        if !self.disk().take_suspects().contains(&fingerprint) {
            return Err(format!("the scrub passed over a bad copy of {fingerprint}"));
        }
        self.verify_spoiled(fingerprint).map(|_| ())
    }

    /// Reads everything. Answers whether it came to its end.
    fn scrub(&mut self) -> Result<bool, String> {
        let mut cursor = None;
        // Large enough for every step of the smallest size.
        for _ in 0..1_000 {
            let budget = self.rng.random_range(0..400_000);
            match self.disk().scrub(cursor, budget) {
                Ok(step) => cursor = step.next,
                Err(error) => return self.expect("a scrub", &error).map(|()| false),
            }
            if cursor.is_none() {
                return Ok(true);
            }
        }
        Err("the scrub comes to no end".to_string())
    }

    /// Answers whether it came to its end.
    fn verify_spoiled(&mut self, fingerprint: Fingerprint) -> Result<bool, String> {
        match self.disk().verify(fingerprint) {
            Ok(Verified::Bad | Verified::Absent) => {
                self.model.spoiled.remove(&fingerprint);
                self.model.gone.insert(fingerprint);
                Ok(true)
            }
            // A store put another copy there meanwhile; the next comparison looks at its bytes.
            Ok(Verified::Good) => {
                self.model.spoiled.remove(&fingerprint);
                Ok(true)
            }
            Err(error) => self.expect("a verification", &error).map(|()| false),
        }
    }

    /// ISN-2: somebody removes the index while the process is down.
    fn lose_index(&mut self) -> Step {
        self.disk = None;
        if !self.world().is_down() {
            self.world().wipe(&Layout::new(Path::new("/")).index());
            self.model.restoring = Some(true);
        }
        self.start()
    }

    /// ISN-5: other bytes under the name of an object that is there.
    fn forge(&mut self) -> Step {
        let object = self.any_object();
        let real = OBJECTS[object].content;
        let reference = Reference { token: Token([9; 16]), ..self.any_reference(object) };
        let excused = self.model.spoiled.contains(&real.fingerprint);
        if !self.model.is_held(real.fingerprint) || self.model.stored[&real.fingerprint] != object || excused
        {
            return Ok(());
        }
        let forged = Content { digest: Digest([7; 32]), ..real };
        let stored = self.receive(&OBJECTS[object]).and_then(|temporary| {
            self.disk().commit(temporary, &forged, &OBJECTS[object].blocks, reference, self.now)
        });
        match stored {
            Ok(()) => Err(format!("a forged object took the place of {real:?}")),
            Err(DiskError::Collision(_)) => Ok(()),
            Err(DiskError::Draining) if self.model.draining != Some(false) => Ok(()),
            Err(error) => self.expect("a forged store", &error),
        }
    }
}
