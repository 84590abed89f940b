//! A CDN before the storage center (Figures 17 and 18): nginx's cache asks the center by SRL, and browsers ask nginx.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::daemon::binary;
use e2e::data;
use e2e::nginx::Nginx;
use e2e::poll;
use e2e::site::Site;
use e2e::tools::{curl, run_ok};
use protocol::digest::Fingerprint;
use protocol::id::{ClientFile, CustomerId, ObjectId};
use protocol::srl::{
    AccessMethod, ObjectName, SKEW_SECONDS, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion,
};

/// A center with one object, and a CDN before it.
struct Origin {
    site: Site,
    secret: Secret,
    cdn: Nginx,
    bytes: Vec<u8>,
}

impl Origin {
    fn start() -> Self {
        let site = Site::start();
        let secret = site.secret(1);
        let center: SocketAddr = site.center_url().trim_start_matches("http://").parse().unwrap();
        let cdn = Nginx::caching(site.path(), center);
        let bytes = data::bytes(1, 3_300_000);
        let origin = Self { site, secret, cdn, bytes };
        let file = origin.site.path().join("clip");
        std::fs::write(&file, &origin.bytes).unwrap();
        let store = origin.sign(AccessMethod::StoragePort, 0, SrlOperation::Store { parent: ObjectId(0) });
        let token = format!("X-Upload-Token: {}", "1".repeat(32));
        // Without asking first: then there is one head in what curl shows.
        let upload = ["-T", file.to_str().unwrap(), "-H", &token, "-H", "Expect:"];
        let (status, header, _) = curl(&format!("{}{store}", origin.site.center_url()), &upload);
        assert_eq!(status, 200, "{header}");
        origin
    }

    fn sign(&self, access: AccessMethod, expires: u64, operation: SrlOperation) -> String {
        let (kind, version) = (SrlKind::Standard, SrlVersion::HmacSha256);
        let request = SrlRequest { kind, version, expires, access, customer: CustomerId(1), operation };
        request.sign(&self.secret).path(b"clip.mp4")
    }

    fn fetch_path(&self, expires: u64) -> String {
        let object = ObjectName::Content(Fingerprint::parse(&data::md5_hex(&self.bytes)).unwrap());
        self.sign(AccessMethod::EndUser, expires, SrlOperation::Fetch { object })
    }

    /// Asks the CDN: the status, whether it had to ask the center, and the body.
    fn ask(&self, path: &str, extra: &[&str]) -> (u16, String, Vec<u8>) {
        let (status, header, body) = curl(&format!("http://{}{path}", self.cdn.address), extra);
        let told = header.lines().find_map(|line| line.strip_prefix("X-Cache: ")).unwrap_or("-");
        (status, told.trim().to_owned(), body)
    }
}

#[allow(clippy::disallowed_methods, reason = "an SRL expires by the center's own clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// CDN-1, CDN-2, CDN-3: what a CDN fetched by an SRL it serves by itself, whole and in parts, also while the center is
/// away; the path is all of the key.
#[test]
fn a_cdn_serves_what_it_fetched_once_by_an_srl() {
    let mut origin = Origin::start();
    let path = origin.fetch_path(now() + 3_600);
    // CDN-1: the first that asks for a part makes the CDN fetch the whole.
    let (status, cache, part) = origin.ask(&path, &["--range", "1000000-2000000"]);
    assert_eq!((status, cache.as_str()), (206, "MISS"));
    assert!(part == origin.bytes[1_000_000..=2_000_000]);
    let (status, cache, whole) = origin.ask(&path, &[]);
    assert!(status == 200 && cache == "HIT" && whole == origin.bytes, "{status} {cache}");

    let etag = format!("If-None-Match: \"{}\"", data::md5_hex(&origin.bytes));
    assert_eq!(origin.ask(&path, &["-H", &etag]).0, 304);
    // A wrong SRL is refused through the CDN as well, and the refusal is not kept.
    let forged = path.replacen("/clip", "0/clip", 1);
    assert_eq!(origin.ask(&forged, &[]).0, 403);
    assert_eq!(origin.ask(&forged, &[]).1, "MISS");

    origin.site.center.stop();
    let (status, cache, whole) = origin.ask(&path, &[]);
    assert!(status == 200 && cache == "HIT" && whole == origin.bytes, "{status} {cache}");
    let (status, cache, part) = origin.ask(&path, &["--range", "-7"]);
    assert!(status == 206 && cache == "HIT" && part == origin.bytes[3_299_993..], "{status} {cache}");
}

