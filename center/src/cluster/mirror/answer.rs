//! What a directory manager answers to those of other centers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::dosp::operations::{
    self as op, CopyDirectoryIn, DirectoryStateOut, ForwardIn, ForwardOut, HandOverIn, HandOverOut,
    PullDirectoryIn, PullDirectoryOut,
};
use protocol::dosp::{Failure, REPLIES_BYTES_MAX, Status};
use tokio::time::timeout;

use super::Desk;
use super::role::Role;
use crate::cluster::daemon::Registry;
use crate::host;
use crate::vfs::{Cluster, DirectoryManager, StoreError};

/// How long a pull waits for the first change.
const NEWS_WAIT: Duration = Duration::from_secs(1);

/// Who asked within this time, is in touch.
const IN_TOUCH: Duration = Duration::from_secs(5);

/// Entries that the next writer may still have to pull when it is handed over to.
const BEHIND_MAX: u64 = 10_000;

/// Registers what is answered.
pub fn register<C: Cluster + 'static>(
    registry: &mut Registry,
    desk: &Desk,
    manager: &Arc<DirectoryManager<C>>,
) {
    let here = desk.clone();
    registry.answer::<op::DirectoryState, _, _>(move |()| {
        let desk = here.clone();
        async move { Ok(desk.state()) }
    });
    let here = desk.clone();
    registry.answer::<op::PullDirectory, _, _>(move |asked| {
        let desk = here.clone();
        async move { desk.answer_pull(asked).await }
    });
    let here = desk.clone();
    registry.answer::<op::CopyDirectory, _, _>(move |asked: CopyDirectoryIn| {
        let desk = here.clone();
        async move {
            desk.only_the_writer()?;
            desk.shared.copies.piece(asked).await
        }
    });
    let here = desk.clone();
    registry.answer::<op::HandOver, _, _>(move |HandOverIn { to }| {
        let desk = here.clone();
        async move { desk.hand_over(to).await }
    });
    let (here, manager) = (desk.clone(), Arc::clone(manager));
    registry.answer::<op::Forward, _, _>(move |ForwardIn { customer, document }| {
        let (desk, manager) = (here.clone(), Arc::clone(&manager));
        async move {
            desk.only_the_writer()?;
            let replies = manager.handle_authentic(customer, &document, host::now()).await;
            let replies = replies.map_err(|error| Failure::new(Status::Refused, error.to_string()))?;
            if replies.len() > REPLIES_BYTES_MAX {
                return Err(Failure::new(Status::Refused, "the replies are too long: ask for less at once"));
            }
            Ok(ForwardOut { position: desk.mirror().position().number, document: replies.into() })
        }
    });
}

impl Desk {
    fn state(&self) -> DirectoryStateOut {
        let position = self.mirror().position();
        DirectoryStateOut {
            center: self.mirror().names().center.clone(),
            generation: position.generation,
            position: position.number,
            writes: *self.shared.role.borrow() == Role::Writes,
        }
    }

    fn only_the_writer(&self) -> Result<(), Failure> {
        match *self.shared.role.borrow() {
            Role::Writes => Ok(()),
            Role::Waits | Role::Follows(_) => Err(Failure::new(
                Status::Unavailable,
                "this storage center does not change the directory now",
            )),
        }
    }

    /// Whoever is asked: who follows has the same log, as far as it goes, and what somebody has may be answered also by
    /// one who writes no more.
    async fn answer_pull(&self, asked: PullDirectoryIn) -> Result<PullDirectoryOut, Failure> {
        let mirror = self.mirror();
        self.hear_of(&asked.generation);
        // Before the look, so that no change falls between the two.
        let mut known = mirror.known();
        let from = known.borrow_and_update().clone();
        let pulled = mirror.pull(asked.clone()).await.map_err(told)?;
        if pulled.start_over.is_some() || !pulled.entries.is_empty() || !pulled.generations.is_empty() {
            return Ok(pulled);
        }
        // No news are an answer too.
        let _ = timeout(NEWS_WAIT, known.wait_for(|position| *position != from)).await;
        mirror.pull(asked).await.map_err(told)
    }

    async fn hand_over(&self, to: String) -> Result<HandOverOut, Failure> {
        self.only_the_writer()?;
        let position = self.mirror().position().number;
        let is_close = self.mirror().with_debts(|debts| {
            debts.followers().any(|(center, follower)| {
                center == to
                    && Instant::now().saturating_duration_since(follower.heard) < IN_TOUCH
                    && follower.has + BEHIND_MAX >= position
            })
        });
        if !is_close {
            let reason = format!("the storage center {to:?} does not follow closely: see `mirror status`");
            return Err(Failure::new(Status::Refused, reason));
        }
        let generation = self.mirror().hand_over(to).await.map_err(told)?;
        tracing::info!(
            to = generation.writer,
            generation = generation.number,
            "the directory is handed over"
        );
        Ok(HandOverOut { generation })
    }
}

fn told(error: StoreError) -> Failure {
    match error {
        StoreError::Foreign => Failure::new(Status::Refused, error.to_string()),
        error => Failure::new(Status::Unavailable, error.to_string()),
    }
}
