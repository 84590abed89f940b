//! A storage center whose objects lie in a bucket of a real S3 server (SeaweedFS) in place of disks (ISN-13).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use e2e::daemon::binary;
use e2e::seaweed::Seaweed;
use e2e::site::{PortSettings, Site};
use e2e::tools::{curl, run};
use e2e::{data, poll};
use protocol::digest::Fingerprint;
use protocol::id::{CustomerId, ObjectId};
use protocol::srl::{AccessMethod, ObjectName, SrlKind, SrlOperation, SrlRequest, SrlVersion};

/// How long the center may take to find that it cannot do what it was asked.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(25);
/// How long what nobody refers to may stay: the center looks every 30 seconds.
const COLLECTION_PATIENCE: Duration = Duration::from_secs(90);
const MIB: usize = 1 << 20;

/// A center in front of a bucket.
struct Center {
    site: Site,
    seaweed: Seaweed,
}

impl Center {
    fn start() -> Self {
        let seaweed = Seaweed::start();
        let isn = format!(
            "s3 = {}\nunlink_grace_seconds = 1\n[dosm]\ncache_dir = \"DIR/cache\"\ncache_bytes = 100000000",
            seaweed.s3("center")
        );
        Self { site: Site::start_with(&isn), seaweed }
    }

    fn path(&self, access: AccessMethod, operation: SrlOperation) -> String {
        let (kind, version) = (SrlKind::Standard, SrlVersion::HmacSha256);
        let request = SrlRequest { kind, version, expires: 0, access, customer: CustomerId(1), operation };
        request.sign(&self.site.secret(1)).path(b"file")
    }

    fn store_path(&self) -> String {
        self.path(AccessMethod::StoragePort, SrlOperation::Store { parent: ObjectId(0) })
    }

    /// Stores an object: the status.
    fn store(&self, bytes: &[u8], token: u8) -> u16 {
        let file = self.site.path().join(format!("upload-{token}"));
        fs::write(&file, bytes).unwrap();
        let (token, url) = (upload_token(token), format!("{}{}", self.site.center_url(), self.store_path()));
        curl(&url, &["-T", file.to_str().unwrap(), "-H", &token, "-H", "Expect:"]).0
    }

    fn fetch(&self, md5: &str, extra: &[&str]) -> (u16, Vec<u8>) {
        let object = ObjectName::Content(Fingerprint::parse(md5).unwrap());
        let path = self.path(AccessMethod::EndUser, SrlOperation::Fetch { object });
        let (status, _, body) = curl(&format!("{}{path}", self.site.center_url()), extra);
        (status, body)
    }

    fn delete(&self, md5: &str, token: u8) -> u16 {
        let operation =
            SrlOperation::Delete { object: ObjectName::Content(Fingerprint::parse(md5).unwrap()) };
        let url = format!("{}{}", self.site.center_url(), self.path(AccessMethod::StoragePort, operation));
        curl(&url, &["-X", "DELETE", "-H", &upload_token(token)]).0
    }

    /// Begins an upload of 64 MiB, sends a half, and waits until a part of it lies in the store.
    fn begin_upload(&self, seed: u64) -> TcpStream {
        let bytes = data::bytes(seed, 64 * MIB);
        let address = self.site.center_url().replace("http://", "");
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "PUT {} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n{}\r\n\r\n",
            self.store_path(),
            bytes.len(),
            upload_token(99)
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&bytes[..32 * MIB]).unwrap();
        poll::until("the upload has begun in the store", Duration::from_secs(30), || {
            (!self.seaweed.unfinished_uploads().is_empty() && self.count("/begun") == 1).then_some(())
        });
        stream
    }

    /// How many names in the bucket contain this.
    fn count(&self, what: &str) -> usize {
        self.seaweed.names("center/").iter().filter(|name| name.contains(what)).count()
    }

    fn wait_uploads_settled(&self) {
        poll::until("no upload is on its way", Duration::from_secs(30), || {
            (self.seaweed.unfinished_uploads().is_empty() && self.count("center/uploads/") == 0).then_some(())
        });
    }

    /// What an upload that was not finished could have left.
    fn wait_nothing_unfinished(&self) {
        poll::until("nothing of the upload is left", Duration::from_secs(60), || {
            let is_clean = self.seaweed.unfinished_uploads().is_empty()
                && self.count("center/uploads/") == 0
                && self.count("center/data/") == 0;
            is_clean.then_some(())
        });
    }

    fn status(&self) -> String {
        let config = self.site.center_config();
        let said = run(
            binary("storage-center").to_str().unwrap(),
            &["status", "--config", config.to_str().unwrap()],
        );
        String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
    }

    /// Whether rows and references agree but for objects without a row, of which there are so many.
    fn assert_references(&self, orphans: usize) {
        let (_, report) = self.site.check();
        assert!(report.contains(&format!("references without row   {orphans},")), "{report}");
        assert!(report.contains("rows without object      0"), "{report}");
    }
}

