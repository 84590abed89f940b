//! The storage center's HTTP interface, asked with curl.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, Fingerprint, ObjectHasher};
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::srl::{
    AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion, control_ticket,
};
use protocol::vfs::xml::{Stored, decode_error, decode_replies, decode_stored, encode_requests};
use protocol::vfs::{Answer, Body, Existing, Operation, Reply, Request, Target, Upload};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_storage-center");

/// A running storage center with two customers, ended when dropped.
struct Center {
    folder: TempDir,
    process: Child,
    address: SocketAddr,
    scheme: &'static str,
}

impl Center {
    fn start() -> Self {
        Self::start_with("", "http")
    }

    fn start_with(http_lines: &str, scheme: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(at("disk0")).unwrap();
        fs::create_dir(at("disk1")).unwrap();
        let http_lines = http_lines.replace("DIR", folder.path().to_str().unwrap());
        let config = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{http_lines}\n[vfs]\ndatabase = {:?}\n[isn]\ndisks = [{:?}, {:?}]\nreserve_bytes = 0\n",
            at("vfs.sqlite"),
            at("disk0"),
            at("disk1"),
        );
        fs::write(at("center.toml"), config).unwrap();
        if scheme == "https" {
            make_certificate(folder.path());
        }
        for customer in ["1", "2"] {
            let secret = at(&format!("secret{customer}"));
            let config = at("center.toml");
            let arguments =
                ["--config", &config, "--id", customer, "--name", customer, "--secret-out", &secret];
            let added = Command::new(PROGRAM).args(["customer", "add"]).args(arguments).output().unwrap();
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--config", &at("center.toml")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("ready http=").unwrap().parse().unwrap();
        Self { folder, process, address, scheme }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn secret(&self, customer: u32) -> Secret {
        let text = fs::read_to_string(self.path(&format!("secret{customer}"))).unwrap();
        Secret::new(text.trim().as_bytes().to_vec()).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    fn signed(&self, request: &SrlRequest, uri: &str) -> String {
        self.url(&request.sign(&self.secret(request.customer.0)).path(uri.as_bytes()))
    }

    fn port_url(&self, customer: u32, operation: SrlOperation) -> String {
        self.signed(&request(AccessMethod::StoragePort, customer, operation), "")
    }

    fn store(&self, customer: u32, bytes: &[u8], token: Token) -> Answered {
        let file = self.path("upload");
        fs::write(&file, bytes).unwrap();
        let url = self.port_url(customer, SrlOperation::Store { parent: ObjectId(0) });
        let header = format!("X-Upload-Token: {token}");
        curl(&["-T", file.to_str().unwrap(), "-H", &header, &url])
    }

    fn fetch_url(&self, customer: u32, fingerprint: Fingerprint, uri: &str) -> String {
        let operation = SrlOperation::Fetch { object: ObjectName::Content(fingerprint) };
        self.signed(&request(AccessMethod::EndUser, customer, operation), uri)
    }

    fn vfs(&self, customer: u32, operation: Operation) -> Reply {
        let document = encode_requests(&[Request { key: None, operation }], None);
        let ticket = control_ticket(SrlVersion::HmacSha256, &self.secret(customer), &document);
        let srl = request(AccessMethod::StoragePort, customer, SrlOperation::Control { ticket });
        let path = format!("/vfs/v1{}", srl.sign(&self.secret(customer)).path(b""));
        let file = self.path("document");
        fs::write(&file, document).unwrap();
        let answered = curl(&["--data-binary", &format!("@{}", file.display()), &self.url(&path)]);
        assert_eq!(answered.status, 200, "{}", answered.text());
        decode_replies(&answered.body).unwrap().remove(0)
    }

    fn root(&self, customer: u32) -> ObjectId {
        match self.vfs(customer, Operation::OpenRoot).unwrap().answer {
            Answer::Row(row) => row.id,
            other => panic!("{other:?}"),
        }
    }

    fn copies(&self, fingerprint: Fingerprint) -> usize {
        let hex = fingerprint.to_string();
        let file = |disk: &str| {
            self.path(disk).join("obj").join(&hex[..2]).join(&hex[2..4]).join(format!("{hex}.MD5"))
        };
        ["disk0", "disk1"].into_iter().filter(|disk| file(disk).exists()).count()
    }

    /// Waits until the disks hold that many references, one for each row.
    #[track_caller]
    fn holds_only(&self, references: u32) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let checked = self.check(&[]);
            let report = String::from_utf8_lossy(&checked.stdout).into_owned();
            let counted = report.contains(&format!("references on the disks  {references}\n"));
            if checked.status.success() && counted {
                return;
            }
            assert!(Instant::now() < deadline, "{report}");
        }
    }

