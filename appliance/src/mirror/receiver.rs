//! The passive port's side: takes the journal of the other port into its own, and says how far it is durable.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::{Fuse, FutureExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::mark::Register;
use super::wire::{self, Message, VERSION};
use super::{Mirror, blocking};
use crate::journal::{Incoming, JournalError, Lsn};

/// Messages that may have come and wait for the disk, each of a batch at most.
const WAITING_MAX: usize = 4;

/// Takes what one connection brings.
struct Receiver<'a, R> {
    mirror: &'a Mirror<R>,
    to: tokio::io::WriteHalf<TlsStream<TcpStream>>,
    /// Everything anew, until it is whole.
    incoming: Option<Incoming>,
    appended: Lsn,
    durable: Lsn,
    is_pinged: bool,
}

impl<R: Register> Mirror<R> {
    /// Serves a connection that was made by the other port, until it ends.
    pub(super) async fn receive(&self, stream: TcpStream) -> io::Result<()> {
        let hello = async {
            let mut stream = self.identity.accept(stream).await?;
            let hello = wire::receive(&mut stream).await?;
            io::Result::Ok((stream, hello))
        };
        let (mut stream, hello) = timeout(self.settings.connect_time(), hello).await??;
        let unfit = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let Message::Hello { version, member, generation, pair } = hello else {
            return Err(unfit("no HELLO"));
        };
        if version != VERSION || member == self.settings.member || pair != self.settings.pair {
            return Err(unfit("another version, the same `member`, or another pair's `name`"));
        }
        let newest = self.role.newest();
        if generation < newest || self.role.serving() == Some(generation) {
            return wire::send(&mut stream, &Message::Newer { generation: newest }).await;
        }
        self.role.hear_of(generation);
        let incoming = {
            let using = Arc::clone(&self.using).lock_owned().await;
            if self.role.serving().is_some() {
                return Ok(());
            }
            let journal = self.journal.clone();
            let received = move || {
                journal.set_mirror(true);
                let incoming = journal.receive().map_err(io::Error::other);
                drop(using);
                incoming
            };
            blocking(received).await?
        };
        wire::send(&mut stream, &Message::Welcome).await?;
        tracing::info!(generation, "receiving the journal of the active port");
        self.is_receiving.send_replace(true);
        let (mut from, to) = tokio::io::split(stream);
        let (bring, brought) = mpsc::channel(WAITING_MAX);
        // The active port sends its journal without pauses but those of its disk, and then pings. One that is silent for
        // longer is gone, perhaps without a word: who waited for the rest of its journal could never take over from it.
        let silence = self.settings.silence_time();
        let read = async {
            loop {
                let message = timeout(silence, wire::receive(&mut from)).await??;
                if bring.send(message).await.is_err() {
                    return io::Result::Ok(());
                }
            }
        };
        let mut receiver = Receiver {
            mirror: self,
            to,
            incoming: Some(incoming),
            appended: Lsn(0),
            durable: Lsn(0),
            is_pinged: false,
        };
        let ended = tokio::select! {
            ended = receiver.run(brought) => ended,
            ended = read => ended,
        };
        self.is_receiving.send_replace(false);
        ended
    }
}

impl<R: Register> Receiver<'_, R> {
    async fn run(&mut self, mut brought: mpsc::Receiver<Message>) -> io::Result<()> {
        let journal = self.mirror.journal.clone();
        let mut syncing = pin!(Fuse::terminated());
        let mut is_syncing = false;
        loop {
            if !is_syncing && self.durable < self.appended {
                let (journal, lsn) = (journal.clone(), self.appended);
                syncing.set(async move { journal.sync(lsn).await.map(|()| lsn) }.fuse());
                is_syncing = true;
            }
            if self.is_pinged && self.durable >= self.appended {
                self.is_pinged = false;
                wire::send(&mut self.to, &Message::Durable(self.durable)).await?;
            }
            tokio::select! {
                synced = &mut syncing, if is_syncing => {
                    is_syncing = false;
                    self.durable = synced.map_err(io::Error::other)?;
                    wire::send(&mut self.to, &Message::Durable(self.durable)).await?;
                    self.is_pinged = false;
                    journal.reclaim().await.map_err(io::Error::other)?;
                }
                message = brought.recv() => match message {
                    Some(message) => self.take(message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn take(&mut self, message: Message) -> io::Result<()> {
        // Whoever makes this port active waits for what is under way, and nothing more is taken then.
        // It goes with the work, which goes on if this is dropped.
        let using = Arc::clone(&self.mirror.using).lock_owned().await;
        if self.mirror.role.serving().is_some() {
            return Err(io::Error::other("this port is active"));
        }
        let journal = self.mirror.journal.clone();
        match message {
            Message::Records(bytes) => match self.incoming.take() {
                Some(mut incoming) => {
                    let taken = blocking(move || {
                        incoming.append(&bytes, &journal).map_err(told)?;
                        drop(using);
                        Ok(incoming)
                    });
                    self.incoming = Some(taken.await?);
                    // The sender sees that it goes on.
                    wire::send(&mut self.to, &Message::Durable(Lsn(0))).await?;
                }
                None => {
                    let taken = blocking(move || {
                        let last = journal.append_mirrored(&bytes).map_err(told)?;
                        drop(using);
                        Ok(last)
                    });
                    self.appended = taken.await?;
                }
            },
            Message::Whole { mark } => {
                // Without one the journal was whole, and has another number now.
                let incoming = self.incoming.take();
                let kept = Arc::clone(&self.mirror.own_mark);
                let replaced = blocking(move || {
                    let last =
                        incoming.map(|incoming| journal.replace_with(incoming)).transpose().map_err(told)?;
                    kept.store(mark)?;
                    drop(using);
                    Ok(last)
                });
                let replaced = replaced.await?;
                self.mirror.is_of_the_pair.store(true, Ordering::Relaxed);
                if let Some(last) = replaced {
                    self.appended = last;
                    self.durable = last;
                    self.mirror.is_receiving.send_replace(false);
                    wire::send(&mut self.to, &Message::IsWhole(last)).await?;
                    tracing::info!("the journal of the active port is whole here");
                }
            }
            Message::Ledger { number, bytes } => {
                let own = Arc::clone(&self.mirror.own_ledger);
                let stored = blocking(move || {
                    own.replace(&bytes)?;
                    drop(using);
                    Ok(())
                });
                stored.await?;
                wire::send(&mut self.to, &Message::LedgerDurable { number }).await?;
            }
            Message::Ping => self.is_pinged = true,
            Message::Unknown(_) => {}
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "what only a passive port says")),
        }
        Ok(())
    }
}

fn told(error: JournalError) -> io::Error {
    io::Error::other(error)
}
