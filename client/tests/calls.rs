//! The client against a fake center on the real wire: what it signs, where it tries again, when it gives up, and that
//! it believes no byte.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use client::{Center, ClientError, Settings, Source};
use futures::stream::{self, StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use protocol::digest::{BlockDigests, Content, ObjectHasher};
use protocol::id::{CustomerId, FeedPosition, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName, Stamp};
use protocol::srl::{AccessMethod, ObjectName, SignedSrl, SrlOperation, SrlVersion};
use protocol::vfs::xml::{Stored, encode_error, encode_stored};
use protocol::vfs::{
    Answer, Answered, Changed, Kind, Operation, Request, Target, Usage, VfsError, VfsErrorCode,
};

use fake::{Answer as HttpAnswer, Asked, Fake, NOW, not_now, replies, secret, status};

const TOKEN: Token = Token([7; 16]);

fn center(ddm: &[&str], dosm: &[&str]) -> Center {
    let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
    let mut settings = Settings::new(urls(ddm), urls(dosm), CustomerId(3), secret());
    settings.deadline = Duration::from_secs(4);
    settings.now = || NOW;
    Center::new(settings).unwrap()
}

fn usage() -> Request {
    Request { key: None, operation: Operation::Usage }
}

fn used(bytes_used: u64) -> Answered {
    let usage = Usage { bytes_used, files_used: 1, bytes_quota: None, files_quota: None, bytes_free: 9 };
    Answered { position: FeedPosition(1), answer: Answer::Usage(usage) }
}

fn object(len: usize) -> (Bytes, Content, BlockDigests) {
    let bytes: Vec<u8> = (0..len).map(|i| (i / 7) as u8 ^ (i >> 16) as u8).collect();
    let mut hasher = ObjectHasher::new();
    hasher.update(&bytes);
    let (content, digests) = hasher.finish();
    (bytes.into(), content, digests)
}

/// A DOSM that has one object.
fn dosm(bytes: &Bytes, digests: &BlockDigests, asked: &Asked) -> Option<HttpAnswer> {
    match &asked.srl.operation {
        SrlOperation::FetchDigests { .. } => status(200, digests.as_bytes()),
        SrlOperation::Fetch { .. } => {
            let range = asked.headers["range"].to_str().unwrap().strip_prefix("bytes=").unwrap();
            let (first, last) = range.split_once('-').unwrap();
            let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
            let mut answer = status(206, bytes.slice(first..=last)).unwrap();
            let told = format!("bytes {first}-{last}/{}", bytes.len());
            answer.headers_mut().insert("content-range", told.parse().unwrap());
            Some(answer)
        }
        _ => status(404, encode_error("not-found", None, "no")),
    }
}

#[tokio::test]
async fn a_call_is_signed_and_answered() {
    let fake = Fake::start(|_| replies(&[Ok(used(5))])).await;
    assert_eq!(center(&[&fake.url], &[&fake.url]).operate(usage()).await.unwrap(), used(5));
    let asked = &fake.log()[0];
    assert_eq!((&asked.method, &asked.requests), (&Method::POST, &vec![usage()]));
    assert_eq!((asked.srl.access, asked.srl.version), (AccessMethod::StoragePort, SrlVersion::HmacSha256));
    assert_eq!((asked.srl.customer, asked.srl.expires), (CustomerId(3), NOW + 300));
}

#[tokio::test]
async fn the_center_refusing_is_no_reason_to_try_again() {
    let refusal = VfsError { code: VfsErrorCode::Exists, message: "taken".into() };
    let told = refusal.clone();
    let fake = Fake::start(move |_| replies(&[Err(told.clone())])).await;
    let error = center(&[&fake.url], &[&fake.url]).operate(usage()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Vfs(error) if *error == refusal));
    assert!(!error.is_unavailable());

    let denied =
        Fake::start(|_| status(403, encode_error("not-authentic", None, "the SRL is not authentic"))).await;
    let error = center(&[&denied.url], &[&denied.url]).operate(usage()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the storage center refuses (403 Forbidden, not-authentic): the SRL is not authentic; \
         check the customer's number and its secret"
    );
    assert!(!error.is_unavailable());
    assert_eq!((fake.log().len(), denied.log().len()), (1, 1));
}

