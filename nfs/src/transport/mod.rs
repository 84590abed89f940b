//! Sockets: TCP connections with record marking, and UDP datagrams.
//!
//! Everything a client could make grow has a bound, and the answer to a full bound is to stop reading the socket, so
//! that TCP itself slows the client down. Nothing here knows a program.

mod calls;
mod claim;
pub(crate) mod close;
mod connection;
pub(crate) mod datagram;
mod input;
pub(crate) mod listener;
mod output;
pub(crate) mod reactor;
mod turn;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use self::close::CloseMark;
use crate::dispatch::Service;
use crate::duty::Duty;
use crate::settings::Bounds;

/// What all sockets of a server share.
#[derive(Debug)]
pub(crate) struct Shared<F> {
    /// The programs.
    pub service: Service<F>,
    /// The runtime of the file system: its calls are polled by the reactors, but what they start belongs here.
    pub runtime: Handle,
    /// The bounds.
    pub bounds: Bounds,
    /// Longest record taken, in bytes.
    pub record_bytes_max: usize,
    /// Bytes of large calls and replies that may still be held in memory, one permit each.
    pub memory: Arc<Semaphore>,
    /// Places for calls that are put off.
    pub places: Arc<Semaphore>,
    /// True from the moment the server is to end.
    pub ending: watch::Receiver<bool>,
    /// When clients are answered.
    pub duty: Duty,
    /// On what the server closes by its own decision.
    pub close_mark: CloseMark,
}

/// Waits until the server is to end.
pub(crate) async fn ended(ending: &mut watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is the end as well.
    let _ = ending.wait_for(|ending| *ending).await;
}
