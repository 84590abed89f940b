//! UDP: one datagram, one call. For rpcbind and MOUNT, whose calls are few and whose replies are small.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::{Shared, ended};
use crate::dispatch::{Origin, Programs};
use crate::filesystem::Filesystem;
use crate::record::Record;

/// Longest datagram taken: no call of these programs is longer. A longer one is cut off and so answered as garbage.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// Pause after an error that might come again at once.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers datagrams until the server is to end.
pub(crate) async fn serve<F: Filesystem>(shared: Arc<Shared<F>>, socket: UdpSocket, programs: Programs) {
    let mut ending = shared.ending.clone();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = ended(&mut ending) => return,
            Some(done) = calls.next() => if thread::Result::<()>::is_err(&done) {
                tracing::error!("a datagram is not answered, by a fault of the server");
            },
            received = socket.recv_from(&mut buffer), if calls.len() < shared.bounds.datagrams => match received {
                Ok((len, peer)) => {
                    let record = Record::Copied(buffer[..len].to_vec());
                    let answer = answer(&shared, &socket, programs, peer, record);
                    // One that panics ends alone.
                    calls.push(AssertUnwindSafe(answer).catch_unwind());
                }
                // An earlier reply could not be delivered, for one; the next datagram has nothing to do with it.
                Err(error) => {
                    tracing::debug!(%error, "cannot receive a datagram");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn answer<F: Filesystem>(
    shared: &Shared<F>,
    socket: &UdpSocket,
    programs: Programs,
    peer: SocketAddr,
    record: Record,
) {
    let origin =
        Origin { peer: peer.ip().to_canonical(), local: socket.local_addr().ok().map(|local| local.ip()) };
    let Some(reply) = shared.service.answer(programs, origin, &record, Vec::new()).await else { return };
    if let Some(datagram) = reply.datagram()
        && let Err(error) = socket.send_to(datagram, peer).await
    {
        tracing::debug!(%peer, %error, "cannot send a reply");
    }
}
