//! Keeps a directory cache true: follows the VFS's change feed (VFS-24), and finds out when a center that was away is
//! back.

use std::time::{Duration, Instant};

use protocol::id::FeedPosition;
use protocol::vfs::{Answer, Answered, CHANGES_MAX, Operation, Request};

use super::{Contact, Directory, News};
use crate::center::{CenterError, StorageCenter};

/// How long the VFS holds a poll without changes. Long, for it costs nothing; short of the 30 s that it allows.
const POLL_WAIT: Duration = Duration::from_secs(25);
/// After an answer with changes, before the next poll: what changes meanwhile comes in one answer. A port that makes a
/// thousand changes a second hears of them fifty times, not a thousand times.
const POLL_PAUSE: Duration = Duration::from_millis(20);
/// Between attempts to reach a center that is away: doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(1);

impl<C: StorageCenter> Directory<C> {
    /// Follows the feed until the task is dropped.
    pub async fn follow(&self) {
        let mut retry = RETRY_FIRST;
        let mut is_refused = false;
        loop {
            let Err(error) = self.follow_while_it_answers(&mut retry).await;
            self.set_contact(|contact| *contact = Contact { is_reachable: false, is_fed: false });
            if error.is_refusal() && !is_refused {
                tracing::error!(
                    customer = %self.customer,
                    "{error}; check `id` and `secret_file` of this [[customer]]; its clients wait until it is mended"
                );
            } else if retry == RETRY_FIRST {
                tracing::warn!(customer = %self.customer, "{error}; serving what is cached until it answers");
            }
            is_refused = error.is_refusal();
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_LAST);
        }
    }

    async fn follow_while_it_answers(
        &self,
        retry: &mut Duration,
    ) -> Result<std::convert::Infallible, CenterError> {
        let mut since = self.connect().await?;
        // The first answer comes at once: it says what was missed, and that the feed is followed.
        let mut wait = Duration::ZERO;
        loop {
            let position = tokio::select! {
                polled = self.poll(since, wait) => polled?,
                // Somebody could not reach the center: do not sit on a poll that may be dead as well.
                () = self.probe.notified() => self.poll(since, Duration::ZERO).await?,
            };
            self.note_fed();
            let is_news = position != since;
            since = position;
            if !self.contact.borrow().is_fed {
                tracing::info!(customer = %self.customer, "the storage center answers");
            }
            self.set_contact(|contact| *contact = Contact { is_reachable: true, is_fed: true });
            *retry = RETRY_FIRST;
            wait = POLL_WAIT;
            if is_news {
                tokio::time::sleep(POLL_PAUSE).await;
            }
        }
    }

    /// Sees that the center is the one whose rows are held, and from where to follow its feed.
    async fn connect(&self) -> Result<FeedPosition, CenterError> {
        let answered = self.center.operate(Request { key: None, operation: Operation::OpenRoot }).await?;
        let (Answer::Row(row), position) = (answered.answer, answered.position) else {
            return Err(CenterError::unexpected_answer());
        };
        let mut core = self.core();
        let is_same = core.root() == Some(row.id) && core.position().is_some_and(|known| known <= position);
        if !is_same {
            core.clear(position);
            core.set_root(row.id);
            self.tell(News::All);
        }
        core.insert(row, position, Instant::now());
        Ok(core.position().unwrap_or(position))
    }

    /// Takes the changes after `since`; returns the position to go on from.
    async fn poll(&self, since: FeedPosition, wait: Duration) -> Result<FeedPosition, CenterError> {
        let mut since = since;
        let mut wait_ms = wait.as_millis() as u32;
        loop {
            let operation = Operation::Changes { since, wait_ms };
            let Answered { answer: Answer::Changes { changes, position, reset }, .. } =
                self.center.operate(Request { key: None, operation }).await?
            else {
                return Err(CenterError::unexpected_answer());
            };
            let mut core = self.core();
            if reset || position < since {
                let root = core.root();
                core.clear(position);
                if let Some(root) = root {
                    core.set_root(root);
                }
                self.tell(News::All);
            } else {
                changes.iter().for_each(|change| core.apply(change));
                core.advance(position);
                changes.iter().for_each(|change| self.tell(News::Changed(change.id)));
            }
            drop(core);
            since = position;
            if changes.len() < CHANGES_MAX as usize {
                return Ok(since);
            }
            wait_ms = 0;
        }
    }
}
