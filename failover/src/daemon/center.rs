//! Asking the storage center: the pair's third vote. Runs beside the judge, so that a slow center holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use client::Center;
use protocol::pair::{LeaseAnswer, LeaseQuestion, PairName};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::mailbox::{Mailbox, News};
use crate::machine::action::Question;
use crate::machine::event::{CenterAnswer, Member};
use crate::machine::time::Time;

/// Questions at once; one more counts as not answered. The judge has one or two.
const QUESTIONS_MAX: usize = 16;
/// How often the center is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_millis(150);
/// A center that does not answer within this counts as lost.
const PING_PATIENCE: Duration = Duration::from_millis(300);
/// How long an answer about the next generation is of use: over a slow WAN it comes late, but it comes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who asks.
#[derive(Clone)]
pub(super) struct Witness {
    pub(super) center: Center,
    pub(super) pair: PairName,
    pub(super) member: Member,
}

/// A question on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    /// What is asked for, and after which an answer to a renewal is of no use.
    pub(super) lease: Duration,
    /// It counts from then.
    pub(super) sent: Time,
}

impl Witness {
    /// Answers the judge's questions until it has ended.
    pub(super) async fn answer(self, mut questions: mpsc::Receiver<Asked>, mailbox: Mailbox) {
        let slots = Arc::new(Semaphore::new(QUESTIONS_MAX));
        while let Some(asked) = questions.recv().await {
            let sent = asked.sent;
            let (witness, mailbox) = (self.clone(), mailbox.clone());
            match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => {
                    tokio::spawn(async move {
                        let answer = witness.ask(asked).await;
                        if answer != CenterAnswer::Unreachable {
                            mailbox.post(News::CenterReached(true));
                        }
                        mailbox.post(News::Center { sent, answer });
                        drop(slot);
                    });
                }
                Err(_) => mailbox.post(News::Center { sent, answer: CenterAnswer::Unreachable }),
            }
        }
    }

    /// Looks again and again whether the center is there, which also keeps a connection to it warm.
    pub(super) async fn ping(self, mailbox: Mailbox) {
        let mut ticks = interval(PING_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let answered = self.put(LeaseQuestion::Ping, PING_PATIENCE).await;
            mailbox.post(News::CenterReached(answered.is_some()));
        }
    }

    async fn ask(&self, asked: Asked) -> CenterAnswer {
        let lease_ms = u32::try_from(asked.lease.as_millis()).unwrap_or(u32::MAX);
        let (question, deadline) = match asked.question {
            Question::Acquire { from, renewals } => {
                (LeaseQuestion::Acquire { from, renewals, lease_ms }, PATIENCE)
            }
            Question::Renew(generation) => (LeaseQuestion::Renew { generation, lease_ms }, asked.lease),
            Question::Release { generation, renewals } => {
                (LeaseQuestion::Release { generation, renewals }, PATIENCE)
            }
        };
        let lease = |ms: u32| Duration::from_millis(u64::from(ms));
        match self.put(question, deadline).await {
            Some(LeaseAnswer::Granted { generation, lease_ms, renewals }) => {
                CenterAnswer::Granted { generation, lease: lease(lease_ms), renewals }
            }
            Some(LeaseAnswer::Held { generation, renewals, lease_ms }) => {
                CenterAnswer::Held { generation, renewals, lease: lease(lease_ms) }
            }
            Some(LeaseAnswer::Superseded { generation }) => CenterAnswer::Superseded { generation },
            Some(LeaseAnswer::Released) => CenterAnswer::Released,
            Some(LeaseAnswer::InForce { .. }) | None => CenterAnswer::Unreachable,
        }
    }

    /// The center's answer, if it gives one in time.
    async fn put(&self, question: LeaseQuestion, deadline: Duration) -> Option<LeaseAnswer> {
        let asked = self.center.with_deadline(deadline);
        match asked.port_lease(&self.pair, self.member, question).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!("the center, asked for {question:?}: {error}");
                None
            }
        }
    }
}
