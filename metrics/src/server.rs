//! Serving a page: `GET /metrics` and nothing else, made anew twice a second at most however many ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use page_server::{
    Bounds, Bytes, Method, Request, Response, Shelf, StatusCode, plain, response, wrong_method,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::page;

const BOUNDS: Bounds = Bounds { connections: 8, body_bytes: 0, time: Duration::from_secs(15) };
/// Longest time to make a page. A Prometheus server gives up after ten seconds.
const PAGE_TIME: Duration = Duration::from_secs(5);
/// A page is given to all who ask within so long: however many ask, the daemon is asked this often at most.
pub const PAGE_LASTS: Duration = Duration::from_millis(500);

/// `[metrics]` of a daemon's configuration. Without the table nothing is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settings {
    /// The TCP address at which `GET /metrics` is answered, for whoever reaches it.
    pub listen: SocketAddr,
}

/// The keys of [`Settings`].
pub const KEYS: &[&str] = &["listen"];

/// Serves what `page` makes at `address` until the task is dropped; see [`page_server::listen`].
pub async fn serve<P>(address: SocketAddr, page: impl Fn() -> P + Send + Sync + 'static)
where
    P: Future<Output = Result<String, String>> + Send + 'static,
{
    let listener = page_server::listen(address, "metrics", "`listen` of [metrics]").await;
    serve_on(listener, page).await;
}

async fn serve_on<P>(listener: TcpListener, page: impl Fn() -> P + Send + Sync + 'static)
where
    P: Future<Output = Result<String, String>> + Send + 'static,
{
    let source = Arc::new((page, Shelf::new(PAGE_LASTS)));
    let answer = move |_, request: Request| {
        let source = Arc::clone(&source);
        async move {
            let (page, shelf) = &*source;
            answer(&request, page, shelf).await
        }
    };
    page_server::serve(listener, None, BOUNDS, answer).await;
}

async fn answer<P>(request: &Request, page: impl Fn() -> P, shelf: &Shelf<Bytes>) -> Response
where
    P: Future<Output = Result<String, String>>,
{
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "there is /metrics alone\n");
    }
    if request.method() != Method::GET {
        return wrong_method("GET");
    }
    let make = async { page().await.map(Bytes::from) };
    match timeout(PAGE_TIME, shelf.get(make)).await {
        Ok(Ok(page)) => response(StatusCode::OK, page::CONTENT_TYPE, page),
        Ok(Err(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon does not answer\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

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
    async fn a_daemon_that_does_not_answer_is_told() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_on(listener, std::future::pending));
        tokio::time::pause();
        let answer = ask(address, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("does not answer"), "{answer}");
    }
}
