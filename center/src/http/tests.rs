//! Connections from outside: both ways in one connection, whatever the client does.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Handler, Head, Limits, Payload, serve};
use crate::dosm::cache::Piece;
use crate::dosm::{Body, complete};

const FILE_BYTES: usize = 3 << 20;
/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a file at `/file`, by its parts as they are asked for in the target; answers everything else by what it was
/// asked.
struct Fake {
    file: Arc<File>,
    handed: AtomicU64,
    asked: AtomicU64,
}

struct Parts {
    file: Arc<File>,
    offset: u64,
    end: u64,
    /// Where the file cannot be sent from, and where it cannot be had at all.
    cold: u64,
    lost: u64,
}

impl Handler for Fake {
    type Payload = Parts;

    async fn answer(&self, request: Request<Incoming>, _: IpAddr) -> Response<Body> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/refuse" {
            return complete(StatusCode::FORBIDDEN, "text/plain", "refused");
        }
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        if parts.uri.path() == "/large" {
            return complete(StatusCode::OK, "text/plain", content());
        }
        let text = format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body));
        complete(StatusCode::OK, "text/plain", text)
    }

    fn at_hand(&self, head: &Head<'_>, _: IpAddr, output: &mut Vec<u8>) -> Option<Parts> {
        let mut numbers =
            head.target.strip_prefix("/file/")?.split('/').map(|number| number.parse().unwrap());
        let mut next = |default| numbers.next().unwrap_or(default);
        let (offset, end) = (next(0), next(FILE_BYTES as u64));
        let (cold, lost) = (next(u64::MAX), next(u64::MAX));
        self.handed.fetch_add(1, Ordering::Relaxed);
        let _ = write!(output, "{} 200 OK\r\ncontent-length: {}\r\n", head.version(), end - offset);
        Some(Parts { file: Arc::clone(&self.file), offset, end, cold, lost })
    }
}

impl Payload for Parts {
    fn left(&self) -> u64 {
        self.end - self.offset
    }

    fn append_rest(&mut self, output: &mut Vec<u8>) -> bool {
        if self.end > self.cold {
            return false;
        }
        output.extend_from_slice(&content()[self.offset as usize..self.end as usize]);
        self.offset = self.end;
        true
    }

    fn next_in_file(&mut self) -> Option<Piece> {
        let len = self.end.min(self.cold).checked_sub(self.offset).filter(|len| *len > 0)?;
        Some(Piece { file: Arc::clone(&self.file), offset: self.offset, len: len.min(1 << 20) })
    }

    fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    async fn next_in_memory(&mut self) -> Option<Bytes> {
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        let end = self.end.min(self.offset + 100_000).min(self.lost);
        let bytes = Bytes::from(content()).slice(self.offset as usize..end as usize);
        self.offset = end;
        (!bytes.is_empty()).then_some(bytes)
    }
}

fn content() -> Vec<u8> {
    (0..FILE_BYTES as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

struct Server {
    address: SocketAddr,
    fake: Arc<Fake>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(PATIENCE, PATIENCE).await
    }

    async fn start_with(head_timeout: Duration, stall_timeout: Duration) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content()).unwrap();
        let fake =
            Arc::new(Fake { file: Arc::new(file), handed: AtomicU64::new(0), asked: AtomicU64::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let limits = Limits { connections_max: 10, head_timeout, stall_timeout };
        let task = tokio::spawn(serve(listener, None, Arc::clone(&fake), limits, stop.clone()));
        Self { address, fake, task, stop: stop.drop_guard() }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Requests answered from the file, and by asking.
    fn ways(&self) -> (u64, u64) {
        (self.fake.handed.load(Ordering::Relaxed), self.fake.asked.load(Ordering::Relaxed))
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn get(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    }

    /// One answer: its head without the date, and its body.
    async fn receive(&mut self) -> (String, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, self.0.read_u8()).await.unwrap().unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (dates, lines): (Vec<_>, Vec<_>) = head.lines().partition(|line| line.starts_with("date: "));
        assert_eq!(dates.len(), 1, "{head}");
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut body)).await.unwrap().unwrap();
        (lines.join("\n"), body)
    }

    async fn receives(&mut self, expected: &[u8]) {
        let (head, body) = self.receive().await;
        assert!(head.contains(" 200 "), "{head}");
        assert!(body == expected, "{} bytes, {} expected", body.len(), expected.len());
    }

    /// All that comes until the server closes.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // Cut off is closed as well.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap();
        rest
    }
}

