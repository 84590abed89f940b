//! How the server closes a connection that it ends by its own decision: with marked packets, where that was asked for.

use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockRef;
use tokio::net::TcpStream;

/// The mark for such packets, if any.
#[derive(Debug)]
pub(crate) struct CloseMark {
    mark: Option<u32>,
    /// It was told that marks cannot be set.
    is_told: AtomicBool,
}

impl CloseMark {
    pub const fn new(mark: Option<u32>) -> Self {
        Self { mark, is_told: AtomicBool::new(false) }
    }

    /// Has what the kernel sends when `stream` is dropped carry the mark.
    pub fn put_on(&self, stream: &TcpStream) {
        let Some(mark) = self.mark else { return };
        if let Err(error) = SockRef::from(stream).set_mark(mark)
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "connections that this server closes look like those of a dead one: {error}; \
                 give it the capability CAP_NET_ADMIN"
            );
        }
    }
}
