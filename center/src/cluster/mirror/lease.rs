//! Writing by the witness's leave, and taking over by it (VFS-21).

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use protocol::dosp::operations::{ClaimLease, ClaimLeaseIn, Generation, LeaseOut, RenewLease, RenewLeaseIn};
use tokio::time::timeout;

use super::Desk;
use super::role::{Role, may_claim};
use crate::cluster::centers::HERE;
use crate::cluster::link::AskError;
use crate::vfs::mirror::Permission;

/// How often the witness is asked.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Longest time for its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// By so much a writer stops before its lease ends: its clock may go slower than the witness's, and a commit that is
/// under way takes its time.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a writer has to be away before a follower claims.
const AWAY_MIN: Duration = Duration::from_secs(3);

/// Renews while this process writes, claims while nobody does.
pub async fn keep(desk: &Desk, witness: SocketAddr) {
    let (mut role, mut away) = (desk.role(), None);
    loop {
        let now = role.borrow_and_update().clone();
        match now {
            Role::Writes => {
                away = None;
                renew(desk, witness).await;
            }
            Role::Follows(_) if desk.may_claim() => {
                let since = *away.get_or_insert_with(Instant::now);
                if since.elapsed() >= AWAY_MIN
                    && let Err(reason) = desk.claim(witness).await
                {
                    tracing::debug!(reason, "the directory is not taken over yet");
                }
            }
            Role::Follows(_) | Role::Waits => away = None,
        }
        let woken = async {
            tokio::select! { _ = role.changed() => {}, () = desk.mirror().owes_otherwise() => {} }
        };
        let _ = timeout(RENEW_EVERY, woken).await;
    }
}

async fn renew(desk: &Desk, witness: SocketAddr) {
    let mirror = desk.mirror();
    let (center, generation) = (mirror.names().center.clone(), mirror.position().generation);
    if generation.writer != center {
        return;
    }
    let alone = mirror.with_debts(|debts| debts.owes());
    let (asked, number) = (Instant::now(), generation.number);
    let renewal = RenewLeaseIn { center: center.clone(), generation: number, alone };
    let answered = desk.shared.view.links().ask::<RenewLease>(witness, &renewal, PATIENCE).await;
    desk.note_witness(answered.is_ok());
    match answered {
        Ok(LeaseOut { granted_ms: 0, generation, writer }) => {
            desk.hear_of(&Generation { number: generation, writer, first: 0 });
        }
        Ok(lease) => {
            let is_still =
                mirror.position().generation == generation && *desk.shared.role.borrow() == Role::Writes;
            mirror.with_debts(|debts| {
                if is_still {
                    debts.permit(Permission::Until(end_of(asked, &lease)));
                }
                if is_still && alone && debts.go_alone() {
                    tracing::warn!(
                        "no mirror of the directory answers, and the witness knows: changes are made without"
                    );
                }
            });
        }
        Err(error) => {
            tracing::warn!(%error, "the witness does not answer: nothing is changed when its leave ends")
        }
    }
}

fn end_of(asked: Instant, lease: &LeaseOut) -> Instant {
    asked + Duration::from_millis(lease.granted_ms.into()).saturating_sub(MARGIN)
}

impl Desk {
    fn may_claim(&self) -> bool {
        let (mirror, centers) = (self.mirror(), &self.shared.centers);
        let others: Vec<&str> = (HERE + 1..centers.count()).map(|center| centers.name(center)).collect();
        may_claim(&mirror.names().center, &mirror.position(), &self.heard(), &others)
    }

    /// Whether the witness answered.
    fn note_witness(&self, answered: bool) {
        *self.shared.witness_answers.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
    }

    /// Takes over, if the witness says so.
    ///
    /// # Errors
    /// For people.
    pub(super) async fn claim(&self, witness: SocketAddr) -> Result<(), String> {
        let mirror = self.mirror();
        let (center, generation) = (mirror.names().center.clone(), mirror.position().generation.number);
        let claim = ClaimLeaseIn { center, generation };
        let answered = self.shared.view.links().ask::<ClaimLease>(witness, &claim, PATIENCE).await;
        self.note_witness(answered.is_ok());
        let lease = answered.map_err(|error: AskError| format!("the witness does not answer: {error}"))?;
        if lease.granted_ms == 0 {
            let LeaseOut { generation, writer, .. } = lease;
            return Err(format!(
                "the witness does not give the directory away: {writer:?} has it, in generation {generation}, and its time \
                 is not over, or it has made changes alone"
            ));
        }
        let begun = mirror.take_over(Some(lease.generation)).await.map_err(|error| error.to_string())?;
        tracing::warn!(generation = begun.number, "the directory is taken over by the witness's leave");
        self.shared.doubt.notify_one();
        Ok(())
    }
}