/// Pipelined requests are answered in their order, whichever way each goes.
#[tokio::test]
async fn pipelined_requests_of_both_kinds_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let requests = "GET /file/5/10 HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody\
        GET /file/0/100000 HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..3 {
        client.send(requests).await;
        client.receives(&content()[5..10]).await;
        client.receives(b"GET /a ").await;
        client.receives(b"PUT /b body").await;
        client.receives(&content()[..100_000]).await;
        let mut head = vec![0; "HTTP/1.1 200 OK\r\n".len()];
        client.0.read_exact(&mut head).await.unwrap();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.0.read_u8().await.unwrap());
        }
    }
    assert_eq!(server.ways(), (6, 9));
}

/// However a request is cut into packets, it is one request.
#[tokio::test]
async fn requests_may_come_in_any_pieces() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let body = "x".repeat(10_000);
    let request = format!(
        "GET /file/5/10 HTTP/1.1\r\n\r\nPUT /b HTTP/1.1\r\nContent-Length: 10000\r\n\r\n{body}GET /a HTTP/1.1\r\n\r\n"
    );
    for piece in [1, 7, 60, 1_000, 9_999] {
        for piece in request.as_bytes().chunks(piece) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        client.receives(&content()[5..10]).await;
        client.receives(format!("PUT /b {body}").as_bytes()).await;
        client.receives(b"GET /a ").await;
    }
}

/// A body nobody reads is never taken for a request.
#[tokio::test]
async fn an_unread_body_is_not_taken_for_a_request() {
    let server = Server::start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\n\r\n".repeat(5_000);
    for split in [0, 10, smuggled.len() / 2, smuggled.len()] {
        let mut client = server.connect().await;
        let head = format!("PUT /refuse HTTP/1.1\r\nContent-Length: {}\r\n\r\n", smuggled.len());
        client.send(head + &smuggled[..split]).await;
        assert!(client.receive().await.0.contains(" 403 "));
        // The server may have closed by now.
        let _ = client.0.write_all(&smuggled.as_bytes()[split..]).await;
        let _ = client.0.write_all(b"GET /after HTTP/1.1\r\nConnection: close\r\n\r\n").await;
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(!rest.contains("smuggled"), "{rest}");
        assert!(rest.is_empty() || rest.ends_with("GET /after "), "{rest}");
    }
}

/// Large answers are whole, whichever way, to whoever reads them slowly.
#[tokio::test]
async fn large_answers_come_whole() {
    let server = Server::start().await;
    let mut clients = Vec::new();
    for target in ["/file/0/3145728", "/large", "/file/1/3145728/5", "/file/7/3145728/2000000", "/file/1/9/5"]
    {
        let mut client = server.connect().await;
        client.get(target).await;
        client.get("/last").await;
        clients.push((target, client));
    }
    // Nobody reads before all were sent what their sockets take.
    for (target, mut client) in clients {
        let all = content();
        match target {
            "/large" | "/file/0/3145728" => client.receives(&all).await,
            "/file/1/3145728/5" => client.receives(&all[1..]).await,
            "/file/7/3145728/2000000" => client.receives(&all[7..]).await,
            _ => client.receives(&all[1..9]).await,
        }
        client.receives(b"GET /last ").await;
    }
    assert_eq!(server.ways(), (4, 6));
}

/// What is not even there at its beginning is hyper's to explain; what is lost later ends the connection.
#[tokio::test]
async fn what_cannot_be_had_is_asked_for_or_ends_the_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.get("/file/5/100/5/5").await;
    client.receives(b"GET /file/5/100/5/5 ").await;
    client.get("/file/5/100/50/50").await;
    let rest = client.rest().await;
    assert!(rest.ends_with(&content()[5..50]) && !rest.ends_with(&content()[5..51]));
}