/// SRL-18: a changing operation is repeated under one key, made up where the caller gave none.
#[tokio::test]
async fn a_change_keeps_its_key_through_all_attempts() {
    let fake = Fake::start(|asked| match asked.number {
        0 => not_now(),
        1 => None,
        2 => replies(&[Err(VfsError { code: VfsErrorCode::Unavailable, message: "busy".into() })]),
        _ => replies(&[Ok(used(1))]),
    })
    .await;
    let name = Name::new(b"x").unwrap();
    let operation = Operation::CreateFolder { parent: ObjectId(100), name, metadata: vec![] };
    center(&[&fake.url], &[&fake.url])
        .operate(Request { key: None, operation: operation.clone() })
        .await
        .unwrap();
    let log = fake.log();
    assert_eq!(log.len(), 4);
    let key = log[0].requests[0].key;
    assert!(key.is_some());
    assert!(log.iter().all(|asked| asked.requests[0].key == key && asked.requests[0].operation == operation));

    let given = Request { key: Some(TOKEN), operation };
    center(&[&fake.url], &[&fake.url]).operate(given.clone()).await.unwrap();
    assert_eq!(fake.log()[4].requests, [given]);
}

#[tokio::test]
async fn another_endpoint_is_asked_at_once_and_remembered() {
    let fake = Fake::start(|_| replies(&[Ok(used(1))])).await;
    let (dead, silent) = (fake::nobody().await, fake::silent().await);
    let center = center(&[&dead, &silent, &fake.url], &[&fake.url]);
    let began = Instant::now();
    center.operate(usage()).await.unwrap();
    let first = began.elapsed();
    assert!(first < Duration::from_secs(3), "the silent one had half the deadline: {first:?}");
    let began = Instant::now();
    center.operate(usage()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "it knows now who answers");
}

