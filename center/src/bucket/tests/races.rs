//! Two processes at one prefix, and requests that fail: nothing acknowledged is lost, nothing stays behind.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use futures::future::join_all;

use super::unreliable::Unreliable;
use super::*;

/// REF-2: a copy is marked while somebody relies on it: another is made before it goes.
#[tokio::test]
async fn a_reference_made_before_the_mark_keeps_the_object() {
    for size in [100, PART + 1] {
        let backend = Arc::new(InMemory::new());
        let (one, other) = (open(&backend, 1).await, open(&backend, 2).await);
        let bytes = bytes_of(1, size);
        let content = store(&one, &bytes, ALICE, 1).await.unwrap();
        one.give_up(reference(&content, ALICE, 1), NOW).await.unwrap();
        // The other process has looked for references and found none; then comes an upload; then it marks the copy.
        store(&one, &bytes, BOB, 2).await.unwrap();
        other.count_no_more(content.fingerprint, 1, NOW + GRACE).await.unwrap();
        assert_eq!(read(&one, BOB, &content).await.unwrap(), bytes, "readers do not wait");

        assert_eq!(other.collect(NOW + GRACE).await.unwrap(), 0);
        assert_eq!(read(&one, BOB, &content).await.unwrap(), bytes);
        let copies = one.copies(content.fingerprint).await.unwrap();
        assert_eq!((copies.counted().len(), copies.gone().len(), copies.next()), (1, 0, 3));
        assert_eq!(count(&one, "data/").await, usize::from(size > PART));
    }
}

/// REF-2: an upload that comes after the mark makes a copy of its own, and the old one goes.
#[tokio::test]
async fn an_upload_does_not_rely_on_a_marked_copy() {
    let backend = Arc::new(InMemory::new());
    let (one, other) = (open(&backend, 1).await, open(&backend, 2).await);
    let bytes = bytes_of(1, PART + 1);
    let content = store(&one, &bytes, ALICE, 1).await.unwrap();
    one.give_up(reference(&content, ALICE, 1), NOW).await.unwrap();
    other.count_no_more(content.fingerprint, 1, NOW + GRACE).await.unwrap();
    store(&one, &bytes, BOB, 2).await.unwrap();
    assert_eq!(one.copies(content.fingerprint).await.unwrap().counted()[0].number, 2);
    other.collect(NOW + GRACE).await.unwrap();
    assert_eq!(read(&one, BOB, &content).await.unwrap(), bytes);
    assert_eq!(count(&one, "data/").await, 1);
}

/// REF-2, SYS-8: a process that found no reference and was held up after that removes nothing that another one has marked
/// meanwhile: that one may have to make a copy of it first.
#[tokio::test]
async fn what_is_marked_after_the_look_at_references_stays() {
    let memory = Arc::new(InMemory::new());
    let backend = Arc::new(Unreliable::new(Arc::clone(&memory), 0, 0));
    let (slow, other) = (open(&backend, 1).await, open(&memory, 2).await);
    let bytes = bytes_of(1, 100);
    let content = store(&slow, &bytes, ALICE, 1).await.unwrap();
    slow.give_up(reference(&content, ALICE, 1), NOW).await.unwrap();
    let references = slow.store().keys().references(content.fingerprint);
    let event = {
        let (other, bytes) = (other.clone(), bytes.clone());
        async move {
            // Makes a second copy, for the first is marked.
            store(&other, &bytes, BOB, 2).await.unwrap();
            other.give_up(reference(&content, BOB, 2), NOW + 1).await.unwrap();
            // Has looked for references and found none; then comes an upload that relies on that copy; then it marks it.
            store(&other, &bytes, ALICE, 3).await.unwrap();
            other.count_no_more(content.fingerprint, 2, NOW + GRACE).await.unwrap();
        }
    };
    // It looks for references before it marks the copy and after that.
    backend.meanwhile(references, 1, event);
    slow.collect(NOW + GRACE).await.unwrap();
    other.collect(NOW + 2 * GRACE).await.unwrap();
    assert_eq!(read(&other, ALICE, &content).await.unwrap(), bytes);
    let copies = other.copies(content.fingerprint).await.unwrap();
    assert_eq!((copies.counted().len(), copies.gone().len()), (1, 0));
}

/// ISN-11: an upload that another process has ended is not acknowledged.
#[tokio::test]
async fn an_upload_that_was_ended_is_not_acknowledged() {
    let backend = Arc::new(InMemory::new());
    let one = open(&backend, 1).await;
    let bytes = bytes_of(1, PART + 1);
    let arriving = receive(&one, &bytes, NOW).await.unwrap();
    let other = open(&backend, 2).await;
    assert!(arriving.finish(Announced::default(), ALICE, token(1), NOW).await.is_err());
    wait_until_ended(&one).await;
    assert_eq!(read(&other, ALICE, &content_of(&bytes)).await.err(), Some(FetchError::NotFound));
    store(&other, &bytes, ALICE, 1).await.unwrap();
    assert_eq!(read(&one, ALICE, &content_of(&bytes)).await.unwrap(), bytes);
}

