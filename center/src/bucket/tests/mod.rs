//! A node in a bucket, against a store in memory that knows conditional writes.

mod races;
mod unreliable;

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use protocol::digest::{Content, Digest, ObjectHasher};
use protocol::dosp::Reference;
use protocol::dosp::operations::RowReference;
use protocol::id::{CustomerId, Token};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::keys::UploadMark;
use super::record::{Head, Place};
use super::store::{Backend, Store};
use super::*;
use crate::objects::{Announced, Readable, Upload};
use crate::reconcile::Holders;

const NOW: u64 = 1_800_000_000;
const GRACE: u64 = 600;
const ORPHAN_GRACE: u64 = 86_400;
const PART: usize = PART_BYTES as usize;
const ALICE: CustomerId = CustomerId(1);
const BOB: CustomerId = CustomerId(2);

fn settings() -> Settings {
    Settings {
        cluster: "test".to_owned(),
        node: 1,
        unlink_grace_seconds: GRACE,
        orphan_grace_seconds: ORPHAN_GRACE,
        part_bytes: PART_BYTES,
    }
}

fn store_of(backend: &Arc<impl Backend>) -> Store {
    Store::new(Arc::clone(backend) as Arc<dyn Backend>, "one/two", "memory")
}

/// A process that starts with nothing of its own.
async fn open(backend: &Arc<impl Backend>, seed: u64) -> Bucket {
    Bucket::open(store_of(backend), settings(), StdRng::seed_from_u64(seed)).await.unwrap()
}

fn bytes_of(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = ObjectHasher::new();
    hasher.update(bytes);
    hasher.finish().0
}

fn token(number: u8) -> Token {
    Token([number; 16])
}

fn reference(content: &Content, customer: CustomerId, number: u8) -> Reference {
    Reference { fingerprint: content.fingerprint, customer, token: token(number) }
}

/// In pieces of an odd length.
async fn receive(bucket: &Bucket, bytes: &Bytes, now: u64) -> Result<Arriving, StoreError> {
    let mut arriving = bucket.receive(bytes.len() as u64, now).await?;
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        arriving = arriving.write(rest.split_to(rest.len().min(300_001))).await?;
    }
    Ok(arriving)
}

async fn store(
    bucket: &Bucket,
    bytes: &Bytes,
    customer: CustomerId,
    number: u8,
) -> Result<Content, StoreError> {
    receive(bucket, bytes, NOW).await?.finish(Announced::default(), customer, token(number), NOW).await
}

async fn read(bucket: &Bucket, customer: CustomerId, content: &Content) -> Result<Vec<u8>, FetchError> {
    let mut object = bucket.open(customer, content.fingerprint).await?;
    assert_eq!(object.content(), content);
    let mut bytes = Vec::new();
    for index in 0..content.blocks() {
        bytes.extend_from_slice(&object.read_block(index).await?);
    }
    Ok(bytes)
}

/// All names in the store below the prefix, in order.
async fn names(bucket: &Bucket) -> Vec<String> {
    let listed = bucket.store().list(&Path::from("one/two")).await.unwrap();
    let mut names: Vec<String> =
        listed.iter().map(|meta| meta.location.as_ref()["one/two/".len()..].to_owned()).collect();
    names.sort();
    names
}

/// How many names there are that contain this.
async fn count(bucket: &Bucket, what: &str) -> usize {
    names(bucket).await.iter().filter(|name| name.contains(what)).count()
}

/// ISN-2, ISN-3, ISN-13, SYS-9: objects of any size are read as they were stored, by a process that knows nothing but
/// the store, and nothing else stays there.
#[tokio::test]
async fn objects_survive_a_process_without_a_state() {
    let backend = Arc::new(InMemory::new());
    let bucket = open(&backend, 1).await;
    let sizes = [0, 1, 1 << 20, (1 << 20) + 1, PART, PART + 1, 2 * PART, 2 * PART + 5];
    for (seed, size) in (0..).zip(sizes) {
        let bytes = bytes_of(seed, size);
        assert_eq!(store(&bucket, &bytes, ALICE, 1).await.unwrap(), content_of(&bytes));
    }
    let next = open(&backend, 2).await;
    for (seed, size) in (0..).zip(sizes) {
        let bytes = bytes_of(seed, size);
        let content = content_of(&bytes);
        assert_eq!(read(&next, ALICE, &content).await.unwrap(), bytes, "{size} bytes");
        let refused = read(&next, BOB, &content).await;
        if size > 0 {
            assert_eq!(refused.err(), Some(FetchError::NotFound), "SRL-17: it is not his");
        }
    }
    assert_eq!((count(&next, "/copy/").await, count(&next, "data/").await), (7, 3));
    assert_eq!((count(&next, "uploads/").await, count(&next, "/refs/").await), (0, 7));
}

