//! Requests that another storage center should serve.

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::Traffic as TrafficConfig;
use crate::traffic::watch;

/// A center that knows another one, which is real as well.
struct Pair {
    here: Center,
    there: Center,
    _stop: DropGuard,
}

impl Pair {
    /// Clients of 9.0.0.0/8 are near to the other center, those of 8.0.0.0/8 to this one; who asked, a proxy on this
    /// machine tells.
    async fn start(divert_from: &str) -> Self {
        let there = Center::start(None).await;
        let text = format!(
            "here = \"here\"\n{divert_from}\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
             [[center]]\nname = \"here\"\nurl = \"http://here.example\"\nnetworks = [\"8.0.0.0/8\"]\n\
             [[center]]\nname = \"there\"\nurl = \"http://{}\"\nnetworks = [\"9.0.0.0/8\"]\n",
            there.address
        );
        let traffic = Traffic::new(&toml::from_str::<TrafficConfig>(&text).unwrap());
        let stop = CancellationToken::new();
        watch(&traffic, &Getter::new().unwrap(), &TaskTracker::new(), &stop);
        let here = Center::start_with(None, Vec::new(), Some(traffic)).await;
        Self { here, there, _stop: stop.drop_guard() }
    }

    /// What a client of this address is answered: status, `Location`, and whether it went the short way.
    async fn ask(&self, client: &str, method: &str, target: &str) -> (String, Option<String>, bool) {
        let head =
            format!("{method} {target} HTTP/1.1\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n");
        let (answer, was_handed) = self.here.exchange(&head).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_string);
        (answer[9..12].to_string(), location, was_handed)
    }

    /// Waits until such a request is answered by this status.
    async fn wait(&self, client: &str, target: &str, status: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(client, "GET", target).await.0 != status {
            assert!(Instant::now() < deadline, "never {status}");
        }
    }
}

/// SYS-13, GEO-10: the nearest center serves, for as long as it is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_to_the_center_nearest_to_its_client() {
    let pair = Pair::start("").await;
    let content = pair.here.store(20_000).await;
    let path = pair.here.path(content.fingerprint, 0, "a/cat.jpg");
    pair.wait("9.1.2.3", &path, "307").await;
    let there = format!("http://{}", pair.there.address);
    for _ in 0..2 {
        let sent = pair.ask("9.1.2.3", "GET", &path).await;
        assert_eq!(sent, ("307".to_string(), Some(format!("{there}{path}?diverted")), false));
        let near = pair.ask("8.1.2.3", "GET", &path).await;
        assert_eq!((near.0.as_str(), near.1), ("200", None));
    }
    assert!(pair.ask("8.1.2.3", "GET", &path).await.2, "the short way");
    assert_eq!(pair.ask("7.1.2.3", "GET", &path).await.0, "200", "near to none");
    assert_eq!(pair.ask("8.1.2.3, 9.1.2.3", "HEAD", &path).await.0, "307");
    let asked = pair.ask("9.1.2.3", "GET", &format!("{path}?a=b%20c")).await;
    assert_eq!(asked.1, Some(format!("{there}{path}?a=b%20c&diverted")));
    // It is sent on once at most, and the mark costs nothing.
    let marked = pair.ask("9.1.2.3", "GET", &format!("{path}?diverted")).await;
    assert_eq!(marked, ("200".to_string(), None, true));
    assert_eq!(pair.ask("9.1.2.3", "GET", &format!("{path}?a=b&diverted")).await.0, "200");
    let head = format!("GET {path} HTTP/1.1\r\nX-Forwarded-For: 9.1.2.3\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(pair.here.exchange(&head).await.0).unwrap();
    for field in ["cache-control: no-store", "access-control-allow-origin: *", "content-length: 0"] {
        assert!(answer.contains(&format!("\r\n{field}\r\n")), "{answer}");
    }

    pair.there.draining.cancel();
    pair.wait("9.1.2.3", &path, "200").await;
}

