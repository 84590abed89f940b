//! The cache from outside: what it asks of the nodes, what it keeps, and what never leaves it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::join_all;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, Fingerprint, ObjectHasher};
use protocol::id::CustomerId;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::{Cache, Reader, Settings, Source, SourceObject};
use crate::objects::FetchError;

const ALICE: CustomerId = CustomerId(1);
const BOB: CustomerId = CustomerId(2);
const NOW: u64 = 1_800_000_000;
const BLOCK: usize = BLOCK_BYTES as usize;

/// Nodes that count what they are asked.
#[derive(Clone, Debug)]
struct Nodes(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    objects: Mutex<HashMap<Fingerprint, (Content, BlockDigests, Bytes)>>,
    references: Mutex<HashSet<(CustomerId, Fingerprint)>>,
    opened: AtomicU64,
    read: AtomicU64,
    /// What a read waits for.
    gate: Semaphore,
    /// A folder with the objects as files, if they are on this machine.
    disk: Option<TempDir>,
}

#[derive(Debug)]
struct Opened {
    nodes: Nodes,
    content: Content,
    digests: BlockDigests,
    bytes: Bytes,
    file: Option<Arc<File>>,
}

impl Nodes {
    fn new() -> Self {
        Self::with(None)
    }

    /// Nodes on this machine.
    fn here() -> Self {
        Self::with(Some(tempfile::tempdir().unwrap()))
    }

    fn with(disk: Option<TempDir>) -> Self {
        Self(Arc::new(Inside {
            objects: Mutex::default(),
            references: Mutex::default(),
            opened: AtomicU64::new(0),
            read: AtomicU64::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            disk,
        }))
    }

    /// Stores an object for a customer.
    fn store(&self, seed: u64, len: usize, customer: CustomerId) -> (Content, Bytes) {
        let mut bytes = vec![0; len];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        let mut hasher = ObjectHasher::new();
        hasher.update(&bytes);
        let (content, digests) = hasher.finish();
        let bytes = Bytes::from(bytes);
        if let Some(disk) = &self.0.disk {
            fs::write(disk.path().join(content.fingerprint.to_string()), &bytes).unwrap();
        }
        self.0.objects.lock().unwrap().insert(content.fingerprint, (content, digests, bytes.clone()));
        self.refer(customer, &content);
        (content, bytes)
    }

    fn refer(&self, customer: CustomerId, content: &Content) {
        self.0.references.lock().unwrap().insert((customer, content.fingerprint));
    }

    fn release(&self, customer: CustomerId, content: &Content) {
        self.0.references.lock().unwrap().remove(&(customer, content.fingerprint));
    }

    fn file(&self, content: &Content) -> PathBuf {
        self.0.disk.as_ref().unwrap().path().join(content.fingerprint.to_string())
    }

    /// How often an object was opened and a block read.
    fn asked(&self) -> (u64, u64) {
        (self.0.opened.load(Ordering::Relaxed), self.0.read.load(Ordering::Relaxed))
    }
}

impl Source for Nodes {
    type Object = Opened;

    async fn open(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<Opened, FetchError> {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if !self.0.references.lock().unwrap().contains(&(customer, fingerprint)) {
            return Err(FetchError::NotFound);
        }
        let found = self.0.objects.lock().unwrap().get(&fingerprint).cloned();
        let (content, digests, bytes) = found.ok_or(FetchError::Unavailable)?;
        let file = self.0.disk.is_some().then(|| Arc::new(File::open(self.file(&content)).unwrap()));
        Ok(Opened { nodes: self.clone(), content, digests, bytes, file })
    }
}

impl SourceObject for Opened {
    fn content(&self) -> &Content {
        &self.content
    }

    fn block_digests(&self) -> Vec<u8> {
        self.digests.as_bytes()
    }

    async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        self.nodes.0.gate.acquire().await.unwrap().forget();
        self.nodes.0.gate.add_permits(1);
        tokio::task::yield_now().await;
        self.nodes.0.read.fetch_add(1, Ordering::Relaxed);
        let start = index as usize * BLOCK;
        let bytes = self.bytes.slice(start..start + self.content.block_len(index) as usize);
        match &self.file {
            None => Ok(bytes),
            Some(file) => {
                let mut read = vec![0; bytes.len()];
                file.read_exact_at(&mut read, start as u64).unwrap();
                self.digests.verify(&self.content, index, &read).map_err(|_| FetchError::Unavailable)?;
                Ok(Bytes::from(read))
            }
        }
    }

    fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }
}

async fn open(directory: &Path, bytes_max: u64, nodes: &Nodes) -> Cache<Nodes> {
    let directory = directory.join("cache");
    Cache::open(Settings { directory, bytes_max }, nodes.clone()).await
}

async fn fetch(
    cache: &Cache<Nodes>,
    customer: CustomerId,
    content: &Content,
) -> Result<Reader<Nodes>, FetchError> {
    cache.fetch(customer, content.fingerprint, NOW).await
}

async fn read_all(reader: &mut Reader<Nodes>) -> Vec<u8> {
    let mut all = Vec::new();
    for index in 0..reader.content().blocks() {
        all.extend_from_slice(&reader.read_block(index).await.unwrap());
    }
    all
}

async fn fetch_all(cache: &Cache<Nodes>, content: &Content) -> Vec<u8> {
    read_all(&mut fetch(cache, ALICE, content).await.unwrap()).await
}

/// The bytes that would leave by `sendfile`, with nobody asked; `None` where one would have to be.
fn sent(cache: &Cache<Nodes>, content: &Content, start: u64, end: u64) -> Option<Vec<u8>> {
    let mut reader = cache.at_hand(ALICE, content.fingerprint, NOW)?;
    let mut all = Vec::new();
    while start + (all.len() as u64) < end {
        let at = start + all.len() as u64;
        let piece = reader.piece(at, end - at)?;
        let mut bytes = vec![0; piece.len as usize];
        piece.file.read_exact_at(&mut bytes, piece.offset).unwrap();
        all.extend_from_slice(&bytes);
    }
    Some(all)
}

