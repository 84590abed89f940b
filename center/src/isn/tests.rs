//! The storage node from outside: objects in, objects out, and what is left after a crash at each step.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use protocol::digest::{BLOCK_BYTES, Content, Fingerprint, ObjectHasher};
use protocol::dosp::Reference;
use protocol::dosp::heartbeat::DiskState;
use protocol::id::{CustomerId, Token};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tempfile::TempDir;

use super::incoming::Incoming;
use super::node::JOBS_PER_DISK;
use super::{Isn, OpenError, Origin, Settings};
use crate::objects::{Announced, FetchError, Objects, Readable, StoreError, Upload as _};

const ALICE: CustomerId = CustomerId(1);
const BOB: CustomerId = CustomerId(2);
const NOW: u64 = 1_800_000_000;
const UNLINK_GRACE: u64 = 600;
const ORPHAN_GRACE: u64 = 86_400;

/// Some directories as disks.
struct Disks(TempDir);

impl Disks {
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..count {
            fs::create_dir(folder.path().join(number.to_string())).unwrap();
        }
        Self(folder)
    }

    fn all(&self) -> Vec<PathBuf> {
        let mut disks: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        disks.sort();
        disks
    }

    fn settings(&self) -> Settings {
        Settings {
            cluster: "test".to_string(),
            node: 7,
            disks: self.all(),
            reserve_bytes: 0,
            unlink_grace_seconds: UNLINK_GRACE,
            orphan_grace_seconds: ORPHAN_GRACE,
        }
    }

    async fn open(&self) -> Isn {
        open(self.settings()).await.unwrap()
    }

    /// Files of an object, one per copy.
    fn copies(&self, fingerprint: Fingerprint) -> Vec<PathBuf> {
        let hex = fingerprint.to_string();
        let file =
            |disk: PathBuf| disk.join("obj").join(&hex[..2]).join(&hex[2..4]).join(format!("{hex}.MD5"));
        self.all().into_iter().map(file).filter(|path| path.exists()).collect()
    }

    fn temporaries(&self) -> usize {
        self.all().iter().map(|disk| fs::read_dir(disk.join("tmp")).unwrap().count()).sum()
    }
}

async fn open(settings: Settings) -> Result<Isn, OpenError> {
    Isn::open(settings, StdRng::seed_from_u64(1), NOW).await
}

fn object(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = ObjectHasher::new();
    hasher.update(bytes);
    hasher.finish().0
}

fn token(number: u8) -> Token {
    Token([number; 16])
}

fn reference(fingerprint: Fingerprint, token: Token) -> Reference {
    Reference { fingerprint, customer: ALICE, token }
}

async fn store(isn: &Isn, bytes: &[u8], customer: CustomerId, token: Token) -> Result<Content, StoreError> {
    store_announced(isn, bytes, Announced::default(), customer, token).await
}

async fn store_announced(
    isn: &Isn,
    bytes: &[u8],
    announced: Announced,
    customer: CustomerId,
    token: Token,
) -> Result<Content, StoreError> {
    let mut incoming = isn.receive(bytes.len() as u64, NOW).await?;
    for piece in bytes.chunks(300_000) {
        incoming = incoming.write(Bytes::copy_from_slice(piece)).await?;
    }
    incoming.finish(announced, customer, token, NOW).await
}

async fn fetch(isn: &Isn, customer: CustomerId, fingerprint: Fingerprint) -> Result<Vec<u8>, FetchError> {
    let mut object = isn.open(customer, fingerprint).await?;
    let mut bytes = Vec::new();
    for index in 0..object.content().blocks() {
        bytes.extend_from_slice(&object.read_block(index).await?);
    }
    Ok(bytes)
}

