//! Files that a customer calls by ids of its own, asked for with curl (PRIV-2 to PRIV-4).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::cluster::client::content_of;
use e2e::data;
use e2e::poll;
use e2e::site::Site;
use e2e::tools::curl;
use protocol::digest::Fingerprint;
use protocol::id::{ClientFile, CustomerId};
use protocol::srl::{AccessMethod, ObjectName, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::xml::{decode_error, decode_stored};

/// What the customer calls its file.
const UFID: &str = "bild/ä 1.jpg";

/// A center with two customers.
struct Owners {
    site: Site,
}

impl Owners {
    fn start() -> Self {
        let site = Site::start();
        site.add_customer(2, &[]);
        Self { site }
    }

    fn request(&self, customer: u32, operation: SrlOperation) -> SrlRequest {
        let access = match operation {
            SrlOperation::Delete { .. } => AccessMethod::StoragePort,
            _ => AccessMethod::EndUser,
        };
        let (kind, version) = (SrlKind::Standard, SrlVersion::HmacSha256);
        SrlRequest { kind, version, expires: 0, access, customer: CustomerId(customer), operation }
    }

    fn url(&self, request: &SrlRequest) -> String {
        let path = request.sign(&self.site.secret(request.customer.0)).path(b"cat.jpg");
        format!("{}{path}", self.site.center_url())
    }

    fn store_url(&self, customer: u32, ufid: &str, replace: bool) -> String {
        let file = ClientFile::named(CustomerId(customer), ufid.as_bytes());
        self.url(&self.request(customer, SrlOperation::StoreClientFile { file, replace }))
    }

    fn put(&self, url: &str, bytes: &[u8]) -> (u16, Vec<u8>) {
        let file = self.file(bytes);
        let (status, _, body) = curl(url, &["-T", file.to_str().unwrap(), "-H", "Expect:"]);
        (status, body)
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let file = self.site.path().join("upload");
        fs::write(&file, bytes).unwrap();
        file
    }

    fn fetch_url(&self, customer: u32, object: ObjectName) -> String {
        self.url(&self.request(customer, SrlOperation::Fetch { object }))
    }

    fn own_url(&self, customer: u32, ufid: &str) -> String {
        let file = ClientFile::named(CustomerId(customer), ufid.as_bytes());
        self.fetch_url(customer, ObjectName::ClientFile(file))
    }

    fn delete(&self, customer: u32, ufid: &str, extra: &[&str]) -> u16 {
        let file = ClientFile::named(CustomerId(customer), ufid.as_bytes());
        let operation = SrlOperation::Delete { object: ObjectName::ClientFile(file) };
        let url = self.url(&self.request(customer, operation));
        curl(&url, &[&["-X", "DELETE"], extra].concat()).0
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.map(|value| value.trim().to_owned())
}

fn refusal(answer: (u16, Vec<u8>)) -> (u16, String) {
    (answer.0, decode_error(&answer.1).unwrap().code)
}

/// SRL-9, SRL-15, PRIV-3, CDN-2: such a file is fetched whole, in parts and under conditions, by the hash of its id
/// or by the id itself. A cache has to ask each time.
#[test]
fn a_file_of_ones_own_naming_is_fetched_like_any_other() {
    let owners = Owners::start();
    let bytes = data::bytes(1, 3_300_000);
    let (status, body) = owners.put(&owners.store_url(1, UFID, false), &bytes);
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    let stored = decode_stored(&body).unwrap();
    assert_eq!(
        (stored.content, stored.file),
        (content_of(&bytes), None),
        "PRIV-2: the fingerprint is returned"
    );

    let url = owners.own_url(1, UFID);
    let by_id = owners.request(1, SrlOperation::NoOp).sign_cdn_fetch(UFID, &owners.site.secret(1));
    let by_fingerprint = owners.fetch_url(1, ObjectName::Content(stored.content.fingerprint));
    for url in [&url, &format!("{}{}", owners.site.center_url(), by_id.path(b"cat.jpg")), &by_fingerprint] {
        let (status, _, body) = curl(url, &[]);
        assert!(status == 200 && body == bytes, "{status} {url}");
    }
    let (status, head, body) = curl(&url, &["--head"]);
    assert!(status == 200 && body.is_empty());
    let etag = format!("\"{}\"", stored.content.fingerprint);
    assert_eq!(header(&head, "etag").as_ref(), Some(&etag));
    assert_eq!(header(&head, "content-length"), Some("3300000".to_owned()));
    assert_eq!(header(&head, "content-type"), Some("image/jpeg".to_owned()));
    assert_eq!(header(&head, "x-content-blake3"), Some(stored.content.digest.to_string()));
    assert_eq!(header(&head, "cache-control"), Some("no-cache".to_owned()));

    let (status, head, part) = curl(&url, &["--range", "1000000-2000000"]);
    assert!(status == 206 && part == bytes[1_000_000..=2_000_000]);
    assert_eq!(header(&head, "content-range"), Some("bytes 1000000-2000000/3300000".to_owned()));
    assert_eq!(curl(&url, &["--range", "3300000-"]).0, 416);
    let if_none = format!("If-None-Match: {etag}");
    let (status, head, body) = curl(&url, &["-H", &if_none]);
    assert!(status == 304 && body.is_empty());
    assert_eq!(header(&head, "cache-control"), Some("no-cache".to_owned()));
    assert_eq!(curl(&url, &["-H", "If-Match: \"other\""]).0, 412);

    owners.put(&owners.store_url(1, UFID, true), b"others");
    let (status, _, body) = curl(&url, &["-H", &if_none]);
    assert_eq!((status, body.as_slice()), (200, &b"others"[..]));
    let ranged = ["--range", "0-3", "-H", &format!("If-Range: {etag}")];
    assert_eq!(curl(&url, &ranged).2, b"others", "no part of what is another object by now");
}

/// PRIV-4, SRL-17: an id is there once; only its SRL's permission replaces it; nobody else has it; the two kinds of
/// names are never taken for each other; and the comparison with the disks finds nothing amiss at any time.
#[test]
fn an_id_is_its_customers_and_there_once() {
    let owners = Owners::start();
    let (first, second) = (content_of(b"first"), content_of(b"second"));
    let store = owners.store_url(1, UFID, false);
    assert_eq!(owners.put(&store, b"first").0, 201);
    assert_eq!(refusal(owners.put(&store, b"second")), (409, "exists".to_owned()));
    assert_eq!(curl(&owners.own_url(1, UFID), &[]).2, b"first");
    assert!(owners.site.check().0, "{}", owners.site.check().1);

    // SRL-17: the other customer has no such file, by its own hash or by that of the first.
    let file = ClientFile::named(CustomerId(1), UFID.as_bytes());
    for url in [owners.own_url(2, UFID), owners.fetch_url(2, ObjectName::ClientFile(file))] {
        assert_eq!(curl(&url, &[]).0, 404);
    }
    assert_eq!(owners.delete(2, UFID, &[]), 404);
    // PRIV-4: no name of one kind opens what has that name of the other.
    let as_content = ObjectName::Content(Fingerprint(file.0));
    let as_file = ObjectName::ClientFile(ClientFile(first.fingerprint.0));
    for object in [as_content, as_file] {
        assert_eq!(curl(&owners.fetch_url(1, object), &[]).0, 404);
    }

    let form = format!("file=@{}", owners.file(b"second").display());
    let token = format!("token={}", "7".repeat(32));
    for _ in 0..2 {
        let (status, _, body) = curl(&owners.store_url(1, UFID, true), &["-F", &form, "-F", &token]);
        assert_eq!((status, decode_stored(&body).unwrap().content), (201, second), "SRL-18");
    }
    assert_eq!(curl(&owners.own_url(1, UFID), &[]).2, b"second");
    let old = owners.fetch_url(1, ObjectName::Content(first.fingerprint));
    poll::until("the old contents are given up", Duration::from_secs(30), || {
        (curl(&old, &[]).0 == 404).then_some(())
    });
    assert!(owners.site.check().0, "{}", owners.site.check().1);

    // SRL-5: who may upload may not remove.
    let delete = SrlOperation::Delete { object: ObjectName::ClientFile(file) };
    let as_end_user = SrlRequest { access: AccessMethod::EndUser, ..owners.request(1, delete) };
    assert_eq!(curl(&owners.url(&as_end_user), &["-X", "DELETE"]).0, 403);
    let key = format!("X-Upload-Token: {}", "8".repeat(32));
    assert_eq!(owners.delete(1, UFID, &["-H", &key]), 204);
    assert_eq!(curl(&owners.own_url(1, UFID), &[]).0, 404);
    assert_eq!(owners.put(&store, b"third").0, 201);
    assert_eq!(owners.delete(1, UFID, &["-H", &key]), 204, "SRL-18: the first answer once more");
    assert_eq!(curl(&owners.own_url(1, UFID), &[]).2, b"third", "and no second effect");
    assert_eq!(owners.delete(1, UFID, &[]), 204);
    assert_eq!(owners.delete(1, UFID, &[]), 404);
    assert!(owners.site.check().0, "{}", owners.site.check().1);
}

/// PRIV-4: while a file is replaced again and again, everybody gets one of its contents whole.
#[test]
fn a_file_that_is_being_replaced_can_be_fetched() {
    let owners = Owners::start();
    let contents: Vec<Vec<u8>> = (0..4).map(|number| data::bytes(number, 40_000)).collect();
    let (store, fetch) = (owners.store_url(1, UFID, true), owners.own_url(1, UFID));
    assert_eq!(owners.put(&store, &contents[0]).0, 201);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut fetched = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let (status, head, body) = curl(&fetch, &[]);
                        assert_eq!(status, 200, "{head}");
                        let etag = format!("\"{}\"", content_of(&body).fingerprint);
                        assert!(contents.contains(&body) && header(&head, "etag") == Some(etag));
                        fetched += 1;
                    }
                    fetched
                })
            })
            .collect();
        for round in 1..40 {
            let (status, body) = owners.put(&store, &contents[round % contents.len()]);
            assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 10));
    });
}
