//! One disk: what becomes of bad copies, of references that cross each other, and of a disk that is not well.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, ObjectHasher};
use protocol::id::{CustomerId, Token};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tempfile::TempDir;

use super::disk::{Disk, Opening, State};
use super::fault::DiskError;
use super::files::Host;
use super::format::Owner;
use super::health::Thresholds;
use super::index::tables::RELEASE_REMEMBERED_SECONDS;
use super::layout::Layout;
use super::quarantine::COPIES_MAX;
use super::scan::scan;
use super::verify::{ScrubCursor, Verified};
use protocol::dosp::Reference;

const NOW: u64 = 1_800_000_000;
const LATER: u64 = NOW + 600;

struct Fixture {
    folder: TempDir,
    disk: Disk,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Thresholds::default())
    }

    fn with(thresholds: Thresholds) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = open(folder.path(), thresholds);
        Self { folder, disk }
    }

    fn again(self) -> Self {
        let Self { folder, disk } = self;
        drop(disk);
        let disk = open(folder.path(), Thresholds::default());
        Self { folder, disk }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.folder.path())
    }

    fn store(&self, bytes: &[u8], token: u8) -> Content {
        let (content, blocks) = hash(bytes);
        let mut temporary = self.disk.begin().unwrap();
        self.disk.append(&mut temporary, bytes).unwrap();
        self.disk.commit(temporary, &content, &blocks, reference(&content, token), NOW).unwrap();
        content
    }

    fn replicate(&self, bytes: &[u8], tokens: &[u8]) -> Content {
        let (content, blocks) = hash(bytes);
        let mut temporary = self.disk.begin().unwrap();
        self.disk.append(&mut temporary, bytes).unwrap();
        let references: Vec<_> = tokens.iter().map(|&token| (reference(&content, token), NOW - 50)).collect();
        self.disk.commit_replica(temporary, &content, &blocks, &references, LATER).unwrap();
        content
    }

    fn tokens(&self, content: &Content) -> Vec<u8> {
        let held = self.disk.references_of(content.fingerprint, None, 100).unwrap();
        held.into_iter().map(|(reference, _)| reference.token.0[0]).collect()
    }

    fn quarantined(&self) -> Vec<PathBuf> {
        let mut copies: Vec<_> =
            fs::read_dir(self.layout().quarantine()).unwrap().map(|entry| entry.unwrap().path()).collect();
        copies.sort();
        copies
    }

    /// Flips a bit in the middle of an object.
    fn spoil(&self, content: &Content) {
        let path = self.layout().object(content.fingerprint);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

fn open(root: &Path, thresholds: Thresholds) -> Disk {
    let owner = Owner { cluster: "test", node: 7, new_disk_id: "0123456789abcdef0123456789abcdef" };
    Disk::open_on(Host, root, Opening { owner, reserve_bytes: 0, thresholds }).unwrap()
}

fn hash(bytes: &[u8]) -> (Content, BlockDigests) {
    let mut hasher = ObjectHasher::new();
    hasher.update(bytes);
    hasher.finish()
}

fn reference(content: &Content, token: u8) -> Reference {
    Reference { fingerprint: content.fingerprint, customer: CustomerId(1), token: Token([token; 16]) }
}

fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// ISN-12: a bad copy goes into quarantine, its references stay, and they hold the copy that takes its place.
#[test]
fn a_bad_copy_is_quarantined_and_its_references_stay() {
    let site = Fixture::new();
    let bytes = random(3 * 1_048_576 + 5, 1);
    let content = site.store(&bytes, 1);
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Good);
    site.spoil(&content);
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Bad);
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Absent);
    let name = format!("{}.0", content.fingerprint);
    assert_eq!(site.quarantined(), [site.layout().quarantine().join(&name)]);
    assert_eq!(site.disk.find(content.fingerprint).unwrap(), None);
    assert_eq!(site.disk.missing(None, 10).unwrap(), [content]);
    assert!(!site.layout().block_digests(content.fingerprint).exists());

    let site = site.again();
    assert_eq!(site.tokens(&content), [1]);
    assert_eq!(scan(&site.disk, LATER).unwrap().found, 0, "what is in quarantine is no object");
    assert_eq!(site.replicate(&bytes, &[1, 2]), content);
    assert_eq!(site.tokens(&content), [1, 2]);
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Good);
    assert!(site.disk.missing(None, 10).unwrap().is_empty());
}

