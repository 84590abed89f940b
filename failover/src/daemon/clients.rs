//! Which connections the clients of an active port have: listed again and again, beside the judge. A shell.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::mailbox::{Mailbox, News};
use crate::machine::connections::CONNECTIONS_MAX;
use crate::net::sockets::Sockets;

/// How often. A connection that is younger when its port dies is not tickled, and its client retransmits.
const INTERVAL: Duration = Duration::from_millis(50);

/// Whether there is anything to list.
pub(super) type IsActive = Arc<AtomicBool>;

/// Lists them until the sender of `stopped` is dropped.
///
/// # Errors
/// No descriptor is left.
pub(super) fn list_clients(
    floating: &[IpAddr],
    ports: &[u16],
    is_active: &IsActive,
    stopped: &Receiver<()>,
    mailbox: &Mailbox,
) -> io::Result<()> {
    let mut sockets = Sockets::new()?;
    let mut known = Vec::new();
    while matches!(stopped.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout)) {
        if !is_active.load(Ordering::Relaxed) {
            known.clear();
            continue;
        }
        match sockets.established(floating, ports) {
            Ok(mut connections) => {
                connections.truncate(CONNECTIONS_MAX);
                connections.sort_unstable();
                if connections != known {
                    known.clone_from(&connections);
                    mailbox.post(News::Connections(connections));
                }
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }
    Ok(())
}