/// ISN-1, ISN-3, ISN-4, ISN-6, DOSM-15: every object lies whole under its fingerprint on two disks, whatever its size.
#[tokio::test]
async fn objects_of_all_sizes_lie_on_two_disks() {
    let disks = Disks::new(3);
    let isn = disks.open().await;
    let block = usize::try_from(BLOCK_BYTES).unwrap();
    for (number, length) in [1, 4_095, block - 1, block, block + 1, 3 * block + 17].into_iter().enumerate() {
        let bytes = object(length, number as u64);
        let content = store(&isn, &bytes, ALICE, token(1)).await.unwrap();
        assert_eq!(content, content_of(&bytes));
        assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes, "{length}");
        let copies = disks.copies(content.fingerprint);
        assert_eq!(copies.len(), 2, "{length}");
        for copy in copies {
            assert_eq!(fs::read(&copy).unwrap(), bytes);
            assert_eq!(copy.with_extension("B3").exists(), length > block, "{length}");
        }
    }
    assert_eq!(disks.temporaries(), 0);
}

/// ISN-1: a node of one disk stores once.
#[tokio::test]
async fn one_disk_is_enough() {
    let disks = Disks::new(1);
    let isn = disks.open().await;
    let content = store(&isn, b"alone", ALICE, token(1)).await.unwrap();
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), b"alone");
}

/// SYS-9: the empty object is on every disk from the first moment, everybody's, and never counted.
#[tokio::test]
async fn the_empty_object_is_everybodys() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    assert_eq!(disks.copies(Content::EMPTY.fingerprint).len(), 2);
    assert_eq!(fetch(&isn, BOB, Content::EMPTY.fingerprint).await.unwrap(), b"");
    assert_eq!(store(&isn, b"", ALICE, token(1)).await.unwrap(), Content::EMPTY);
    assert!(isn.references(None).await.unwrap().is_empty());
    assert!(isn.has_reference(BOB, Content::EMPTY, token(9)).await.unwrap());
    isn.give_up(reference(Content::EMPTY.fingerprint, token(1)), NOW).await.unwrap();
    isn.collect(u64::MAX - 1).await.unwrap();
    assert_eq!(disks.copies(Content::EMPTY.fingerprint).len(), 2);
}

/// ISN-7: what is not as announced is refused, and nothing of it stays.
#[tokio::test]
async fn what_is_not_as_announced_is_not_kept() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let content = content_of(b"object");
    let other = content_of(b"another");
    for announced in [
        Announced { size: Some(7), ..Announced::default() },
        Announced { fingerprint: Some(other.fingerprint), ..Announced::default() },
        Announced { digest: Some(other.digest), ..Announced::default() },
    ] {
        let refused = store_announced(&isn, b"object", announced, ALICE, token(1)).await;
        assert!(matches!(refused, Err(StoreError::Mismatch(_))), "{refused:?}");
    }
    assert!(disks.copies(content.fingerprint).is_empty());
    assert_eq!(disks.temporaries(), 0);
    let all =
        Announced { size: Some(6), fingerprint: Some(content.fingerprint), digest: Some(content.digest) };
    store_announced(&isn, b"object", all, ALICE, token(1)).await.unwrap();
}

/// ISN-3: an upload given up half-way leaves nothing.
#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let incoming =
        isn.receive(1_000, NOW).await.unwrap().write(Bytes::from_static(b"half of it")).await.unwrap();
    assert_eq!(disks.temporaries(), 2);
    drop(incoming);
    assert_eq!(disks.temporaries(), 0);
}

/// Two contents of 128 bytes with one MD5 (X. Wang and H. Yu, 2005).
pub fn colliding_objects() -> (Vec<u8>, Vec<u8>) {
    const FIRST: &str = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a\
        085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0\
        e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
    let first = protocol::digest::parse_hex::<128>(FIRST).unwrap().to_vec();
    let mut second = first.clone();
    for byte in [19, 45, 59, 83, 109, 123] {
        second[byte] ^= 0x80;
    }
    (first, second)
}

/// ISN-5: two contents with one MD5 are told apart; the second is refused and the first stays.
#[tokio::test]
async fn a_collision_is_refused_and_nothing_is_merged() {
    let (first, second) = colliding_objects();
    assert_ne!(first, second);
    let disks = Disks::new(4);
    let isn = disks.open().await;
    let content = store(&isn, &first, ALICE, token(1)).await.unwrap();
    assert_eq!(content_of(&second).fingerprint, content.fingerprint);
    let refused = store(&isn, &second, BOB, token(2)).await;
    assert!(matches!(refused, Err(StoreError::Collision(_))), "{refused:?}");
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), first);
    assert!(matches!(fetch(&isn, BOB, content.fingerprint).await, Err(FetchError::NotFound)));
    assert!(!isn.has_reference(ALICE, content_of(&second), token(1)).await.unwrap());
    assert_eq!(disks.temporaries(), 0);
}

