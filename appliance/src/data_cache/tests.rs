//! The cache on real directories: bounds, restarts, bad bytes, bad disks.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use protocol::digest::{BLOCK_BYTES, ObjectHasher};
use tempfile::TempDir;

use super::*;
use crate::journal::small_disk::SmallDisk;

type Cache = DataCache<&'static str>;

const PATIENCE: Duration = Duration::from_secs(30);

fn settings(disks: &[&Path], bytes_max: u64) -> Settings {
    let disk = |path: &&Path| DiskSettings { path: path.join("cache"), bytes_max };
    Settings::new(disks.iter().map(disk).collect())
}

/// With every disk in service.
fn open(disks: &[&Path], bytes_max: u64) -> Cache {
    let cache = DataCache::open(settings(disks, bytes_max));
    // The lock of a cache that was dropped lives on in a process that another test is just starting, until that one has
    // become its program: it inherits every descriptor until then.
    let begun = Instant::now();
    while !cache.failed_disks().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "out of service: {:?}", cache.failed_disks());
        maintenance::revive(&cache.inner.disks);
        std::thread::yield_now();
    }
    cache
}

/// An object of `size` bytes that begin with `seed`.
struct Object {
    bytes: Bytes,
    content: Content,
    digests: BlockDigests,
}

impl Object {
    fn new(seed: u64, size: usize) -> Self {
        let bytes: Vec<u8> =
            seed.to_le_bytes().into_iter().chain((8..).map(|at| at as u8)).take(size).collect();
        let mut hasher = ObjectHasher::new();
        hasher.update(&bytes);
        let (content, digests) = hasher.finish();
        Self { bytes: bytes.into(), content, digests }
    }

    fn block(&self, block: u32) -> Bytes {
        let start = block as usize * BLOCK_BYTES as usize;
        self.bytes.slice(start..start + self.content.block_len(block.into()) as usize)
    }

    async fn insert(&self, cache: &Cache) {
        cache.insert_digests(&self.content, &self.digests).await;
        for block in 0..self.content.blocks() as u32 {
            cache.insert(&self.content, block, self.block(block)).await.unwrap();
        }
    }
}

