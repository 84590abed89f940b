//! A customer's server on loopback, for tests: what it answers its paths say.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Ends with the test.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Server {
    /// On a port of its own, plain or under TLS.
    pub async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
        let (shared, stopped) = (Arc::clone(&seen), stop.clone());
        tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&shared));
                tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
                    seen.connections.fetch_add(1, Ordering::Relaxed);
                    match tls {
                        None => converse(stream, &seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, &seen).await;
                            }
                        }
                    }
                }));
            }
        }));
        Self { address, seen, _stop: stop.drop_guard() }
    }

    /// Connections it was asked for.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Heads of requests, in order.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// Most requests that waited for their answers at one time.
    pub fn most_at_once(&self) -> usize {
        self.seen.most_at_once.load(Ordering::Relaxed)
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, seen: &Seen) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_string();
    seen.heads.lock().unwrap().push(head);
    let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_at_once.fetch_max(at_once, Ordering::SeqCst);
    // Whoever asked may have gone.
    let _ = answer(&mut stream, &path).await;
    seen.at_once.fetch_sub(1, Ordering::SeqCst);
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, path: &str) -> std::io::Result<()> {
    let (what, _) = path.split_once('?').unwrap_or((path, ""));
    match what {
        "/close" => {}
        "/garbage" => stream.write_all(b"220 mail.example ESMTP\r\n").await?,
        "/moved" => {
            stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /200\r\nContent-Length: 0\r\n\r\n").await?
        }
        "/hang" => sleep(Duration::from_secs(60)).await,
        "/early" => {
            // What comes before an answer is none.
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await?;
            sleep(Duration::from_secs(60)).await;
        }
        "/drip" => {
            for byte in b"HTTP/1.1 200 OK\r\n".iter().chain(b"X: 1\r\n".iter().cycle()) {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                sleep(Duration::from_millis(50)).await;
            }
        }
        "/endless-head" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await?;
            loop {
                stream.write_all(&[b'x'; 1024]).await?;
            }
        }
        "/endless-body" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 1024]).await?;
            }
        }
        "/soon" => {
            sleep(Duration::from_millis(200)).await;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        status => {
            let head = format!("HTTP/1.1 {} So\r\nContent-Length: 2\r\n\r\nok", &status[1..]);
            stream.write_all(head.as_bytes()).await?;
        }
    }
    stream.shutdown().await
}
