//! The journal on both ports of a pair: what is acknowledged to a client outlasts either of them (FO-2).
//!
//! The active port streams its journal to the passive one, record by record as it stands on the disk, over TLS 1.3 on the
//! link between the two. A port that comes back receives everything anew, beside its old journal, which goes when the
//! new one is whole. When the passive port is gone, or slow, the active one goes on alone: first what was acknowledged so
//! far goes to the storage center, then the center learns that the other's mirror is not whole any more ([`mark`]), and
//! from then on a durable write is one that the center has. In every moment it is clear what a durable write waits for,
//! or it waits ([`safety`]).
//!
//! | file | what |
//! |---|---|
//! | [`wire`] | messages (pure) |
//! | [`safety`] | what a durable write waits for (pure) |
//! | [`mark`] | which journal is whole, at the center and on the disk |
//! | [`identity`] | TLS |
//! | [`ledger`] | the list of clients with locks, on both |
//! | `sender`, `receiver` | the two sides of a connection |

pub mod identity;
pub mod ledger;
pub mod mark;
mod receiver;
pub mod safety;
mod sender;
#[cfg(test)]
mod tests;
pub mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use protocol::pair::Member;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::identity::Identity;
use self::ledger::SharedLedger;
use self::mark::{Mark, Register};
use self::safety::Safety;
use self::sender::Lost;
use crate::center::CenterError;
use crate::config::{Pair, WhenAlone};
use crate::journal::Journal;
use crate::lock_ledger::LockLedger;
use crate::pair::role::Role;

/// Between attempts to reach the other port, or the center.
const RETRY: Duration = Duration::from_millis(200);
/// A port that was reached and lost again, as with a full disk, is given everything anew less and less often: the pause
/// doubles up to this, until the mirror was whole for as long.
const RETRY_LAST: Duration = Duration::from_secs(10);
/// How long a connection between the two may take to be made, TLS and HELLO included, where an acknowledgement may not take
/// longer anyway.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// The same for the silence of an active port, which says something every quarter of the time to acknowledge.
const SILENCE_TIME: Duration = Duration::from_secs(2);
/// A port that becomes active waits so long for the other one before it goes on alone: that one may just have handed over,
/// and is whole within some milliseconds.
const FIRST_PATIENCE: Duration = Duration::from_millis(100);

/// How often the active port looks at its number at the center.
const MARK_LOOK: Duration = Duration::from_secs(5);

/// How a mirror is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The pair's name.
    pub pair: String,
    /// Which port this is.
    pub member: Member,
    /// Where the other one takes this one's journal.
    pub peer: SocketAddr,
    /// What is done without it.
    pub when_alone: WhenAlone,
    /// How long it may take to acknowledge.
    pub acknowledge: Duration,
}

impl Settings {
    /// How long either port waits for a connection to be made.
    fn connect_time(&self) -> Duration {
        self.acknowledge.max(CONNECT_TIME)
    }

    /// How long the active port may say nothing before it is taken for gone.
    fn silence_time(&self) -> Duration {
        self.acknowledge.max(SILENCE_TIME)
    }
}

impl From<&Pair> for Settings {
    fn from(pair: &Pair) -> Self {
        Self {
            pair: pair.name.clone(),
            member: pair.member,
            peer: pair.peer,
            when_alone: pair.when_alone,
            acknowledge: pair.acknowledge(),
        }
    }
}

/// See the module.
pub struct Mirror<R> {
    settings: Settings,
    identity: Identity,
    journal: Journal,
    role: Arc<Role>,
    safety: watch::Sender<Safety>,
    register: R,
    own_mark: Arc<Mark>,
    own_ledger: Arc<LockLedger>,
    ledger: Arc<SharedLedger>,
    /// There was no connection to the other port.
    unreached: Notify,
    /// Why the other port does not mirror this one, as it was last told; nothing before the first time.
    lost_because: std::sync::Mutex<Option<String>>,
    /// Held while it is decided that this port goes on alone, and while the other one is told that it is whole: one of
    /// the two.
    deciding: Mutex<()>,
    /// The center was asked to make its number greater, and what became of that is not known, or not kept here. As long as
    /// it is so, the other port is not told that it is whole: with a number below the center's neither would be.
    is_mark_unsure: AtomicBool,
    /// The number on this port's disk is another one, though it does not go on alone: the other port's is to be, too.
    mark_moved: watch::Sender<()>,
    /// Held while what came from the other port is put into the journal, and while this port becomes active.
    using: Arc<Mutex<()>>,
    /// The other port's journal is on its way and not yet whole.
    is_receiving: watch::Sender<bool>,
    /// This port's journal was whole once, or nobody ever served in this pair. If not, it is not known what is missing.
    is_of_the_pair: AtomicBool,
}