fn bytes_of(block: &BlockFile) -> Vec<u8> {
    let mut bytes = vec![0; block.len as usize];
    block.file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// All block files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.to_str().unwrap().contains("index.log") || path.ends_with("lock") => {}
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never came true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const MIB: usize = 1 << 20;

/// PORT-3, PORT-10: what was put in is found, in whole and in part.
#[tokio::test]
async fn blocks_are_found_as_they_were_put_in() {
    let dir = TempDir::new().unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    let object = Object::new(1, 2 * MIB + 5);
    assert!(cache.get(&object.content, 0).await.is_none());
    object.insert(&cache).await;
    for block in 0..3 {
        let found = cache.get_hot(&object.content, block).unwrap();
        assert_eq!(bytes_of(&found), object.block(block));
    }
    assert!(cache.get(&object.content, 3).await.is_none());
    assert_eq!((count(&cache.counters().hits), count(&cache.counters().misses)), (3, 2));
    assert_eq!(cache.digests(&object.content).await.unwrap().as_bytes(), object.digests.as_bytes());
}

/// What goes through leaves nothing here, stays in memory for a while, and is fetched once by all who want it at the
/// same time.
#[tokio::test]
async fn what_passes_is_fetched_once_and_kept_on_no_disk() {
    let dir = TempDir::new().unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    let object = Object::new(1, 5);
    let fetched = AtomicU64::new(0);
    let fetch = || async {
        tokio::task::yield_now().await;
        fetched.fetch_add(1, Ordering::Relaxed);
        Ok(object.block(0))
    };
    let passed = futures::future::join_all((0..50).map(|_| cache.pass(&object.content, 0, fetch))).await;
    let is_right =
        |block: &Result<Block, _>| matches!(block, Ok(Block::Bytes(bytes)) if *bytes == object.bytes);
    assert!(passed.iter().all(is_right));
    assert!(is_right(&cache.pass(&object.content, 0, fetch).await));
    assert_eq!((count(&fetched), cache.bytes()), (1, 0));

    for seed in 2..66 {
        let other = Object::new(seed, 8);
        cache.pass(&other.content, 0, || async { Ok(other.block(0)) }).await.unwrap();
    }
    assert!(!cache.has_passing(&object.content, 0), "memory has a bound");
    assert!(matches!(cache.pass(&object.content, 1, || async { Err("down") }).await, Err("down")));
    assert!(cache.pass(&object.content, 1, fetch).await.is_ok(), "no failure is remembered");

    object.insert(&cache).await;
    assert!(
        matches!(cache.pass(&object.content, 0, fetch).await, Ok(Block::File(_))),
        "what is there is used"
    );
    assert_eq!((count(&cache.counters().hits), count(&cache.counters().misses)), (1, 0));
}

/// Design decision 4: of two contents with one MD5, neither is given out for the other.
#[tokio::test]
async fn contents_with_one_md5_are_told_apart() {
    let dir = TempDir::new().unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    let (one, mut other) = (Object::new(1, 100), Object::new(2, 100));
    other.content.fingerprint = one.content.fingerprint;
    one.insert(&cache).await;
    assert!(cache.get_hot(&other.content, 0).is_none() && cache.get(&other.content, 0).await.is_none());
    other.insert(&cache).await;
    assert_eq!(bytes_of(&cache.get_hot(&one.content, 0).unwrap()), one.bytes);
    assert_eq!(bytes_of(&cache.get_hot(&other.content, 0).unwrap()), other.bytes);
}

/// PORT-21: a restart keeps the hits; each is verified before it is given out, and the index alone tells of them.
#[tokio::test]
async fn a_restart_keeps_the_hits() {
    let dir = TempDir::new().unwrap();
    let objects = [Object::new(1, 3 * MIB), Object::new(2, 100)];
    let cache = open(&[dir.path()], 100 << 20);
    for object in &objects {
        object.insert(&cache).await;
    }
    let bytes = cache.bytes();
    drop(cache);
    let cache = open(&[dir.path()], 100 << 20);
    assert_eq!(cache.bytes(), bytes, "known before any sweep");
    for object in &objects {
        assert!(cache.get_hot(&object.content, 0).is_none(), "not verified yet");
        for block in 0..object.content.blocks() as u32 {
            assert_eq!(bytes_of(&cache.get(&object.content, block).await.unwrap()), object.block(block));
            assert!(cache.get_hot(&object.content, block).is_some());
        }
    }
    assert_eq!(count(&cache.counters().misses), 0);
}

/// PORT-21: without its index log, the cache finds its files when they are asked for, and the sweep finds the rest.
#[tokio::test]
async fn files_the_index_lost_are_found_again() {
    let dir = TempDir::new().unwrap();
    let object = Object::new(1, 3 * MIB);
    let cache = open(&[dir.path()], 100 << 20);
    object.insert(&cache).await;
    let bytes = cache.bytes();
    drop(cache);
    std::fs::remove_file(dir.path().join("cache/index.log")).unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    assert_eq!(bytes_of(&cache.get(&object.content, 1).await.unwrap()), object.block(1));
    until(|| cache.bytes() == bytes).await;
}

/// PORT-21: never wrong bytes. A block that was damaged on disk is dropped, counted and fetched anew.
#[tokio::test]
async fn a_damaged_block_is_fetched_anew() {
    let dir = TempDir::new().unwrap();
    let object = Object::new(1, 3 * MIB);
    let cache = open(&[dir.path()], 100 << 20);
    object.insert(&cache).await;
    drop(cache);
    for (file, damage) in files(&dir.path().join("cache")).iter().zip(["flip", "cut", "empty"]) {
        let mut bytes = std::fs::read(file).unwrap();
        match damage {
            "flip" => bytes[1_000] ^= 1,
            "cut" => bytes.truncate(MIB - 1),
            _ => bytes.clear(),
        }
        std::fs::write(file, bytes).unwrap();
    }
    let cache = open(&[dir.path()], 100 << 20);
    for block in 0..3 {
        let fetched = cache.fetch(&object.content, block, async || Ok(object.block(block))).await.unwrap();
        let Block::File(file) = fetched else { panic!("kept on disk") };
        assert_eq!(bytes_of(&file), object.block(block));
    }
    assert_eq!(count(&cache.counters().corrupt), 3);
}

#[tokio::test]
async fn a_damaged_digest_list_is_a_miss() {
    let dir = TempDir::new().unwrap();
    let object = Object::new(1, 2 * MIB);
    let cache = open(&[dir.path()], 100 << 20);
    object.insert(&cache).await;
    drop(cache);
    let list =
        files(&dir.path().join("cache")).into_iter().find(|path| path.extension().unwrap() == "b3").unwrap();
    std::fs::write(list, [1; 64]).unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    assert!(cache.digests(&object.content).await.is_none());
    assert!(cache.get(&object.content, 0).await.is_none(), "cannot be verified");
    assert_eq!(count(&cache.counters().corrupt), 1);
}

/// PORT-21: what a kill left half written is gone, and costs no space.
#[tokio::test]
async fn a_kill_between_writing_and_renaming_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    drop(open(&[dir.path()], 100 << 20));
    std::fs::write(dir.path().join("cache/tmp/0"), [0; 1_000]).unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    assert_eq!((files(&dir.path().join("cache")), cache.bytes()), (Vec::new(), 0));
    Object::new(1, 10).insert(&cache).await;
}