/// ISN-5, ISN-12: while references wait for their object to come back, no other object of the same MD5 gets them.
#[test]
fn references_of_a_lost_object_hold_no_other() {
    let (first, second) = super::tests::colliding_objects();
    let site = Fixture::new();
    let content = site.store(&first, 1);
    site.spoil(&content);
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Bad);
    let (other, blocks) = hash(&second);
    let mut temporary = site.disk.begin().unwrap();
    site.disk.append(&mut temporary, &second).unwrap();
    let refused = site.disk.commit(temporary, &other, &blocks, reference(&other, 2), NOW);
    assert!(matches!(refused, Err(DiskError::Collision(_))), "{refused:?}");
    site.disk.release(reference(&content, 1), NOW, LATER).unwrap();
    assert!(site.disk.missing(None, 10).unwrap().is_empty());
    assert_eq!(site.store(&second, 2), other);
}

/// ISN-12: a copy whose file is gone is bad as well: the index forgets it.
#[test]
fn a_copy_without_a_file_is_bad() {
    let site = Fixture::new();
    let content = site.store(b"object", 1);
    fs::remove_file(site.layout().object(content.fingerprint)).unwrap();
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Bad);
    assert!(site.quarantined().is_empty());
    assert_eq!(site.disk.missing(None, 10).unwrap(), [content]);
}

/// ISN-12: wrong or missing block digests beside good bytes are made anew.
#[test]
fn block_digests_are_made_anew() {
    let site = Fixture::new();
    let content = site.store(&random(2_500_000, 2), 1);
    let list = site.layout().block_digests(content.fingerprint);
    let good = fs::read(&list).unwrap();
    for spoil in
        [|list: &Path| fs::write(list, [1; 96]).unwrap(), |list: &Path| fs::remove_file(list).unwrap()]
    {
        spoil(&list);
        assert!(site.disk.open_object(content.fingerprint).is_err());
        assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Good);
        assert_eq!(fs::read(&list).unwrap(), good);
        site.disk.open_object(content.fingerprint).unwrap();
    }
}

/// ISN-12: of the copies in quarantine the newest are kept, across restarts too.
#[test]
fn quarantine_keeps_the_newest() {
    let mut site = Fixture::new();
    let bytes = random(100, 3);
    let copies = COPIES_MAX + 3;
    for number in 0..copies {
        let content = site.store(&bytes, 1);
        site.spoil(&content);
        assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Bad);
        if number == 5 {
            site = site.again();
        }
    }
    let mut numbers: Vec<usize> = site
        .quarantined()
        .iter()
        .map(|copy| copy.extension().unwrap().to_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (3..copies).collect::<Vec<_>>());
}

