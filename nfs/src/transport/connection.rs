//! One TCP connection: reads calls, has them worked on side by side, writes replies as they come.
//!
//! A call whose answer is at hand is answered at once. The others wait side by side, in the same task, and their
//! replies go out in the order they come. One read may bring many calls, one write may take many replies. A small call
//! with a long reply that there is no room for is put off, and those behind it go on. When any other bound is reached the
//! socket is not read until there is room again.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::AcquireError;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::context::TokioContext;

use super::calls::{Answered, Calls, Kind};
use super::claim::{Claim, Permit};
use super::input::{Input, Received};
use super::output::Output;
use super::turn::Turn;
use super::{Shared, ended};
use crate::dispatch::{Origin, Programs};
use crate::duty::Watch;
use crate::filesystem::Filesystem;
use crate::record::{COPY_BYTES_MAX, Record, RecordError};
use crate::settings::Bounds;

/// Bytes of replies that may wait for the socket before another call is started. The socket's own buffer keeps the
/// line busy meanwhile.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Pieces of replies that may wait likewise: each holds memory or an open file.
const OUTPUT_PIECES_MAX: usize = 256;
/// Replies up to this length need no memory set aside: the bound on calls in progress bounds them too.
const SMALL_REPLY_BYTES: usize = 8 << 10;
/// After so much silence a connection gives back its buffers.
const QUIET: Duration = Duration::from_secs(2);

/// Why a connection ended other than by the client's wish. All the server can do is close it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The socket failed, or a file to be sent did.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stream cannot be followed.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// A record was no call.
    #[error("a record was no call")]
    NoCall,
    /// The client did not send, or not take, in time.
    #[error("timed out")]
    TimedOut,
    /// The server is gone.
    #[error("the server is gone")]
    ServerGone(#[from] AcquireError),
    /// The server's duty ended: the client is another server's now, and hears nothing more from this one.
    #[error("off duty")]
    OffDuty,
}

/// Serves one connection until the client or the server ends it.
///
/// # Errors
/// The connection ended in another way. Dropping it closes it.
pub(crate) async fn serve<F: Filesystem>(
    shared: &Shared<F>,
    stream: TcpStream,
    programs: Programs,
    origin: Origin,
) -> Result<(), Ended> {
    let work = |call: Call, memory: Vec<u8>, permit: Permit| {
        let answered = async move {
            let Call { record, kind, bytes, .. } = call;
            let reply = shared.service.answer(programs, origin, &record, memory).await;
            Answered { reply, record, permit, kind, bytes }
        };
        TokioContext::new(answered, shared.runtime.clone())
    };
    let mut connection = Connection {
        shared,
        stream,
        input: Input::new(shared.record_bytes_max, shared.bounds.fragments),
        output: Output::default(),
        calls: Calls::new(),
        claim: Claim::new(shared.memory.clone(), shared.bounds.bytes_in_total),
        held: None,
        put_off: VecDeque::new(),
        claim_of_put_off: Claim::new(shared.memory.clone(), shared.bounds.bytes_in_total),
        encoding: Vec::new(),
        term: shared.duty.watch(),
        turn: Turn::default(),
        had_call: false,
        is_quiet: true,
        is_ending: false,
        received_at: Instant::now(),
        written_at: Instant::now(),
    };
    let ended = connection.run(work).await;
    // A server that ends is to look dead until the other one has taken over.
    if !matches!(ended, Err(Ended::OffDuty)) && !connection.is_ending {
        shared.close_mark.put_on(&connection.stream);
    }
    ended
}

/// A call that was received.
struct Call {
    record: Record,
    reply_bytes: usize,
    kind: Kind,
    /// Its own and those of its reply.
    bytes: usize,
    /// While it is put off.
    place: Permit,
}

impl Call {
    const fn has_long_reply(&self) -> bool {
        self.reply_bytes > SMALL_REPLY_BYTES
    }

    /// Whether room for it would be room for its reply alone.
    fn is_small_with_long_reply(&self) -> bool {
        self.has_long_reply() && self.record.len() <= COPY_BYTES_MAX
    }
}

struct Connection<'a, F, W> {
    shared: &'a Shared<F>,
    stream: TcpStream,
    input: Input,
    output: Output,
    calls: Calls<W>,
    /// For a call that is large itself.
    claim: Claim,
    /// A call that there is no room for, and that is not put off: nothing is received meanwhile.
    held: Option<Record>,
    /// Small calls with long replies that there is no room for. The first one's claim stands in line, if any does.
    put_off: VecDeque<Call>,
    claim_of_put_off: Claim,
    /// Memory in which the next reply is encoded.
    encoding: Vec<u8>,
    /// The time of duty that the connection belongs to.
    term: Watch,
    turn: Turn,
    had_call: bool,
    /// The buffers were given back and not used since.
    is_quiet: bool,
    is_ending: bool,
    /// When the last call, or the first byte of the present one, came.
    received_at: Instant,
    /// When the socket last took a byte, or the first of the replies that wait was made.
    written_at: Instant,
}