/// HTTP/1.0, and what a client says about its connection.
#[tokio::test]
async fn connections_last_as_long_as_their_clients_want() {
    let server = Server::start().await;
    for (version, field, keeps, said) in [
        ("1.1", "", true, None),
        ("1.1", "Connection: close\r\n", false, Some("connection: close")),
        ("1.1", "Connection: Close, TE\r\n", false, None),
        ("1.0", "", false, None),
        ("1.0", "Connection: Keep-Alive\r\n", true, Some("connection: keep-alive")),
    ] {
        for target in ["/file/0/100", "/file/0/100000", "/a"] {
            let mut client = server.connect().await;
            client.send(format!("GET {target} HTTP/{version}\r\n{field}\r\n")).await;
            let (head, _) = client.receive().await;
            assert!(head.starts_with(&format!("HTTP/{version} 200 OK\n")), "{head}");
            let connection = head.lines().find(|line| line.starts_with("connection: "));
            if field != "Connection: Close, TE\r\n" {
                assert_eq!(connection, said, "{version} {field}");
            }
            let _ = client.0.write_all(b"GET /again HTTP/1.0\r\n\r\n").await;
            assert_eq!(client.rest().await.ends_with(b"GET /again "), keeps, "{version} {field} {target}");
        }
    }
}

/// Heads that are too large, or none, get an error or a closed connection; others are served on.
#[tokio::test]
async fn odd_heads_do_no_harm() {
    let server = Server::start().await;
    let long = format!("GET /file/0/5 HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET /file/0/5 HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    for odd in
        [long.as_bytes(), many.as_bytes(), b"\0\x01 nonsense\r\n\r\n", b"GET /x HTTP/9.9\r\n\r\n", b"GET /f"]
    {
        let mut client = server.connect().await;
        let _ = client.0.write_all(odd).await;
        let _ = client.0.shutdown().await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut client = server.connect().await;
    client.get("/file/0/5").await;
    client.receives(&content()[..5]).await;
}

/// A client that does not finish its head, or sends none, is let go in time.
#[tokio::test]
async fn silent_clients_are_let_go() {
    let server = Server::start_with(Duration::from_millis(100), PATIENCE).await;
    for beginning in ["", "GET /fi", "PUT /refuse HTTP/1.1\r\nContent-Length: 100\r\n\r\npart"] {
        let mut client = server.connect().await;
        client.send(beginning).await;
        client.rest().await;
    }
    // The time begins anew with each request.
    let mut client = server.connect().await;
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        for target in ["/file/0/5", "/a"] {
            client.get(target).await;
            client.receive().await;
        }
    }
    client.rest().await;
}

/// DOSM-14: a client that reads nothing of its answer is let go in time.
#[tokio::test]
async fn clients_that_do_not_read_are_let_go() {
    let server = Server::start_with(PATIENCE, Duration::from_millis(100)).await;
    for target in ["/file/0/3145728", "/large", "/file/0/3145728/1"] {
        let mut clients = Vec::new();
        // More than the sockets' buffers take.
        for _ in 0..3 {
            let mut client = server.connect().await;
            for _ in 0..20 {
                client.get(target).await;
            }
            clients.push(client);
        }
        for mut client in clients {
            // Where other tests have the processors, this one goes on byte by byte.
            let deadline = Instant::now() + 4 * PATIENCE;
            while client.0.write_all(b"G").await.is_ok() {
                assert!(Instant::now() < deadline);
                tokio::task::yield_now().await;
            }
        }
    }
}

/// When the server stops, answers under way are finished and idle connections closed.
#[tokio::test]
async fn the_server_stops_when_told_to() {
    let server = Server::start().await;
    let (mut idle, mut busy, mut asking) =
        (server.connect().await, server.connect().await, server.connect().await);
    idle.get("/file/0/5").await;
    idle.receives(&content()[..5]).await;
    // One request alone: what a client has sent for a second one, unread, would have the system cut off the first answer.
    busy.get("/file/0/3145728").await;
    let deadline = Instant::now() + PATIENCE;
    while server.ways().0 < 2 {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        asking.get("/large").await;
    }
    drop(server.stop);
    assert!(idle.rest().await.is_empty());
    busy.receives(&content()).await;
    drop((busy, asking));
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}
