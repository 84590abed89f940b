//! Serving a page: HTTP/1.1, `GET /metrics` and nothing else, one request a connection.
//!
//! Whoever asks may be anybody on a network, so everything has a bound: connections, the head of a request, the time of
//! each connection, and how often the page is made anew.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::page;

/// Connections at once; more wait to be taken.
const CONNECTIONS_MAX: usize = 8;
/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 32;
/// Longest time for it to come.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Longest time for all of a connection.
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// Longest time to make a page. A Prometheus server gives up after ten seconds.
const PAGE_TIME: Duration = Duration::from_secs(5);
/// A page is given to all who ask within so long: however many ask, the daemon is asked this often at most.
const PAGE_LASTS: Duration = Duration::from_millis(500);
/// Between attempts to have the address.
const RETRY: Duration = Duration::from_secs(5);

/// `[metrics]` of a daemon's configuration. Without the table nothing is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settings {
    /// The TCP address at which `GET /metrics` is answered, for whoever reaches it.
    pub listen: SocketAddr,
}

/// The keys of [`Settings`].
pub const KEYS: &[&str] = &["listen"];

/// Serves what `page` makes at `address` until the task is dropped.
///
/// An address that cannot be had is told in the log and tried again: a daemon does its work all the same, and the address
/// may come later than the daemon.
pub async fn serve<P>(address: SocketAddr, page: impl Fn() -> P + Send + Sync + 'static)
where
    P: Future<Output = Result<String, String>> + Send + 'static,
{
    serve_on(listen(address).await, page).await;
}

async fn listen(address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!("metrics are served at http://{address}/metrics");
                return listener;
            }
            Err(error) if !is_told => {
                tracing::warn!(
                    "metrics cannot be served at {address}: {error} (`listen` of [metrics]); it is tried again every \
                     {RETRY:?}"
                );
                is_told = true;
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

async fn serve_on<P>(listener: TcpListener, page: impl Fn() -> P + Send + Sync + 'static)
where
    P: Future<Output = Result<String, String>> + Send + 'static,
{
    let shelf = Arc::new(Shelf { make: page, made: Mutex::new(None) });
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for one.
            sleep(PAGE_LASTS).await;
            continue;
        };
        let shelf = Arc::clone(&shelf);
        tokio::spawn(async move {
            // Who is slower, or speaks something else, is gone.
            let _ = timeout(CONNECTION_TIME, converse(stream, shelf)).await;
            drop(permit);
        });
    }
}

async fn converse<M, P>(stream: TcpStream, shelf: Arc<Shelf<M>>) -> hyper::Result<()>
where
    M: Fn() -> P + Send + Sync + 'static,
    P: Future<Output = Result<String, String>> + Send + 'static,
{
    let answer = service_fn(move |request| {
        let shelf = Arc::clone(&shelf);
        async move { Ok::<_, Infallible>(shelf.answer(&request).await) }
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

/// The page, and who makes it.
struct Shelf<M> {
    make: M,
    made: Mutex<Option<(Instant, Bytes)>>,
}

impl<M, P> Shelf<M>
where
    M: Fn() -> P,
    P: Future<Output = Result<String, String>>,
{
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "there is /metrics alone\n");
        }
        if request.method() != Method::GET {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET alone\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return refused;
        }
        match timeout(PAGE_TIME, self.page()).await {
            Ok(Ok(page)) => response(StatusCode::OK, page::CONTENT_TYPE, page),
            Ok(Err(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon does not answer\n"),
        }
    }

    async fn page(&self) -> Result<Bytes, String> {
        let mut made = self.made.lock().await;
        if let Some((at, page)) = &*made
            && at.elapsed() < PAGE_LASTS
        {
            return Ok(page.clone());
        }
        let page = Bytes::from((self.make)().await?);
        *made = Some((Instant::now(), page.clone()));
        Ok(page)
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text)
}

fn response(status: StatusCode, media_type: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start() -> (SocketAddr, Arc<AtomicU32>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, made) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&made);
        tokio::spawn(serve_on(listener, move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(format!("made {number}\n")) }
        }));
        (address, made)
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A connection that is ended early may be reset.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn the_page_alone_is_served_and_the_connection_ends() {
        let (address, made) = start().await;
        let page = ask(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nmade 0\n"), "{page}");
        assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{page}");
        let again = ask(address, b"GET /metrics?again HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(again.ends_with("made 0\n"), "{again}");
        assert_eq!(made.load(Ordering::Relaxed), 1, "both had the same one");
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], "404"),
            (b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", "405"),
            (b"nonsense\r\n\r\n", "400"),
        ] {
            let answer = ask(address, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_head_has_a_bound() {
        let (address, _) = start().await;
        let long = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        let many = format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX));
        for request in [long, many] {
            let answer = ask(address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }

    /// Whoever connects and says nothing has his time, then the next one is served.
    #[tokio::test]
    async fn silent_callers_hold_up_nobody_for_long() {
        let (address, _) = start().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        tokio::time::pause();
        let begun = Instant::now();
        let page = ask(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(page.ends_with("made 0\n"), "{page}");
        assert!(begun.elapsed() >= HEAD_TIME && begun.elapsed() <= CONNECTION_TIME, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_told() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_on(listener, std::future::pending));
        tokio::time::pause();
        let answer = ask(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("does not answer"), "{answer}");
    }
}