    fn customer(&self, arguments: &[&str]) -> Output {
        let config = self.path("center.toml");
        let (command, options) = arguments.split_first().unwrap();
        let given = ["customer", command, "--config", config.to_str().unwrap()];
        Command::new(PROGRAM).args(given).args(options).output().unwrap()
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let config = self.path("center.toml");
        Command::new(PROGRAM).args(["check", "--config"]).arg(config).args(arguments).output().unwrap()
    }
}

impl Drop for Center {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn make_certificate(folder: &Path) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem";
    let made = Command::new("openssl")
        .args(arguments.split(' ').filter(|word| !word.is_empty()))
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn request(access: AccessMethod, customer: u32, operation: SrlOperation) -> SrlRequest {
    SrlRequest {
        kind: SrlKind::Standard,
        version: SrlVersion::HmacSha256,
        expires: 0,
        access,
        customer: CustomerId(customer),
        operation,
    }
}

/// What curl received last.
struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> String {
        let error = decode_error(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        assert_eq!((self.status, error.code.as_str()), (status, code), "{}", error.message);
        error.message
    }
}

fn curl(arguments: &[&str]) -> Answered {
    let output = Command::new("curl")
        .args(["-s", "-i", "--max-time", "30", "--noproxy", "*"])
        .args(arguments)
        .output()
        .unwrap();
    let mut rest = output.stdout.as_slice();
    loop {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("curl {arguments:?}: {:?}", output.status));
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest = &rest[end + 4..];
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status >= 200 {
            return Answered { status, head, body: rest.to_vec() };
        }
    }
}

fn object(length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = ObjectHasher::new();
    hasher.update(bytes);
    hasher.finish().0
}

fn token(number: u8) -> Token {
    Token([number; 16])
}

