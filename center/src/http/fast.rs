//! Plain connections: reads heads itself and answers what is at hand by `sendfile`; everything else is hyper's, request
//! by request ([`super::slow`]).
//!
//! A slow reader holds no memory beyond its socket's: what does not fit into the socket stays in its file.

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::{Buf, BufMut, Bytes};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::context::TokioContext;
use tokio_util::sync::WaitForCancellationFuture;

use super::date;
use super::head::{FIELDS_MAX, Head, Parsed, parse};
use super::listener::{HEAD_BYTES_MAX, Handler, Payload, Shared};
use super::slow;
use crate::dosm::cache::Piece;
use crate::host;

/// Room for what is read at once: some heads.
const READ_BYTES: usize = 4 << 10;
/// Up to here a body is copied behind its head, so that one call sends both; beyond, `sendfile` costs less.
const COPIED_BYTES_MAX: u64 = 16 << 10;
/// What a connection may send before the others of its thread have their turn.
const TURN_BYTES: u64 = 1 << 20;
/// Requests it may have answered before that.
const TURN_REQUESTS: u32 = 64;

/// Serves a connection to its end.
pub async fn converse<H: Handler>(stream: TcpStream, peer: IpAddr, shared: &Shared<H>) {
    let mut connection = Connection {
        shared,
        stream,
        peer,
        input: Vec::new(),
        output: Vec::new(),
        alarm: Box::pin(sleep_until(Instant::now() + shared.limits.head_timeout)),
        stopped: Box::pin(shared.stop.cancelled()),
        turn_bytes: 0,
        turn_requests: 0,
    };
    match connection.run().await {
        Ok(None) => {}
        Ok(Some(Rest)) => {
            let Connection { stream, input, .. } = connection;
            let rest = slow::converse(stream, peer, Bytes::from(input), shared);
            TokioContext::new(rest, shared.runtime.clone()).await;
        }
        Err(error) => tracing::debug!(%error, "a connection ended early"),
    }
}

struct Connection<'a, H> {
    shared: &'a Shared<H>,
    stream: TcpStream,
    peer: IpAddr,
    /// Received and not answered yet: less than a head, or more requests, at most [`HEAD_BYTES_MAX`].
    input: Vec<u8>,
    /// A head, and perhaps a small body, on their way out.
    output: Vec<u8>,
    /// Goes off at the deadline or before; then it is looked whether the deadline has moved.
    alarm: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFuture<'a>>>,
    turn_bytes: u64,
    turn_requests: u32,
}

/// The rest of the connection is hyper's.
struct Rest;

/// What is to be done with the request at the beginning of the input.
enum Next<P> {
    /// Its head is not complete.
    Read,
    /// Its answer is at hand; the head of it is in the output.
    Send { payload: P, len: usize, keeps_alive: bool },
    /// Hyper answers it.
    Ask { len: u64 },
    /// Hyper answers it and all that follow: its end is not known.
    Leave,
}