/// ISN-5, REF-1: the same object stored 32 times at once is kept once per disk and held 32 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_stored_by_many_at_once_is_kept_once() {
    let disks = Disks::new(3);
    let isn = Arc::new(disks.open().await);
    let bytes = object(200_000, 5);
    let stores = (0..32).map(|number| {
        let (isn, bytes) = (Arc::clone(&isn), bytes.clone());
        tokio::spawn(async move { store(&isn, &bytes, ALICE, token(number)).await.unwrap() })
    });
    let stored: Vec<_> = join_all(stores).await.into_iter().map(Result::unwrap).collect();
    let fingerprint = stored[0].fingerprint;
    assert_eq!(disks.copies(fingerprint).len(), 2);
    assert_eq!(isn.references(None).await.unwrap().len(), 32);
    // REF-1, REF-2: it goes with the last of them, not before.
    for number in 0..32 {
        assert_eq!(isn.collect(NOW + 10 * UNLINK_GRACE).await.unwrap(), 0);
        isn.give_up(reference(fingerprint, token(number)), NOW).await.unwrap();
    }
    assert_eq!(isn.collect(NOW + UNLINK_GRACE - 1).await.unwrap(), 0, "REF-2: not within the grace");
    assert_eq!(isn.collect(NOW + UNLINK_GRACE).await.unwrap(), 2);
    assert!(disks.copies(fingerprint).is_empty());
}

/// REF-3, SRL-18: a repeated STORE or DELETE counts once.
#[tokio::test]
async fn repeated_requests_count_once() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    for _ in 0..3 {
        store(&isn, b"object", ALICE, token(1)).await.unwrap();
    }
    let content = store(&isn, b"object", BOB, token(1)).await.unwrap();
    assert_eq!(isn.references(None).await.unwrap().len(), 2);
    for _ in 0..3 {
        isn.give_up(reference(content.fingerprint, token(1)), NOW).await.unwrap();
        isn.give_up(reference(content.fingerprint, token(8)), NOW).await.unwrap();
    }
    assert!(isn.has_reference(BOB, content, token(1)).await.unwrap());
    assert_eq!(fetch(&isn, BOB, content.fingerprint).await.unwrap(), b"object");
    // SRL-17: who has no reference has no object.
    assert!(matches!(fetch(&isn, ALICE, content.fingerprint).await, Err(FetchError::NotFound)));
}

/// REF-3: an upload that is finished only after its reference was given up, because its sender tried again and then
/// changed his mind, leaves no reference that nobody knows of. One that began later counts.
#[tokio::test]
async fn an_upload_that_comes_late_takes_no_reference_that_was_given_up() {
    const LATER: u64 = NOW + 99;
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let content = content_of(b"object");
    let reference = reference(content.fingerprint, token(1));
    let begin = |now| {
        let isn = isn.clone();
        async move { isn.receive(6, now).await.unwrap().write("object".into()).await.unwrap() }
    };
    let finish = |incoming: Incoming| incoming.finish(Announced::default(), ALICE, token(1), LATER);

    for (is_here, released) in [(false, NOW + 2), (true, NOW + 12)] {
        if is_here {
            store(&isn, b"object", BOB, token(2)).await.unwrap();
        }
        let [first, early, late, later] = [released - 1, released - 1, released, released + 1].map(begin);
        let (early, late, later) = (early.await, late.await, later.await);
        finish(first.await).await.unwrap();
        isn.give_up(reference, released).await.unwrap();
        for incoming in [early, late] {
            assert!(matches!(finish(incoming).await, Err(StoreError::Unavailable(_))));
            assert!(!isn.has_reference(ALICE, content, token(1)).await.unwrap());
        }
        assert_eq!(finish(later).await.unwrap(), content);
        assert!(isn.has_reference(ALICE, content, token(1)).await.unwrap());
        isn.give_up(reference, released + 1).await.unwrap();
    }

    let add = |since| isn.add_reference(content, ALICE, token(1), since, LATER);
    assert!(matches!(add(NOW + 13).await, Err(StoreError::Unavailable(_))));
    assert!(add(NOW + 14).await.unwrap());
    assert_eq!(disks.temporaries(), 0);
}

