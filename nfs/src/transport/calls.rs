//! The calls of one connection that are worked on, side by side.
//!
//! Most calls are answered from a cache, in one poll. They share one slot, so that they cost no allocation; only a call
//! that has to wait takes the slot's memory with it and joins the others that wait.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use futures::future::OptionFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use super::claim::Permit;
use crate::record::{COPY_BYTES_MAX, Record};
use crate::reply::Reply;

/// Replies that are longer belong to large transfers: Linux reads a large file 128 KiB and more at a time. No part of a
/// listing is longer.
const SHORT_REPLY_BYTES: usize = 64 << 10;

/// What a call needs memory for. Each kind has room of its own: what is cached, or only a name, does not wait until large
/// transfers have come from afar, nor do writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Little.
    Short,
    /// A long reply.
    Read,
    /// The call itself, which is more than a name and attributes.
    Write,
}

impl Kind {
    /// Of a call of `record_bytes`, whose reply may take `reply_bytes`.
    pub const fn of(record_bytes: usize, reply_bytes: usize) -> Self {
        if record_bytes > COPY_BYTES_MAX {
            Self::Write
        } else if reply_bytes > SHORT_REPLY_BYTES {
            Self::Read
        } else {
            Self::Short
        }
    }
}

/// What a call became.
pub(crate) struct Answered {
    /// Its reply; `None` if it was no call.
    pub reply: Option<Reply>,
    /// The call itself, to be given back.
    pub record: Record,
    /// The memory set aside for it.
    pub permit: Permit,
    /// What it needs memory for …
    pub kind: Kind,
    /// … and how many bytes: its own, and of its reply.
    pub bytes: usize,
}

type Slot<W> = Pin<Box<OptionFuture<W>>>;

/// Calls in progress.
pub(crate) struct Calls<W> {
    slot: Slot<W>,
    waiting: FuturesUnordered<Slot<W>>,
    waiting_bytes: [usize; 3],
}

impl<W: Future<Output = Answered>> Calls<W> {
    /// None yet.
    pub fn new() -> Self {
        Self { slot: empty(), waiting: FuturesUnordered::new(), waiting_bytes: [0; 3] }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of those of a kind that wait.
    pub const fn bytes(&self, kind: Kind) -> usize {
        self.waiting_bytes[kind as usize]
    }

    /// Starts a call of `bytes`: its answer, if it is at hand.
    pub async fn start(&mut self, work: W, kind: Kind, bytes: usize) -> Option<Answered> {
        self.slot.set(Some(work).into());
        if let Poll::Ready(answered) = futures::poll!(self.slot.as_mut()) {
            self.slot.set(None.into());
            return answered;
        }
        self.waiting_bytes[kind as usize] += bytes;
        self.waiting.push(std::mem::replace(&mut self.slot, empty()));
        None
    }

    /// A call that waited and is answered by now.
    pub async fn ready(&mut self) -> Option<Answered> {
        if self.waiting.is_empty() {
            return None;
        }
        match futures::poll!(std::pin::pin!(self.next())) {
            Poll::Ready(answered) => Some(answered),
            Poll::Pending => None,
        }
    }

    /// The next call to be answered; for ever, if none waits.
    pub async fn next(&mut self) -> Answered {
        match self.waiting.next().await.flatten() {
            Some(answered) => {
                self.waiting_bytes[answered.kind as usize] -= answered.bytes;
                answered
            }
            None => std::future::pending().await,
        }
    }
}

fn empty<W: Future>() -> Slot<W> {
    Box::pin(None.into())
}
