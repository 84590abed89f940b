//! A stream that gives hyper one request and no byte more, and tells when its answer is out: then the connection can be
//! taken back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::dosm::{Body, BodyError};

/// What is read of a request whose end is not known.
const ENDLESS: u64 = u64::MAX;

/// How far a request and its answer are.
#[derive(Debug)]
pub struct Progress {
    /// Bytes of the request that hyper was not given yet.
    unread: AtomicU64,
    /// Something was written that was not flushed.
    is_dirty: AtomicBool,
    /// The answer's body is over, or was given up.
    is_answered: AtomicBool,
}

impl Progress {
    /// Whether all of the answer was handed to hyper.
    pub fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }

    /// Whether the end of the request is not known.
    pub fn is_endless(&self) -> bool {
        self.unread.load(Ordering::Relaxed) == ENDLESS
    }

    /// Whether the request was read to its end and its answer is on its way in full. Good after hyper was polled, which
    /// flushes what it has been given; while it is polled there may be something in its buffer.
    pub fn is_over(&self) -> bool {
        self.is_answered()
            && !self.is_dirty.load(Ordering::Relaxed)
            && self.unread.load(Ordering::Relaxed) == 0
    }
}

/// See the module.
#[derive(Debug)]
pub struct Once<S> {
    stream: S,
    /// Of the request, what was read before.
    ahead: Bytes,
    progress: Arc<Progress>,
}

impl<S> Once<S> {
    /// A stream with all requests that come.
    pub fn endless(stream: S, ahead: Bytes) -> Self {
        Self::with(stream, ahead, ENDLESS)
    }

    /// A stream with one request of `len` bytes, of which `ahead`, not more, was read already.
    pub fn one(stream: S, ahead: Bytes, len: u64) -> Self {
        Self::with(stream, ahead, len.min(ENDLESS - 1))
    }

    fn with(stream: S, ahead: Bytes, unread: u64) -> Self {
        let progress = Progress {
            unread: AtomicU64::new(unread),
            is_dirty: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
        };
        Self { stream, ahead, progress: Arc::new(progress) }
    }

    /// How far it is.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn take(&self, unread: u64, bytes: usize) {
        if unread != ENDLESS {
            self.progress.unread.store(unread.saturating_sub(bytes as u64), Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Once<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = self.progress.unread.load(Ordering::Relaxed);
        let most = usize::try_from(unread).unwrap_or(usize::MAX).min(buf.remaining());
        if unread == 0 {
            // Whoever polls hyper looks whether it is over; nothing else is to be waited for.
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            let len = most.min(self.ahead.len());
            buf.put_slice(&self.ahead[..len]);
            self.ahead.advance(len);
            self.take(unread, len);
            return Poll::Ready(Ok(()));
        }
        if most == buf.remaining() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            self.take(unread, buf.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let len = part.filled().len();
        buf.advance(len);
        self.take(unread, len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Once<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.progress.is_dirty.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.is_dirty.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.progress.is_dirty.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of an answer, which tells when hyper has done with it.
pub struct Watched {
    body: Body,
    progress: Arc<Progress>,
}

impl Watched {
    /// Watches a body.
    pub fn new(body: Body, progress: Arc<Progress>) -> Self {
        Self { body, progress }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.progress.is_answered.store(true, Ordering::Relaxed);
    }
}
