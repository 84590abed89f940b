//! The asking side of DOSP: requests to other processes, over a pool of sessions for each address (DOSP-1, DOSP-2).
//!
//! A session carries one request at a time. One that fails in the middle of anything is dropped, and so is one whose
//! caller gives up. All requests may be repeated: when a session from the pool turns out to be dead, the request goes
//! over a new one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::dosp::{
    Failure, Malformed, Message, Operation, REPLY_BYTES_MAX, Streamed, decode_reply, encode_request,
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::centers::{CenterNumber, Centers, HERE};
use super::session::{Credentials, Session, SessionError};

/// Sessions kept for one address while nobody uses them; more are closed.
const IDLE_MAX: usize = 16;
/// Addresses with sessions kept.
const PEERS_MAX: usize = 1_024;
/// Longest time to connect and to show the key: a process that is there does it in a millisecond.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// The least that a process of another center has for anything, to connect included: four round trips of 100 ms, and a
/// first packet that is lost is sent again after a second.
const ELSEWHERE_MIN: Duration = Duration::from_secs(3);

/// Why a request has no result.
#[derive(Debug, Error)]
pub enum AskError {
    /// The peer answered, and said no.
    #[error("{0}")]
    Said(#[from] Failure),
    /// No answer: the peer may be dead.
    #[error("{0}")]
    Broken(#[from] SessionError),
}

impl From<Malformed> for AskError {
    fn from(error: Malformed) -> Self {
        Self::Broken(error.into())
    }
}

/// Sessions to other processes. Clones share them.
#[derive(Clone)]
pub struct Links {
    pool: Arc<Pool>,
}

struct Pool {
    credentials: Credentials,
    idle: Mutex<HashMap<SocketAddr, Vec<Session>>>,
}

impl Links {
    /// No session yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { pool: Arc::new(Pool { credentials, idle: Mutex::default() }) }
    }

    /// Asks, and waits up to `patience` for the answer.
    pub async fn ask<O: Operation>(
        &self,
        peer: SocketAddr,
        input: &O::In,
        patience: Duration,
    ) -> Result<O::Out, AskError> {
        let until = Instant::now() + self.patience(peer, patience);
        let (link, out) = self.begin::<O, O::Out>(peer, input, until).await?;
        link.put_back();
        Ok(out)
    }

    /// Asks for bytes; waits up to `patience` for the head.
    pub async fn open<O: Streamed>(
        &self,
        peer: SocketAddr,
        input: &O::In,
        patience: Duration,
    ) -> Result<(O::Head, Stream), AskError> {
        let until = Instant::now() + self.patience(peer, patience);
        let (link, head) = self.begin::<O, O::Head>(peer, input, until).await?;
        let left = O::length(&head);
        Ok((head, Stream { link, left }))
    }

    /// Sends a request whose data follows, and gives the link to send it by.
    pub async fn send<O: Operation>(
        &self,
        peer: SocketAddr,
        input: &O::In,
        patience: Duration,
    ) -> Result<Link, AskError> {
        let until = Instant::now() + self.patience(peer, patience);
        let mut link = self.link(peer, until).await?;
        link.request::<O>(input, until).await?;
        Ok(link)
    }

    /// In which center a process is.
    pub fn center_of(&self, peer: SocketAddr) -> CenterNumber {
        self.pool.center_of(peer)
    }

    /// The centers, if there are several.
    pub fn centers(&self) -> Option<&Centers> {
        self.pool.credentials.centers()
    }

    fn patience(&self, peer: SocketAddr, patience: Duration) -> Duration {
        self.pool.patience(peer, patience)
    }

    /// Closes what is open to a peer that has been started anew or is gone.
    pub fn forget(&self, peer: SocketAddr) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }

