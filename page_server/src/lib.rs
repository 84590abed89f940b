//! A small HTTP/1.1 server for the few pages that a daemon shows of itself: one request a connection.
//!
//! Whoever asks may be anybody on a network, so everything has a bound: connections, the head and the body of a request,
//! and the time of each connection. What is at which path its user says; a [`Shelf`] keeps a page that is asked for often.
//! With its feature `pages` it has what status pages are made of as well: `page`.
//!
//! Depends on no other package of this repository.

pub mod amount;
#[cfg(feature = "pages")]
pub mod page;
mod shelf;
pub mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
pub use hyper::header;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
pub use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use self::shelf::Shelf;

/// Longest head of a request.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Most lines of it.
pub const HEADERS_MAX: usize = 32;
/// Longest time for it to come.
pub const HEAD_TIME: Duration = Duration::from_secs(5);
/// Between attempts to have the address.
const RETRY: Duration = Duration::from_secs(5);
/// After a connection that could not be taken, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(500);

/// What somebody asks for: his request, whole.
pub type Request = hyper::Request<Bytes>;
/// What he is answered.
pub type Response = hyper::Response<Full<Bytes>>;

/// How much of the daemon's time and memory all who ask may have.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; more wait to be taken.
    pub connections: usize,
    /// Longest body of a request; a longer one is answered 413.
    pub body_bytes: usize,
    /// Longest time for all of a connection: who is slower is gone.
    pub time: Duration,
}

/// Listens at `address` for what the log calls `what`; `key` is what says so in the configuration.
///
/// An address that cannot be had is told in the log and tried again: a daemon does its work all the same, and the address
/// may come later than the daemon.
pub async fn listen(address: SocketAddr, what: &str, key: &str) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!("{what} at {address}");
                return listener;
            }
            Err(error) if !is_told => {
                tracing::warn!("no {what} at {address}: {error} ({key}); it is tried again every {RETRY:?}");
                is_told = true;
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

/// Serves until the task is dropped, behind TLS if there is an acceptor: `answer` is told from which address a request
/// came.
pub async fn serve<A, F>(listener: TcpListener, tls: Option<TlsAcceptor>, bounds: Bounds, answer: A)
where
    A: Fn(SocketAddr, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let answer = Arc::new(answer);
    let connections = Arc::new(Semaphore::new(bounds.connections));
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok((stream, from)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let (tls, answer) = (tls.clone(), Arc::clone(&answer));
        let conversation = async move {
            match tls {
                Some(tls) => match timeout(HEAD_TIME, tls.accept(stream)).await {
                    Ok(Ok(stream)) => converse(stream, from, bounds, answer).await,
                    _ => Ok(()),
                },
                None => converse(stream, from, bounds, answer).await,
            }
        };
        tokio::spawn(async move {
            // Who is slower, or speaks something else, is gone.
            let _ = timeout(bounds.time, conversation).await;
            drop(permit);
        });
    }
}

async fn converse<S, A, F>(stream: S, from: SocketAddr, bounds: Bounds, answer: Arc<A>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(SocketAddr, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let answer = service_fn(move |request| {
        let answer = Arc::clone(&answer);
        async move {
            Ok::<_, Infallible>(match whole(request, bounds.body_bytes).await {
                Ok(request) => answer(from, request).await,
                Err(refused) => refused,
            })
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

/// A request with all of its body.
async fn whole(request: hyper::Request<Incoming>, bytes_max: usize) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(Request::from_parts(head, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(plain(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {bytes_max} bytes\n")))
        }
        Err(_) => Err(plain(StatusCode::BAD_REQUEST, "the request has no end\n")),
    }
}

/// An answer of one line or more of text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    response(status, "text/plain; charset=utf-8", text)
}

/// An answer.
pub fn response(status: StatusCode, media_type: &'static str, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The answer to another method than the path has: `allowed` is the one.
pub fn wrong_method(allowed: &'static str) -> Response {
    let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, format!("{allowed} alone\n"));
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;

    const BOUNDS: Bounds = Bounds { connections: 8, body_bytes: 16, time: Duration::from_secs(15) };

    async fn start() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, None, BOUNDS, |from, request| async move {
            assert!(from.ip().is_loopback());
            plain(StatusCode::OK, format!("{} {} {:?}", request.method(), request.uri(), request.body()))
        }));
        address
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Who is refused early may not have taken all of it.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        // A connection that is ended early may be reset.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_request_is_answered_and_the_connection_ends() {
        let address = start().await;
        let answer = ask(address, b"GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("GET /a?b b\"\""), "{answer}");
        let answer = ask(address, b"nonsense\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_has_a_bound() {
        let address = start().await;
        let long = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        let many = format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX));
        for request in [long, many] {
            let answer = ask(address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_body_has_a_bound() {
        let address = start().await;
        for (bytes, status) in [(16, "200"), (17, "413")] {
            let body = "x".repeat(bytes);
            let counted = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n{body}");
            let chunked = format!(
                "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n"
            );
            for request in [counted, chunked] {
                let answer = ask(address, request.as_bytes()).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            }
        }
    }

    /// Whoever connects and says nothing has his time, then the next one is served.
    #[tokio::test]
    async fn silent_callers_hold_up_nobody_for_long() {
        let address = start().await;
        let mut silent = Vec::new();
        for _ in 0..BOUNDS.connections {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        tokio::time::pause();
        let begun = Instant::now();
        let answer = ask(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(begun.elapsed() >= HEAD_TIME && begun.elapsed() <= BOUNDS.time, "{:?}", begun.elapsed());
    }
}