/// REF-2: an object stored again within its grace stays.
#[tokio::test]
async fn an_object_stored_again_within_its_grace_stays() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let content = store(&isn, b"object", ALICE, token(1)).await.unwrap();
    isn.give_up(reference(content.fingerprint, token(1)), NOW).await.unwrap();
    store(&isn, b"object", ALICE, token(2)).await.unwrap();
    assert_eq!(isn.collect(NOW + 10 * UNLINK_GRACE).await.unwrap(), 0);
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), b"object");
}

/// ISN-11: everything acknowledged is there after the process ends, and nothing else.
#[tokio::test]
async fn acknowledged_objects_survive_a_restart() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let content = store(&isn, b"object", ALICE, token(1)).await.unwrap();
    drop(isn);
    // A process that ended while it received something.
    fs::write(disks.all()[0].join("tmp/0"), b"half of an obj").unwrap();
    let isn = disks.open().await;
    assert_eq!(disks.temporaries(), 0);
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), b"object");
    assert!(isn.has_reference(ALICE, content, token(1)).await.unwrap());
}

/// GEO-4: a copy that is too many goes with all its references, unless one has come that others may not have.
#[tokio::test]
async fn a_spare_copy_goes_if_its_references_are_known() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let content = store(&isn, b"object", ALICE, token(1)).await.unwrap();
    let known = isn.references_of(content.fingerprint).await.unwrap();
    let known: Vec<Reference> = known.into_iter().map(|(reference, _)| reference).collect();
    store(&isn, b"object", ALICE, token(2)).await.unwrap();
    assert!(!isn.part_with(content, known.clone()).await.unwrap(), "a reference has come");
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), b"object");
    isn.give_up(reference(content.fingerprint, token(2)), NOW).await.unwrap();
    assert!(isn.part_with(content, known.clone()).await.unwrap());
    assert!(disks.copies(content.fingerprint).is_empty());
    assert!(isn.references_of(content.fingerprint).await.unwrap().is_empty());
    // It was not given up: a copy that comes back brings it along.
    let incoming =
        isn.stage(6, 1, false, NOW).await.unwrap().write(Bytes::from_static(b"object")).await.unwrap();
    let received = incoming.received().await.unwrap();
    let origin = Origin::Replica { unlink_from: NOW + UNLINK_GRACE };
    received.keep(content, vec![(known[0], NOW)], origin).await.unwrap();
    assert!(isn.has_reference(ALICE, content, token(1)).await.unwrap());
    assert!(isn.part_with(content, known).await.unwrap());
    assert!(isn.part_with(content, Vec::new()).await.unwrap(), "nothing is left to part with");

    store(&isn, b"object", ALICE, token(3)).await.unwrap();
    isn.give_up(reference(content.fingerprint, token(3)), NOW).await.unwrap();
    assert!(!disks.copies(content.fingerprint).is_empty(), "its grace is not over");
    assert!(isn.part_with(content, Vec::new()).await.unwrap());
    assert!(disks.copies(content.fingerprint).is_empty());
}

/// Deliver 5 of the storage cluster: a copy on a disk that is being emptied is none to count on, so the object goes to
/// another disk of the same node too.
#[tokio::test]
async fn a_copy_that_leaves_its_disk_does_not_count() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    isn.set_draining(Some(0), true).await.unwrap();
    let bytes = object(10_000, 1);
    let content = store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    let on_second = disks.copies(content.fingerprint);
    isn.set_draining(Some(0), false).await.unwrap();
    isn.set_draining(Some(1), true).await.unwrap();
    store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    let on_both = disks.copies(content.fingerprint);
    assert_eq!((on_second.len(), on_both.len()), (1, 2));
    isn.leave(content).await.unwrap();
    let on_first = disks.copies(content.fingerprint);
    assert_eq!(on_first.len(), 1);
    assert_ne!(on_first, on_second);
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes);
}

