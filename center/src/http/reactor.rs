//! Threads that serve plain connections, each with a runtime of its own.
//!
//! A connection stays on one reactor for life: what its socket has to say is read on the thread that was woken for it,
//! and no other thread is woken for that. What an answer needs beyond the socket (disks, other nodes, timers) belongs
//! to the main runtime; reactors only poll it.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// All reactors of a server. They end when this is dropped, and with them the connections they serve.
#[derive(Debug)]
pub struct Reactors {
    reactors: Vec<Reactor>,
}

#[derive(Debug)]
struct Reactor {
    runtime: Handle,
    /// Held by each of its connections, which so are counted.
    seats: Arc<()>,
    /// Its thread serves until this is dropped.
    _end: oneshot::Sender<()>,
}

impl Reactors {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The system gives no thread, or no file descriptors for its runtime.
    pub fn start(count: usize) -> io::Result<Self> {
        let start = |number| {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            let (end, ended) = oneshot::channel::<()>();
            let reactor = Reactor { runtime: runtime.handle().clone(), seats: Arc::default(), _end: end };
            thread::Builder::new().name(format!("http-{number}")).spawn(move || {
                // The sender sends nothing: this returns when it is gone.
                let _ = runtime.block_on(ended);
            })?;
            Ok(reactor)
        };
        let reactors = (0..count.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { reactors })
    }

    /// Has the reactor with the fewest connections serve one more, as a task of `connections`.
    pub fn serve(&self, connections: &TaskTracker, connection: impl Future<Output = ()> + Send + 'static) {
        let connections_of = |reactor: &&Reactor| Arc::strong_count(&reactor.seats);
        let Some(reactor) = self.reactors.iter().min_by_key(connections_of) else { return };
        let seat = Arc::clone(&reactor.seats);
        let serve = async move {
            connection.await;
            drop(seat);
        };
        connections.spawn_on(serve, &reactor.runtime);
    }
}