impl<F, W> Connection<'_, F, W>
where
    F: Filesystem,
    W: Future<Output = Answered>,
{
    async fn run(&mut self, work: impl Fn(Call, Vec<u8>, Permit) -> W) -> Result<(), Ended> {
        let mut ending = self.shared.ending.clone();
        let mut end = std::pin::pin!(ended(&mut ending));
        let mut alarm = std::pin::pin!(sleep_until(self.deadline()));
        loop {
            if self.term.is_over() {
                return Err(Ended::OffDuty);
            }
            if self.turn.is_over() {
                self.turn = Turn::default();
                yield_now().await;
            }
            let lacked_room = self.answer(&work).await?;
            self.write()?;
            if (lacked_room && self.may_answer()) || self.read().await? {
                continue;
            }
            self.turn = Turn::default();
            if self.is_done() {
                return Ok(());
            }
            let deadline = self.deadline();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            let (reads, writes) = (self.may_read(), !self.output.is_empty());
            tokio::select! {
                biased;
                answered = self.calls.next(), if !self.calls.is_empty() => self.take(answered)?,
                ready = poll_fn(|cx| self.stream.poll_read_ready(cx)), if reads => ready?,
                ready = poll_fn(|cx| self.stream.poll_write_ready(cx)), if writes => ready?,
                turn = self.claim.turn(), if self.claim.is_in_line() => {
                    turn?;
                    self.received_at = Instant::now();
                }
                turn = self.claim_of_put_off.turn(), if self.claim_of_put_off.is_in_line() => turn?,
                () = self.term.over() => return Err(Ended::OffDuty),
                () = &mut end, if !self.is_ending => self.is_ending = true,
                () = &mut alarm => {
                    self.check_time()?;
                    alarm.as_mut().reset(self.deadline());
                }
            }
        }
    }

    /// Takes the answers that are there and starts the calls that were received, as far as there is room. `true` if
    /// there was not enough.
    async fn answer(&mut self, work: impl Fn(Call, Vec<u8>, Permit) -> W) -> Result<bool, Ended> {
        while self.output.memory_bytes() < OUTPUT_BYTES_MAX
            && let Some(answered) = self.calls.ready().await
        {
            self.take(answered)?;
        }
        while self.may_answer() && !self.turn.is_over() {
            let Some((call, permit)) = self.next_call()? else { return Ok(false) };
            self.turn.add_call();
            let Call { kind, bytes, .. } = call;
            let work = work(call, std::mem::take(&mut self.encoding), permit);
            if let Some(answered) = self.calls.start(work, kind, bytes).await {
                self.take(answered)?;
            }
        }
        Ok(true)
    }

    /// The next call that can be started, with the memory set aside for it.
    fn next_call(&mut self) -> Result<Option<(Call, Permit)>, Ended> {
        loop {
            if let Some(ready) = self.next_put_off() {
                return Ok(Some(ready));
            }
            if !self.has_place() {
                return Ok(None);
            }
            let Some(record) = self.next_record()? else { return Ok(None) };
            let reply_bytes = self.shared.service.reply_bytes_max(&record);
            let (kind, bytes) = (Kind::of(record.len(), reply_bytes), record.len() + reply_bytes);
            let mut call = Call { record, reply_bytes, kind, bytes, place: None };
            let has_room = bytes <= SMALL_REPLY_BYTES || self.has_room_for(kind);
            if !call.is_small_with_long_reply() {
                if has_room && (!call.has_long_reply() || self.claim.set_aside(reply_bytes)) {
                    return Ok(Some((call, self.claim.take())));
                }
            } else {
                let is_next = has_room && self.put_off.is_empty();
                if is_next && self.claim_of_put_off.set_aside(reply_bytes) {
                    return Ok(Some((call, self.claim_of_put_off.take())));
                }
                if let Ok(place) = Arc::clone(&self.shared.places).try_acquire_owned() {
                    call.place = Some(place);
                    self.put_off.push_back(call);
                    continue;
                }
            }
            self.held = Some(call.record);
            return Ok(None);
        }
    }

    /// The first call that was put off and that there is room for by now. One that stands in line for memory has its
    /// turn first.
    fn next_put_off(&mut self) -> Option<(Call, Permit)> {
        if self.claim_of_put_off.is_in_line() {
            return None;
        }
        if !self.claim_of_put_off.is_granted() {
            let first = self.put_off.iter().position(|call| self.has_room_for(call.kind))?;
            let call = self.put_off.remove(first)?;
            self.put_off.push_front(call);
        }
        if !self.claim_of_put_off.set_aside(self.put_off.front()?.reply_bytes) {
            return None;
        }
        let mut call = self.put_off.pop_front()?;
        call.place = None;
        Some((call, self.claim_of_put_off.take()))
    }

    fn next_record(&mut self) -> Result<Option<Record>, Ended> {
        if self.claim.is_in_line() {
            return Ok(None);
        }
        if let Some(record) = self.held.take() {
            return Ok(Some(record));
        }
        if self.is_ending {
            return Ok(None);
        }
        match self.input.next()? {
            Received::Record(record) => {
                self.had_call = true;
                self.received_at = Instant::now();
                Ok(Some(record))
            }
            Received::Part { memory } => {
                if memory > 0 {
                    self.claim.set_aside(memory);
                }
                Ok(None)
            }
        }
    }

    fn take(&mut self, answered: Answered) -> Result<(), Ended> {
        if self.output.is_empty() {
            self.written_at = Instant::now();
        }
        self.encoding = self.output.push(answered.reply.ok_or(Ended::NoCall)?, answered.permit);
        self.input.give_back(answered.record);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = self.output.write(&self.stream)?;
        if sent > 0 {
            self.turn.add_bytes(sent);
            self.written_at = Instant::now();
        }
        Ok(())
    }

    async fn read(&mut self) -> io::Result<bool> {
        if !self.may_read() {
            return Ok(false);
        }
        let was_inside = self.input.is_inside();
        let Some(count) = self.input.read(&mut self.stream).await? else { return Ok(false) };
        self.turn.add_bytes(count);
        self.is_quiet = false;
        if !was_inside {
            self.received_at = Instant::now();
        }
        Ok(true)
    }

    /// Whether one more reply may be made.
    fn may_answer(&self) -> bool {
        self.output.memory_bytes() < OUTPUT_BYTES_MAX && self.output.pieces() < OUTPUT_PIECES_MAX
    }

    /// Whether one more call may be received.
    fn has_place(&self) -> bool {
        self.calls.len() + self.put_off.len() < self.shared.bounds.calls_per_connection
    }

    fn has_room_for(&self, kind: Kind) -> bool {
        self.calls.bytes(kind) < self.shared.bounds.bytes_per_connection
    }

    fn may_read(&self) -> bool {
        !self.input.is_at_end()
            && !self.is_ending
            && self.held.is_none()
            && !self.claim.is_in_line()
            && self.has_place()
            && self.may_answer()
    }

    /// Whether nothing is left to do and nothing will come.
    fn is_done(&self) -> bool {
        let nothing_comes = self.input.is_at_end() || self.is_ending;
        nothing_comes
            && self.calls.is_empty()
            && self.output.is_empty()
            && self.held.is_none()
            && self.put_off.is_empty()
    }

    /// Until when something must have happened. While the server itself is what the client waits for, that is not the
    /// client's fault: then only the buffers' time counts.
    fn deadline(&self) -> Instant {
        let bounds = &self.shared.bounds;
        if !self.output.is_empty() {
            return self.written_at + bounds.write_stall;
        }
        let waits_for_us = !self.calls.is_empty()
            || self.held.is_some()
            || !self.put_off.is_empty()
            || self.claim.is_in_line();
        if waits_for_us {
            return Instant::now() + QUIET;
        }
        let clients_turn_since = self.received_at.max(self.written_at);
        let patience = match (self.input.is_inside(), self.is_quiet) {
            (true, _) => bounds.rest_of_call,
            (false, true) => self.idle_max(bounds),
            (false, false) => self.idle_max(bounds).min(QUIET),
        };
        clients_turn_since + patience
    }

    fn idle_max(&self, bounds: &Bounds) -> Duration {
        if self.had_call { bounds.idle } else { bounds.first_call }
    }

    /// The alarm went off: perhaps for a deadline that has moved since.
    fn check_time(&mut self) -> Result<(), Ended> {
        if Instant::now() < self.deadline() {
            return Ok(());
        }
        let is_idle = self.output.is_empty() && !self.input.is_inside();
        if is_idle && !self.is_quiet {
            self.input.shrink();
            self.output.shrink();
            self.encoding = Vec::new();
            self.is_quiet = true;
            return Ok(());
        }
        Err(Ended::TimedOut)
    }
}