/// Why a port cannot become active now.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It is not known whether this port's journal is whole.
    #[error("the storage center does not say whether the journal is whole: {0}")]
    Center(#[from] CenterError),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The parts of a port that a mirror works with.
pub struct Parts<R> {
    /// This port's proof of who it is.
    pub identity: Identity,
    /// What is mirrored.
    pub journal: Journal,
    /// Whether this port is the active one.
    pub role: Arc<Role>,
    /// What durable writes wait for; this decides it.
    pub safety: watch::Sender<Safety>,
    /// The number at the center.
    pub register: R,
    /// The number on the disk.
    pub mark: Mark,
    /// The list of clients with locks on this port's disk …
    pub own_ledger: Arc<LockLedger>,
    /// … and on both.
    pub ledger: Arc<SharedLedger>,
}

impl<R: Register> Mirror<R> {
    /// Of these parts. Blocks on the disk.
    ///
    /// # Errors
    /// The number cannot be read from the disk.
    pub fn new(settings: Settings, parts: Parts<R>) -> io::Result<Self> {
        let Parts { identity, journal, role, safety, register, mark, own_ledger, ledger } = parts;
        journal.set_mirror(true);
        let was_whole = mark.load()? != mark::NEVER;
        Ok(Self {
            settings,
            identity,
            journal,
            role,
            safety,
            register,
            own_mark: Arc::new(mark),
            own_ledger,
            ledger,
            unreached: Notify::new(),
            lost_because: std::sync::Mutex::default(),
            deciding: Mutex::default(),
            is_mark_unsure: AtomicBool::new(false),
            mark_moved: watch::Sender::new(()),
            using: Arc::default(),
            is_receiving: watch::Sender::new(false),
            is_of_the_pair: AtomicBool::new(was_whole),
        })
    }

    /// Whether nothing that was acknowledged would be lost if this port took over: not while it receives the other's
    /// journal, nor before it has received that for the first time.
    pub fn is_caught_up(&self) -> bool {
        self.is_of_the_pair.load(Ordering::Relaxed) && !*self.is_receiving.borrow()
    }

    /// Whether nothing is acknowledged that the other port does not have, and all that was is there.
    pub fn is_mirrored(&self) -> bool {
        let safety = *self.safety.borrow();
        safety.peer && !safety.center
    }

    /// Why this port serves alone, in words; nothing while the other one mirrors it, or was not tried yet.
    pub fn lost_because(&self) -> Option<String> {
        if self.is_mirrored() { None } else { self.told().clone() }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.lost_because.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the journal this port's own, and empties it if it is not whole: then all that was acknowledged is at the
    /// center, and the journal has only older bytes. `activate` is called when all is ready and nothing of the other
    /// port's is taken any more.
    ///
    /// Of a port that [`is_caught_up`](Self::is_caught_up) that is so. Another one is asked to only if the operator says that
    /// what it lacks may be lost.
    ///
    /// # Errors
    /// Nothing was changed; ask again.
    pub async fn take<T>(&self, activate: impl FnOnce() -> T) -> Result<T, TakeError> {
        let using = Arc::clone(&self.using).lock_owned().await;
        let mut newest = self.register.read().await?;
        // The pair's first time. From now on a port that knows of no number knows that it lacks one.
        if newest == mark::NEVER && self.journal.usage().files == 0 {
            newest = self.register.raise(newest).await?;
        }
        let (own, journal) = (Arc::clone(&self.own_mark), self.journal.clone());
        let make_own = move || {
            if own.load()? != newest {
                let files = journal.usage().files;
                if files > 0 {
                    tracing::warn!(
                        files,
                        "the other port went on alone: what this one lacks is at the storage center, its journal is \
                         emptied"
                    );
                }
                let emptied = journal.receive().and_then(|nothing| journal.replace_with(nothing));
                emptied.map_err(io::Error::other)?;
                // It is whole now. Not before: half of the old one must not be taken for that.
                own.store(newest)?;
            }
            journal.set_mirror(false);
            Ok(using)
        };
        let _using = blocking(make_own).await?;
        self.is_of_the_pair.store(true, Ordering::Relaxed);
        Ok(activate())
    }

    /// Mirrors, in either direction, until the task is dropped. `drained` ends when all that is staged now is at the
    /// center.
    pub async fn run<D: Future<Output = ()> + Send>(
        self: Arc<Self>,
        listener: TcpListener,
        drained: impl Fn() -> D + Send + Sync,
    ) {
        tokio::join!(Arc::clone(&self).accept(listener), self.lead(drained), self.find_out_if_new());
    }

    /// A port that was never whole is as good as one that was left behind, if nobody served yet. If somebody did, the other
    /// one may have what was acknowledged, and nobody else: a port with a new disk that took over would have it lost.
    async fn find_out_if_new(&self) {
        while !self.is_of_the_pair.load(Ordering::Relaxed) {
            match self.register.read().await {
                Ok(mark::NEVER) => self.is_of_the_pair.store(true, Ordering::Relaxed),
                Ok(_) => {
                    tracing::warn!(
                        "new in this pair: this port takes over by itself only when it has received the other port's \
                         journal; if that port is lost for good: `port-failover takeover --force`"
                    );
                    return;
                }
                Err(error) => {
                    tracing::debug!("the mirror's number: {error}");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Takes connections of the other port; each ends the one before.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut sessions = JoinSet::new();
        let mut role = self.role.follow();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = role.changed() => {
                    if self.role.serving().is_some() {
                        sessions.shutdown().await;
                        self.is_receiving.send_replace(false);
                    }
                    continue;
                }
                Some(_) = sessions.join_next() => continue,
            };
            match accepted {
                Ok((stream, from)) if from.ip().to_canonical() == self.settings.peer.ip().to_canonical() => {
                    sessions.shutdown().await;
                    self.is_receiving.send_replace(false);
                    sessions.spawn(Arc::clone(&self).session(stream));
                }
                Ok((_, from)) => tracing::warn!(%from, "a stranger at the mirror's address was turned away"),
                Err(error) => {
                    tracing::warn!("mirror: {error}");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn session(self: Arc<Self>, stream: TcpStream) {
        match self.receive(stream).await {
            Ok(()) => tracing::info!("the active port has ended the mirror's connection"),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::warn!("the active port is gone, or serves no longer");
            }
            Err(error) => tracing::warn!("the active port's journal does not come any more: {error}"),
        }
    }

    /// In each time of duty: mirrors to the other port, and goes on alone while that does not work.
    async fn lead<D: Future<Output = ()> + Send>(&self, drained: impl Fn() -> D) {
        let mut role = self.role.follow();
        loop {
            match self.role.serving() {
                Some(generation) => {
                    self.safety.send_modify(Safety::lose);
                    let over = async {
                        while self.role.serving() == Some(generation) {
                            role.changed().await;
                        }
                    };
                    tokio::select! {
                        () = over => {}
                        () = self.connect(generation) => {}
                        () = self.decide(&drained) => {}
                        () = self.keep_mark() => {}
                    }
                    self.safety.send_modify(Safety::lose);
                    self.give().await;
                }
                None => role.changed().await,
            }
        }
    }

    /// The journal takes nothing of this port's any more.
    async fn give(&self) {
        let using = Arc::clone(&self.using).lock_owned().await;
        let (role, journal) = (Arc::clone(&self.role), self.journal.clone());
        let given = blocking(move || {
            if role.serving().is_none() {
                journal.set_mirror(true);
            }
            drop(using);
            Ok(())
        });
        if let Err(error) = given.await {
            tracing::error!("{error}");
        }
    }

    async fn connect(&self, generation: u64) {
        *self.told() = None;
        let mut pause = RETRY;
        loop {
            let begun = Instant::now();
            let Err(lost) = self.send(generation).await;
            let is_unreachable = matches!(&lost, Lost::Unreached(_));
            if is_unreachable {
                self.unreached.notify_one();
            }
            pause = match begun.elapsed() > RETRY_LAST || is_unreachable {
                true => RETRY,
                false => (2 * pause).min(RETRY_LAST),
            };
            if let Lost::Newer(newer) = lost {
                self.role.hear_of(newer);
            }
            let reason = Some(lost.to_string());
            let before = std::mem::replace(&mut *self.told(), reason);
            if before.as_deref() != self.told().as_deref() {
                tracing::warn!("the other port does not mirror the journal: {lost}");
            }
            sleep(pause).await;
        }
    }

    async fn decide<D: Future<Output = ()>>(&self, drained: &impl Fn() -> D) {
        let mut patience = FIRST_PATIENCE;
        // Of an earlier time of duty.
        self.unreached.notified().now_or_never();
        loop {
            safety::until(&self.safety.subscribe(), |safety| !safety.is_decided).await;
            let decided = || self.until_decided();
            let has_come = tokio::select! {
                has_come = timeout(patience, decided()) => has_come.is_ok(),
                // Nobody is there to wait for.
                () = self.unreached.notified() => false,
            };
            if has_come {
                continue;
            }
            // Only the first time: later the other port is known to be lost.
            patience = Duration::ZERO;
            tokio::select! {
                () = decided() => continue,
                () = drained() => {}
            }
            if let Err(error) = self.go_alone().await {
                tracing::error!(
                    "durable writes wait, for neither the other port nor the storage center answers: {error}"
                );
                sleep(RETRY).await;
            }
        }
    }

    async fn until_decided(&self) {
        safety::until(&self.safety.subscribe(), |safety| safety.is_decided).await;
    }

    /// Has the center know that the other port is not whole. All that was acknowledged is there by now.
    async fn go_alone(&self) -> Result<(), TakeError> {
        let _deciding = self.deciding.lock().await;
        if self.safety.borrow().is_decided {
            return Ok(());
        }
        let before = self.mark().await?;
        self.is_mark_unsure.store(true, Ordering::Relaxed);
        let mark = self.register.raise(before).await?;
        self.store_mark(mark).await?;
        self.is_mark_unsure.store(false, Ordering::Relaxed);
        let through = self.settings.when_alone == WhenAlone::WriteThrough;
        self.safety.send_modify(|safety| safety.alone(through));
        if through {
            tracing::error!(
                "alone: a durable write waits for the storage center until the other port is back"
            );
        } else {
            tracing::error!("alone: durable writes are on this port's disk alone until they are uploaded");
        }
        Ok(())
    }

    /// Follows the number at the center. It is this port that makes it greater; but where another center took over from
    /// one that is gone, all its numbers leap, and by that no journal is whole any more. Those of the port that serves, and
    /// of the one that mirrors it, are.
    async fn keep_mark(&self) {
        loop {
            sleep(MARK_LOOK).await;
            if let Err(error) = self.look_at_mark().await {
                tracing::debug!("the mirror's number: {error}");
            }
        }
    }

    async fn look_at_mark(&self) -> Result<(), TakeError> {
        let before = self.mark().await?;
        let newest = self.register.read().await?;
        if newest == before {
            return Ok(());
        }
        let _deciding = self.deciding.lock().await;
        let is_decided = self.safety.borrow().is_decided;
        // Meanwhile this port may have gone alone, or be about to.
        if !is_decided || self.is_mark_unsure.load(Ordering::Relaxed) || self.mark().await? != before {
            return Ok(());
        }
        tracing::warn!(
            before,
            newest,
            "the storage center has another number for the mirror, which counts from now on"
        );
        self.store_mark(newest).await?;
        self.mark_moved.send_replace(());
        Ok(())
    }

    async fn mark(&self) -> io::Result<u64> {
        let own = Arc::clone(&self.own_mark);
        blocking(move || own.load()).await
    }

    async fn store_mark(&self, mark: u64) -> io::Result<()> {
        let own = Arc::clone(&self.own_mark);
        blocking(move || own.store(mark)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
