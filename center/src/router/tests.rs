//! The two ways of an answer, compared byte for byte.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::{Request, Response};
use hyper::body::Incoming;
use ipnetwork::IpNetwork;
use protocol::digest::{BLOCK_BYTES, Content, Fingerprint, ObjectHasher};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::metadata::UnixMetadata;
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use rand::RngCore;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

mod callback;
mod traffic;

use super::Router;
use crate::dosm::cache::{Cache, Settings as CacheSettings};
use crate::dosm::{Authenticator, Body, Callbacks, ObjectManager, Outgoing};
use crate::exposition::Exposition;
use crate::health::Health;
use crate::host;
use crate::http::{Handler, Head, Limits, serve};
use crate::isn::{Isn, Settings};
use crate::local::{LocalCluster, LocalDirectory};
use crate::objects::{Announced, Objects as _, Upload as _};
use crate::outbound::Getter;
use crate::traffic::{Counted, Traffic};
use crate::vfs::{DirectoryManager, Engine, MetaStore, NewCustomer, Quota};

const PATIENCE: Duration = Duration::from_secs(30);

/// A center in this process, which counts the requests answered the short way.
struct Center {
    _folder: TempDir,
    isn: Isn,
    vfs: MetaStore,
    cache: Cache<Isn>,
    secret: Secret,
    address: SocketAddr,
    handed: Arc<AtomicU64>,
    /// How often the page of metrics was made.
    shown: Arc<AtomicU64>,
    draining: CancellationToken,
    _stop: DropGuard,
}

struct Counting {
    router: Router<LocalDirectory<LocalCluster<Isn>>, Isn, LocalCluster<Isn>>,
    handed: Arc<AtomicU64>,
}

impl Handler for Counting {
    type Payload = Counted<Outgoing<Isn>>;

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        self.router.answer(request, peer).await
    }

    fn at_hand(&self, head: &Head<'_>, peer: IpAddr, output: &mut Vec<u8>) -> Option<Counted<Outgoing<Isn>>> {
        let payload = self.router.at_hand(head, peer, output)?;
        self.handed.fetch_add(1, Ordering::Relaxed);
        Some(payload)
    }
}

impl Center {
    async fn start(cache_bytes: Option<u64>) -> Self {
        Self::start_with(cache_bytes, Vec::new(), None).await
    }

    /// Callbacks may lie on these networks, and there are other centers.
    async fn start_with(
        cache_bytes: Option<u64>,
        callback_networks: Vec<IpNetwork>,
        traffic: Option<Traffic>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disks: Vec<_> = ["0", "1"].map(|disk| folder.path().join(disk)).into();
        disks.iter().for_each(|disk| std::fs::create_dir(disk).unwrap());
        let settings = Settings {
            cluster: "test".to_string(),
            node: 1,
            disks,
            reserve_bytes: 0,
            unlink_grace_seconds: 600,
            orphan_grace_seconds: 600,
        };
        let isn = Isn::open(settings, host::generator(), host::now_seconds()).await.unwrap();
        let vfs = MetaStore::open(Engine::Sqlite(folder.path().join("vfs.sqlite"))).await.unwrap();
        let secret = Secret::new(vec![7; 32]).unwrap();
        for (id, secret) in [(1, secret.clone()), (2, Secret::new(vec![8; 32]).unwrap())] {
            let customer = NewCustomer {
                id: Some(CustomerId(id)),
                name: id.to_string(),
                secret,
                quota: Quota { bytes: None, files: None },
                root_metadata: UnixMetadata::default_with_mode(0o755).encode(),
            };
            vfs.add_customer(customer, host::now()).await.unwrap();
        }
        let cache = match cache_bytes {
            None => Cache::without_files(isn.clone()),
            Some(bytes_max) => {
                let directory = folder.path().join("cache");
                Cache::open(CacheSettings { directory, bytes_max }, isn.clone()).await
            }
        };
        let cluster = Arc::new(LocalCluster::new(isn.clone(), Some(cache.clone())));
        let directories = Arc::new(DirectoryManager::new(vfs.clone(), cluster));
        let directory = Arc::new(LocalDirectory::new(vfs.clone(), Arc::clone(&directories)));
        let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory)));
        let callbacks = Callbacks::new(Arc::clone(&directory), callback_networks, Getter::new().unwrap());
        let objects = ObjectManager::new(
            isn.clone(),
            cache.clone(),
            directory,
            Arc::clone(&authenticator),
            callbacks,
            None,
        );
        let stop = CancellationToken::new();
        let handed = Arc::new(AtomicU64::new(0));
        let (draining, disks) = (CancellationToken::new(), isn.clone());
        let health = Health::new(draining.clone(), move || disks.gives_objects());
        let shown = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&shown);
        let metrics: Exposition = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { "shown".to_owned() })
        });
        let router = Router::new(
            Some(directories),
            Some(objects),
            authenticator,
            Some(metrics),
            health,
            traffic,
            stop.clone(),
        );
        let handler = Arc::new(Counting { router, handed: Arc::clone(&handed) });
        let limits = Limits { connections_max: 10, head_timeout: PATIENCE, stall_timeout: PATIENCE };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, None, handler, limits, stop.clone()));
        Self {
            _folder: folder,
            isn,
            vfs,
            cache,
            secret,
            address,
            handed,
            shown,
            draining,
            _stop: stop.drop_guard(),
        }
    }

    async fn store(&self, len: usize) -> Content {
        let mut bytes = vec![0; len];
        host::generator().fill_bytes(&mut bytes);
        let mut hasher = ObjectHasher::new();
        hasher.update(&bytes);
        let (content, _) = hasher.finish();
        let incoming = self
            .isn
            .receive(len as u64, host::now_seconds())
            .await
            .unwrap()
            .write(bytes.into())
            .await
            .unwrap();
        let token = Token([1; 16]);
        incoming.finish(Announced::default(), CustomerId(1), token, host::now_seconds()).await.unwrap();
        content
    }

    fn path(&self, fingerprint: Fingerprint, expires: u64, uri: &str) -> String {
        self.sign(SrlOperation::Fetch { object: ObjectName::Content(fingerprint) }, expires, uri)
    }

    fn sign(&self, operation: SrlOperation, expires: u64, uri: &str) -> String {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires,
            access: AccessMethod::EndUser,
            customer: CustomerId(1),
            operation,
        };
        let path = request.sign(&self.secret).path(b"");
        format!("{path}{uri}")
    }

    /// What comes for a request and the one after it on the same connection, without the dates; and whether the first
    /// went the short way.
    async fn exchange(&self, request: &str) -> (Vec<u8>, bool) {
        let before = self.handed.load(Ordering::Relaxed);
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // A client that asks to close, or speaks HTTP/1.0, gets no second answer; and what it sent for one, unread, would
        // have the system cut off the first.
        let asked = request.to_lowercase();
        let is_last = asked.contains("connection: close")
            || (asked.contains(" http/1.0\r\n") && !asked.contains("keep-alive"));
        if !is_last {
            stream.write_all(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
        }
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // Cut off behind the answer, with something unread, is closed as well.
        let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
        while let Some(at) = answer.windows(8).position(|bytes| bytes == b"\r\ndate: ") {
            answer.drain(at..at + 2 + "date: Sun, 06 Nov 1994 08:49:37 GMT".len());
        }
        (answer, self.handed.load(Ordering::Relaxed) > before)
    }
}

