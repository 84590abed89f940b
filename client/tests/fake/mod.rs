//! A storage center that does what a test says, on the real wire.

#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use protocol::pair::Stamp;
use protocol::srl::{Secret, SignedSrl, SrlOperation, SrlRequest, check_control_ticket};
use protocol::vfs::Reply;
use protocol::vfs::xml::{decode_requests, encode_error, encode_replies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub const NOW: u64 = 1_800_000_000;

pub fn secret() -> Secret {
    Secret::new(b"0123456789abcdef".to_vec()).unwrap()
}

/// A request as it came, its signature checked.
pub struct Asked {
    /// Which one it is at this server, from 0.
    pub number: usize,
    pub method: Method,
    pub srl: SrlRequest,
    /// The requests of a VFS document.
    pub requests: Vec<protocol::vfs::Request>,
    /// Of a VFS document.
    pub stamp: Option<Stamp>,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

pub type Answer = Response<Full<Bytes>>;

pub struct Fake {
    pub url: String,
    log: Arc<Mutex<Vec<Arc<Asked>>>>,
}

impl Fake {
    /// Answers by `answer` until the test's runtime ends. `None` breaks the connection without an answer.
    pub async fn start(answer: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::start_slow(move |asked| std::future::ready(answer(&asked))).await
    }

    /// The same, each answer in its own time.
    pub async fn start_slow<A>(answer: impl Fn(Arc<Asked>) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Option<Answer>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (log.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (shared.clone(), answer.clone());
                let service = service_fn(move |request| respond(request, log.clone(), answer.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, log }
    }

    /// All that was asked so far.
    pub fn log(&self) -> Vec<Arc<Asked>> {
        self.log.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct BreakOff;

impl std::fmt::Display for BreakOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("breaking off")
    }
}

impl std::error::Error for BreakOff {}

async fn respond<A: Future<Output = Option<Answer>>>(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Arc<Asked>>>>,
    answer: Arc<impl Fn(Arc<Asked>) -> A>,
) -> Result<Answer, BreakOff> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| BreakOff)?.to_bytes();
    let path = head.uri.path();
    let (is_vfs, path) = path.strip_prefix("/vfs/v1").map_or((false, path), |path| (true, path));
    let (signed, _) = SignedSrl::parse(path).unwrap();
    let srl = signed.authenticate(&[secret()], NOW).unwrap();
    assert_eq!(is_vfs, matches!(srl.operation, SrlOperation::Control { .. }));
    let (mut requests, mut stamp) = (Vec::new(), None);
    if is_vfs {
        check_control_ticket(&srl, &[secret()], &body).unwrap();
        let document = decode_requests(&body).unwrap();
        (requests, stamp) = (document.requests, document.stamp);
    }
    let number = log.lock().unwrap().len();
    let asked =
        Arc::new(Asked { number, method: head.method, srl, requests, stamp, headers: head.headers, body });
    log.lock().unwrap().push(asked.clone());
    answer(asked).await.ok_or(BreakOff)
}

pub fn status(status: u16, body: impl Into<Bytes>) -> Option<Answer> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Some(response)
}

pub fn not_now() -> Option<Answer> {
    status(503, encode_error("unavailable", None, "starting"))
}

pub fn replies(replies: &[Reply]) -> Option<Answer> {
    status(200, encode_replies(replies))
}

/// An endpoint that nobody listens at.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An endpoint that takes connections and says nothing.
pub async fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    url
}

/// An endpoint that reads a request's head, answers, and reads no further.
pub async fn refusing_early(status: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 100];
            stream.read_exact(&mut head).await.unwrap();
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            held.push(stream);
        }
    });
    url
}