#[tokio::test]
async fn an_unreachable_center_is_told_apart_within_the_deadline() {
    for url in [fake::nobody().await, fake::silent().await] {
        let center = center(&[&url], &[&url]).with_deadline(Duration::from_millis(600));
        let began = Instant::now();
        let error = center.operate(usage()).await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().contains(&url), "{error}");
        let error = center.probe().await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

/// VFS-24: what the center may take on purpose is not held against the deadline.
#[tokio::test]
async fn a_call_waits_for_changes_as_long_as_it_granted() {
    let silent = fake::silent().await;
    let center = center(&[&silent], &[&silent]).with_deadline(Duration::from_millis(200));
    let operation = Operation::Changes { since: FeedPosition(0), wait_ms: 700 };
    let began = Instant::now();
    assert!(center.operate(Request { key: None, operation }).await.unwrap_err().is_unavailable());
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(700) && waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn a_stranger_that_answers_is_recognised() {
    for body in ["<html>login</html>", "", "<replies/>"] {
        let fake = Fake::start(move |_| status(200, body)).await;
        let error = center(&[&fake.url], &[&fake.url]).operate(usage()).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn too_many_operations_are_not_even_sent() {
    let url = fake::nobody().await;
    let center = center(&[&url], &[&url]);
    for count in [0, 65] {
        assert!(matches!(center.vfs(vec![usage(); count]).await, Err(ClientError::Invalid(_))));
    }
}

#[tokio::test]
async fn an_object_comes_in_verified_pieces() {
    for len in [0, 1, 1 << 20, (9 << 20) + 13] {
        let (bytes, content, digests) = object(len);
        let expected = bytes.clone();
        let fake = Fake::start(move |asked| dosm(&bytes, &digests, asked)).await;
        let center = center(&[&fake.url], &[&fake.url]);
        let pieces: Vec<Bytes> = center.fetch(&content).try_collect().await.unwrap();
        assert!(pieces.concat() == expected, "{len} bytes");
    }
}

#[tokio::test]
async fn a_broken_fetch_goes_on_where_it_broke() {
    let (bytes, content, digests) = object(9 << 20);
    let expected = bytes.clone();
    let fake = Fake::start(move |asked| match asked.number {
        1 | 3 => None,
        2 => not_now(),
        _ => dosm(&bytes, &digests, asked),
    })
    .await;
    let center = center(&[&fake.url], &[&fake.url]);
    let pieces: Vec<Bytes> = center.fetch(&content).try_collect().await.unwrap();
    assert!(pieces.concat() == expected);
    assert_eq!(fake.log().len(), 7, "digests, three ranges and three repetitions");
}

/// design.md decision 14: no unverified byte leaves.
#[tokio::test]
async fn a_wrong_byte_ends_a_fetch() {
    let (bytes, content, digests) = object(9 << 20);
    let mut damaged = bytes.to_vec();
    damaged[5 << 20] ^= 1;
    let damaged = Bytes::from(damaged);
    let fake = Fake::start(move |asked| dosm(&damaged, &digests, asked)).await;
    let fetched: Vec<_> = center(&[&fake.url], &[&fake.url]).fetch(&content).collect().await;
    assert_eq!(fetched.len(), 2, "the first piece is good, the second an error, and nothing follows");
    assert!(fetched[0].is_ok());
    assert!(matches!(fetched[1], Err(ClientError::Corrupt(_))));

    let (_, _, other_digests) = object((9 << 20) + 1);
    let fake = Fake::start(move |asked| dosm(&bytes, &other_digests, asked)).await;
    let error = center(&[&fake.url], &[&fake.url]).fetch_digests(&content).await.unwrap_err();
    assert!(matches!(error, ClientError::Corrupt(_) | ClientError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_range_must_be_the_range_asked_for() {
    let (bytes, content, _) = object(1_000);
    let whole = bytes.clone();
    let fake = Fake::start(move |_| status(200, whole.clone())).await;
    let center = center(&[&fake.url], &[&fake.url]);
    assert_eq!(center.fetch_range(&content, 0, 1_000).await.unwrap(), bytes);
    assert!(matches!(center.fetch_range(&content, 0, 10).await, Err(ClientError::Protocol { .. })));
    for (offset, len) in [(1, 1_000), (u64::MAX, 2), (1_001, 0)] {
        assert!(matches!(center.fetch_range(&content, offset, len).await, Err(ClientError::Invalid(_))));
    }
    assert_eq!(center.fetch_range(&content, 1_000, 0).await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn a_store_is_repeated_with_the_same_token_until_it_is_acknowledged() {
    let (bytes, content, _) = object(3_000_000);
    let fake = Fake::start(move |asked| match asked.number {
        0 => None,
        1 => not_now(),
        _ => status(201, encode_stored(&Stored { content, token: TOKEN, file: None })),
    })
    .await;
    let center = center(&[&fake.url], &[&fake.url]);
    let pieces = bytes.clone();
    let source = Source::new(move || {
        let pieces: Vec<_> = (0..pieces.len())
            .step_by(77_777)
            .map(|at| Ok(pieces.slice(at..pieces.len().min(at + 77_777))))
            .collect();
        stream::iter(pieces)
    });
    center.store(TOKEN, &content, source).await.unwrap();
    let log = fake.log();
    assert_eq!(log.len(), 3);
    for asked in &log {
        assert_eq!(asked.method, Method::PUT);
        assert_eq!(asked.srl.operation, SrlOperation::Store { parent: ObjectId(0) });
        assert_eq!(asked.headers["x-upload-token"], TOKEN.to_string());
        assert_eq!(asked.headers["x-content-blake3"], content.digest.to_string());
        let md5 = base64::engine::general_purpose::STANDARD.encode(content.fingerprint.0);
        assert_eq!(asked.headers["content-md5"], md5);
        assert_eq!(asked.headers["content-length"], "3000000");
        assert!(asked.body == bytes);
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_the_callers_matter() {
    let (_, content, _) = object(3_000_000);
    let fake = Fake::start(|_| status(500, "")).await;
    let center = center(&[&fake.url], &[&fake.url]);
    let broken =
        Source::new(|| stream::iter([Ok(Bytes::from_static(b"some")), Err(io::Error::other("worn out"))]));
    let error = center.store(TOKEN, &content, broken).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read what is to be stored: worn out");
    let missing = Source::file("/nowhere/at/all".into());
    assert!(matches!(center.store(TOKEN, &content, missing).await, Err(ClientError::Source(_))));
    assert!(fake.log().is_empty());
}

/// A center that refuses without reading the body is heard all the same.
#[tokio::test]
async fn an_early_refusal_of_a_store_is_heard() {
    let (bytes, content, _) = object(3_000_000);
    let url = fake::refusing_early(
        "507 Insufficient Storage",
        encode_error("no-space", None, "the disks are full"),
    )
    .await;
    let error = center(&[&url], &[&url]).store(TOKEN, &content, Source::bytes(bytes)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused { code, .. } if code == "no-space"), "{error}");
}

#[tokio::test]
async fn a_slow_transfer_is_not_a_dead_one() {
    let (bytes, content, _) = object(40_000);
    let fake =
        Fake::start(move |_| status(201, encode_stored(&Stored { content, token: TOKEN, file: None }))).await;
    let center = center(&[&fake.url], &[&fake.url]).with_deadline(Duration::from_millis(400));
    let source = Source::new(move || {
        let pieces: Vec<Bytes> = bytes.chunks(4_000).map(Bytes::copy_from_slice).collect();
        stream::iter(pieces).then(|piece| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(piece)
        })
    });
    let began = Instant::now();
    center.store(TOKEN, &content, source).await.unwrap();
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "longer than the deadline, but never without progress"
    );
}

#[tokio::test]
async fn the_empty_object_is_everybodys() {
    let url = fake::nobody().await;
    let center = center(&[&url], &[&url]);
    let read = Arc::new(AtomicBool::new(false));
    let seen = read.clone();
    let source = Source::bytes(Bytes::new()).on_open(move || seen.store(true, Ordering::Relaxed));
    center.store(TOKEN, &Content::EMPTY, source).await.unwrap();
    center.delete(&Content::EMPTY.fingerprint, TOKEN).await.unwrap();
    assert_eq!(center.fetch(&Content::EMPTY).count().await, 0);
    assert!(!read.load(Ordering::Relaxed));
}

#[tokio::test]
async fn deleting_and_probing_use_their_own_srls() {
    let (_, content, _) = object(10);
    let fake = Fake::start(|_| status(204, "")).await;
    let center = center(&[&fake.url], &[&fake.url]);
    center.delete(&content.fingerprint, TOKEN).await.unwrap();
    center.probe().await.unwrap();
    let log = fake.log();
    assert_eq!(log[0].method, Method::DELETE);
    assert_eq!(
        log[0].srl.operation,
        SrlOperation::Delete { object: ObjectName::Content(content.fingerprint) }
    );
    assert_eq!(log[0].headers["x-upload-token"], TOKEN.to_string());
    assert_eq!(log[1].srl.operation, SrlOperation::NoOp);

    let missing = Fake::start(|_| status(404, encode_error("not-found", None, "no such object"))).await;
    let error = self::center(&[&missing.url], &[&missing.url]).fetch_range(&content, 0, 1).await.unwrap_err();
    assert!(error.is_not_found());
    assert!(matches!(error, ClientError::Refused { status: StatusCode::NOT_FOUND, .. }));
}

/// PRIV-4, LIB-2: a file of the customer's naming is stored, found, fetched and removed by its own SRLs.
#[tokio::test]
async fn a_file_of_ones_own_naming_goes_by_its_own_srls() {
    let (bytes, content, digests) = object(3_000_000);
    let fake = Fake::start(move |asked| match (&asked.method, &asked.srl.operation) {
        (&Method::PUT, SrlOperation::StoreClientFile { .. }) => {
            status(201, encode_stored(&Stored { content, token: TOKEN, file: None }))
        }
        (&Method::HEAD, SrlOperation::Fetch { object: ObjectName::ClientFile(_) }) => {
            let mut answer = status(200, vec![0; 3_000_000]).unwrap();
            let headers = answer.headers_mut();
            headers.insert("etag", format!("\"{}\"", content.fingerprint).parse().unwrap());
            headers.insert("x-content-blake3", content.digest.to_string().parse().unwrap());
            Some(answer)
        }
        (&Method::DELETE, _) => status(204, ""),
        _ => dosm(&bytes, &digests, asked),
    });
    let fake = fake.await;
    let center = center(&[&fake.url], &[&fake.url]);
    let file = center.client_file(b"a/7");
    let source = Source::bytes(object(3_000_000).0);
    center.store_client_file(file, true, TOKEN, &content, source).await.unwrap();
    let found = center.find_client_file(file).await.unwrap();
    assert_eq!(found, content);
    let fetched: Vec<Bytes> = center.fetch(&found).try_collect().await.unwrap();
    assert!(fetched.concat() == object(3_000_000).0);
    center.delete_client_file(file, Token([8; 16])).await.unwrap();

    let log = fake.log();
    assert_eq!(log[0].srl.operation, SrlOperation::StoreClientFile { file, replace: true });
    assert_eq!(log[0].headers["x-upload-token"], TOKEN.to_string());
    let last = log.last().unwrap();
    assert_eq!(last.srl.operation, SrlOperation::Delete { object: ObjectName::ClientFile(file) });
    assert_eq!(last.headers["x-upload-token"], Token([8; 16]).to_string());

    let silent = Fake::start(|_| status(200, "")).await;
    let error = self::center(&[&silent.url], &[&silent.url]).find_client_file(file).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
}

/// LIB-2, SRL-1: the URL for everybody.
#[tokio::test]
async fn a_download_url_is_an_end_users_srl() {
    let (_, content, _) = object(10);
    let center = center(&["http://ddm.example"], &["http://dosm.example:81", "http://other"]);
    let url = center.download_url(&content, "a b/ü.jpg".as_bytes(), NOW + 60, SrlVersion::Md5);
    let path = url.strip_prefix("http://dosm.example:81").unwrap();
    let (srl, uri) = SignedSrl::parse(path).unwrap();
    assert_eq!(uri, "a%20b/%C3%BC.jpg");
    let request = srl.authenticate(&[secret()], NOW).unwrap();
    assert_eq!((request.access, request.version), (AccessMethod::EndUser, SrlVersion::Md5));
    assert_eq!(request.operation, SrlOperation::Fetch { object: ObjectName::Content(content.fingerprint) });
}

/// Holds the answers of a fake center back until it is told to give them.
#[derive(Default)]
struct Gate(std::sync::Mutex<bool>, std::sync::Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    /// Without holding up what else this thread would do.
    fn pass(&self) {
        tokio::task::block_in_place(|| {
            let closed = self.0.lock().unwrap();
            drop(self.1.wait_while(closed, |is_open| !*is_open).unwrap());
        });
    }
}

fn remove(number: u64) -> Request {
    let target = Target::Id(ObjectId(number));
    let operation = Operation::Delete { target, kind: Kind::File, recursive: false };
    Request { key: Some(Token([number as u8; 16])), operation }
}

fn removed(request: &Request) -> Answered {
    let Operation::Delete { target: Target::Id(id), .. } = &request.operation else { panic!("{request:?}") };
    let changed =
        Changed { row: None, before: None, created: false, removed: Some(*id), folders: Vec::new() };
    Answered { position: FeedPosition(1), answer: Answer::Changed(changed) }
}

fn removals(asked: &Asked) -> Vec<protocol::vfs::Reply> {
    asked.requests.iter().map(|request| Ok(removed(request))).collect()
}

/// A center whose first document waits at the gate, and the call that is in it.
async fn held_up(
    answer: impl Fn(&Asked) -> Option<HttpAnswer> + Send + Sync + 'static,
) -> (Fake, Center, Arc<Gate>, tokio::task::JoinHandle<Result<Answered, ClientError>>) {
    let answer = Arc::new(answer);
    loop {
        let gate = Arc::new(Gate::default());
        let (passed, answer) = (gate.clone(), answer.clone());
        let fake = Fake::start(move |asked| {
            if asked.number == 0 {
                passed.pass();
            }
            answer(asked)
        })
        .await;
        let center = center(&[&fake.url], &[&fake.url]);
        let began = Instant::now();
        let first = tokio::spawn({
            let center = center.clone();
            async move { center.operate(remove(1)).await }
        });
        while fake.log().is_empty() {
            tokio::task::yield_now().await;
        }
        // On a busy machine: another one, that is not as good as overdue already.
        if began.elapsed() < Duration::from_millis(50) {
            return (fake, center, gate, first);
        }
        gate.open();
    }
}

/// Changes made while a document is on its way travel together in the next one, and each gets its own answer; one
/// that nobody waits for any more does not travel, and a question waits for none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_that_come_meanwhile_travel_together() {
    let (fake, center, gate, first) = held_up(|asked| match asked.requests[0].operation {
        Operation::Usage => replies(&[Ok(used(5))]),
        _ => {
            let mut answers = removals(asked);
            if let Some(third) = answers.get_mut(2) {
                *third = Err(VfsError { code: VfsErrorCode::NotFound, message: "gone".to_owned() });
            }
            replies(&answers)
        }
    })
    .await;
    let mut calls: Vec<_> = (2..=5).map(|number| Box::pin(center.operate(remove(number)))).collect();
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    drop(calls.remove(1));
    assert_eq!(center.operate(usage()).await.unwrap(), used(5), "while the first document is held up");
    gate.open();
    assert_eq!(first.await.unwrap().unwrap(), removed(&remove(1)));
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers[0].as_ref().unwrap(), &removed(&remove(2)));
    assert_eq!(answers[1].as_ref().unwrap(), &removed(&remove(4)));
    assert_eq!(answers[2].as_ref().unwrap_err().vfs_code(), Some(VfsErrorCode::NotFound));
    let mut sent: Vec<_> = fake.log().iter().map(|asked| asked.requests.clone()).collect();
    sent.retain(|document| document != &[usage()]);
    assert_eq!(sent, [vec![remove(1)], vec![remove(2), remove(4), remove(5)]]);
}

/// The caller who made a document leave may go: the others of it still get their answers, and later ones leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_gives_up_takes_no_answer_from_others() {
    let (fake, center, gate, first) = held_up(|asked| replies(&removals(asked))).await;
    first.abort();
    let mut next = Box::pin(center.operate(remove(2)));
    assert!(futures::poll!(&mut next).is_pending());
    gate.open();
    assert_eq!(next.await.unwrap(), removed(&remove(2)));
    assert_eq!(fake.log().len(), 2);
}

/// "Not now" to one change of a document costs no other change its answer; it is sent again alone, with its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_bad_change_fails_no_other() {
    let (fake, center, gate, _first) = held_up(|asked| {
        let is_bad = |request: &Request| request == &remove(3);
        let mut answers = removals(asked);
        match asked.requests.iter().position(is_bad) {
            Some(_) if asked.requests.len() == 1 => status(400, encode_error("malformed", None, "bad")),
            Some(bad) => {
                answers[bad] = Err(VfsError { code: VfsErrorCode::Unavailable, message: "no".to_owned() });
                replies(&answers)
            }
            None => replies(&answers),
        }
    })
    .await;
    let mut calls: Vec<_> = [2, 3].map(|number| Box::pin(center.operate(remove(number)))).into();
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    gate.open();
    let answers = futures::future::join_all(calls).await;
    assert_eq!(answers[0].as_ref().unwrap(), &removed(&remove(2)));
    assert!(matches!(answers[1], Err(ClientError::Refused { .. })), "{:?}", answers[1]);
    let sent: Vec<_> = fake.log().iter().skip(1).map(|asked| asked.requests.clone()).collect();
    assert_eq!(sent, [vec![remove(2), remove(3)], vec![remove(3)]]);
}

/// A change waits behind others no longer than its own deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_that_waits_has_its_own_deadline() {
    let url = fake::silent().await;
    let center = center(&[&url], &[&url]);
    let mut first = Box::pin(center.operate(remove(1)));
    assert!(futures::poll!(&mut first).is_pending());
    let started = Instant::now();
    let late = center.with_deadline(Duration::from_millis(200)).operate(remove(2)).await;
    assert!(late.unwrap_err().is_unavailable());
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// A connection that died in silence delays the changes in it, and no others: they leave over another one long before
/// it is given up, though nothing new comes.
#[tokio::test]
async fn a_silent_connection_holds_up_no_other_change() {
    let fake = Fake::start_slow(|asked| async move {
        if asked.number == 0 {
            std::future::pending::<()>().await;
        }
        replies(&removals(&asked))
    })
    .await;
    let center = center(&[&fake.url], &[&fake.url]);
    let mut lost = Box::pin(center.operate(remove(1)));
    assert!(futures::poll!(&mut lost).is_pending());
    let began = Instant::now();
    let calls = (2..=5).map(|number| center.operate(remove(number)));
    let answers = futures::future::join_all(calls).await;
    assert!(began.elapsed() < Duration::from_secs(1), "half the deadline is two: {:?}", began.elapsed());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(lost.await.unwrap(), removed(&remove(1)), "over another connection");
    let sent: Vec<_> = fake.log().iter().flat_map(|asked| asked.requests.clone()).collect();
    assert_eq!(sent, [1, 2, 3, 4, 5, 1].map(remove), "each under its key");
}

/// A center that refuses documents of several changes gets them alone, each with its key, a few at a time.
#[tokio::test]
async fn changes_of_a_refused_document_go_alone_a_few_at_a_time() {
    let (here, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let fake = Fake::start_slow({
        let most = most.clone();
        move |asked| {
            let (here, most) = (here.clone(), most.clone());
            async move {
                if asked.requests.len() > 1 {
                    return status(400, encode_error("malformed", None, "bad"));
                }
                most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                here.fetch_sub(1, Ordering::SeqCst);
                replies(&removals(&asked))
            }
        }
    })
    .await;
    let center = center(&[&fake.url], &[&fake.url]);
    let calls = (1..=41).map(|number| center.operate(remove(number)));
    let answers = futures::future::join_all(calls).await;
    for (number, answer) in (1..).zip(answers) {
        assert_eq!(answer.unwrap(), removed(&remove(number)));
    }
    let most = most.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} at one time");
    let mut alone: Vec<_> = fake.log().iter().filter(|asked| asked.requests.len() == 1).cloned().collect();
    alone.sort_by_key(|asked| asked.requests[0].key.map(|key| key.0));
    let alone: Vec<_> = alone.iter().flat_map(|asked| asked.requests.clone()).collect();
    assert_eq!(alone, (1..=41).map(remove).collect::<Vec<_>>(), "each once, under its key");
}

fn pair() -> PairName {
    PairName::parse("site-1").unwrap()
}

fn stamp(generation: u64) -> Option<Stamp> {
    Some(Stamp { pair: pair(), generation: Generation(generation) })
}

/// FO-11: changes and stores say in which generation they are asked for; questions do not; and both ways of refusing them
/// are one error.
#[tokio::test]
async fn changes_of_a_port_of_a_pair_are_stamped() {
    let fake = Fake::start(|asked| match asked.stamp {
        Some(_) => replies(&[Err(VfsError::superseded(Generation(8)))]),
        None if asked.requests == [usage()] => replies(&[Ok(used(5))]),
        None => status(409, encode_error("superseded", Some(Generation(8)), "the other one is active")),
    })
    .await;
    let center = center(&[&fake.url], &[&fake.url]);
    center.set_stamp(stamp(7));
    assert_eq!(center.clone().operate(usage()).await.unwrap(), used(5));
    let (bytes, content, _) = object(9);
    let refused = [
        center.operate(remove(1)).await.map(drop),
        center.store(TOKEN, &content, Source::bytes(bytes)).await.map(drop),
        center.delete(&content.fingerprint, TOKEN).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(ClientError::Superseded { generation: Generation(8) })), "{refused:?}");
    }
    let log = fake.log();
    assert_eq!((&log[0].stamp, &log[1].stamp), (&None, &stamp(7)));
    assert!(log[2..].iter().all(|asked| asked.headers["x-port-stamp"] == "site-1/7"));
    assert_eq!(log.len(), 4, "none of them was tried again");
}

/// FO-11: what waits to be sent when the generation changes is not sent in the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_is_not_sent_in_a_later_generation() {
    let (fake, center, gate, first) = held_up(|asked| replies(&removals(asked))).await;
    let mut waits = Box::pin(center.operate(remove(2)));
    assert!(futures::poll!(&mut waits).is_pending());
    center.set_stamp(stamp(7));
    assert!(waits.await.unwrap_err().is_unavailable());
    gate.open();
    first.await.unwrap().unwrap();
    center.operate(remove(3)).await.unwrap();
    let sent: Vec<_> = fake.log().iter().map(|asked| (asked.requests.clone(), asked.stamp.clone())).collect();
    assert_eq!(sent, [(vec![remove(1)], None), (vec![remove(3)], stamp(7))]);
}

/// FO-11: a question about the lease goes alone, without a key, and its answer comes back.
#[tokio::test]
async fn a_lease_is_asked_for() {
    let held = LeaseAnswer::Held { generation: Generation(7), renewals: 12, lease_ms: 300 };
    let answered = Answered { position: FeedPosition(1), answer: Answer::Lease(held) };
    let fake = Fake::start(move |_| replies(&[Ok(answered.clone())])).await;
    let center = center(&[&fake.url], &[&fake.url]);
    center.set_stamp(stamp(6));
    let question = LeaseQuestion::Acquire { from: Generation(7), renewals: None, lease_ms: 300 };
    assert_eq!(center.port_lease(&pair(), Member::B, question).await.unwrap(), held);
    let operation = Operation::PortLease { pair: pair(), member: Member::B, question };
    let asked = &fake.log()[0];
    assert_eq!((&asked.requests, &asked.stamp), (&vec![Request { key: None, operation }], &stamp(6)));
}