/// PORT-4, PORT-21: a lost disk costs its blocks, the other goes on, and readers see no error.
#[tokio::test]
async fn a_lost_disk_costs_only_misses() {
    let (lost, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let cache = open(&[lost.path(), kept.path()], 100 << 20);
    let objects: Vec<_> = (0..40).map(|seed| Object::new(seed, 100)).collect();
    for object in &objects {
        object.insert(&cache).await;
    }
    let on_kept = files(&kept.path().join("cache")).len();
    assert!((5..35).contains(&on_kept), "{on_kept} of 40");
    std::fs::remove_dir_all(lost.path().join("cache")).unwrap();
    // Blocks that are open go on being served; a new one meets the loss.
    for object in (100..140).map(|seed| Object::new(seed, 100)) {
        let fetched = cache.fetch(&object.content, 0, async || Ok(object.block(0))).await;
        assert!(fetched.is_ok());
    }
    assert_eq!(cache.failed_disks(), [lost.path().join("cache")]);
    let mut found = 0;
    for object in &objects {
        found += usize::from(cache.get(&object.content, 0).await.is_some());
    }
    assert_eq!(found, on_kept);
    maintenance::revive(&cache.inner.disks);
    assert_eq!(cache.failed_disks(), Vec::<PathBuf>::new());
    for object in &objects {
        object.insert(&cache).await;
    }
}

#[tokio::test]
async fn no_disk_at_all_still_gives_bytes() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("cache"), "a file where a directory should be").unwrap();
    let cache = DataCache::open(settings(&[dir.path()], 100 << 20));
    assert_eq!(cache.failed_disks().len(), 1);
    let object = Object::new(1, 100);
    let fetched = cache.fetch(&object.content, 0, async || Ok(object.block(0))).await.unwrap();
    assert!(matches!(fetched, Block::Bytes(bytes) if bytes == object.bytes));
    assert!(matches!(cache.fetch(&object.content, 0, async || Err("down")).await, Err("down")));
}

/// A reader keeps what it has open, whatever is thrown out.
#[tokio::test]
async fn an_evicted_block_stays_readable_where_it_is_open() {
    let dir = TempDir::new().unwrap();
    let cache = open(&[dir.path()], 2 << 20);
    let first = Object::new(1, MIB);
    first.insert(&cache).await;
    let block = cache.get(&first.content, 0).await.unwrap();
    for seed in 2..6 {
        Object::new(seed, MIB).insert(&cache).await;
    }
    assert!(cache.get(&first.content, 0).await.is_none());
    assert_eq!(bytes_of(&block), first.bytes);
    assert_eq!(count(&cache.counters().evictions), 3);
}

