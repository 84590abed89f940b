//! Takes TCP connections and gives each to a reactor: nothing a client or the system does ends this loop or makes it
//! spin.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::reactor::Reactors;
use super::{Shared, connection, ended};
use crate::dispatch::{Origin, Programs};
use crate::filesystem::Filesystem;

/// Pause after an error that would only come again: no file descriptors, no memory.
const PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the system asks whether the client is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Time between such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// Counts connections, in all and of each client.
#[derive(Debug)]
pub(crate) struct Clients {
    connections_max: usize,
    connections_per_client_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    in_total: usize,
    /// Clients without connections are not in it.
    of_client: HashMap<IpAddr, Present>,
}

/// A client with connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub connections: usize,
    /// Since when it has had one at least.
    pub since: Instant,
}

impl Clients {
    pub fn new(connections_max: usize, connections_per_client_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, connections_per_client_max, open: Mutex::default() })
    }

    /// One more connection of a client; `None` if that is one too many.
    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admitted> {
        let mut open = self.lock();
        let of_client = open.of_client.get(&client).map_or(0, |present| present.connections);
        if open.in_total >= self.connections_max || of_client >= self.connections_per_client_max {
            return None;
        }
        open.in_total += 1;
        let new = || Present { connections: 0, since: Instant::now() };
        open.of_client.entry(client).or_insert_with(new).connections += 1;
        Some(Admitted { clients: Arc::clone(self), client })
    }

    /// All that have one.
    pub fn list(&self) -> Vec<(IpAddr, Present)> {
        self.lock().of_client.iter().map(|(client, present)| (*client, *present)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code panics while it holds the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted until this is dropped.
struct Admitted {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.clients.lock();
        open.in_total -= 1;
        if let Some(of_client) = open.of_client.get_mut(&self.client) {
            of_client.connections -= 1;
            if of_client.connections == 0 {
                open.of_client.remove(&self.client);
            }
        }
    }
}

/// Takes connections until the server is to end, then gives the open ones some time to finish their calls.
pub(crate) async fn serve<F: Filesystem>(
    shared: Arc<Shared<F>>,
    listener: TcpListener,
    programs: Programs,
    clients: Arc<Clients>,
    reactors: Arc<Reactors>,
) {
    let mut ending = shared.ending.clone();
    let mut connections = JoinSet::new();
    // Told when it begins, not each time it comes again.
    let mut is_short = false;
    loop {
        tokio::select! {
            () = ended(&mut ending) => break,
            Some(done) = connections.join_next() => report(done),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    is_short = false;
                    match clients.admit(peer.ip().to_canonical()) {
                        Some(admitted) => {
                            let connection = serve_one(Arc::clone(&shared), stream, peer, programs, admitted);
                            reactors.serve(&mut connections, connection);
                        }
                        None => {
                            shared.close_mark.put_on(&stream);
                            tracing::debug!(%peer, "connection closed: too many are open");
                        }
                    }
                }
                Err(error) if is_the_clients(&error) => tracing::debug!(%error, "connection lost before it began"),
                Err(error) => {
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::warn!(%error, "cannot take connections for now: trying again");
                    }
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let finished = timeout(shared.bounds.shutdown, async {
        while let Some(done) = connections.join_next().await {
            report(done);
        }
    });
    if finished.await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections whose calls have not ended");
    }
}

fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// Errors of `accept` that belong to the one connection it would have given.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// To be polled by the reactor that is to serve the connection.
async fn serve_one<F: Filesystem>(
    shared: Arc<Shared<F>>,
    stream: TcpStream,
    peer: SocketAddr,
    programs: Programs,
    _admitted: Admitted,
) {
    // Its events are to wake the thread that serves it.
    let stream = match stream.into_std().and_then(TcpStream::from_std) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%peer, %error, "cannot serve a connection");
            return;
        }
    };
    // Either may fail on a connection that is gone already; reading it will tell.
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let local = stream.local_addr().ok().map(|local| local.ip().to_canonical());
    let origin = Origin { peer: peer.ip().to_canonical(), local };
    if let Err(ended) = connection::serve(&*shared, stream, programs, origin).await {
        tracing::debug!(%peer, reason = %ended, "connection closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_each_and_together() {
        let clients = Clients::new(3, 2);
        let [one, other]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let first = clients.admit(one);
        let second = clients.admit(one);
        assert!(first.is_some() && second.is_some());
        assert!(clients.admit(one).is_none(), "a third of one client");
        let third = clients.admit(other);
        assert!(third.is_some());
        assert!(clients.admit(other).is_none(), "a fourth in all");
        drop(first);
        assert!(clients.admit(one).is_some());
        drop((second, third));
        assert!(clients.lock().of_client.is_empty(), "nothing is kept of clients without connections");
    }
}