/// SYS-13: uploads go the same way as downloads; whatever else there is stays where it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn only_end_users_objects_are_sent_elsewhere() {
    let pair = Pair::start("").await;
    let content = pair.here.store(5).await;
    let object = || ObjectName::Content(content.fingerprint);
    let fetch = pair.here.path(content.fingerprint, 0, "x");
    pair.wait("9.1.2.3", &fetch, "307").await;
    let sign = |access, operation| {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires: 0,
            access,
            customer: CustomerId(1),
            operation,
        };
        format!("{}x", request.sign(&pair.here.secret).path(b""))
    };
    let (end_user, port) = (AccessMethod::EndUser, AccessMethod::StoragePort);
    let callback = "http://pay.example/".to_string();
    let store = || SrlOperation::Store { parent: ObjectId(1) };
    for (method, path, status) in [
        ("GET", sign(end_user, SrlOperation::FetchAuth { object: object(), callback }), "307"),
        ("PUT", sign(end_user, store()), "307"),
        ("POST", sign(end_user, store()), "307"),
        ("GET", sign(end_user, store()), "405"),
        ("PUT", fetch.clone(), "405"),
        ("OPTIONS", fetch.clone(), "204"),
        ("GET", sign(end_user, SrlOperation::NoOp), "204"),
        ("GET", sign(port, SrlOperation::Fetch { object: object() }), "200"),
        ("GET", sign(port, SrlOperation::FetchDigests { fingerprint: content.fingerprint }), "200"),
        (
            "DELETE",
            sign(port, SrlOperation::Delete { object: ObjectName::Content(content.fingerprint) }),
            "400",
        ),
        ("GET", fetch.replace("/x", "0/x"), "403"),
        ("GET", "/health".to_string(), "200"),
        ("GET", "/x".to_string(), "400"),
        ("POST", format!("/vfs/v1{}", sign(port, SrlOperation::Control { ticket: "x".to_string() })), "403"),
    ] {
        assert_eq!(pair.ask("9.1.2.3", method, &path).await.0, status, "{method} {path}");
    }
}

/// SYS-13, GEO-10: a center that has its hands full sends what is new to the next closest, and finishes what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_center_sends_new_requests_elsewhere() {
    let pair = Pair::start("divert_from = 2").await;
    let content = pair.here.store(24 << 20).await;
    let path = pair.here.path(content.fingerprint, 0, "x");
    let small = pair.here.path(pair.here.store(5).await.fingerprint, 0, "x");
    pair.wait("9.1.2.3", &small, "307").await;
    assert_eq!(pair.ask("8.1.2.3", "HEAD", &path).await.0, "200");
    // Two who read nothing, one of them the short way.
    let mut slow = Vec::new();
    for fields in ["", "Content-Length: 0\r\n"] {
        assert_eq!(pair.ask("8.1.2.3", "GET", &small).await.0, "200", "{} under way", slow.len());
        let mut stream = TcpStream::connect(pair.here.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nX-Forwarded-For: 8.1.2.3\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        slow.push(stream);
    }
    let location = format!("http://{}{small}?diverted", pair.there.address);
    assert_eq!(pair.ask("8.1.2.3", "GET", &small).await, ("307".to_string(), Some(location), false));
    assert_eq!(
        pair.ask("8.1.2.3", "GET", &format!("{small}?diverted")).await.0,
        "200",
        "sent on once at most"
    );
    let (health, _) = pair.here.exchange("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    let health = String::from_utf8(health).unwrap();
    assert!(health.starts_with("HTTP/1.1 200") && health.contains("\r\nx-load: 100\r\n"), "{health}");
    for stream in &mut slow {
        let mut left = vec![0; 24 << 20];
        stream.read_exact(&mut left).await.unwrap();
    }
    drop(slow);
    pair.wait("8.1.2.3", &small, "200").await;
}