/// ISN-5, REF-1, REF-2: one object for equal contents; it goes when its last reference has been given up for the grace.
#[tokio::test]
async fn equal_contents_are_one_object_until_the_last_reference_goes() {
    for size in [100, PART + 1] {
        let backend = Arc::new(InMemory::new());
        let bucket = open(&backend, 1).await;
        let bytes = bytes_of(1, size);
        let content = store(&bucket, &bytes, ALICE, 1).await.unwrap();
        store(&bucket, &bytes, BOB, 2).await.unwrap();
        store(&bucket, &bytes, BOB, 2).await.unwrap();
        wait_until_ended(&bucket).await;
        assert_eq!(count(&bucket, "/copy/").await, 1);
        assert_eq!(count(&bucket, "data/").await, usize::from(size > PART));
        assert_eq!(bucket.references(None).await.unwrap().len(), 2, "a repeated upload counts once");

        bucket.give_up(reference(&content, ALICE, 1), NOW).await.unwrap();
        bucket.give_up(reference(&content, ALICE, 1), NOW).await.unwrap();
        assert_eq!(bucket.collect(NOW + GRACE).await.unwrap(), 0);
        assert_eq!(read(&bucket, BOB, &content).await.unwrap(), bytes);
        assert_eq!(read(&bucket, ALICE, &content).await.err(), Some(FetchError::NotFound));

        bucket.give_up(reference(&content, BOB, 2), NOW + 1).await.unwrap();
        assert_eq!(bucket.collect(NOW + GRACE).await.unwrap(), 0, "its grace is not over");
        assert_eq!(bucket.collect(NOW + GRACE + 1).await.unwrap(), 1);
        let gone = names(&bucket).await;
        assert!(gone.len() == 2 && gone[0] == "format" && gone[1].contains(".gone."), "{gone:?}");

        // Stored again, it has a number that no late removal means, and the mark goes after a day.
        store(&bucket, &bytes, ALICE, 3).await.unwrap();
        assert_eq!(count(&bucket, "/copy/2").await, 1);
        assert_eq!(read(&bucket, ALICE, &content).await.unwrap(), bytes);
        assert_eq!(Holders::scan(&bucket, NOW + GRACE + 86_400).await.unwrap().objects, 1);
        assert_eq!(count(&bucket, ".gone.").await, 1);
        Holders::scan(&bucket, NOW + GRACE + 86_401).await.unwrap();
        assert_eq!(count(&bucket, ".gone.").await, 0);
    }
}