    async fn begin<O: Operation, M: Message>(
        &self,
        peer: SocketAddr,
        input: &O::In,
        until: Instant,
    ) -> Result<(Link, M), AskError> {
        loop {
            let mut link = self.link(peer, until).await?;
            let asked = match link.request::<O>(input, until).await {
                Ok(()) => link.reply(until).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(out) => return Ok((link, out)),
                // It was idle, and the peer had ended it; no process of the pool's is tried twice, for it is dropped.
                Err(AskError::Broken(SessionError::Io(_))) if link.is_used => {}
                Err(AskError::Said(failure)) => {
                    link.put_back();
                    return Err(failure.into());
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn link(&self, peer: SocketAddr, until: Instant) -> Result<Link, AskError> {
        let pool = Arc::clone(&self.pool);
        while let Some(mut session) = self.pool.take(peer) {
            if !session.is_stale() {
                return Ok(Link { session, pool, peer, next: 0, is_used: true });
            }
        }
        let connect_max = self.patience(peer, CONNECT_MAX);
        let patience = until.saturating_duration_since(Instant::now()).min(connect_max);
        let session = Session::connect(peer, &self.pool.credentials, patience).await?;
        Ok(Link { session, pool, peer, next: 0, is_used: false })
    }
}

impl Pool {
    fn center_of(&self, peer: SocketAddr) -> CenterNumber {
        self.credentials.centers().map_or(HERE, |centers| centers.of(peer.ip()))
    }

    /// What is patience enough in this center is none with the way to another.
    fn patience(&self, peer: SocketAddr, patience: Duration) -> Duration {
        match self.center_of(peer) {
            HERE => patience,
            _ => patience.max(ELSEWHERE_MIN),
        }
    }

    fn take(&self, peer: SocketAddr) -> Option<Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&peer)?.pop()
    }

    fn put(&self, peer: SocketAddr, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= PEERS_MAX && !idle.contains_key(&peer) {
            return;
        }
        let sessions = idle.entry(peer).or_default();
        if sessions.len() < IDLE_MAX {
            sessions.push(session);
        }
    }
}

/// A session in use for one request after the other.
pub struct Link {
    session: Session,
    pool: Arc<Pool>,
    peer: SocketAddr,
    /// Id of the last request.
    next: u64,
    is_used: bool,
}

impl Link {
    /// Sends a request.
    pub async fn request<O: Operation>(&mut self, input: &O::In, until: Instant) -> Result<(), AskError> {
        self.next += 1;
        let request = encode_request::<O>(self.next, input);
        Ok(timeout_at(until, self.session.send(&request)).await.map_err(|_| SessionError::Late)??)
    }

    /// Waits for the reply to the request.
    pub async fn reply<M: Message>(&mut self, until: Instant) -> Result<M, AskError> {
        let received = timeout_at(until, self.session.receive(REPLY_BYTES_MAX)).await;
        let message = received.map_err(|_| SessionError::Late)??;
        let ended = || SessionError::Io(std::io::ErrorKind::UnexpectedEof.into());
        let (id, outcome) = decode_reply(&message.ok_or_else(ended)?)?;
        if id != self.next {
            return Err(Malformed::BadValue.into());
        }
        Ok(outcome?)
    }

    /// Asks and waits for the answer.
    pub async fn call<O: Operation>(&mut self, input: &O::In, until: Instant) -> Result<O::Out, AskError> {
        self.request::<O>(input, until).await?;
        self.reply(until).await
    }

    /// The session below, for data.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Nothing is under way: somebody else may use it.
    pub fn put_back(self) {
        self.pool.put(self.peer, self.session);
    }
}

/// Bytes on their way from a peer.
pub struct Stream {
    link: Link,
    left: u64,
}

impl Stream {
    /// Bytes that have not been read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next `length` bytes, or all that are left; within `patience`.
    pub async fn read(&mut self, length: u64, patience: Duration) -> Result<Bytes, AskError> {
        let length = length.min(self.left);
        let reading = self.link.session.receive_raw(usize::try_from(length).unwrap_or(usize::MAX));
        let patience = self.link.pool.patience(self.link.peer, patience);
        let bytes = tokio::time::timeout(patience, reading).await.map_err(|_| SessionError::Late)??;
        self.left -= length;
        Ok(bytes.freeze())
    }

    /// After the last byte: what the peer says at the end.
    pub async fn finish<M: Message>(mut self, patience: Duration) -> Result<M, AskError> {
        let out = self.link.reply(Instant::now() + patience).await?;
        self.link.put_back();
        Ok(out)
    }
}