/// What a client knows of its reference to one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Held,
    GivenUp,
    /// A request failed.
    Unknown,
}

/// ISN-11, REF-2, SYS-8: two processes store, give up and collect one object at the same time, again and again, and
/// some requests fail or are done late. What was acknowledged and not given up can be read by anybody; when all is
/// given up nothing stays.
#[tokio::test]
async fn nothing_acknowledged_is_lost_between_two_processes() {
    let seeds = std::env::var("CENTER_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        race(seed).await;
    }
}

async fn race(seed: u64) {
    let memory = Arc::new(InMemory::new());
    // The prefix is taken in peace.
    let steady = open(&Arc::new(Unreliable::new(Arc::clone(&memory), 0, 0)), 1_000).await;
    // Of two lengths one is larger than a part. A store that fails seldom lets more of the close races come about.
    let length = [50, 250][seed as usize % 2];
    let contents: Vec<Bytes> = vec![bytes_of(seed, length)];
    let failing = [0, 50][seed as usize / 2 % 2];
    let process = |number: u64| {
        let backend = Arc::new(Unreliable::new(Arc::clone(&memory), seed * 2 + number, failing));
        async move {
            loop {
                let settings = Settings { unlink_grace_seconds: 0, part_bytes: 100, ..settings() };
                let rng = StdRng::seed_from_u64(seed * 10 + number);
                if let Ok(bucket) = Bucket::open(store_of(&backend), settings, rng).await {
                    return bucket;
                }
            }
        }
    };
    let processes = [process(0).await, process(1).await];
    let clients = (1..=2).map(|client: u32| {
        let (bucket, contents) = (processes[client as usize % 2].clone(), contents.clone());
        let steady = &steady;
        async move { act(&bucket, steady, &contents, CustomerId(client), seed).await }
    });
    let is_done = AtomicBool::new(false);
    let acting = async {
        let known = join_all(clients).await;
        is_done.store(true, Ordering::Relaxed);
        known
    };
    let collectors = processes.iter().map(async |bucket| {
        while !is_done.load(Ordering::Relaxed) {
            let _ = bucket.collect(NOW + 1_000).await;
            tokio::task::yield_now().await;
        }
    });
    let (known, _) = tokio::join!(acting, join_all(collectors));

    // Requests that are done late are done by now.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    steady.collect(NOW + 1_000).await.unwrap();
    Holders::scan(&steady, NOW + 1_000).await.unwrap();
    steady.collect(NOW + 1_000).await.unwrap();
    for (client, known) in (1..).zip(&known) {
        for (number, known) in known {
            let content = content_of(&contents[*number]);
            if *known == Known::Held {
                let read = read(&steady, CustomerId(client), &content).await;
                assert_eq!(read.as_deref(), Ok(&contents[*number][..]), "seed {seed}, client {client}");
            }
        }
    }
    for content in &contents {
        let content = content_of(content);
        for client in 1..=2 {
            for number in 0..4 {
                let reference = reference(&content, CustomerId(client), number);
                steady.give_up(reference, NOW + 2_000).await.unwrap();
            }
        }
    }
    steady.collect(NOW + 2_000 + GRACE).await.unwrap();
    Holders::scan(&steady, NOW + 200_000).await.unwrap();
    steady.collect(NOW + 200_000 + ORPHAN_GRACE).await.unwrap();
    Holders::scan(&steady, NOW + 800_000).await.unwrap();
    assert_eq!(names(&steady).await, ["format"], "seed {seed}");
}

/// By anybody, at any time; but each reading may meet the moment in which one copy goes for another.
async fn can_be_read(bucket: &Bucket, customer: CustomerId, bytes: &Bytes) -> bool {
    for _ in 0..50 {
        if read(bucket, customer, &content_of(bytes)).await.is_ok_and(|read| read == *bytes) {
            return true;
        }
    }
    false
}

/// Stores, reads what was acknowledged, and gives up, each content under one token of the client's.
async fn act(
    bucket: &Bucket,
    steady: &Bucket,
    contents: &[Bytes],
    client: CustomerId,
    seed: u64,
) -> BTreeMap<usize, Known> {
    let mut rng = StdRng::seed_from_u64(seed << 8 | u64::from(client.0));
    let mut known = BTreeMap::new();
    for step in 0..20_u64 {
        let number = rng.next_u64() as usize % contents.len();
        let token = 1;
        let now = NOW + 3 * step;
        let outcome = if rng.next_u64() % 2 == 0 {
            let stored = async {
                let arriving = receive(bucket, &contents[number], now + 1).await?;
                arriving.finish(Announced::default(), client, super::token(token), now + 1).await
            };
            stored.await.map(|_| Known::Held).ok()
        } else {
            let reference = reference(&content_of(&contents[number]), client, token);
            bucket.give_up(reference, now).await.map(|()| Known::GivenUp).ok()
        };
        if outcome == Some(Known::Held) {
            assert!(can_be_read(steady, client, &contents[number]).await, "seed {seed}, client {client}");
        }
        known.insert(number, outcome.unwrap_or(Known::Unknown));
    }
    known
}
