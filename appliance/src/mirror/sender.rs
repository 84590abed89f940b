//! The active port's side: sends the journal to the other port, and hears how far that one has it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::ledger::Numbered;
use super::mark::Register;
use super::wire::{self, Message, VERSION};
use super::{Mirror, blocking};
use crate::journal::{Batch, Tail};

/// How long the other port may be silent while it receives everything anew: one batch and its disk.
const CATCH_UP_SILENCE: Duration = Duration::from_secs(10);
/// Pings in the time in which the other port must have acknowledged: one may be late.
const PINGS: u32 = 4;

/// Why the other port does not mirror this one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// There is no connection.
    #[error("{0}")]
    Unreached(io::Error),
    /// The other port, or its machine's kernel, has closed the connection.
    #[error("it has closed the connection")]
    Closed,
    /// The connection, or a disk.
    #[error("{0}")]
    Io(io::Error),
    /// It did not acknowledge in time.
    #[error("no acknowledgement in {0:?}")]
    Silent(Duration),
    /// It said something else.
    #[error("it answered what was not asked; are both ports of the same version?")]
    Unexpected,
    /// Only to go on alone makes sure of the mark again.
    #[error("it is not known yet whether the storage center was told that this port goes on alone")]
    MarkUnsure,
    /// It knows that this port has lost.
    #[error("generation {0} is in force")]
    Newer(u64),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Closed } else { Self::Io(error) }
    }
}

impl<R: Register> Mirror<R> {
    /// Mirrors to the other port, until that fails.
    pub(super) async fn send(&self, generation: u64) -> Result<std::convert::Infallible, Lost> {
        let connect = async {
            let stream = TcpStream::connect(self.settings.peer).await?;
            let mut stream = self.identity.connect(stream).await?;
            wire::send(&mut stream, &self.hello(generation)).await?;
            let answer = wire::receive(&mut stream).await?;
            io::Result::Ok((stream, answer))
        };
        let connected =
            timeout(self.settings.connect_time(), connect).await.unwrap_or_else(|late| Err(late.into()));
        let (stream, answer) = connected.map_err(Lost::Unreached)?;
        match answer {
            Message::Welcome => {}
            Message::Newer { generation } => return Err(Lost::Newer(generation)),
            _ => return Err(Lost::Unexpected),
        }
        let (mut from, mut to) = tokio::io::split(stream);
        let lost = tokio::select! {
            lost = self.listen(&mut from) => lost,
            lost = self.talk(&mut to) => lost,
        };
        if self.safety.borrow().peer {
            self.safety.send_modify(super::safety::Safety::lose);
        }
        lost
    }

    fn hello(&self, generation: u64) -> Message {
        let (member, pair) = (self.settings.member, self.settings.pair.clone());
        Message::Hello { version: VERSION, member, generation, pair }
    }

    async fn talk(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<std::convert::Infallible, Lost> {
        let mut tail = self.journal.tail();
        let mut ledger = self.ledger.follow();
        let mut mark_moved = self.mark_moved.subscribe();
        loop {
            let batch;
            (tail, batch) = blocking(move || {
                let batch = tail.read()?;
                Ok((tail, batch))
            })
            .await?;
            match batch {
                Some(Batch { bytes, .. }) => wire::send(to, &Message::Records(bytes)).await?,
                None => break,
            }
        }
        // All that there is was sent. From before the other port may take over with it on, nothing is acknowledged without
        // it; and while it is told so, nobody decides to go on alone.
        let mark = {
            let _deciding = self.deciding.lock().await;
            if self.is_mark_unsure.load(Ordering::Relaxed) {
                return Err(Lost::MarkUnsure);
            }
            let newest = ledger.borrow_and_update().clone();
            wire::send(to, &self.ledger_message(newest).await?).await?;
            let mark = self.mark().await?;
            self.safety.send_modify(super::safety::Safety::join);
            mark
        };
        self.catch_up(to, &mut tail).await?;
        wire::send(to, &Message::Whole { mark }).await?;
        let ping = self.settings.acknowledge / PINGS;
        loop {
            tokio::select! {
                () = tail.more() => {
                    self.catch_up(to, &mut tail).await?;
                }
                Ok(()) = ledger.changed() => {
                    let newest = ledger.borrow_and_update().clone();
                    wire::send(to, &self.ledger_message(newest).await?).await?;
                }
                Ok(()) = mark_moved.changed() => {
                    wire::send(to, &Message::Whole { mark: self.mark().await? }).await?;
                }
                () = sleep(ping) => wire::send(to, &Message::Ping).await?,
            }
        }
    }

    /// Sends what was appended since. It was written just now, so reading it waits for no disk.
    async fn catch_up(&self, to: &mut (impl AsyncWrite + Unpin), tail: &mut Tail) -> io::Result<()> {
        while let Some(Batch { bytes, .. }) = tail.read()? {
            wire::send(to, &Message::Records(bytes)).await?;
        }
        Ok(())
    }

    async fn ledger_message(&self, (number, bytes): Numbered) -> io::Result<Message> {
        if number > 0 {
            return Ok(Message::Ledger { number, bytes: bytes.to_vec() });
        }
        let own = Arc::clone(&self.own_ledger);
        let bytes = blocking(move || own.bytes()).await?;
        Ok(Message::Ledger { number, bytes })
    }

    async fn listen(&self, from: &mut (impl AsyncRead + Unpin)) -> Result<std::convert::Infallible, Lost> {
        let mut is_whole = false;
        loop {
            let patience = if is_whole { self.settings.acknowledge } else { CATCH_UP_SILENCE };
            let message =
                timeout(patience, wire::receive(from)).await.map_err(|_| Lost::Silent(patience))??;
            match message {
                Message::IsWhole(lsn) => {
                    is_whole = true;
                    self.safety.send_modify(|safety| safety.joined(lsn));
                    tracing::info!("the other port mirrors the journal");
                }
                Message::Durable(lsn) if is_whole => self.safety.send_modify(|safety| {
                    safety.durable = safety.durable.max(lsn);
                }),
                Message::LedgerDurable { number } => self.safety.send_modify(|safety| {
                    safety.ledger = safety.ledger.max(number);
                }),
                Message::Durable(_) | Message::Unknown(_) => {}
                Message::Newer { generation } => return Err(Lost::Newer(generation)),
                _ => return Err(Lost::Unexpected),
            }
        }
    }
}