/// All of it as [`sent`]; tried again for a while, since a busy machine may not have all of it in memory.
async fn sent_whole(cache: &Cache<Nodes>, content: &Content) -> Vec<u8> {
    let waiting = async {
        loop {
            match sent(cache, content, 0, content.size) {
                Some(bytes) => return bytes,
                None => drop(fetch_all(cache, content).await),
            }
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    waited.expect("what is whole and checked is sent from its file")
}

/// Waits until the cache's directory has only these whole objects, and no parts.
async fn holds(directory: &Path, whole: &[&Content]) {
    let listed = || {
        let mut names: Vec<_> =
            files(&directory.join("cache/obj")).into_iter().map(|path| name(&path)).collect();
        names.extend(files(&directory.join("cache/part")).into_iter().map(|path| name(&path)));
        names.sort();
        names
    };
    let mut expected: Vec<_> = whole.iter().map(|content| format!("{}.MD5", content.fingerprint)).collect();
    expected.sort();
    let waiting = async {
        while listed() != expected {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    assert!(waited.is_ok(), "{:?} instead of {expected:?}", listed());
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_string()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn cached_file(directory: &Path, content: &Content) -> PathBuf {
    let hex = content.fingerprint.to_string();
    directory.join("cache/obj").join(&hex[..2]).join(format!("{hex}.MD5"))
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// DOSM-2, DOSM-10: the second request is served from the cache's file and no node hears of it.
#[tokio::test]
async fn a_hit_asks_no_node() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    for (seed, len) in [1, 4_096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17].into_iter().enumerate() {
        let (content, bytes) = nodes.store(seed as u64, len, ALICE);
        let before = nodes.asked();
        assert!(cache.at_hand(ALICE, content.fingerprint, NOW).is_none());
        assert!(fetch_all(&cache, &content).await == bytes);
        assert_eq!(nodes.asked(), (before.0 + 1, before.1 + content.blocks()), "{len}");
        assert!(sent(&cache, &content, 0, content.size).unwrap() == bytes);
        assert!(fetch_all(&cache, &content).await == bytes);
        assert_eq!(nodes.asked(), (before.0 + 1, before.1 + content.blocks()), "{len}");
    }
    let figures = cache.figures();
    assert_eq!((figures.hits, figures.misses, figures.entries, figures.spoiled), (12, 6, 6, 0));
    let used = files(&folder.path().join("cache/obj"));
    let used: u64 = used.iter().map(|path| path.metadata().unwrap().len().next_multiple_of(4 << 10)).sum();
    assert!(figures.bytes >= used && figures.bytes <= used + 12 * 4_096, "{figures:?} {used}");
    assert_eq!(fetch_all(&cache, &nodes.store(9, 0, ALICE).0).await, b"");
}

/// DOSM-10: a hundred readers of a cold object share one fetch, and each gets what is there already.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_an_object_being_fetched_share_the_fetch() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    let (content, bytes) = nodes.store(1, 5 * BLOCK + 5, ALICE);
    let readers = (0..100).map(|_| {
        let cache = cache.clone();
        tokio::spawn(async move { fetch_all(&cache, &content).await })
    });
    for read in join_all(readers).await {
        assert!(read.unwrap() == bytes);
    }
    assert_eq!(nodes.asked(), (1, 6));
    holds(folder.path(), &[&content]).await;
}

/// DOSM-10: what is there is read while the rest is waited for, and a reader that gives up leaves the fetch to others.
#[tokio::test]
async fn a_reader_streams_what_is_there() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    let (content, bytes) = nodes.store(1, 2 * BLOCK, ALICE);
    let mut first = fetch(&cache, ALICE, &content).await.unwrap();
    first.read_block(0).await.unwrap();
    nodes.0.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut second = fetch(&cache, ALICE, &content).await.unwrap();
    assert!(second.read_block(0).await.unwrap() == bytes[..BLOCK]);
    assert!(sent(&cache, &content, 5, 10).unwrap() == bytes[5..10]);
    assert_eq!(sent(&cache, &content, 0, content.size), None);
    let mut stuck = Box::pin(first.read_block(1));
    let mut waiting = Box::pin(second.read_block(1));
    assert!(futures::poll!(&mut stuck).is_pending() && futures::poll!(&mut waiting).is_pending());
    drop(stuck);
    nodes.0.gate.add_permits(1);
    assert!(waiting.await.unwrap() == bytes[BLOCK..]);
}

/// DOSM-10: a range of a large object fetches its blocks and no more.
#[tokio::test]
async fn a_range_fetches_its_blocks_and_no_more() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 8 << 20, &nodes).await;
    let (content, bytes) = nodes.store(1, 40 * BLOCK + 1, ALICE);
    let mut reader = fetch(&cache, ALICE, &content).await.unwrap();
    for index in [40, 7, 8, 7] {
        let start = index as usize * BLOCK;
        assert!(reader.read_block(index).await.unwrap() == bytes[start..bytes.len().min(start + BLOCK)]);
    }
    assert_eq!(nodes.asked(), (1, 3));
    let (start, end) = (8 * BLOCK_BYTES - 5, 8 * BLOCK_BYTES + 5);
    assert!(sent(&cache, &content, start, end).unwrap() == bytes[start as usize..end as usize]);
    assert_eq!(sent(&cache, &content, start, 9 * BLOCK_BYTES + 1), None);
    // Two blocks, and in one page a byte and what stands behind the object.
    assert_eq!(cache.figures().bytes, 2 * BLOCK_BYTES + 4_096);
    let part = files(&folder.path().join("cache/part")).remove(0);
    assert!(
        std::os::unix::fs::MetadataExt::blocks(&part.metadata().unwrap()) * 512
            <= 2 * BLOCK_BYTES + 8 * 4_096
    );
}

/// SRL-17: a hit needs the nodes' word for this very customer.
#[tokio::test]
async fn a_cached_object_is_for_those_who_have_a_reference() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    let (content, bytes) = nodes.store(1, 5_000, ALICE);
    assert!(fetch_all(&cache, &content).await == bytes);
    assert_eq!(fetch(&cache, BOB, &content).await.unwrap_err(), FetchError::NotFound);
    assert!(cache.at_hand(BOB, content.fingerprint, NOW).is_none());
    nodes.refer(BOB, &content);
    assert!(fetch(&cache, BOB, &content).await.unwrap().read_block(0).await.unwrap() == bytes);
    assert!(cache.at_hand(BOB, content.fingerprint, NOW).is_some());
    assert_eq!(nodes.asked(), (3, 1), "the bytes are there already");
}