/// PORT-21: a disk that others filled: the cache gives way, and goes on.
#[tokio::test]
async fn a_full_disk_costs_blocks_and_no_reader() {
    let disk = SmallDisk::new(8 << 20);
    let cache = open(&[disk.path()], 100 << 20);
    for seed in 0..20 {
        let object = Object::new(seed, MIB);
        let fetched = cache.fetch(&object.content, 0, async || Ok(object.block(0))).await.unwrap();
        let Block::File(file) = fetched else { panic!("room was made") };
        assert_eq!(bytes_of(&file), object.bytes);
    }
    assert_eq!(cache.failed_disks(), Vec::<PathBuf>::new());
    assert!(cache.bytes() <= 8 << 20);
    std::fs::write(disk.path().join("other"), vec![0; 8 << 20]).unwrap_err();
    let object = Object::new(100, MIB);
    assert!(cache.fetch(&object.content, 0, async || Ok(object.block(0))).await.is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// PORT-21: the files on disk never exceed the bound, also after a restart with a smaller one.
    #[test]
    fn the_bound_is_never_exceeded(
        objects in prop::collection::vec((0u64..20, 1usize..=24 * 4_096, any::<bool>()), 1..40),
        // Files count in whole pages: the largest object fits the smallest bound.
        bound in 24 * 4_096u64..400_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let used = || -> u64 {
                let files = files(&dir.path().join("cache"));
                files.iter().map(|file| file.metadata().unwrap().len().next_multiple_of(4_096)).sum()
            };
            let mut cache = open(&[dir.path()], bound);
            for (seed, size, restart) in objects {
                let object = Object::new(seed, size);
                object.insert(&cache).await;
                assert!(used() <= bound && used() == cache.bytes());
                assert_eq!(bytes_of(&cache.get(&object.content, 0).await.unwrap()), object.bytes);
                if restart {
                    drop(cache);
                    cache = open(&[dir.path()], bound);
                    assert_eq!(used(), cache.bytes());
                }
            }
            drop(cache);
            let cache = open(&[dir.path()], bound / 2);
            assert!(used() <= bound / 2 && used() == cache.bytes());
        });
    }
}

/// PORT-3, PORT-21: an emptied cache has no file left and serves on; a reader keeps what it has open.
#[tokio::test]
async fn an_emptied_cache_is_empty_and_takes_blocks_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&[dir.path()], 64 << 20);
    let object = Object::new(1, 3 * BLOCK_BYTES as usize);
    object.insert(&cache).await;
    let reader = cache.get(&object.content, 1).await.unwrap();
    let before = cache.usage();
    assert!(before[0].files == 4 && before[0].bytes >= 3 << 20 && before[0].is_up, "{before:?}");
    let begun = Instant::now();
    // Not before the disk was looked through for files that its index lost.
    while !cache.clear().await {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = cache.usage();
    assert_eq!((after[0].files, after[0].bytes), (0, 0));
    let blocks = |path: &PathBuf| path.parent().is_some_and(|folder| folder.file_name().unwrap().len() == 2);
    assert_eq!(files(&dir.path().join("cache")).iter().filter(|path| blocks(path)).count(), 0);
    assert!(cache.get(&object.content, 1).await.is_none());
    assert_eq!(bytes_of(&reader), object.block(1));
    object.insert(&cache).await;
    assert_eq!(bytes_of(&cache.get(&object.content, 1).await.unwrap()), object.block(1));
}

/// What is fetched for nobody yet is there for who comes, and is neither a hit nor a miss; who waits for a block is seen.
#[tokio::test]
async fn a_block_is_warmed_without_being_counted_as_read() {
    let dir = TempDir::new().unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    let object = Object::new(1, 2 * MIB + 5);
    assert!(!cache.holds(&object.content, 1).await && !cache.holds_digests(&object.content).await);
    let warmed = cache.warm(&object.content, 1, async || Ok(object.block(1))).await.unwrap();
    assert!(matches!(warmed, Block::File(_)));
    cache.insert_digests(&object.content, &object.digests).await;
    assert!(cache.holds(&object.content, 1).await && cache.holds_digests(&object.content).await);
    let Counters { hits, misses, warmed, .. } = cache.counters();
    assert_eq!((count(hits), count(misses), count(warmed)), (0, 0, 1));

    let mut reading = Box::pin(cache.fetch(&object.content, 0, std::future::pending));
    assert!(futures::future::poll_immediate(&mut reading).await.is_none());
    // The look at the disk is over when the fill has begun.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !cache.has_readers_waiting() {
        assert!(Instant::now() < deadline, "a reader is not seen");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(futures::future::poll_immediate(&mut reading).await.is_none());
    }
    drop(reading);
    assert!(!cache.has_readers_waiting());
    // After a restart, before and after the disk was looked through.
    drop(cache);
    std::fs::remove_file(dir.path().join("cache/index.log")).unwrap();
    let cache = open(&[dir.path()], 100 << 20);
    assert!(cache.holds(&object.content, 1).await && !cache.holds(&object.content, 0).await);
}