/// Puts a file where an object of these bytes belongs, as a process that ended before indexing it would have.
fn plant(disk: &Path, named: &[u8], bytes: &[u8]) {
    let hex = content_of(named).fingerprint.to_string();
    let folder = disk.join("obj").join(&hex[..2]).join(&hex[2..4]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{hex}.MD5")), bytes).unwrap();
}

/// ISN-11: placed but not indexed: not visible, taken over when it is stored again.
#[tokio::test]
async fn an_object_without_index_is_taken_over_by_the_next_store() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let bytes = object(2_500_000, 3);
    plant(&disks.all()[1], &bytes, &bytes);
    let fingerprint = content_of(&bytes).fingerprint;
    assert!(matches!(fetch(&isn, ALICE, fingerprint).await, Err(FetchError::NotFound)));
    store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    assert_eq!(disks.copies(fingerprint).len(), 2);
    assert_eq!(fetch(&isn, ALICE, fingerprint).await.unwrap(), bytes);
}

/// ISN-11: a file that does not hold what its name says is replaced by the whole object.
#[tokio::test]
async fn a_half_object_is_replaced() {
    let disks = Disks::new(1);
    let isn = disks.open().await;
    let bytes = object(50_000, 4);
    plant(&disks.all()[0], &bytes, &bytes[..20_000]);
    let content = store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes);
}

/// ISN-2, SYS-3: the names are the truth. What was copied to a disk is found and served; what is gone is forgotten.
#[tokio::test]
async fn a_scan_believes_the_names() {
    let disks = Disks::new(3);
    let isn = disks.open().await;
    let bytes = object(70_000, 6);
    let content = store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    let held = disks.copies(content.fingerprint);
    let third = disks.all().into_iter().find(|disk| !held.iter().any(|copy| copy.starts_with(disk))).unwrap();
    plant(&third, &bytes, &bytes);
    held.iter().for_each(|copy| fs::remove_file(copy).unwrap());
    assert!(matches!(fetch(&isn, ALICE, content.fingerprint).await, Err(FetchError::Unavailable)));
    let scanned = isn.scan(NOW).await.unwrap();
    assert_eq!((scanned.found, scanned.lost), (1, 2));
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes);
}

/// REF-4: an object nobody ever referred to goes after the orphans' grace.
#[tokio::test]
async fn an_orphan_is_collected_after_its_grace() {
    let disks = Disks::new(1);
    let isn = disks.open().await;
    plant(&disks.all()[0], b"orphan", b"orphan");
    assert_eq!(isn.scan(NOW).await.unwrap().found, 1);
    assert_eq!(isn.collect(NOW + ORPHAN_GRACE - 1).await.unwrap(), 0);
    assert_eq!(isn.collect(NOW + ORPHAN_GRACE).await.unwrap(), 1);
    assert!(disks.copies(content_of(b"orphan").fingerprint).is_empty());
}

/// ISN-2, REF-4: an index is rebuilt from the names, and references are restored from outside.
async fn is_rebuilt_after(damage: impl Fn(&Path)) {
    let disks = Disks::new(1);
    let isn = disks.open().await;
    let bytes = object(1_500_000, 8);
    let content = store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    drop(isn);
    damage(&disks.all()[0].join("index.redb"));
    let isn = disks.open().await;
    assert!(isn.lost_references());
    assert!(!isn.has_reference(ALICE, content, token(1)).await.unwrap());
    assert!(isn.restore(ALICE, content, token(1), NOW).await.unwrap());
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes);
    assert_eq!(isn.collect(NOW + 10 * ORPHAN_GRACE).await.unwrap(), 0);
    assert!(!isn.restore(ALICE, content_of(b"never stored"), token(1), NOW).await.unwrap());
}

#[tokio::test]
async fn a_lost_index_is_rebuilt() {
    is_rebuilt_after(|index| fs::remove_file(index).unwrap()).await;
}

#[tokio::test]
async fn a_damaged_index_is_set_aside_and_rebuilt() {
    is_rebuilt_after(|index| fs::write(index, [0x5a; 100_000]).unwrap()).await;
    is_rebuilt_after(|index| fs::write(index, b"").unwrap()).await;
}