/// However many ask for the metrics, at the address that the world fetches objects from, it costs the disks no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_is_made_twice_a_second_at_most() {
    let center = Center::start(None).await;
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        let asked = (0..8).map(|_| center.exchange("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"));
        for (answer, _) in futures::future::join_all(asked).await {
            assert!(answer.ends_with(b"shown"), "{}", String::from_utf8_lossy(&answer));
        }
    }
    let most = 1 + begun.elapsed().as_millis() as u64 / 500;
    assert!(center.shown.load(Ordering::Relaxed) <= most);
}

/// DOSM-2, CDN-2: an answer is the same whichever way it goes, for every kind of request.
#[tokio::test(flavor = "multi_thread")]
async fn both_ways_give_the_same_answers() {
    for cache_bytes in [None, Some(100 << 20)] {
        let center = Center::start(cache_bytes).await;
        let mut compared = 0;
        for len in [0, 5, 20_000, BLOCK_BYTES as usize, 3 * BLOCK_BYTES as usize + 17] {
            let content = center.store(len).await;
            let tag = format!("\"{}\"", content.fingerprint);
            let warm = center.path(content.fingerprint, 0, "x");
            let (first, was_handed) = center.exchange(&format!("GET {warm} HTTP/1.1\r\n\r\n")).await;
            assert!(first.starts_with(b"HTTP/1.1 200 OK\r\n") && !was_handed);
            for fields in [
                String::new(),
                "Range: bytes=0-0\r\n".to_string(),
                "range: bytes=3-\r\n".to_string(),
                "Range: bytes=-7\r\n".to_string(),
                format!("Range: bytes={}-{}\r\n", BLOCK_BYTES - 1, BLOCK_BYTES),
                "Range: bytes=9999999999-\r\n".to_string(),
                "Range: bytes=0-1,3-4\r\n".to_string(),
                "Range: bytes=0-0\r\nRange: bytes=1-1\r\n".to_string(),
                "Range: bytes=0-\u{e9}\r\n".to_string(),
                format!("If-None-Match: {tag}\r\n"),
                format!("IF-NONE-MATCH: \"x\",W/{tag}\r\n"),
                "If-None-Match: \"x\"\r\n".to_string(),
                format!("If-Match: \"x\"\r\nIf-Match: {tag}\r\n"),
                "If-Match: \"x\"\r\n".to_string(),
                format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n"),
                "Range: bytes=1-2\r\nIf-Range: \"x\"\r\n".to_string(),
                "Accept-Encoding: gzip\r\nCookie: a=b\r\nX:\r\n".to_string(),
                "Connection: close\r\n".to_string(),
                "Connection: Keep-Alive\r\n".to_string(),
            ] {
                for (method, version) in
                    [("GET", "1.1"), ("HEAD", "1.1"), ("GET", "1.0"), ("HEAD", "1.0"), ("POST", "1.1")]
                {
                    let path = center.path(content.fingerprint, host::now_seconds() + 1_500_000, "a/cat.jpg");
                    let head = format!("{method} {path} HTTP/{version}\r\nHost: x\r\n{fields}");
                    let mut tries = 0;
                    let (short, was_handed) = loop {
                        // Every five seconds the secrets are asked for anew, on the long way.
                        let (answer, was_handed) = center.exchange(&format!("{head}\r\n")).await;
                        tries += 1;
                        if was_handed || tries == 3 {
                            break (answer, was_handed);
                        }
                    };
                    // A length makes it hyper's, and changes nothing else.
                    let (long, was_handed_too) =
                        center.exchange(&format!("{head}Content-Length: 0\r\n\r\n")).await;
                    assert!(!was_handed_too);
                    let told = |answer: &[u8]| {
                        let head =
                            answer.split(|byte| *byte == b'\n').take(12).collect::<Vec<_>>().join(&b'\n');
                        String::from_utf8_lossy(&head[..head.len().min(600)]).into_owned()
                    };
                    // A second may pass between the two.
                    let (short, long) = (without_age(short), without_age(long));
                    assert!(short == long, "{len} {head}\n{}\n{}", told(&short), told(&long));
                    let status = str::from_utf8(&short[9..12]).unwrap();
                    let is_short = len > 0 && ["200", "206", "304"].contains(&status);
                    assert_eq!(was_handed, is_short, "{len} {head}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 5 * 19 * 5);
    }
}

/// `max-age` counts the seconds an SRL has left.
fn without_age(mut answer: Vec<u8>) -> Vec<u8> {
    if let Some(at) = answer.windows(8).position(|bytes| bytes == b"max-age=") {
        answer.drain(at + 8..at + 8 + "1500000".len());
    }
    answer
}

/// SRL-1, SRL-14, SRL-17: what is refused, or asked for in an unusual way, is refused the same way behind either.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_odd_is_left_to_the_long_way() {
    let center = Center::start(None).await;
    let content = center.store(5_000).await;
    let good = center.path(content.fingerprint, 0, "x");
    center.exchange(&format!("GET {good} HTTP/1.1\r\n\r\n")).await;
    assert!(center.exchange(&format!("GET {good} HTTP/1.1\r\n\r\n")).await.1);
    let get = |path: String| {
        let center = &center;
        async move {
            let (answer, was_handed) = center.exchange(&format!("GET {path} HTTP/1.1\r\n\r\n")).await;
            assert!(!was_handed, "{path}");
            str::from_utf8(&answer[9..12]).unwrap().to_string()
        }
    };
    assert_eq!(get(center.path(Fingerprint([9; 16]), 0, "x")).await, "404");
    assert_eq!(get(center.path(content.fingerprint, 1_000_000_000, "x")).await, "403");
    assert_eq!(get(good.replace("/x", "0/x")).await, "403");
    assert_eq!(get(format!("{good}?a=b")).await, "200");
    assert_eq!(get(format!("http://center{good}")).await, "200");
    assert_eq!(get(format!("{good}\u{7f}")).await, "400");
    assert_eq!(get("/health".to_string()).await, "200");

    // DOSM-19: given up, it is refused at once by either.
    let (fingerprint, customer, token) = (content.fingerprint, CustomerId(1), Token([1; 16]));
    let reference = Reference { fingerprint, customer, token };
    center.isn.give_up(reference, host::now_seconds()).await.unwrap();
    center.cache.forget(content.fingerprint);
    assert_eq!(get(good).await, "404");
}

/// SYS-10: a balancer is told of the end before it comes, and what it sends meanwhile is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_center_that_is_about_to_stop_says_so_and_serves() {
    let center = Center::start(None).await;
    let content = center.store(5_000).await;
    let path = center.path(content.fingerprint, 0, "x");
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
        let center = &center;
        async move { String::from_utf8_lossy(&center.exchange(&request).await.0).into_owned() }
    };
    let health = get("/health").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok\n"), "{health}");
    center.draining.cancel();
    let health = get("/health").await;
    assert!(health.starts_with("HTTP/1.1 503") && health.ends_with("\r\n\r\nstopping\n"), "{health}");
    assert!(health.contains("\r\ncache-control: no-store\r\n"), "{health}");
    assert!(get(&path).await.starts_with("HTTP/1.1 200"));
}
