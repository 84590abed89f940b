//! How the other threads reach the judge's: a bounded queue, and a bell that its loop can poll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use super::status::Status;
use crate::health::sample::Sample;
use crate::machine::event::{CenterAnswer, Order, PortEvent};
use crate::machine::message::Connection;
use crate::machine::time::Time;

/// News that wait at once; who has more waits himself. The loop takes some thousands in a millisecond.
const WAITING_MAX: usize = 1024;

/// Something that another thread found out or wants.
#[derive(Debug)]
pub(super) enum News {
    /// The machine's health.
    Sample(Sample),
    /// The center answered the question of that moment, or did not.
    Center {
        /// When the question was asked.
        sent: Time,
        /// The answer.
        answer: CenterAnswer,
    },
    /// Whether the center answers at all.
    CenterReached(bool),
    /// Of the port's process.
    Port(PortEvent),
    /// All connections of clients.
    Connections(Vec<Connection>),
    /// An operator wants something.
    Order(Order, oneshot::Sender<Result<String, String>>),
    /// Somebody asks how things are.
    Status(oneshot::Sender<Status>),
}

/// For those who have news. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    queue: SyncSender<News>,
    bell: Arc<OwnedFd>,
}

impl Mailbox {
    /// Tells the judge; waits if it has much to do. Nobody hears it any more when the judge has ended.
    pub(super) fn post(&self, news: News) {
        if self.queue.send(news).is_ok() {
            // It can only fail by being too loud already.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }
}

/// For the judge.
#[derive(Debug)]
pub(super) struct Inbox {
    queue: Receiver<News>,
    bell: Arc<OwnedFd>,
}

impl Inbox {
    /// What has come, at most so much as waits at once.
    pub(super) fn take(&self) -> impl Iterator<Item = News> {
        let mut count = [0; 8];
        // Before the queue is emptied: what comes in between rings again.
        let _ = rustix::io::read(&self.bell, &mut count);
        self.queue.try_iter().take(WAITING_MAX)
    }
}

/// Readable when something has come.
impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Both ends.
///
/// # Errors
/// No descriptor is left.
pub(super) fn mailbox() -> io::Result<(Mailbox, Inbox)> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    Ok((Mailbox { queue: sender, bell: Arc::clone(&bell) }, Inbox { queue: receiver, bell }))
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn rings(inbox: &Inbox) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(inbox, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn the_bell_rings_while_something_waits_and_no_longer() {
        let (mailbox, inbox) = mailbox().unwrap();
        assert!(!rings(&inbox));
        mailbox.post(News::CenterReached(true));
        mailbox.clone().post(News::CenterReached(false));
        assert!(rings(&inbox));
        assert_eq!(inbox.take().count(), 2);
        assert!(!rings(&inbox));
        drop(inbox);
        mailbox.post(News::CenterReached(true));
    }
}