/// REF-4: an orphan reference is given up, but not one that somebody has just asked for.
#[tokio::test]
async fn a_reference_somebody_relies_on_is_no_orphan() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let content = store(&isn, b"object", ALICE, token(1)).await.unwrap();
    let later = NOW + ORPHAN_GRACE + 1;
    let (reference, renewed) = isn.references(None).await.unwrap()[0];
    assert_eq!(renewed, NOW);
    assert!(isn.keep_reference(ALICE, content, token(1), later).await.unwrap());
    assert!(!isn.release_orphan(reference, later - ORPHAN_GRACE, later).await.unwrap());
    assert!(isn.has_reference(ALICE, content, token(1)).await.unwrap());
    assert!(isn.release_orphan(reference, later + 1, later).await.unwrap());
    assert!(!isn.keep_reference(ALICE, content, token(1), later).await.unwrap());
}

/// ISN-7, design decision 14: a damaged copy is never given out; the other one serves.
#[tokio::test]
async fn a_damaged_copy_is_not_given_out() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let bytes = object(2_000_000, 9);
    let content = store(&isn, &bytes, ALICE, token(1)).await.unwrap();
    let damage = |copy: &Path| {
        let mut damaged = bytes.clone();
        damaged[1_900_000] ^= 1;
        fs::write(copy, damaged).unwrap();
    };
    let copies = disks.copies(content.fingerprint);
    damage(&copies[0]);
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes);
    fs::remove_file(&copies[0]).unwrap();
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), bytes);
    damage(&copies[1]);
    assert!(matches!(fetch(&isn, ALICE, content.fingerprint).await, Err(FetchError::Unavailable)));
}

/// DOSM-13: no store where there is no room, and the reserve is not touched.
#[tokio::test]
async fn full_disks_take_nothing() {
    let disks = Disks::new(2);
    let isn = open(Settings { reserve_bytes: u64::MAX, ..disks.settings() }).await.unwrap();
    assert!(matches!(store(&isn, b"object", ALICE, token(1)).await, Err(StoreError::NoSpace)));
    assert_eq!(isn.bytes_free(), 0);
    drop(isn);
    let isn = disks.open().await;
    assert!(matches!(isn.receive(u64::MAX / 2, NOW).await.map(drop), Err(StoreError::NoSpace)));
    assert!(isn.bytes_free() > 0);
}