/// SRL-7, SRL-9, CDN-2: stored, then fetched whole, in ranges across blocks, by HEAD, and conditionally.
#[test]
fn objects_are_stored_and_fetched() {
    let center = Center::start();
    let bytes = object(2 * BLOCK_BYTES as usize + 100);
    let stored = center.store(1, &bytes, token(1));
    assert_eq!(stored.status, 200, "{}", stored.text());
    let stored = decode_stored(&stored.body).unwrap();
    assert_eq!((stored.content, stored.token, stored.file), (content_of(&bytes), token(1), None));
    assert_eq!(center.copies(stored.content.fingerprint), 2);

    let url = center.fetch_url(1, stored.content.fingerprint, "a photo.jpg");
    let whole = curl(&[&url]);
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert_eq!(whole.header("content-type").unwrap(), "image/jpeg");
    assert_eq!(whole.header("x-content-type-options").unwrap(), "nosniff");
    let etag = whole.header("etag").unwrap();
    assert_eq!(etag, format!("\"{}\"", stored.content.fingerprint));

    let block = BLOCK_BYTES as usize;
    for (range, from, to) in [
        ("0-0".to_string(), 0, 1),
        (format!("{}-{}", block - 1, block), block - 1, block + 1),
        (format!("{block}-"), block, bytes.len()),
        ("-100".to_string(), bytes.len() - 100, bytes.len()),
        (format!("1-{}", 2 * block + 1), 1, 2 * block + 2),
    ] {
        let part = curl(&["-r", &range, &url]);
        assert_eq!((part.status, part.body == bytes[from..to]), (206, true), "{range}");
        assert_eq!(part.header("content-range").unwrap(), format!("bytes {from}-{}/{}", to - 1, bytes.len()));
    }
    let outside = curl(&["-r", "99999999-", &url]);
    assert_eq!(outside.header("content-range").unwrap(), format!("bytes */{}", bytes.len()));
    outside.refused(416, "range");
    let head = curl(&["-I", &url]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length").unwrap(), bytes.len().to_string());
    assert_eq!(curl(&["-H", &format!("If-None-Match: {etag}"), &url]).status, 304);
    assert_eq!(curl(&[&center.port_url(1, SrlOperation::NoOp)]).status, 204);

    let fingerprint = stored.content.fingerprint;
    let digests = curl(&[&center.port_url(1, SrlOperation::FetchDigests { fingerprint })]);
    let digests = BlockDigests::from_bytes(&stored.content, &digests.body).unwrap();
    digests.verify(&stored.content, 1, &bytes[block..2 * block]).unwrap();
}

/// SYS-7: what customers did can be billed from the usage log, while the center runs.
#[test]
fn usage_is_summed_up_by_command() {
    let center = Center::start_with("[dosm]\nusage_log = \"DIR/usage.log\"\n", "http");
    let bytes = object(3_000);
    let stored = decode_stored(&center.store(1, &bytes, token(1)).body).unwrap();
    let fingerprint = stored.content.fingerprint;
    for range in ["0-2999", "0-99"] {
        assert_eq!(curl(&["-r", range, &center.fetch_url(1, fingerprint, "x")]).status, 206);
    }
    curl(&[&center.fetch_url(2, fingerprint, "x")]).refused(404, "not-found");
    let log = center.path("usage.log");
    let usage =
        |arguments: &[&str]| Command::new(PROGRAM).arg("usage").args(arguments).arg(&log).output().unwrap();
    let started = Instant::now();
    let sums = loop {
        let sums = usage(&[]);
        assert!(sums.status.success() && started.elapsed() < Duration::from_secs(10));
        let sums = String::from_utf8(sums.stdout).unwrap();
        if sums.lines().count() == 4 {
            break sums;
        }
        std::thread::yield_now();
    };
    let lines: Vec<&str> = sums.lines().map(|line| line.split_once(',').unwrap().1).collect();
    let head = "customer,operation,done,refused,bytes";
    assert_eq!(lines, [head, "1,fetch,2,0,3100", "1,store,1,0,3000", "2,fetch,0,1,0"], "{sums}");
    let second = String::from_utf8(usage(&["--customer", "2"]).stdout).unwrap();
    assert!(second.lines().count() == 2 && second.contains(",2,fetch,0,1,0"), "{second}");
    let past = String::from_utf8(usage(&["--until", "2020-02-29"]).stdout).unwrap();
    assert_eq!(past.lines().count(), 1, "{past}");
    assert_eq!(usage(&["--until", "2021-02-29"]).status.code(), Some(2), "there was no such day");
    assert_eq!(usage(&["nowhere"]).status.code(), Some(1));
}

/// SYS-12: a script of any page may fetch by SRL, in ranges, and store, and read why it was refused; the directory
/// service is no page's business.
#[test]
fn pages_of_any_site_may_use_srls() {
    let center = Center::start();
    let bytes = object(3_000);
    let stored = decode_stored(&center.store(1, &bytes, token(1)).body).unwrap();
    let url = center.fetch_url(1, stored.content.fingerprint, "clip.mp4");
    let from = ["-H", "Origin: https://site.example"];
    let may = |answer: &Answered| answer.header("access-control-allow-origin") == Some("*".to_owned());

    let asked =
        curl(&[&from[..], &["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT", &url]].concat());
    assert!(asked.status == 204 && may(&asked) && asked.body.is_empty(), "{}", asked.text());
    let allowed =
        |field: &str, word: &str| asked.header(field).unwrap().split(", ").any(|allowed| allowed == word);
    assert!(allowed("access-control-allow-methods", "PUT"));
    assert!(allowed("access-control-allow-headers", "range"));
    assert!(allowed("access-control-allow-headers", "x-upload-token"));

    // Twice: the second time it comes the short way.
    for _ in 0..2 {
        let part = curl(&[&from[..], &["-r", "1-2", &url]].concat());
        assert!(part.status == 206 && may(&part) && part.body == bytes[1..3], "{}", part.text());
        assert!(part.header("access-control-expose-headers").unwrap().contains("content-range"));
    }
    let foreign = curl(&[&from[..], &[&center.fetch_url(2, stored.content.fingerprint, "x")]].concat());
    assert!(foreign.status == 404 && may(&foreign));
    let store = request(AccessMethod::EndUser, 1, SrlOperation::Store { parent: center.root(1) });
    let made = curl(&[&from[..], &["-X", "PUT", "-d", "of a page", &center.signed(&store, "f")]].concat());
    assert!(made.status == 201 && may(&made), "{}", made.text());
    assert!(!may(&curl(&[&center.url("/health")])) && !may(&curl(&[&center.url("/vfs/v1/x/y/")])));
}

/// SRL-4, SRL-14, SRL-17, DOSM-1: who may not, gets an XML error with the right status.
#[test]
fn what_is_not_permitted_is_refused() {
    let center = Center::start();
    let stored = decode_stored(&center.store(1, b"mine", token(1)).body).unwrap();
    let fingerprint = stored.content.fingerprint;
    let url = center.fetch_url(1, fingerprint, "x");
    assert_eq!(curl(&[&url]).body, b"mine");

    // SRL-17: another customer, even with a certificate of his own.
    curl(&[&center.fetch_url(2, fingerprint, "x")]).refused(404, "not-found");
    // SRL-14: one text for a wrong certificate and for an unknown customer.
    let operation = SrlOperation::Fetch { object: ObjectName::Content(fingerprint) };
    let forge = |customer| {
        let srl = request(AccessMethod::EndUser, customer, operation.clone()).sign(&center.secret(2));
        curl(&[&center.url(&srl.path(b"x"))]).refused(403, "not-authentic")
    };
    assert_eq!(forge(1), forge(77));
    // SRL-4
    let expired =
        SrlRequest { expires: 1_000_000_000, ..request(AccessMethod::EndUser, 1, operation.clone()) };
    curl(&[&center.signed(&expired, "x")]).refused(403, "expired");
    // SRL-5: an end user has no DELETE, and no object without a row.
    let delete =
        request(AccessMethod::EndUser, 1, SrlOperation::Delete { object: ObjectName::Content(fingerprint) });
    curl(&["-X", "DELETE", &center.signed(&delete, "")]).refused(403, "not-allowed");
    let store = request(AccessMethod::EndUser, 1, SrlOperation::Store { parent: ObjectId(0) });
    curl(&["-X", "PUT", "-d", "x", &center.signed(&store, "x")]).refused(403, "not-allowed");
    // SRL-10: the customer has no host that may be asked, so nobody gets it.
    let object = ObjectName::Content(fingerprint);
    let asked = SrlOperation::FetchAuth { object, callback: "http://127.0.0.1/".to_string() };
    curl(&[&center.signed(&request(AccessMethod::EndUser, 1, asked), "x")]).refused(403, "not-permitted");

    curl(&[&center.url("/")]).refused(400, "malformed");
    curl(&[&center.url("/not/an-srl/x")]).refused(400, "malformed");
    let wrong = curl(&["-X", "PUT", &url]);
    assert_eq!(wrong.header("allow").unwrap(), "GET, HEAD");
    wrong.refused(405, "not-allowed");
}

/// ISN-7: what the sender announced must hold, or nothing is kept.
#[test]
fn announced_digests_are_checked() {
    let center = Center::start();
    let url = center.port_url(1, SrlOperation::Store { parent: ObjectId(0) });
    let (content, header) = (content_of(b"object"), format!("X-Upload-Token: {}", token(1)));
    let put = |extra: &str| curl(&["-X", "PUT", "-d", "object", "-H", &header, "-H", extra, &url]);
    put("Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==").refused(400, "digest-mismatch");
    put(&format!("X-Content-Blake3: {}", Content::EMPTY.digest)).refused(400, "digest-mismatch");
    put("Content-MD5: nonsense").refused(400, "malformed");
    assert_eq!(center.copies(content.fingerprint), 0);
    assert_eq!(put(&format!("X-Content-Blake3: {}", content.digest)).status, 200);
    assert_eq!(center.copies(content.fingerprint), 2);
    curl(&["-X", "PUT", "-d", "object", &url]).refused(400, "malformed");
}

/// SRL-11, REF-3: a repeated DELETE is answered as the first, and the object is gone for its owner.
#[test]
fn a_reference_is_given_up_once() {
    let center = Center::start();
    let stored = decode_stored(&center.store(1, b"mine", token(1)).body).unwrap();
    center.store(1, b"mine", token(2));
    let fingerprint = stored.content.fingerprint;
    let delete = |number: u8| {
        let header = format!("X-Upload-Token: {}", token(number));
        curl(&[
            "-X",
            "DELETE",
            "-H",
            &header,
            &center.port_url(1, SrlOperation::Delete { object: ObjectName::Content(fingerprint) }),
        ])
        .status
    };
    assert_eq!((delete(1), delete(1), delete(9)), (204, 204, 204));
    let url = center.fetch_url(1, fingerprint, "x");
    assert_eq!(curl(&[&url]).status, 200, "REF-1: one upload is left");
    assert_eq!(delete(2), 204);
    curl(&[&url]).refused(404, "not-found");
}

/// SRL-11, REF-1: DELETE of what a file holds leaves the file; it goes with its row.
#[test]
fn a_reference_that_a_file_holds_is_not_given_up() {
    let center = Center::start();
    let url = center
        .signed(&request(AccessMethod::EndUser, 1, SrlOperation::Store { parent: center.root(1) }), "f");
    let header = format!("X-Upload-Token: {}", token(1));
    let stored = curl(&["-X", "PUT", "-H", &header, "-d", "of a file", &url]);
    assert_eq!(stored.status, 201, "{}", stored.text());
    let fingerprint = decode_stored(&stored.body).unwrap().content.fingerprint;
    let delete = center.port_url(1, SrlOperation::Delete { object: ObjectName::Content(fingerprint) });
    assert_eq!(curl(&["-X", "DELETE", "-H", &header, &delete]).status, 204);
    assert_eq!(curl(&[&center.fetch_url(1, fingerprint, "f")]).body, b"of a file");
}

/// SRL-8, VFS-17, DOSM-17: an end user's upload becomes a file, by form and by PUT, once under each name.
#[test]
fn uploads_become_files() {
    let center = Center::start();
    let parent = center.root(1);
    let store = request(AccessMethod::EndUser, 1, SrlOperation::Store { parent });
    let file = center.path("cat.jpg");
    let bytes = object(700_000);
    fs::write(&file, &bytes).unwrap();
    let form = format!("file=@{}", file.display());
    let url = center.signed(&store, "");
    let posted = curl(&["-F", &form, &url]);
    assert_eq!(posted.status, 201, "{}", posted.text());
    let posted = decode_stored(&posted.body).unwrap();
    let open = Operation::Open { target: Target::Id(posted.file.unwrap()), srl_expires: Some(0) };
    let Answer::Row(row) = center.vfs(1, open).unwrap().answer else { panic!("no row") };
    assert_eq!(row.name.unwrap().as_bytes(), b"cat.jpg");
    assert_eq!(row.body, Body::File { content: content_of(&bytes) });
    assert!(curl(&[&center.url(&row.srl.unwrap())]).body == bytes, "the VFS's own SRL gives the file");

    // Fields in any order, an own token: repeated, it is the same file; another token finds the name taken.
    let named = |number: u8| {
        let (name, token) = ("name=d\u{f6}g.jpg", format!("token={}", token(number)));
        curl(&["-F", &form, "-F", name, "-F", &token, &url])
    };
    let first = named(5);
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(decode_stored(&named(5).body).unwrap(), decode_stored(&first.body).unwrap(), "SRL-18");
    named(6).refused(409, "exists");
    let put = curl(&["-T", file.to_str().unwrap(), &center.signed(&store, "album/owl.jpg")]);
    assert_eq!(put.status, 201, "{}", put.text());
    let gone = request(AccessMethod::EndUser, 1, SrlOperation::Store { parent: ObjectId(4_711) });
    curl(&["-T", file.to_str().unwrap(), &center.signed(&gone, "owl.jpg")]).refused(404, "not-found");
    curl(&["-F", "colour=red", &url]).refused(400, "malformed");
    curl(&["-F", "name=x", &url]).refused(400, "malformed");

    // REF-4: what was refused leaves no reference behind.
    center.holds_only(3);
}

/// DOSM-18: an end user is sent to the page that his customer registered, and to no other; a storage port, and the end
/// users of others, get the usual answer.
#[test]
fn an_end_user_is_sent_to_the_customers_page() {
    let center = Center::start();
    let file = center.path("cat.jpg");
    fs::write(&file, b"miaow").unwrap();
    let sent = |customer: u32, name: &str| {
        let parent = center.root(customer);
        let store = request(AccessMethod::EndUser, customer, SrlOperation::Store { parent });
        curl(&["-T", file.to_str().unwrap(), &center.signed(&store, name)])
    };
    assert_eq!(sent(1, "before.jpg").status, 201);

    let page = "https://site.example/done?lang=de";
    let registered = center.customer(&["upload-page", "--id", "1", "--url", page]);
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    let put = sent(1, "put.jpg");
    let made = decode_stored(&put.body).unwrap().file.unwrap();
    assert_eq!((put.status, put.header("location")), (303, Some(format!("{page}&file={}", made.0))));
    let store = request(AccessMethod::EndUser, 1, SrlOperation::Store { parent: center.root(1) });
    let posted = curl(&["-F", &format!("file=@{}", file.display()), &center.signed(&store, "")]);
    let made = decode_stored(&posted.body).unwrap().file.unwrap();
    assert_eq!((posted.status, posted.header("location")), (303, Some(format!("{page}&file={}", made.0))));
    assert_eq!(sent(2, "other.jpg").status, 201, "another customer's");
    let store = request(AccessMethod::StoragePort, 1, SrlOperation::Store { parent: center.root(1) });
    let port = curl(&["-T", file.to_str().unwrap(), &center.signed(&store, "port.jpg")]);
    assert_eq!((port.status, port.header("location")), (201, None));

    let long = format!("https://site.example/{}", "x".repeat(2_048 - 20));
    for wrong in
        ["/done", "ftp://site.example/", "https://site.example/#done", "https://site example/", &long]
    {
        let refused = center.customer(&["upload-page", "--id", "1", "--url", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
    let longest = &long[..2_048];
    assert!(center.customer(&["upload-page", "--id", "1", "--url", longest]).status.success());
    let location = sent(1, "long.jpg").header("location").unwrap();
    assert!(location.starts_with(&format!("{longest}?file=")), "{location}");
    assert!(!center.customer(&["upload-page", "--id", "9", "--url", page]).status.success());
    assert!(center.customer(&["upload-page", "--id", "1"]).status.success());
    assert_eq!(sent(1, "after.jpg").status, 201);
}

/// SRL-10: the operator says on which hosts a customer's callbacks may lie, while the center runs. The center itself
/// plays the customer's server: it says 200 of its health, and 400 of anything that is no SRL.
#[test]
fn a_callback_is_asked_on_the_hosts_of_the_list() {
    let center = Center::start_with("[dosm]\ncallback_networks = [\"127.0.0.0/8\", \"::1/128\"]\n", "http");
    let fingerprint = decode_stored(&center.store(1, b"miaow", token(1)).body).unwrap().content.fingerprint;
    let asked = |path: &str| {
        let (object, callback) = (ObjectName::Content(fingerprint), center.url(path));
        let fetch = SrlOperation::FetchAuth { object, callback };
        curl(&[&center.signed(&request(AccessMethod::EndUser, 1, fetch), "cat.jpg")])
    };
    asked("/health").refused(403, "not-permitted");
    let host = format!("LOCALHOST:{}", center.address.port());
    let allowed = center.customer(&["callback-hosts", "--id", "1", "--host", "pay.example", "--host", &host]);
    let told = String::from_utf8(allowed.stdout).unwrap();
    assert_eq!(told, format!("callbacks of customer 1 are asked on pay.example {}\n", host.to_lowercase()));
    let served = asked("/health");
    assert_eq!((served.status, served.body.as_slice()), (200, &b"miaow"[..]));
    assert_eq!(served.header("cache-control").unwrap(), "private, no-store", "CDN-2");
    asked("/x").refused(403, "not-permitted");
    for wrong in ["", "http://pay.example", "pay.example/x", "*", "pay.example:0", "a b", "u@pay.example"] {
        let refused = center.customer(&["callback-hosts", "--id", "1", "--host", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
    assert_eq!(asked("/health").status, 200, "nothing was changed by that");
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let many: Vec<&str> = [["--host", longest.as_str()]; 33].concat();
    let refused = center.customer(&[&["callback-hosts", "--id", "1"], many.as_slice()].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(!center.customer(&["callback-hosts", "--id", "9", "--host", "pay.example"]).status.success());
    assert!(center.customer(&["callback-hosts", "--id", "1"]).status.success());
    asked("/health").refused(403, "not-permitted");
}

/// REF-1, SRL-18: a token used again takes nothing from the file it made.
#[test]
fn a_refused_upload_leaves_the_reference_a_file_holds() {
    let center = Center::start();
    let parent = center.root(1);
    let file = center.path("again");
    let url =
        |name: &str| center.signed(&request(AccessMethod::EndUser, 1, SrlOperation::Store { parent }), name);
    let put = |bytes: &[u8], name: &str, number: u8| {
        fs::write(&file, bytes).unwrap();
        let header = format!("X-Upload-Token: {}", token(number));
        curl(&["-T", file.to_str().unwrap(), "-H", &header, &url(name)])
    };
    let cases = [(1, "cat.jpg", "cat.jpg", 409, "exists"), (2, "dog.jpg", "cow.jpg", 400, "invalid")];
    for (number, made, again, status, code) in cases {
        let bytes = object(5_000 + usize::from(number));
        let Stored { content, token, .. } =
            decode_stored(&center.store(1, &bytes, token(number)).body).unwrap();
        // The file is made without a key: the VFS remembers no answer under the token, as after ten minutes.
        let operation = Operation::CreateFile {
            parent,
            name: Name::new(made.as_bytes()).unwrap(),
            metadata: Vec::new(),
            upload: Some(Upload { content, token }),
            existing: Existing::Refuse,
        };
        center.vfs(1, operation).unwrap();
        put(&bytes, again, number).refused(status, code);
        assert!(curl(&[&center.fetch_url(1, content.fingerprint, "x")]).body == bytes);
    }

    assert_eq!(put(b"owl", "owl.jpg", 3).status, 201);
    put(b"another owl", "owl.jpg", 3).refused(400, "invalid");
    center.holds_only(3);
}

/// REF-4: `check` finds an upload without a row, by the running process and without it.
#[test]
fn check_compares_rows_and_references() {
    let mut center = Center::start();
    assert!(center.check(&[]).status.success());
    center.store(1, b"no row has it", token(1));
    for arguments in [&[][..], &["--repair"][..]] {
        let checked = center.check(arguments);
        assert!(!checked.status.success(), "too young to be given up");
        let report = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(report.contains("references without row   1, of which given up 0"), "{report}");
    }
    center.process.kill().unwrap();
    center.process.wait().unwrap();
    let report = String::from_utf8_lossy(&center.check(&[]).stdout).into_owned();
    assert!(report.contains("references without row   1"), "{report}");
}

/// SYS-6: the same under TLS.
#[test]
fn tls_is_spoken_where_a_certificate_is_configured() {
    let center = Center::start_with("certificate = \"DIR/certificate.pem\"\nkey = \"DIR/key.pem\"", "https");
    let certificate = center.path("certificate.pem");
    let health = curl(&["--cacert", certificate.to_str().unwrap(), &center.url("/health")]);
    assert_eq!((health.status, health.body.as_slice()), (200, &b"ok\n"[..]));
}

fn raw(center: &Center, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(center.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4_096];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// DOSM-14: nobody is invited to send a body before his SRL is found authentic.
#[test]
fn a_body_is_asked_for_only_after_authentication() {
    let center = Center::start();
    let ask = |url: &str| {
        let path = url.strip_prefix(&center.url("")).unwrap();
        let token = token(1);
        raw(&center, format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nX-Upload-Token: {token}\r\n\r\n").as_bytes())
    };
    let good = center.port_url(1, SrlOperation::Store { parent: ObjectId(0) });
    assert!(ask(&good).starts_with("HTTP/1.1 100"));
    let forged = request(AccessMethod::StoragePort, 1, SrlOperation::Store { parent: ObjectId(0) });
    let forged = center.url(&forged.sign(&center.secret(2)).path(b""));
    assert!(ask(&forged).starts_with("HTTP/1.1 403"), "{}", ask(&forged));
}

/// Malformed input ends in an error or a closed connection, and the next good request is answered.
#[test]
fn malformed_requests_do_no_harm() {
    let center = Center::start();
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    for bytes in [
        &b"\0\x01\x02\xff\xfe nonsense \r\n\r\n"[..],
        b"GET /vfs/v1/a/b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /vfs/v1/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"PUT /%ff%00/../.. HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        long.as_bytes(),
    ] {
        let answer = raw(&center, bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let huge = center.path("huge");
    fs::write(&huge, vec![b' '; (1 << 20) + 1]).unwrap();
    let srl = request(AccessMethod::StoragePort, 1, SrlOperation::Control { ticket: "0".repeat(64) });
    let url = center.url(&format!("/vfs/v1{}", srl.sign(&center.secret(1)).path(b"")));
    curl(&["--data-binary", &format!("@{}", huge.display()), &url]).refused(413, "malformed");
    curl(&["-d", "<x/>", &url]).refused(403, "not-authentic");
    assert_eq!(curl(&[&center.url("/health")]).status, 200);
}

/// Design decision 12: clients that ask for much and read nothing neither stop the others nor fill the memory.
#[test]
fn readers_that_do_not_read_hold_up_nobody() {
    let center = Center::start();
    let bytes = object(6 * BLOCK_BYTES as usize);
    let stored = decode_stored(&center.store(1, &bytes, token(1)).body).unwrap();
    let url = center.fetch_url(1, stored.content.fingerprint, "x");
    let path = url.strip_prefix(&center.url("")).unwrap();
    let stalled: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(center.address).unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..3 {
        let whole = curl(&["--max-time", "25", &url]);
        assert_eq!((whole.status, whole.body == bytes), (200, true));
    }
    assert_eq!(stalled.len(), 60);
}

/// ISN-11: SIGTERM ends the process in time, and everything is there when it is started again.
#[test]
fn it_stops_when_told_to() {
    let mut center = Center::start();
    let stored = decode_stored(&center.store(1, b"mine", token(1)).body).unwrap();
    Command::new("kill").arg(center.process.id().to_string()).status().unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while center.process.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "still running");
        std::thread::yield_now();
    }
    assert_eq!(center.copies(stored.content.fingerprint), 2);
}

/// SYS-10: told to stop, it says so to balancers and serves on for the time configured; told again, it stops at once.
#[test]
fn it_serves_while_balancers_notice_that_it_stops() {
    let mut center = Center::start_with("drain_seconds = 600", "http");
    let fingerprint = decode_stored(&center.store(1, b"miaow", token(1)).body).unwrap().content.fingerprint;
    let deadline = Instant::now() + Duration::from_secs(15);
    assert_eq!(curl(&[&center.url("/health")]).status, 200);
    Command::new("kill").arg(center.process.id().to_string()).status().unwrap();
    while curl(&[&center.url("/health")]).status != 503 {
        assert!(Instant::now() < deadline, "its health is good");
    }
    assert_eq!(curl(&[&center.fetch_url(1, fingerprint, "x")]).body, b"miaow");
    Command::new("kill").arg(center.process.id().to_string()).status().unwrap();
    while center.process.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "still running");
        std::thread::yield_now();
    }
}

/// `customer add` writes the secret for its owner's eyes alone, and never over another.
#[test]
fn secrets_are_private_and_not_overwritten() {
    let center = Center::start();
    let secret = center.path("secret1");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&secret).unwrap();
    let add = |name: &str, out: &Path| {
        let config = center.path("center.toml");
        let mut command = Command::new(PROGRAM);
        command.args(["customer", "add", "--config"]).arg(config);
        let added = command.args(["--name", name, "--secret-out"]).arg(out).output().unwrap();
        (added.status.success(), String::from_utf8(added.stderr).unwrap())
    };
    let (done, said) = add("third", &secret);
    assert!(!done && said.contains("exists") && said.lines().count() == 1, "{said}");
    assert_eq!(fs::read(&secret).unwrap(), before);
    // A customer that cannot be added leaves no secret.
    let fresh = center.path("secret3");
    let (done, said) = add("1", &fresh);
    assert!(!done && said.lines().count() == 1, "{said}");
    assert!(!fresh.exists());
    // Added while the center runs, it is served at once.
    let (done, said) = add("third", &fresh);
    assert!(done, "{said}");
    assert_eq!(curl(&[&center.port_url(3, SrlOperation::NoOp)]).status, 204);
}
