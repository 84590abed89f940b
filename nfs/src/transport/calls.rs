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
use crate::record::Record;
use crate::reply::Reply;

/// What a call became.
pub(crate) struct Answered {
    /// Its reply; `None` if it was no call.
    pub reply: Option<Reply>,
    /// The call itself, to be given back.
    pub record: Record,
    /// The memory set aside for it.
    pub permit: Permit,
    /// How many bytes that was.
    pub bytes: usize,
}

type Slot<W> = Pin<Box<OptionFuture<W>>>;

/// Calls in progress.
pub(crate) struct Calls<W> {
    slot: Slot<W>,
    waiting: FuturesUnordered<Slot<W>>,
    waiting_bytes: usize,
}

impl<W: Future<Output = Answered>> Calls<W> {
    /// None yet.
    pub fn new() -> Self {
        Self { slot: empty(), waiting: FuturesUnordered::new(), waiting_bytes: 0 }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes set aside for those that wait.
    pub const fn bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Starts a call that has `bytes` set aside: its answer, if it is at hand.
    pub async fn start(&mut self, work: W, bytes: usize) -> Option<Answered> {
        self.slot.set(Some(work).into());
        if let Poll::Ready(answered) = futures::poll!(self.slot.as_mut()) {
            self.slot.set(None.into());
            return answered;
        }
        self.waiting_bytes += bytes;
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
                self.waiting_bytes -= answered.bytes;
                answered
            }
            None => std::future::pending().await,
        }
    }
}

fn empty<W: Future>() -> Slot<W> {
    Box::pin(None.into())
}