/// ISN-12: a scrub goes over all objects in steps of about the size asked for, and notices every bad copy.
#[test]
fn a_scrub_goes_over_everything_in_steps() {
    let site = Fixture::new();
    let large = site.store(&random(5 * 1_048_576 + 1, 4), 1);
    let small: Vec<_> = (0..20).map(|seed| site.store(&random(1_000, seed), 1)).collect();
    let bad = [large, small[3], small[19]];
    bad.iter().for_each(|content| site.spoil(content));
    let (mut cursor, mut steps, mut bytes, mut objects) = (None, 0, 0, 0);
    loop {
        let step = site.disk.scrub(cursor, BLOCK_BYTES).unwrap();
        assert!(step.bytes <= 2 * BLOCK_BYTES, "{step:?}");
        (steps, bytes, objects) = (steps + 1, bytes + step.bytes, objects + step.objects);
        cursor = step.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(steps > 3, "{steps}");
    assert_eq!(objects, 22, "the empty object is one, too");
    assert!(bytes > 20 * 1_000);
    let suspects = site.disk.take_suspects();
    assert_eq!(suspects, bad.iter().map(|content| content.fingerprint).collect());
    assert!(suspects.into_iter().all(|suspect| site.disk.verify(suspect).unwrap() == Verified::Bad));
    assert!(site.disk.take_suspects().is_empty());
}

/// ISN-12: a cursor may be kept, whatever becomes of its object meanwhile.
#[test]
fn a_scrub_goes_on_after_its_object_is_gone() {
    let site = Fixture::new();
    let contents: Vec<_> = (0..3).map(|seed| site.store(&random(2_000_000, seed), 1)).collect();
    let first = contents.iter().min_by_key(|content| content.fingerprint).unwrap();
    let step = site.disk.scrub(None, 1).unwrap();
    assert_eq!(step.next, Some(ScrubCursor { object: first.fingerprint, block: 1 }));
    site.disk.release(reference(first, 1), NOW, LATER).unwrap();
    assert!(site.disk.unlink(first.fingerprint, LATER).unwrap());
    let rest = site.disk.scrub(step.next, u64::MAX).unwrap();
    assert_eq!((rest.next, rest.objects, rest.bad), (None, 3, 0));
}

/// REF-3: a release that arrives before the copy it is about still counts; a fresh upload counts again.
#[test]
fn a_release_before_its_copy_counts() {
    let site = Fixture::new();
    let (content, _) = hash(b"object");
    site.disk.release(reference(&content, 1), NOW, LATER).unwrap();
    site.replicate(b"object", &[1, 2]);
    assert_eq!(site.tokens(&content), [2]);
    site.disk.release(reference(&content, 2), NOW, LATER).unwrap();
    site.disk.replicate(&content, &[(reference(&content, 2), NOW)], LATER).unwrap();
    assert!(site.tokens(&content).is_empty(), "a list of references that is older than the release");
    site.store(b"object", 1);
    site.disk.replicate(&content, &[(reference(&content, 1), NOW - 9)], LATER).unwrap();
    assert_eq!(
        site.disk.references_of(content.fingerprint, None, 9).unwrap(),
        [(reference(&content, 1), NOW)]
    );
}

/// REF-2, REF-3: a copy all of whose references were given up meanwhile is collected like any other.
#[test]
fn a_copy_nobody_holds_any_more_is_collected() {
    let site = Fixture::new();
    let (content, _) = hash(b"object");
    site.disk.release(reference(&content, 1), NOW, LATER).unwrap();
    site.replicate(b"object", &[1]);
    assert_eq!(site.disk.find(content.fingerprint).unwrap(), Some(content));
    assert!(!site.disk.unlink(content.fingerprint, LATER - 1).unwrap());
    assert!(site.disk.unlink(content.fingerprint, LATER).unwrap());
}

/// REF-3: releases are remembered for a day, and no longer.
#[test]
fn releases_are_remembered_for_a_day() {
    let site = Fixture::new();
    let (content, _) = hash(b"object");
    site.disk.release(reference(&content, 1), NOW, LATER).unwrap();
    site.disk.sweep_releases(NOW + RELEASE_REMEMBERED_SECONDS - 1).unwrap();
    site.replicate(b"object", &[1]);
    assert!(site.tokens(&content).is_empty());
    site.disk.sweep_releases(NOW + RELEASE_REMEMBERED_SECONDS).unwrap();
    site.disk.replicate(&content, &[(reference(&content, 1), NOW)], LATER).unwrap();
    assert_eq!(site.tokens(&content), [1]);
}

/// REF-4: the references of one object, page by page.
#[test]
fn references_of_one_object_are_listed_page_by_page() {
    let site = Fixture::new();
    let content = site.store(b"one", 1);
    for token in 2..=7 {
        site.disk.hold(&content, reference(&content, token), NOW).unwrap();
    }
    site.store(b"another", 1);
    let (mut after, mut tokens) = (None, Vec::new());
    loop {
        let page = site.disk.references_of(content.fingerprint, after, 3).unwrap();
        assert!(page.len() <= 3);
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        tokens.extend(page.into_iter().map(|(reference, _)| reference.token.0[0]));
    }
    assert_eq!(tokens, [1, 2, 3, 4, 5, 6, 7]);
}

/// ISN-10: the figures of a disk.
#[test]
fn a_disk_tells_its_figures() {
    let site = Fixture::new();
    site.store(b"object", 1);
    let job = site.disk.health().enter();
    let status = site.disk.status().unwrap();
    assert_eq!((status.state, status.draining), (State::Online, false));
    assert_eq!((status.objects, status.outstanding), (2, 1));
    assert!(status.bytes_available <= status.bytes_free && status.bytes_free < status.bytes_total);
    assert!(status.bytes_available > 0 && status.inodes_used > 0);
    drop(job);
    assert_eq!(site.disk.status().unwrap().outstanding, 0);
}

/// ISN-9: a disk that is to be emptied takes no new objects, also after a restart, until it is told otherwise.
#[test]
fn a_draining_disk_takes_no_new_objects() {
    let site = Fixture::new();
    let content = site.store(b"object", 1);
    let mut begun_before = site.disk.begin().unwrap();
    site.disk.set_draining(true).unwrap();
    assert!(!site.disk.takes_objects());
    let site = {
        let (late, blocks) = hash(b"late");
        site.disk.append(&mut begun_before, b"late").unwrap();
        site.disk.commit(begun_before, &late, &blocks, reference(&late, 1), NOW).unwrap();
        site.again()
    };
    assert!(site.disk.draining() && site.disk.state() == State::Online);
    assert!(matches!(site.disk.begin().unwrap_err(), DiskError::Draining));
    site.disk.hold(&content, reference(&content, 2), NOW).unwrap();
    site.disk.release(reference(&content, 1), NOW, LATER).unwrap();
    assert_eq!(site.tokens(&content), [2]);
    site.disk.set_draining(false).unwrap();
    site.disk.begin().unwrap();
    assert!(!site.again().disk.draining());
}

/// ISN-8: a disk one of whose jobs does not end is taken out of use.
#[test]
fn a_disk_that_hangs_is_taken_out_of_use() {
    let site = Fixture::with(Thresholds { job: Duration::from_secs(5), ..Thresholds::default() });
    let start = Instant::now();
    let job = site.disk.health().enter();
    job.begin(start);
    site.disk.check_jobs(start + Duration::from_secs(5));
    assert_eq!(site.disk.state(), State::Online);
    site.disk.check_jobs(start + Duration::from_millis(5_001));
    assert_eq!(site.disk.state(), State::Offline);
    drop(job);
    site.disk.check_jobs(start + Duration::from_secs(9));
    assert_eq!(site.disk.state(), State::Offline, "until it is started again");
}

/// ISN-8: which errors take a disk out of use, and how far.
#[test]
fn errors_take_a_disk_out_of_use_as_far_as_they_must() {
    let site = Fixture::with(Thresholds { reads_failed: 3, ..Thresholds::default() });
    let content = Content::EMPTY.fingerprint;
    for harmless in [
        DiskError::Full,
        DiskError::Draining,
        DiskError::Busy(String::new()),
        DiskError::Missing(content),
        DiskError::Collision(content),
        DiskError::Unreadable(String::new()),
        DiskError::Unreadable(String::new()),
    ] {
        site.disk.note(&harmless);
        assert_eq!(site.disk.state(), State::Online, "{harmless:?}");
    }
    site.disk.note(&DiskError::ReadOnly);
    assert_eq!(site.disk.state(), State::ReadOnly);
    assert!(!site.disk.takes_objects());
    site.disk.note(&DiskError::Unreadable(String::new()));
    assert_eq!(site.disk.state(), State::Offline, "the third read that failed");
    site.disk.note(&DiskError::ReadOnly);
    assert_eq!(site.disk.state(), State::Offline);
    let another = Fixture::new();
    another.disk.note(&DiskError::Failed(String::new()));
    assert_eq!(another.disk.state(), State::Offline);
}

/// REF-4: that references are to be restored is not forgotten by a restart, only by their restoration.
#[test]
fn a_lost_index_is_remembered_until_all_is_restored() {
    let site = Fixture::new();
    let content = site.store(b"object", 1);
    fs::remove_file(site.layout().index()).unwrap();
    let site = site.again();
    assert!(site.disk.lost_index());
    let site = site.again();
    assert!(site.disk.lost_index());
    assert_eq!(scan(&site.disk, LATER).unwrap().found, 1);
    site.disk.hold(&content, reference(&content, 1), NOW).unwrap();
    site.disk.references_restored().unwrap();
    assert!(!site.disk.lost_index());
    let site = site.again();
    assert!(!site.disk.lost_index());
    assert_eq!(site.tokens(&content), [1]);
}

/// ISN-11: block digests that a power cut left without their object are swept, those of an object are not.
#[test]
fn a_scan_sweeps_block_digests_without_an_object() {
    let site = Fixture::new();
    let content = site.store(&random(1_500_000, 1), 1);
    let (lost, blocks) = hash(&random(1_500_000, 2));
    let list = site.layout().block_digests(lost.fingerprint);
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    fs::write(&list, blocks.as_bytes()).unwrap();
    scan(&site.disk, LATER).unwrap();
    assert!(!list.exists());
    assert!(site.layout().block_digests(content.fingerprint).exists());
}

/// ISN-11, ISN-12: a file that is not what its name says is not taken for an object, and put away.
#[test]
fn a_file_with_a_wrong_name_is_put_away() {
    let site = Fixture::new();
    let (content, _) = hash(b"what it should be");
    let path = site.layout().object(content.fingerprint);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"what it is").unwrap();
    assert_eq!(scan(&site.disk, LATER).unwrap().found, 0);
    assert_eq!(site.disk.take_suspects(), [content.fingerprint].into());
    assert_eq!(site.disk.verify(content.fingerprint).unwrap(), Verified::Bad);
    assert_eq!(site.quarantined().len(), 1);
}