/// What dropped uploads leave goes in the background.
async fn wait_until_ended(bucket: &Bucket) {
    for _ in 0..1_000 {
        if bucket.arriving().is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("an upload is not ended: {:?}", names(bucket).await);
}

/// ISN-11: an upload that is given up leaves nothing, and one whose process was killed nothing after the next start.
#[tokio::test]
async fn an_upload_that_ends_early_leaves_nothing() {
    let backend = Arc::new(InMemory::new());
    let bucket = open(&backend, 1).await;
    let bytes = bytes_of(1, 2 * PART + 1);
    drop(receive(&bucket, &bytes, NOW).await.unwrap());
    wait_until_ended(&bucket).await;
    assert_eq!(names(&bucket).await, ["format"]);

    let wrong = Announced { digest: Some(Digest([0; 32])), ..Announced::default() };
    let refused = receive(&bucket, &bytes, NOW).await.unwrap().finish(wrong, ALICE, token(1), NOW).await;
    assert!(matches!(refused, Err(StoreError::Mismatch("BLAKE3"))));
    wait_until_ended(&bucket).await;
    assert_eq!(names(&bucket).await, ["format"]);

    std::mem::forget(receive(&bucket, &bytes, NOW).await.unwrap());
    assert_eq!(count(&bucket, "/begun").await, 1);
    let next = open(&backend, 2).await;
    assert_eq!(names(&next).await, ["format"]);
}

/// ISN-11: a process killed behind the record and before the answer has stored the object; its marks go, its bytes
/// stay.
#[tokio::test]
async fn the_bytes_of_an_object_are_not_taken_for_an_upload() {
    let backend = Arc::new(InMemory::new());
    let bucket = open(&backend, 1).await;
    let bytes = bytes_of(1, PART + 1);
    let content = store(&bucket, &bytes, ALICE, 1).await.unwrap();
    let Place::Data(id) = bucket.head(content.fingerprint, 1).await.unwrap().unwrap().place else {
        panic!("a large object")
    };
    for (mark, body) in [(UploadMark::Begun, "7"), (UploadMark::For(content.fingerprint), "")] {
        let path = bucket.store().keys().upload_mark(id, mark);
        bucket.store().put(&path, body.as_bytes().to_vec()).await.unwrap();
    }
    let next = open(&backend, 2).await;
    assert_eq!(count(&next, "uploads/").await, 0);
    assert_eq!(read(&next, ALICE, &content).await.unwrap(), bytes);
}

/// REF-3: whoever gives up a reference knows nothing of an upload that comes late.
#[tokio::test]
async fn an_upload_does_not_take_a_reference_given_up_meanwhile() {
    let bucket = open(&Arc::new(InMemory::new()), 1).await;
    let bytes = bytes_of(1, 100);
    let arriving = receive(&bucket, &bytes, NOW).await.unwrap();
    bucket.give_up(reference(&content_of(&bytes), ALICE, 1), NOW).await.unwrap();
    let late = arriving.finish(Announced::default(), ALICE, token(1), NOW).await;
    assert!(matches!(late, Err(StoreError::Unavailable(reason)) if reason.contains("given up")));
    assert_eq!(count(&bucket, "objects/").await, 0);
}

/// ISN-5: another content of the same MD5 is refused, and opens nothing to whoever sent it.
#[tokio::test]
async fn two_contents_of_one_name_are_not_mixed() {
    let bucket = open(&Arc::new(InMemory::new()), 1).await;
    let bytes = bytes_of(1, 100);
    let content = content_of(&bytes);
    let other = Head { content: Content { digest: Digest([9; 32]), ..content }, place: Place::Here };
    let mut record = other.encode();
    record.extend_from_slice(&bytes);
    bucket.store().put(&bucket.store().keys().copy(content.fingerprint, 1), record).await.unwrap();
    let refused = store(&bucket, &bytes, ALICE, 1).await;
    assert!(matches!(refused, Err(StoreError::Collision(name)) if name == content.fingerprint));
    assert_eq!(count(&bucket, "/refs/").await, 0);
}

/// ISN-7: no byte is given out that is not the object's.
#[tokio::test]
async fn a_damaged_object_is_not_given_out() {
    let backend = Arc::new(InMemory::new());
    let bucket = open(&backend, 1).await;
    for size in [100, PART + 1] {
        let bytes = bytes_of(size as u64, size);
        let content = store(&bucket, &bytes, ALICE, 1).await.unwrap();
        let head = bucket.head(content.fingerprint, 1).await.unwrap().unwrap();
        let path = match head.place {
            Place::Here => bucket.store().keys().copy(content.fingerprint, 1),
            Place::Data(id) => bucket.store().keys().data(id),
        };
        let mut stored = bucket.store().get(&path).await.unwrap().to_vec();
        *stored.last_mut().unwrap() ^= 1;
        bucket.store().put(&path, stored).await.unwrap();
        assert_eq!(read(&bucket, ALICE, &content).await.err(), Some(FetchError::Unavailable), "{size} bytes");
    }
}

/// ISN-11: a copy whose bytes are gone is not relied on: the next upload makes another.
#[tokio::test]
async fn a_copy_that_is_not_whole_is_replaced() {
    let bucket = open(&Arc::new(InMemory::new()), 1).await;
    let bytes = bytes_of(1, PART + 1);
    let content = store(&bucket, &bytes, ALICE, 1).await.unwrap();
    let Place::Data(id) = bucket.head(content.fingerprint, 1).await.unwrap().unwrap().place else {
        panic!("a large object")
    };
    bucket.store().delete(&bucket.store().keys().data(id)).await.unwrap();
    assert_eq!(read(&bucket, ALICE, &content).await.err(), Some(FetchError::Unavailable));
    assert!(!bucket.keep_reference(ALICE, content, token(1), NOW).await.unwrap());
    store(&bucket, &bytes, BOB, 2).await.unwrap();
    assert_eq!(read(&bucket, ALICE, &content).await.unwrap(), bytes);
    // What is left of the old copy goes after the next scan.
    Holders::scan(&bucket, NOW).await.unwrap();
    bucket.collect(NOW).await.unwrap();
    assert_eq!((count(&bucket, "/copy/2").await, count(&bucket, "/copy/1").await), (1, 1), "and its mark");
}

/// REF-4: what a row has is restored, an old reference that no row has is given up, and both are counted.
#[tokio::test]
async fn references_are_compared_restored_and_given_up() {
    let bucket = open(&Arc::new(InMemory::new()), 1).await;
    let content = store(&bucket, &bytes_of(1, 100), ALICE, 1).await.unwrap();
    let row = RowReference { content, customer: BOB, token: token(2) };
    let absent = RowReference { content: content_of(b"never stored"), ..row };
    let held = RowReference { content, customer: ALICE, token: token(1) };
    let compared = bucket.compare(&[held, row, absent]).await.unwrap();
    let expected =
        [(1, 0), (0, 1), (0, 0)].map(|(held, lacking)| crate::reconcile::Compared { held, lacking });
    assert_eq!(compared, expected);
    assert!(bucket.restore(row, NOW).await.unwrap());
    assert!(!bucket.restore(absent, NOW).await.unwrap());
    assert_eq!(count(&bucket, "/refs/").await, 2);

    let orphan = reference(&content, ALICE, 1);
    assert!(!bucket.release_orphan(orphan, NOW, NOW).await.unwrap(), "it is young");
    assert!(bucket.release_orphan(orphan, NOW + 1, NOW).await.unwrap());
    let left = bucket.references(None).await.unwrap();
    assert_eq!(left, [(reference(&content, BOB, 2), NOW)]);
    assert_eq!(bucket.references(Some(left[0].0)).await.unwrap(), []);

    // One that is about to be relied on is renewed when it is getting old, and has one name then.
    let later = NOW + ORPHAN_GRACE;
    assert!(bucket.keep_reference(BOB, content, token(2), later).await.unwrap());
    assert_eq!(bucket.references(None).await.unwrap(), [(reference(&content, BOB, 2), later)]);
    assert_eq!(count(&bucket, "/refs/").await, 1);
}

/// REF-4: an object that nobody ever refers to is found by a scan, and goes after the grace for orphans.
#[tokio::test]
async fn an_object_without_a_reference_is_found_by_a_scan() {
    let bucket = open(&Arc::new(InMemory::new()), 1).await;
    let content = store(&bucket, &bytes_of(1, 100), ALICE, 1).await.unwrap();
    let kept = store(&bucket, &bytes_of(2, 100), ALICE, 1).await.unwrap();
    let made = bucket.store().list(&bucket.store().keys().references(content.fingerprint)).await.unwrap();
    bucket.store().delete(&made[0].location).await.unwrap();
    for _ in 0..2 {
        assert_eq!(Holders::scan(&bucket, NOW).await.unwrap().objects, 2);
        assert_eq!(count(&bucket, "unheld/").await, 1);
    }
    assert_eq!(bucket.collect(NOW + ORPHAN_GRACE - 1).await.unwrap(), 0);
    assert_eq!(bucket.collect(NOW + ORPHAN_GRACE).await.unwrap(), 1);
    assert!(bucket.keep_reference(ALICE, kept, token(1), NOW).await.unwrap());
    assert_eq!(bucket.report().objects, 2, "as of the last scan");
}

/// ISN-13: the prefix is one node's alone.
#[tokio::test]
async fn a_prefix_of_another_node_is_refused() {
    let backend = Arc::new(InMemory::new());
    open(&backend, 1).await;
    let other = Settings { node: 2, ..settings() };
    let refused = Bucket::open(store_of(&backend), other, StdRng::seed_from_u64(1)).await;
    let said = refused.err().unwrap().to_string();
    assert!(said.contains("belongs to node 1") && said.contains("another prefix"), "{said}");
}

/// ISN-13: a store that does not know conditional writes would lose objects.
#[tokio::test]
async fn a_store_that_overwrites_is_refused() {
    let backend = Arc::new(unreliable::Unreliable::overwriting());
    let refused = Bucket::open(store_of(&backend), settings(), StdRng::seed_from_u64(1)).await;
    assert!(matches!(refused, Err(OpenError::Overwrites { .. })));
}
