//! FETCH_AUTH, from the client's request to the customer's server and back.

use std::time::Instant;

use super::*;
use crate::dosm::callback::server::Server;

/// A center in front of a customer's server that may be asked.
struct Asking {
    center: Center,
    server: Server,
    content: Content,
}

impl Asking {
    async fn start(networks: &[&str]) -> Self {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        let center = Center::start_with(None, networks, None).await;
        let server = Server::start(None).await;
        let content = center.store(20_000).await;
        let asking = Self { center, server, content };
        asking
            .allow(1, &format!("{} localhost:{}", asking.server.address, asking.server.address.port()))
            .await;
        asking
    }

    async fn allow(&self, customer: u32, hosts: &str) {
        let hosts = Some(hosts.to_string());
        self.center.vfs.set_callback_hosts(CustomerId(customer), hosts).await.unwrap();
    }

    /// What comes for an SRL with this callback.
    async fn fetch(&self, callback: &str, method: &str, fields: &str) -> Answered {
        let object = ObjectName::Content(self.content.fingerprint);
        let operation = SrlOperation::FetchAuth { object, callback: callback.to_string() };
        let path = self.center.sign(operation, host::now_seconds() + 1_000, "a/cat.jpg");
        let head = format!("{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        let (answer, was_handed) = self.center.exchange(&head).await;
        assert!(!was_handed, "it has to be asked");
        let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let (head, body) = answer.split_at(at + 4);
        let certificate = path.split('/').nth(2).unwrap().to_string();
        Answered { head: String::from_utf8(head.to_vec()).unwrap(), body: body.to_vec(), certificate }
    }

    async fn get(&self, callback: &str) -> Answered {
        self.fetch(callback, "GET", "").await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }
}

struct Answered {
    head: String,
    body: Vec<u8>,
    certificate: String,
}

impl Answered {
    fn status(&self) -> &str {
        &self.head[9..12]
    }

    #[track_caller]
    fn is_denied(&self, why: &str) {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status(), "403", "{why}: {}{body}", self.head);
        assert!(body.contains("not-permitted"), "{why}: {body}");
        assert!(self.head.contains("\r\ncache-control: no-store\r\n"), "{why}: {}", self.head);
    }
}

/// SRL-10, CDN-2: what the customer's server permits is served, in parts too, and kept by no cache.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_callback_permits_is_served() {
    let asking = Asking::start(&["127.0.0.0/8", "::1/128"]).await;
    let port = asking.server.address.port();
    for (number, status) in ["200", "204", "299"].into_iter().enumerate() {
        let query = format!("/{status}?who=7&back=%2Fa%00&x=a+b");
        let answer = asking.get(&asking.url(&query)).await;
        assert_eq!((answer.status(), answer.body.len()), ("200", 20_000), "{}", answer.head);
        assert!(answer.head.contains("\r\ncache-control: private, no-store\r\n"), "{}", answer.head);
        assert!(answer.head.contains("\r\ncontent-type: image/jpeg\r\n"), "{}", answer.head);
        let head = asking.server.heads()[number].clone();
        assert!(head.starts_with(&format!("GET {query} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{head}");
        assert!(head.contains("\r\nuser-agent: storage-center/"), "{head}");
        assert!(!head.contains(&answer.certificate), "{head}");
    }
    let by_name = format!("http://LocalHost:{port}/endless-body");
    let part = asking.fetch(&by_name, "GET", "Range: bytes=5-9\r\n").await;
    assert_eq!((part.status(), part.body.len()), ("206", 5), "{}", part.head);
    assert_eq!(asking.fetch(&asking.url("/200"), "HEAD", "").await.status(), "200");
    assert_eq!(asking.server.heads().len(), 5, "each request was asked");
    let is_known = format!("If-None-Match: \"{}\"\r\n", asking.content.fingerprint);
    asking.fetch(&asking.url("/403"), "GET", &is_known).await.is_denied("not even that it is the same");
    assert_eq!(asking.fetch(&asking.url("/200"), "PUT", "").await.status(), "405");
    assert_eq!(asking.server.heads().len(), 6, "what is no fetch is asked of nobody");
}

/// SRL-10: every other answer denies, and so does none.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_comes_denies() {
    let asking = Asking::start(&["127.0.0.0/8"]).await;
    for path in
        ["/403", "/401", "/404", "/500", "/503", "/304", "/moved", "/close", "/garbage", "/endless-head"]
    {
        let start = Instant::now();
        asking.get(&asking.url(path)).await.is_denied(path);
        assert!(start.elapsed() < Duration::from_secs(2), "{path}");
    }
    assert!(
        !asking.server.heads().iter().any(|head| head.starts_with("GET /200 ")),
        "no redirect is followed"
    );

    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    asking.allow(1, &format!("{nowhere} no-such-host.invalid")).await;
    asking.get(&format!("http://{nowhere}/200")).await.is_denied("nobody listens there");
    asking.get("http://no-such-host.invalid/200").await.is_denied("a name that is none");
}

/// SRL-10: two seconds for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_two_seconds_denies() {
    let asking = Asking::start(&["127.0.0.0/8"]).await;
    for path in ["/hang", "/drip", "/early"] {
        let start = Instant::now();
        asking.get(&asking.url(path)).await.is_denied(path);
        let took = start.elapsed();
        assert!((Duration::from_millis(1_900)..Duration::from_secs(6)).contains(&took), "{path}: {took:?}");
    }
    assert_eq!(asking.get(&asking.url("/200")).await.status(), "200");
}

/// SRL-10: only where the customer himself may have it asked; the list holds from the next request on.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_not_on_the_customers_list_are_not_asked() {
    let asking = Asking::start(&["127.0.0.0/8"]).await;
    let port = asking.server.address.port();
    for (customer, hosts) in [(1, "127.0.0.1"), (1, "localhost"), (1, "127.0.0.1:1"), (1, ""), (2, "all")] {
        asking.allow(1, "").await;
        let hosts = if hosts == "all" { format!("127.0.0.1:{port}") } else { hosts.to_string() };
        asking.allow(customer, &hosts).await;
        asking.get(&asking.url("/200")).await.is_denied(&format!("customer {customer}: {hosts}"));
    }
    for odd in [
        format!("http://u:p@127.0.0.1:{port}/200"),
        format!("http://127.0.0.1:{port}/200#x"),
        format!("http://127.0.0.1:{port}/200\r\nX: y"),
        format!("ftp://127.0.0.1:{port}/200"),
        format!("http://127.1:{port}/200"),
        format!("http://[::ffff:127.0.0.1]:{port}/200"),
        "x".to_string(),
    ] {
        asking.allow(1, &format!("127.0.0.1:{port}")).await;
        asking.get(&odd).await.is_denied(&odd);
    }
    assert_eq!(asking.server.connections(), 0);
    assert_eq!(asking.get(&asking.url("/200")).await.status(), "200");
}

/// SRL-10: an allowed name does not open this machine or its network, by whatever address.
#[tokio::test(flavor = "multi_thread")]
async fn inner_addresses_are_not_asked() {
    let asking = Asking::start(&["10.3.0.0/16"]).await;
    let port = asking.server.address.port();
    let hosts = ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0"];
    asking.allow(1, &hosts.map(|host| format!("{host}:{port}")).join(" ")).await;
    for host in hosts {
        let start = Instant::now();
        asking.get(&format!("http://{host}:{port}/200")).await.is_denied(host);
        assert!(start.elapsed() < Duration::from_secs(2), "{host}: it was not even tried");
    }
    assert_eq!(asking.server.connections(), 0);
}