impl<H: Handler> Connection<'_, H> {
    async fn run(&mut self) -> io::Result<Option<Rest>> {
        let mut deadline = Instant::now() + self.shared.limits.head_timeout;
        loop {
            match self.next() {
                Next::Leave => return Ok(Some(Rest)),
                Next::Read => {
                    if self.input.len() >= HEAD_BYTES_MAX {
                        return Ok(Some(Rest));
                    }
                    if !self.read(deadline).await? {
                        return Ok(None);
                    }
                    continue;
                }
                Next::Send { payload, len, keeps_alive } => {
                    if self.send(payload).await? {
                        self.input.drain(..len);
                        if !keeps_alive {
                            self.stream.shutdown().await?;
                            return Ok(None);
                        }
                    } else if !self.ask(len as u64).await? {
                        return Ok(None);
                    }
                }
                Next::Ask { len } => {
                    if !self.ask(len).await? {
                        return Ok(None);
                    }
                }
            }
            deadline = Instant::now() + self.shared.limits.head_timeout;
            self.take_turns().await;
        }
    }

    fn next(&mut self) -> Next<H::Payload> {
        if self.input.is_empty() {
            return Next::Read;
        }
        let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let head = match parse(&self.input, &mut room) {
            Parsed::Partial => return Next::Read,
            Parsed::Odd => return Next::Leave,
            Parsed::Complete(head) => head,
        };
        if head.plain_method.is_some() {
            self.output.clear();
            if let Some(payload) = self.shared.handler.at_hand(&head, self.peer, &mut self.output) {
                finish_head(&head, &mut self.output);
                return Next::Send { payload, len: head.len, keeps_alive: head.keeps_alive };
            }
        }
        let len = head.body_len.and_then(|body_len| body_len.checked_add(head.len as u64));
        len.map_or(Next::Leave, |len| Next::Ask { len })
    }

    /// Reads more; false at the end of the connection. Part of a head that is never finished is not worth a word.
    async fn read(&mut self, deadline: Instant) -> io::Result<bool> {
        loop {
            self.input.reserve(READ_BYTES);
            let (is_idle, room) = (self.input.is_empty(), HEAD_BYTES_MAX - self.input.len());
            let mut input = (&mut self.input).limit(room);
            tokio::select! {
                biased;
                () = self.stopped.as_mut(), if is_idle => return Ok(false),
                read = self.stream.read_buf(&mut input) => return Ok(read? > 0),
                () = self.alarm.as_mut() => self.check_alarm(deadline)?,
            }
        }
    }

    /// Sends the output and behind it the payload. False, and nothing was sent, if not even its beginning can be had.
    async fn send(&mut self, mut payload: H::Payload) -> io::Result<bool> {
        self.turn_requests += 1;
        let small = payload.left() <= COPIED_BYTES_MAX;
        if payload.left() == 0 || (small && payload.append_rest(&mut self.output)) {
            self.send_output(SendFlags::empty()).await?;
            return Ok(true);
        }
        let mut has_begun = false;
        while payload.left() > 0 {
            let sent = match payload.next_in_file() {
                Some(piece) => {
                    // The kernel waits for the file's first bytes instead of sending a packet of some header bytes.
                    self.send_output(SendFlags::MORE).await?;
                    let sent = self.send_file(&piece).await?;
                    payload.advance(sent);
                    sent
                }
                None => {
                    let next = TokioContext::new(payload.next_in_memory(), self.shared.runtime.clone());
                    match next.await {
                        Some(mut bytes) => {
                            self.send_output(SendFlags::MORE).await?;
                            self.send_bytes(&mut bytes).await?
                        }
                        None if !has_begun => return Ok(false),
                        // Nothing else can be said in the middle of a body.
                        None => return Err(io::ErrorKind::UnexpectedEof.into()),
                    }
                }
            };
            has_begun = true;
            self.turn_bytes += sent;
            self.take_turns().await;
        }
        Ok(true)
    }

    async fn send_output(&mut self, flags: SendFlags) -> io::Result<()> {
        let mut output = std::mem::take(&mut self.output);
        let mut left = output.as_slice();
        while !left.is_empty() {
            let sent = self.send_now(left, flags).await?;
            left.advance(sent);
        }
        output.clear();
        self.output = output;
        Ok(())
    }

    async fn send_bytes(&mut self, bytes: &mut Bytes) -> io::Result<u64> {
        let len = bytes.len() as u64;
        while !bytes.is_empty() {
            let sent = self.send_now(bytes, SendFlags::empty()).await?;
            bytes.advance(sent);
        }
        Ok(len)
    }

    /// Sends a part of the bytes, as soon as the client takes some.
    async fn send_now(&mut self, bytes: &[u8], flags: SendFlags) -> io::Result<usize> {
        self.write(|stream| Ok(send(stream, bytes, flags | SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)).await
    }

    /// Sends a part of the piece, as soon as the client takes some.
    async fn send_file(&mut self, piece: &Piece) -> io::Result<u64> {
        let len = usize::try_from(piece.len).unwrap_or(usize::MAX);
        let sent = self.write(|stream| {
            let mut offset = piece.offset;
            Ok(rustix::fs::sendfile(stream, &piece.file, Some(&mut offset), len)?)
        });
        match sent.await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file ended before the data announced")),
            sent => Ok(sent as u64),
        }
    }

    /// Writes as soon as the client takes something, for as long as it may take none.
    async fn write<T>(&mut self, write: impl Fn(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        let mut deadline = None;
        loop {
            match self.stream.try_io(Interest::WRITABLE, || write(&self.stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INTR) => continue,
                written => return written,
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.shared.limits.stall_timeout);
            if deadline < self.alarm.deadline() {
                self.alarm.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                ready = self.stream.writable() => ready?,
                () = self.alarm.as_mut() => self.check_alarm(deadline)?,
            }
        }
    }

    /// The alarm went off: perhaps for a deadline that has moved since.
    fn check_alarm(&mut self, deadline: Instant) -> io::Result<()> {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.alarm.as_mut().reset(deadline);
        Ok(())
    }

    /// Has hyper answer the request of `len` bytes at the beginning of the input; false if that ended the connection.
    async fn ask(&mut self, len: u64) -> io::Result<bool> {
        let here = usize::try_from(len).unwrap_or(usize::MAX).min(self.input.len());
        let later = self.input.split_off(here);
        let ahead = Bytes::from(std::mem::replace(&mut self.input, later));
        let answered = slow::answer_one(&mut self.stream, self.peer, ahead, len, self.shared);
        Ok(TokioContext::new(answered, self.shared.runtime.clone()).await)
    }

    /// Lets the other connections of this thread go first after some work.
    async fn take_turns(&mut self) {
        if self.turn_bytes >= TURN_BYTES || self.turn_requests >= TURN_REQUESTS {
            (self.turn_bytes, self.turn_requests) = (0, 0);
            yield_now().await;
        }
    }
}

/// What of an answer's head belongs to the connection, as hyper writes it.
fn finish_head(head: &Head<'_>, output: &mut Vec<u8>) {
    match (head.is_version_11, head.keeps_alive) {
        (true, false) => output.extend_from_slice(b"connection: close\r\n"),
        (false, true) => output.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, true) | (false, false) => {}
    }
    output.extend_from_slice(b"date: ");
    date::append(output, host::now_seconds());
    output.extend_from_slice(b"\r\n\r\n");
}
