//! The answering side of DOSP: takes sessions and hands each request to the operation's handler (DOSP-1, DOSP-9).
//!
//! A new operation needs a line with its handler in a [`Registry`] and nothing else here. What nobody registered is
//! answered UNSUPPORTED, and the session goes on.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use protocol::dosp::{
    Failure, Message, Operation, REQUEST_BYTES_MAX, RequestHead, Status, decode_request, encode_reply,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session::{Credentials, Session, SessionError};
use crate::isn::Received;

/// Sessions at once; more wait in the kernel's queue. Each holds 128 KiB at most while nothing is moved.
const SESSIONS_MAX: usize = 1_024;
/// A session on which nothing is asked for so long is ended.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Pause after accept fails for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request and the session it came by.
pub struct Call<'a> {
    /// Its id, for the reply.
    pub id: u64,
    /// The In structure.
    pub input: &'a [u8],
    /// The session, for data and replies.
    pub session: &'a mut Session,
    /// What STORE received on this session and KEEP has not kept yet.
    pub staged: &'a mut Option<Received>,
}

impl Call<'_> {
    /// Sends a reply.
    pub async fn reply<M: Message>(&mut self, outcome: &Result<M, Failure>) -> Result<(), SessionError> {
        self.session.send(&encode_reply(self.id, outcome)).await
    }
}

/// Answers one operation.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request to its end, data included.
    ///
    /// # Errors
    /// The session is of no more use.
    fn handle<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>>;
}

/// Who answers what.
#[derive(Default)]
pub struct Registry {
    handlers: BTreeMap<u16, Box<dyn Handler>>,
    load: Arc<Load>,
}

/// How much a process is asked.
#[derive(Debug, Default)]
pub struct Load {
    done: AtomicU64,
    outstanding: AtomicU32,
}

impl Load {
    /// Requests answered since the start.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Requests being answered.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }
}

impl Registry {
    /// Registers the handler of an operation that moves data.
    pub fn register<O: Operation>(&mut self, handler: impl Handler) {
        self.handlers.insert(O::CODE, Box::new(handler));
    }

    /// Registers a function that makes an Out of an In.
    pub fn answer<O, F, A>(&mut self, function: F)
    where
        O: Operation<In: Send, Out: Send + Sync> + 'static,
        F: Fn(O::In) -> A + Send + Sync + 'static,
        A: Future<Output = Result<O::Out, Failure>> + Send + 'static,
    {
        self.handlers.insert(O::CODE, Box::new(Answer::<O, F>(function, std::marker::PhantomData)));
    }

    /// How much it is asked.
    pub fn load(&self) -> Arc<Load> {
        Arc::clone(&self.load)
    }
}

struct Answer<O, F>(F, std::marker::PhantomData<fn(O)>);

impl<O, F, A> Handler for Answer<O, F>
where
    O: Operation<In: Send, Out: Send + Sync> + 'static,
    F: Fn(O::In) -> A + Send + Sync + 'static,
    A: Future<Output = Result<O::Out, Failure>> + Send + 'static,
{
    fn handle<'a>(&'a self, mut call: Call<'a>) -> BoxFuture<'a, Result<(), SessionError>> {
        Box::pin(async move {
            let outcome = match O::In::from_bytes(call.input) {
                Ok(input) => (self.0)(input).await,
                Err(error) => Err(malformed(error)),
            };
            call.reply(&outcome).await
        })
    }
}

/// What is said to an In that is none.
pub fn malformed(error: protocol::dosp::Malformed) -> Failure {
    Failure::new(Status::Malformed, error.to_string())
}

/// Serves until `stop`; requests under way are cut off, for they may all be repeated.
pub async fn serve(
    listener: TcpListener,
    credentials: Credentials,
    registry: Arc<Registry>,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(SESSIONS_MAX));
    let sessions = TaskTracker::new();
    let accept = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection of the cluster was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (credentials, registry, stop) = (credentials.clone(), Arc::clone(&registry), stop.clone());
            sessions.spawn(async move {
                let _slot = slot;
                let peer = stream.peer_addr();
                let converse = async {
                    let session = Session::accept(stream, &credentials).await?;
                    converse(session, &registry).await
                };
                match stop.run_until_cancelled(converse).await {
                    Some(Err(error @ SessionError::Stranger(_))) => {
                        tracing::warn!(?peer, %error, "a connection was refused");
                    }
                    Some(Err(error)) => tracing::debug!(?peer, %error, "a session ended early"),
                    Some(Ok(())) | None => {}
                }
            });
        }
    };
    stop.run_until_cancelled(accept).await;
    sessions.close();
    sessions.wait().await;
}

async fn converse(mut session: Session, registry: &Registry) -> Result<(), SessionError> {
    let mut staged = None;
    loop {
        let received = timeout(IDLE_MAX, session.receive(REQUEST_BYTES_MAX)).await;
        let Some(message) = received.map_err(|_| SessionError::Late)?? else { return Ok(()) };
        let RequestHead { code, id, rest } = decode_request(&message)?;
        let mut call = Call { id, input: rest, session: &mut session, staged: &mut staged };
        registry.load.outstanding.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&registry.load);
        match registry.handlers.get(&code) {
            Some(handler) => handler.handle(call).await?,
            None => {
                let unknown = Failure::new(Status::Unsupported, format!("no operation {code} here"));
                call.reply::<()>(&Err(unknown)).await?;
            }
        }
    }
}

/// Counts a request as done however it ends.
struct Counted<'a>(&'a Load);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}