/// DOSM-19: given up, it is refused at once if that was announced, and after a minute if the announcement got lost.
#[tokio::test]
async fn a_deleted_object_is_refused_even_if_nobody_said_so() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    let (content, bytes) = nodes.store(1, 5_000, ALICE);
    fetch_all(&cache, &content).await;
    nodes.release(ALICE, &content);
    let at = |seconds| cache.fetch(ALICE, content.fingerprint, NOW + seconds);
    assert!(at(60).await.is_ok());
    assert!(cache.at_hand(ALICE, content.fingerprint, NOW + 61).is_none());
    assert_eq!(at(61).await.unwrap_err(), FetchError::NotFound);
    assert_eq!(at(61).await.unwrap_err(), FetchError::NotFound);
    assert!(cache.at_hand(ALICE, content.fingerprint, NOW).is_none(), "the clock was set back");

    nodes.refer(ALICE, &content);
    let mut reader = at(61).await.unwrap();
    cache.forget(content.fingerprint);
    nodes.release(ALICE, &content);
    assert!(cache.at_hand(ALICE, content.fingerprint, NOW + 61).is_none());
    assert_eq!(at(61).await.unwrap_err(), FetchError::NotFound);
    holds(folder.path(), &[]).await;
    assert_eq!((cache.figures().entries, cache.figures().bytes), (0, 0));
    assert!(reader.read_block(0).await.unwrap() == bytes, "what was begun is sent to its end");
    holds(folder.path(), &[]).await;
}

/// DOSM-19: a confirmation that was under way when the object was deleted is not remembered.
#[tokio::test]
async fn a_confirmation_from_before_a_deletion_is_not_remembered() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    let (content, bytes) = nodes.store(1, 5_000, ALICE);
    let mut slow = Box::pin(fetch(&cache, ALICE, &content));
    assert!(futures::poll!(&mut slow).is_pending());
    cache.forget(content.fingerprint);
    // Who comes now does not join those who came before.
    let fresh = fetch(&cache, ALICE, &content).await.unwrap();
    assert_eq!(nodes.asked().0, 2);
    cache.forget(content.fingerprint);
    drop(fresh);
    let mut reader = slow.await.unwrap();
    assert!(cache.at_hand(ALICE, content.fingerprint, NOW).is_none());
    assert!(reader.read_block(0).await.unwrap() == bytes);
    assert_eq!(cache.figures().entries, 0);
}

/// DOSM-10: the bound holds, on the disk as in the books; what was used longest ago goes.
#[tokio::test]
async fn at_the_bound_all_stay_and_past_it_the_oldest_goes() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    // A block and a page for what stands behind it.
    let each = BLOCK_BYTES + 4_096;
    let cache = open(folder.path(), 3 * each, &nodes).await;
    let stored: Vec<_> = (0..4).map(|seed| nodes.store(seed, BLOCK, ALICE)).collect();
    for (content, _) in &stored[..3] {
        fetch_all(&cache, content).await;
    }
    holds(folder.path(), &[&stored[0].0, &stored[1].0, &stored[2].0]).await;
    assert_eq!(cache.figures().bytes, 3 * each);
    let later = cache.at_hand(ALICE, stored[0].0.fingerprint, NOW + 1).unwrap();
    let mut reader = fetch(&cache, ALICE, &stored[1].0).await.unwrap();
    fetch_all(&cache, &stored[3].0).await;
    holds(folder.path(), &[&stored[0].0, &stored[2].0, &stored[3].0]).await;
    assert!(read_all(&mut reader).await == stored[1].1, "what is open is read to its end");
    assert_eq!((cache.figures().evictions, cache.figures().bytes), (1, 3 * each));
    drop(later);

    // What has no room even alone is served all the same.
    let (large, bytes) = nodes.store(9, 4 * BLOCK, ALICE);
    assert!(fetch_all(&cache, &large).await == bytes);
    assert!(cache.figures().bytes <= 3 * each);
}