/// CDN-2, SRL-15: a file of the customer's own naming is given as it is now, whatever was fetched through the CDN
/// before.
#[test]
fn a_cdn_gives_what_replaced_a_file_of_the_customers_naming() {
    let origin = Origin::start();
    let file = ClientFile::named(CustomerId(1), b"clip");
    let upload = origin.site.path().join("upload");
    let store = origin.sign(AccessMethod::EndUser, 0, SrlOperation::StoreClientFile { file, replace: true });
    let (kind, version) = (SrlKind::Cdn, SrlVersion::HmacSha256);
    let (access, operation, expires) = (AccessMethod::EndUser, SrlOperation::NoOp, now() + 3_600);
    let request = SrlRequest { kind, version, expires, access, customer: CustomerId(1), operation };
    let fetch = request.sign_cdn_fetch("clip", &origin.secret).path(b"clip.mp4");
    for contents in ["one", "two", "three"] {
        std::fs::write(&upload, contents).unwrap();
        let url = format!("{}{store}", origin.site.center_url());
        let (status, header, _) = curl(&url, &["-T", upload.to_str().unwrap(), "-H", "Expect:"]);
        assert_eq!(status, 201, "{header}");
        for _ in 0..2 {
            let (status, _, body) = origin.ask(&fetch, &[]);
            assert_eq!((status, body.as_slice()), (200, contents.as_bytes()));
        }
    }
}

/// CDN-2: a CDN gives nothing out by an SRL that has expired, though it has the bytes.
#[test]
fn a_cdn_keeps_nothing_longer_than_its_srl_lasts() {
    let origin = Origin::start();
    let expires = now() + 4;
    let path = origin.fetch_path(expires);
    assert_eq!(origin.ask(&path, &[]).1, "MISS");
    assert_eq!(origin.ask(&path, &[]).1, "HIT");
    poll::until("the SRL has expired", Duration::from_secs(30), || {
        // The center forgives so much of a difference between clocks, and a second may have begun.
        (now() > expires + SKEW_SECONDS).then_some(())
    });
    assert_eq!(origin.ask(&path, &[]).0, 403);
    // Another SRL of the same object is another URL.
    assert_eq!(origin.ask(&origin.fetch_path(expires + 3_600), &[]).1, "MISS");
}

/// CDN-2, SRL-10: what somebody has to be asked for, a CDN keeps for nobody. The customer's server is played by the
/// center's own health.
#[test]
fn a_cdn_keeps_nothing_that_a_callback_permitted() {
    let mut origin = Origin::start();
    let config = origin.site.center_config();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[dosm]\ncallback_networks = [\"127.0.0.0/8\"]\n")).unwrap();
    origin.site.center.stop();
    origin.site.center.restart();
    let object = ObjectName::Content(Fingerprint::parse(&data::md5_hex(&origin.bytes)).unwrap());
    let callback = format!("{}/health", origin.site.center_url());
    let fetch = SrlOperation::FetchAuth { object, callback };
    let path = origin.sign(AccessMethod::EndUser, now() + 3_600, fetch);
    let allow = |hosts: &[&str]| {
        let command = ["customer", "callback-hosts", "--id", "1", "--config", config.to_str().unwrap()];
        run_ok(binary("storage-center").to_str().unwrap(), &[&command[..], hosts].concat());
    };
    let host = origin.site.center_url().trim_start_matches("http://").to_owned();
    allow(&["--host", &host]);
    for _ in 0..2 {
        let (status, cache, whole) = origin.ask(&path, &[]);
        assert!(status == 200 && cache == "MISS" && whole == origin.bytes, "{status} {cache}");
    }
    allow(&[]);
    assert_eq!(origin.ask(&path, &[]).0, 403, "from now on it is denied");
}
