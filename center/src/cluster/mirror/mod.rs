//! Directory managers of storage centers that mirror each other, as they ask and answer (VFS-21, VFS-22, GEO-4, GEO-5).
//!
//! Every second each asks the others who writes; [`role`] (pure) decides from the answers what this one does. A
//! follower pulls the writer's log ([`follow`]) and hands changes on to it ([`forward`]); a writer answers
//! ([`answer`]). A command has a follower take over ([`takeover`]), or the witness lets it ([`lease`]). What the
//! database has to do with it is `vfs/mirror`.

mod answer;
mod copies;
mod follow;
pub mod forward;
mod lease;
mod role;
pub mod status;
mod takeover;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use protocol::dosp::operations::{DirectoryState, Generation};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use self::copies::Copies;
use self::role::{Heard, Role, is_later, role_of};
use super::centers::{Centers, HERE};
use super::view::View;
use crate::vfs::mirror::{Mirror, Permission};

pub use self::answer::register;

/// How often the others are asked who writes.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Longest time for an answer to that.
const ASK_PATIENCE: Duration = Duration::from_secs(1);
/// How long a process that may write waits for the others to say that one of them does.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How often to look for changes that commands made in the database.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One directory manager among those of all centers. Clones share it.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    mirror: Mirror,
    view: View,
    centers: Centers,
    copies: Copies,
    role: watch::Sender<Role>,
    heard: Mutex<Vec<Heard>>,
    /// The last generation that anybody told of.
    told: Mutex<Option<Generation>>,
    /// Has the others asked at once.
    doubt: Notify,
    witness: Option<SocketAddr>,
    /// Whether it answered last.
    witness_answers: Mutex<Option<bool>>,
}

impl Desk {
    /// Beside this database, among the processes of this view.
    pub fn new(mirror: Mirror, view: View, centers: Centers, witness: Option<SocketAddr>) -> Self {
        let copies = Copies::new(mirror.clone());
        let role = watch::Sender::new(Role::Waits);
        let (heard, told, doubt) = (Mutex::default(), Mutex::default(), Notify::new());
        let witness_answers = Mutex::default();
        let shared =
            Shared { mirror, view, centers, copies, role, heard, told, doubt, witness, witness_answers };
        Self { shared: Arc::new(shared) }
    }

    /// The mirrored database.
    pub fn mirror(&self) -> &Mirror {
        &self.shared.mirror
    }

    /// What this process does, and each time that changes.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.shared.role.subscribe()
    }

    /// What the others said last.
    fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides, follows, looks; until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let witness = self.shared.witness;
        self.shared.mirror.with_debts(|debts| debts.attend(witness.is_some()));
        let lease = async {
            if let Some(witness) = witness {
                lease::keep(&self, witness).await;
            }
        };
        let parts = async { tokio::join!(self.decide(), follow::follow(&self), self.look(), lease) };
        stop.run_until_cancelled(parts).await;
    }

    /// Does `work` while this process writes, again each time it begins to.
    pub async fn while_writing<F: Future<Output = ()>>(&self, work: impl Fn() -> F) {
        let mut role = self.role();
        loop {
            if role.wait_for(|role| *role == Role::Writes).await.is_err() {
                return;
            }
            let mut ends = role.clone();
            tokio::select! {
                () = work() => return,
                _ = ends.wait_for(|role| *role != Role::Writes) => {}
            }
        }
    }

    async fn decide(&self) {
        let begun = Instant::now();
        let mut known = self.shared.mirror.known();
        loop {
            let generation = known.borrow_and_update().generation.clone();
            let all_answered = self.ask_others().await;
            self.settle(all_answered || begun.elapsed() >= START_PATIENCE);
            self.shared.copies.tidy(copies::UNUSED_MAX);
            let until = Instant::now() + ASK_EVERY;
            // A change of the position alone is no news; another generation is.
            let news = known.wait_for(|position| position.generation != generation);
            let woken = async {
                tokio::select! { _ = news => {}, () = self.shared.doubt.notified() => {} }
            };
            let _ = timeout_at(until, woken).await;
        }
    }

    /// Asks who writes; whether all centers answered.
    async fn ask_others(&self) -> bool {
        let managers = self.shared.view.with_role(|roles| roles.ddm);
        let others: Vec<SocketAddr> = managers
            .into_iter()
            .map(|manager| manager.address)
            .filter(|address| self.shared.centers.of(address.ip()) != HERE)
            .collect();
        let asked = join_all(others.into_iter().map(|address| async move {
            let asked = self.shared.view.links().ask::<DirectoryState>(address, &(), ASK_PATIENCE).await;
            asked.ok().map(|state| Heard { address, state })
        }));
        let heard: Vec<Heard> = asked.await.into_iter().flatten().collect();
        let names = |center| self.shared.centers.name(center);
        let has_answered = |name: &str| heard.iter().any(|heard| heard.state.center == name);
        let all_answered = (1..self.shared.centers.count()).all(|center| has_answered(names(center)));
        heard.iter().for_each(|heard| self.hear_of(&heard.state.generation));
        *self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner) = heard;
        all_answered
    }

    fn settle(&self, has_asked: bool) {
        let mirror = &self.shared.mirror;
        let (center, generation) = (&mirror.names().center, mirror.position().generation);
        let told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let role = role_of(center, &generation, told.as_ref(), &self.heard(), has_asked);
        if role == Role::Writes && *self.shared.role.borrow() != Role::Writes {
            mirror.with_debts(|debts| debts.begin(mirror.position().number));
        }
        match role {
            // It gives leave from one second to the next.
            Role::Writes if self.shared.witness.is_some() => {}
            Role::Writes => mirror.with_debts(|debts| debts.permit(Permission::Always)),
            Role::Waits | Role::Follows(_) => mirror.with_debts(|debts| debts.permit(Permission::Never)),
        }
        self.shared.role.send_if_modified(|known| {
            let is_new = *known != role;
            if is_new {
                let (number, writer) = (generation.number, &generation.writer);
                tracing::info!(?role, generation = number, writer, "who changes the directory");
                *known = role;
            }
            is_new
        });
    }

    /// Somebody knows of this generation. If it is later than the own one nothing is written any more, and the others
    /// are asked at once.
    fn hear_of(&self, generation: &Generation) {
        if !is_later(generation, &self.shared.mirror.position().generation) {
            return;
        }
        {
            let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.as_ref().is_none_or(|told| is_later(generation, told)) {
                *told = Some(generation.clone());
            }
        }
        self.shared.mirror.with_debts(|debts| debts.permit(Permission::Never));
        let did_write = self.shared.role.send_if_modified(|role| {
            let did_write = *role == Role::Writes;
            if did_write {
                *role = Role::Waits;
            }
            did_write
        });
        if did_write {
            tracing::warn!(writer = generation.writer, "another storage center changes the directory now");
            self.shared.doubt.notify_one();
        }
    }

    async fn look(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            if let Err(error) = self.shared.mirror.look().await {
                tracing::debug!(%error, "changes by commands are not seen");
            }
        }
    }
}
