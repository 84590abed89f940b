//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on one reactor for life: what its socket has to say is read on the thread that was woken for it,
//! and no other thread is woken for that. The file system's own work (fetches, disk reads, timers) belongs to the
//! runtime that called [`Reactors::start`]; reactors only poll it.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// All reactors of a server. They end when this is dropped, and with them the connections they serve.
#[derive(Debug)]
pub(crate) struct Reactors {
    reactors: Vec<Reactor>,
    /// Closed when the last thread has ended.
    running: mpsc::Receiver<()>,
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
        let (is_running, running) = mpsc::channel(1);
        let start = |number| {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            let (end, ended) = oneshot::channel::<()>();
            let reactor = Reactor { runtime: runtime.handle().clone(), seats: Arc::default(), _end: end };
            let is_running = is_running.clone();
            thread::Builder::new().name(format!("nfs-{number}")).spawn(move || {
                // The sender sends nothing: this returns when it is gone.
                let _ = runtime.block_on(ended);
                drop(runtime);
                drop(is_running);
            })?;
            Ok(reactor)
        };
        let reactors = (0..count.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { reactors, running })
    }

    /// Has the reactor with the fewest connections serve one more, as a task of `connections`.
    pub fn serve(
        &self,
        connections: &mut JoinSet<()>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let connections_of = |reactor: &&Reactor| Arc::strong_count(&reactor.seats);
        let Some(reactor) = self.reactors.iter().min_by_key(connections_of) else { return };
        let seat = Arc::clone(&reactor.seats);
        let serve = async move {
            connection.await;
            drop(seat);
        };
        connections.spawn_on(serve, &reactor.runtime);
    }

    /// Ends all reactors and waits until their threads are gone. A connection still open is closed.
    pub async fn end(mut self) {
        self.reactors.clear();
        // Nobody sends: this returns when the threads have dropped their ends.
        let _ = self.running.recv().await;
    }
}