/// DOSM-10: what is whole is found again after a restart, what is not is swept; each block is checked on first use.
#[tokio::test]
async fn whole_objects_are_found_again_after_a_restart() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let cache = open(folder.path(), 100 << 20, &nodes).await;
    let (whole, whole_bytes) = nodes.store(1, 2 * BLOCK + 1, ALICE);
    let (part, _) = nodes.store(2, 2 * BLOCK, ALICE);
    let (bad, bad_bytes) = nodes.store(3, 2 * BLOCK, ALICE);
    fetch_all(&cache, &whole).await;
    fetch_all(&cache, &bad).await;
    fetch(&cache, ALICE, &part).await.unwrap().read_block(0).await.unwrap();
    let other = open(folder.path(), 1, &nodes).await;
    assert!(fetch_all(&other, &whole).await == whole_bytes, "a directory that is in use is left alone");
    assert!(cached_file(folder.path(), &whole).exists() && cached_file(folder.path(), &bad).exists());
    drop((other, cache));
    flip(&cached_file(folder.path(), &bad), 7);
    let mut kept = cached_file(folder.path(), &bad).metadata().unwrap().len();
    kept += cached_file(folder.path(), &whole).metadata().unwrap().len();

    let cache = open(folder.path(), 100 << 20, &nodes).await;
    holds(folder.path(), &[&whole, &bad]).await;
    assert_eq!(cache.figures().entries, 2);
    assert!(cache.figures().bytes >= kept);
    assert!(cache.at_hand(ALICE, whole.fingerprint, NOW).is_none(), "SRL-17: nobody was confirmed yet");
    let before = nodes.asked();
    let mut reader = fetch(&cache, ALICE, &whole).await.unwrap();
    assert_eq!(sent(&cache, &whole, 0, 1), None, "not checked yet");
    assert!(read_all(&mut reader).await == whole_bytes);
    assert_eq!(nodes.asked(), (before.0 + 1, before.1));
    assert!(sent(&cache, &whole, 0, whole.size).unwrap() == whole_bytes);

    assert!(fetch_all(&cache, &bad).await == bad_bytes);
    assert_eq!(cache.figures().spoiled, 1);
    assert!(fetch_all(&cache, &bad).await == bad_bytes);
    assert_eq!(nodes.asked().1, before.1 + 4, "fetched twice: by the first, to its end, and anew");
    assert!(sent(&cache, &bad, 0, bad.size).unwrap() == bad_bytes);
    drop((reader, cache));

    let cache = open(folder.path(), kept / 2 + 100_000, &nodes).await;
    holds(folder.path(), &[&bad]).await;
    assert_eq!(cache.figures().entries, 1, "a smaller bound: the one written last stays");
}

/// A flipped bit in a file of the cache never leaves, wherever it is and whenever it flips.
#[tokio::test]
async fn a_flipped_bit_never_leaves() {
    let mut rng = StdRng::seed_from_u64(4);
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let mut cache = open(folder.path(), 100 << 20, &nodes).await;
    for seed in 0..30 {
        let (content, bytes) = nodes.store(seed, rng.random_range(1..3 * BLOCK), ALICE);
        let mut first = fetch(&cache, ALICE, &content).await.unwrap();
        let is_whole = rng.random();
        if is_whole {
            read_all(&mut first).await;
        } else {
            first.read_block(0).await.unwrap();
        }
        let path = files(&folder.path().join("cache/part")).pop();
        flip(
            &path.unwrap_or_else(|| cached_file(folder.path(), &content)),
            rng.random_range(0..content.size),
        );
        if is_whole && rng.random() {
            drop((first, cache));
            cache = open(folder.path(), 100 << 20, &nodes).await;
        }
        let before = cache.figures().spoiled;
        for _ in 0..2 {
            if let Some(sent) = sent(&cache, &content, 0, content.size) {
                assert!(sent == bytes, "{seed}");
            }
            assert!(fetch_all(&cache, &content).await == bytes, "{seed}");
        }
        assert!(sent_whole(&cache, &content).await == bytes, "{seed}: good again");
        assert_eq!(cache.figures().spoiled, before + 1, "{seed}");
        cache.forget(content.fingerprint);
        holds(folder.path(), &[]).await;
    }
}