/// ISN-9: a disk that fails is taken out of use; the others go on, with two copies as long as there are two.
#[tokio::test]
async fn a_failed_disk_is_taken_out_of_use() {
    let disks = Disks::new(3);
    let isn = disks.open().await;
    let content = store(&isn, b"before", ALICE, token(1)).await.unwrap();
    let failing = disks.copies(content.fingerprint)[0].ancestors().nth(4).unwrap().to_path_buf();
    fs::remove_dir_all(failing.join("tmp")).unwrap();
    fs::remove_dir_all(failing.join("obj")).unwrap();
    assert_eq!(fetch(&isn, ALICE, content.fingerprint).await.unwrap(), b"before");
    let mut refused = 0;
    for number in 0..50 {
        let bytes = [number; 100];
        match store(&isn, &bytes, ALICE, token(1)).await {
            Ok(content) => assert_eq!(disks.copies(content.fingerprint).len(), 2),
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 1, "the store that noticed is to be sent again");
}

/// ISN-9: what no disk in use has may be on one that went out of use: nobody says that it is gone.
#[tokio::test]
async fn what_a_failed_disk_had_is_unavailable_and_not_gone() {
    let disks = Disks::new(3);
    let isn = disks.open().await;
    let content = store(&isn, b"before", ALICE, token(1)).await.unwrap();
    let never = content_of(b"never stored").fingerprint;
    assert_eq!(fetch(&isn, ALICE, never).await, Err(FetchError::NotFound));
    assert_eq!(isn.digests(Some(ALICE), never, NOW).await.unwrap_err(), FetchError::NotFound);
    assert!(!isn.is_entitled(BOB, content.fingerprint).await.unwrap());
    for copy in disks.copies(content.fingerprint) {
        let failing = copy.ancestors().nth(4).unwrap().to_path_buf();
        fs::remove_dir_all(failing.join("tmp")).unwrap();
        fs::remove_dir_all(failing.join("obj")).unwrap();
    }
    // Until stores have met both.
    for number in 0..50 {
        let _ = store(&isn, &[number; 100], ALICE, token(1)).await;
    }
    assert_eq!(isn.readable().count(), 1);
    for fingerprint in [content.fingerprint, never] {
        assert_eq!(fetch(&isn, ALICE, fingerprint).await, Err(FetchError::Unavailable));
        let digests = isn.digests(Some(ALICE), fingerprint, NOW).await;
        assert_eq!(digests.unwrap_err(), FetchError::Unavailable);
        assert!(isn.is_entitled(ALICE, fingerprint).await.is_err(), "{fingerprint}");
    }
}

/// ISN-8: where a disk's directory was, nothing is made in its place, not by an upload that had begun before either.
#[tokio::test]
async fn nothing_is_stored_where_a_disk_was() {
    let disks = Disks::new(1);
    let isn = disks.open().await;
    let incoming = isn.receive(3, NOW).await.unwrap().write("new".into()).await.unwrap();
    let root = disks.all().remove(0);
    fs::rename(&root, root.with_extension("taken")).unwrap();
    let stored = incoming.finish(Announced::default(), ALICE, token(1), NOW).await;
    assert!(matches!(stored, Err(StoreError::Unavailable(_))), "{stored:?}");
    assert!(!root.exists());
}

async fn refusal(settings: Settings) -> String {
    open(settings).await.unwrap_err().to_string()
}

/// ISN-1, center.md §4: a foreign, occupied, missing or busy disk is refused in one line that says how to mend it.
#[tokio::test]
async fn wrong_disks_are_refused() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let said = refusal(disks.settings()).await;
    assert!(said.contains("in use by another process"), "{said}");
    drop(isn);
    let said = refusal(Settings { node: 8, ..disks.settings() }).await;
    assert!(said.contains("node 7 of cluster \"test\"") && said.contains("node 8"), "{said}");
    fs::write(disks.all()[1].join("FORMAT"), "version = ").unwrap();
    let said = refusal(disks.settings()).await;
    assert!(said.contains("FORMAT is damaged") && said.lines().count() == 1, "{said}");

    let occupied = Disks::new(1);
    fs::write(occupied.all()[0].join("holiday.jpg"), "mine").unwrap();
    let said = refusal(occupied.settings()).await;
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(fs::read_dir(&occupied.all()[0]).unwrap().count(), 1, "nothing was written there");
    let said = refusal(Settings { disks: vec![occupied.0.path().join("none")], ..occupied.settings() }).await;
    assert!(said.contains("none"), "{said}");
}

/// ISN-8: a disk all of whose threads hang is taken out of use by whoever asks for the next job, and told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_all_of_whose_threads_hang_is_told_of() {
    let disks = Disks::new(2);
    let isn = disks.open().await;
    let hanging = isn.disks()[0].clone();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (held, begun) = (Arc::new(Mutex::new(held)), Arc::new(AtomicUsize::new(0)));
    let jobs = (0..JOBS_PER_DISK).map(|_| {
        let (hanging, held, begun) = (hanging.clone(), Arc::clone(&held), Arc::clone(&begun));
        let hang = move || {
            begun.fetch_add(1, Ordering::Relaxed);
            held.lock().unwrap().recv().is_err()
        };
        tokio::spawn(async move { hanging.read(hang).await })
    });
    let jobs: Vec<_> = jobs.collect();
    while begun.load(Ordering::Relaxed) < JOBS_PER_DISK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let first = hanging.disk.health().enter();
    first.begin(Instant::now().checked_sub(Duration::from_secs(31)).unwrap());
    let reports = tokio::time::timeout(Duration::from_secs(10), isn.disk_reports()).await.unwrap();
    assert_eq!(
        reports.iter().map(|report| report.state).collect::<Vec<_>>(),
        [DiskState::Down, DiskState::Online]
    );
    assert!(reports[0].reason.contains("running for 31 s"), "{}", reports[0].reason);
    assert_eq!((reports[0].objects, reports[1].objects), (0, 1), "the empty object");
    drop(let_go);
    for job in jobs {
        assert!(job.await.unwrap().unwrap());
    }
}