fn upload_token(number: u8) -> String {
    format!("X-Upload-Token: {number:032x}")
}

/// ISN-5, ISN-13, REF-1, REF-2, SYS-8, SYS-9: what was stored in the bucket is fetched, whole and in parts, also by a
/// center that starts with nothing but its rows; equal contents are one object, which goes with its last reference.
#[test]
fn objects_in_a_bucket_are_stored_fetched_and_released() {
    let mut center = Center::start();
    let lengths = [0, 1, 5_000, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1, 64 * MIB];
    let objects: Vec<Vec<u8>> = (0..).zip(lengths).map(|(seed, length)| data::bytes(seed, length)).collect();
    for (token, bytes) in (0..).zip(&objects) {
        assert_eq!(center.store(bytes, token), 200, "{} bytes", bytes.len());
    }
    let fetch_all = |center: &Center| {
        for bytes in &objects {
            let (status, body) = center.fetch(&data::md5_hex(bytes), &[]);
            assert!(status == 200 && body == *bytes, "{status}, {} of {} bytes", body.len(), bytes.len());
        }
        let large = objects.last().unwrap();
        let (status, part) = center.fetch(&data::md5_hex(large), &["--range", "1048570-20971530"]);
        assert!(status == 206 && part == large[1_048_570..=20_971_530]);
        let (status, part) = center.fetch(&data::md5_hex(large), &["--range", "-7"]);
        assert!(status == 206 && part == large[64 * MIB - 7..]);
    };
    fetch_all(&center);
    assert_eq!((center.count("/copy/"), center.count("center/data/")), (7, 2));
    assert!(center.seaweed.unfinished_uploads().is_empty() && center.count("center/uploads/") == 0);
    center.assert_references(7);
    assert!(center.status().contains("objects/center"), "{}", center.status());

    // Everything local but the rows goes.
    center.site.center.kill_9();
    fs::remove_dir_all(center.site.path().join("cache")).unwrap();
    center.site.center.restart();
    fetch_all(&center);

    // The same contents under another token, by several at once.
    let (again, large) = (data::md5_hex(&objects[2]), data::md5_hex(&objects[7]));
    thread::scope(|scope| {
        for token in 10..16 {
            let bytes = &objects[if token % 2 == 0 { 2 } else { 7 }];
            let center = &center;
            scope.spawn(move || assert_eq!(center.store(bytes, token), 200));
        }
    });
    center.wait_uploads_settled();
    assert_eq!((center.count("/copy/"), center.count("center/data/")), (7, 2));
    center.assert_references(13);

    for token in [2, 10, 12, 14] {
        assert_eq!(center.fetch(&again, &[]).0, 200);
        assert_eq!(center.delete(&again, token), 204);
    }
    for token in [7, 11, 13, 15, 15] {
        assert_eq!(center.delete(&large, token), 204);
    }
    assert_eq!(center.fetch(&again, &[]).0, 404, "nobody refers to it any more");
    poll::until("both objects are gone from the bucket", COLLECTION_PATIENCE, || {
        let copies =
            center.seaweed.names("center/objects/").into_iter().filter(|name| !name.contains(".gone."));
        let copies = copies.filter(|name| name.contains("/copy/")).count();
        (copies == 5 && center.count("center/data/") == 1).then_some(())
    });
    center.assert_references(5);
    // And come again.
    assert_eq!(center.store(&objects[2], 20), 200);
    assert!(center.fetch(&again, &[]) == (200, objects[2].clone()));
}