/// The same for a node's file: what was checked is sent only as long as nobody writes to it.
#[tokio::test]
async fn a_nodes_file_is_sent_from_only_as_it_was_checked() {
    let nodes = Nodes::here();
    let cache = Cache::without_files(nodes.clone());
    let (content, bytes) = nodes.store(1, 2 * BLOCK + 9, ALICE);
    assert!(cache.at_hand(ALICE, content.fingerprint, NOW).is_none());
    let mut reader = fetch(&cache, ALICE, &content).await.unwrap();
    assert_eq!(sent(&cache, &content, 0, 1), None, "not checked yet");
    assert!(read_all(&mut reader).await == bytes);
    assert!(sent(&cache, &content, 0, content.size).unwrap() == bytes);
    assert_eq!(nodes.asked(), (1, 3));

    flip(&nodes.file(&content), BLOCK_BYTES + 1);
    assert_eq!(sent(&cache, &content, 0, 1), None);
    assert_eq!(reader.read_block(1).await.unwrap_err(), FetchError::Unavailable, "the node's only copy");
    flip(&nodes.file(&content), BLOCK_BYTES + 1);
    assert_eq!(sent(&cache, &content, 0, 1), None, "written to: opened and checked anew");
    assert!(fetch_all(&cache, &content).await == bytes);
    assert!(sent(&cache, &content, 0, content.size).unwrap() == bytes);

    // REF-2: a removed object's space is given back.
    cache.close_unused(NOW + 60);
    assert!(sent(&cache, &content, 0, 1).is_some());
    cache.close_unused(NOW + 61);
    assert_eq!(sent(&cache, &content, 0, 1), None);
}

/// Two contents of one MD5 are never mixed: what the nodes give now counts.
#[tokio::test]
async fn another_content_under_the_same_fingerprint_is_not_mixed() {
    let (folder, nodes) = (tempfile::tempdir().unwrap(), Nodes::new());
    let mut cache = open(folder.path(), 100 << 20, &nodes).await;
    let (old, _) = nodes.store(1, 2 * BLOCK, ALICE);
    let (new, bytes) = nodes.store(2, 2 * BLOCK, ALICE);
    for restart in [false, true] {
        fetch_all(&cache, &old).await;
        if restart {
            drop(cache);
            cache = open(folder.path(), 100 << 20, &nodes).await;
        }
        let impostor = Content { fingerprint: old.fingerprint, ..new };
        let (_, digests, _) = nodes.0.objects.lock().unwrap()[&new.fingerprint].clone();
        let genuine =
            nodes.0.objects.lock().unwrap().insert(old.fingerprint, (impostor, digests, bytes.clone()));
        let mut reader = cache.fetch(ALICE, old.fingerprint, NOW + 100).await.unwrap();
        assert_eq!(*reader.content(), impostor);
        assert!(read_all(&mut reader).await == bytes);
        nodes.0.objects.lock().unwrap().insert(old.fingerprint, genuine.unwrap());
        cache.forget(old.fingerprint);
    }
}

/// A file system in memory of so many bytes; gone when dropped. Needs root.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path()).status();
        assert!(mounted.unwrap().success(), "cannot mount a tmpfs: run the tests as root");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what is open in it may close later.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A full disk, or one that is gone, costs hits and no reader.
#[tokio::test]
async fn a_full_or_broken_disk_costs_misses_only() {
    let (disk, nodes) = (SmallDisk::new(6 << 20), Nodes::new());
    let cache = open(disk.0.path(), 100 << 20, &nodes).await;
    for seed in 0..20 {
        let (content, bytes) = nodes.store(seed, 3 * BLOCK / 2, ALICE);
        for _ in 0..2 {
            assert!(fetch_all(&cache, &content).await == bytes);
        }
    }
    let figures = cache.figures();
    assert!(figures.bytes <= 6 << 20 && figures.evictions > 0 && figures.hits > 0, "{figures:?}");
    // Others take all the room there is.
    cache.forget(Fingerprint([0; 16]));
    fs::write(disk.0.path().join("other"), vec![0; 8 << 20]).unwrap_err();
    let (content, bytes) = nodes.store(100, BLOCK, ALICE);
    assert!(fetch_all(&cache, &content).await == bytes);

    // The directory is gone: what is open is read, the rest comes from the nodes.
    fs::remove_dir_all(disk.0.path().join("cache")).unwrap();
    for seed in 0..20 {
        let (content, bytes) = nodes.store(seed, 3 * BLOCK / 2, ALICE);
        assert!(fetch_all(&cache, &content).await == bytes);
    }
}