/// ISN-11, ISN-13: an upload that its client gives up, or in whose middle the center is killed, leaves nothing in the
/// bucket.
#[test]
fn an_upload_to_a_bucket_that_ends_early_leaves_nothing() {
    let mut center = Center::start();
    drop(center.begin_upload(1));
    center.wait_nothing_unfinished();

    let mut stream = center.begin_upload(2);
    center.site.center.kill_9();
    assert_eq!(center.count("/begun"), 1, "it was killed in the middle");
    assert!(stream.read(&mut [0]).is_ok_and(|read| read == 0) || stream.write_all(&[0]).is_err());
    center.site.center.restart();
    center.wait_nothing_unfinished();
    assert_eq!(center.count("/copy/"), 0);
    assert_eq!(center.store(&data::bytes(2, 64 * MIB), 1), 200);
}

/// ISN-13, SYS-8: while the S3 server is killed, or silent, what needs it is refused within a bound, and the status
/// says why; when it is back everything goes on.
#[test]
fn a_center_whose_bucket_is_away_says_so_and_goes_on_later() {
    let mut center = Center::start();
    let (bytes, other) = (data::bytes(1, 3 * MIB), data::bytes(2, 9 * MIB));
    assert_eq!(center.store(&bytes, 1), 200);
    let refused = |center: &Center| {
        let start = Instant::now();
        assert_eq!(center.fetch(&data::md5_hex(&bytes), &[]).0, 503);
        assert!(start.elapsed() < REFUSAL_PATIENCE, "a fetch: {:?}", start.elapsed());
        let start = Instant::now();
        assert_eq!(center.store(&other, 2), 503);
        assert!(start.elapsed() < REFUSAL_PATIENCE, "an upload: {:?}", start.elapsed());
        let status = center.status();
        assert!(status.contains("down") && status.contains("does not answer"), "{status}");
    };
    center.seaweed.freeze();
    refused(&center);
    center.seaweed.thaw();
    poll::until("uploads go on", Duration::from_secs(60), || (center.store(&other, 2) == 200).then_some(()));

    center.seaweed.kill_9();
    refused(&center);
    center.seaweed.restart();
    for (bytes, token) in [(&bytes, 1), (&other, 2)] {
        assert_eq!(center.store(bytes, token), 200);
        assert!(center.fetch(&data::md5_hex(bytes), &[]) == (200, bytes.clone()));
    }
    center.assert_references(2);
    assert!(center.status().contains("online"), "{}", center.status());
}

/// ISN-13: a center that cannot use its bucket does not start, says why in one line, and shows no secret.
#[test]
fn a_center_does_not_start_with_a_bucket_that_refuses_it() {
    let mut seaweed = Seaweed::start();
    let site = Site::start_with(&format!("s3 = {}", seaweed.s3("one")));
    let start = |s3: &str| {
        let config = site.path().join("other.toml");
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[vfs]\ndatabase = \"{0}/other.sqlite\"\n[isn]\nnode = 2\ns3 = {s3}\n",
            site.path().display()
        );
        fs::write(&config, text).unwrap();
        let said =
            run(binary("storage-center").to_str().unwrap(), &["serve", "--config", config.to_str().unwrap()]);
        assert!(!said.status.success());
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(!said.contains("another secret"), "{said}");
        said
    };
    let foreign = start(&seaweed.s3("one"));
    assert!(foreign.contains("belongs to node 1") && foreign.contains("name another prefix"), "{foreign}");
    let refused = start(&seaweed.s3_refused("two"));
    assert!(refused.contains("isn.s3.credentials_file"), "{refused}");
    let s3 = seaweed.s3("three");
    seaweed.kill_9();
    let away = start(&s3);
    assert!(away.contains("does not answer"), "{away}");
}

/// ISN-13: a storage port does not know the difference.
#[test]
fn a_storage_port_works_on_a_bucket() {
    let center = Center::start();
    let settings = PortSettings { quiet: Duration::from_millis(1), ..PortSettings::default() };
    let (one, other) = (center.site.port_with("one", &settings), center.site.port("other"));
    let mut mount = one.mount("/export");
    let root = mount.root();
    let contents = data::bytes(1, 9 * MIB);
    mount.put(&root, b"clip", &contents).unwrap();
    poll::until("another port reads the file from the bucket", Duration::from_secs(60), || {
        let mut mount = other.mount("/export");
        let root = mount.root();
        let file = mount.lookup(&root, b"clip").ok()?;
        (mount.read(&file).ok()? == contents).then_some(())
    });
    mount.remove(&root, b"clip").unwrap();
    poll::until("no reference is left", Duration::from_secs(30), || {
        let (agrees, report) = center.site.check();
        (agrees && report.contains("references on the disks  0\n")).then_some(())
    });
}
