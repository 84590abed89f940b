//! Group commit of one disk.
//!
//! Whoever put a file in place or changes a reference waits here until the index says so, durably. One thread takes
//! all who wait, writes one index transaction, and answers them together: many stores at once cost hardly more than
//! one. Files and folders are synced before, by those who wait: the file system makes one flush of what is asked at
//! once.
//!
//! Files are changed before the index is, so the order of the transactions is the order in which changes took place,
//! also for a scan, which works without the locks of the objects.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use thiserror::Error;

use super::files::FileSystem;
use super::index::{Change, Index};
use super::names::Names;

/// Most commits in one transaction.
const BATCH_MAX: usize = 256;

/// The disk or its index failed; nothing can be said about what was being committed.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// The index could not be written.
    #[error("index: {0}")]
    Index(Arc<redb::Error>),
    /// The thread has ended.
    #[error("the disk is closed")]
    Closed,
}

type Answer = Result<(), CommitError>;

/// Changes, and where to answer when they are durable.
type Waiting = (Vec<Change>, SyncSender<Answer>);

/// The committing thread; ends when dropped, after what was handed to it.
#[derive(Debug)]
pub struct Committer {
    queue: Option<SyncSender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub fn start<F: FileSystem>(names: Names<F>, index: Arc<Index<F>>) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(BATCH_MAX);
        let run = move || run(&names, &index, &waiting);
        let thread = std::thread::Builder::new().name("isn-commit".to_string()).spawn(run)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Returns when the index says so, durably: all of the changes, or on an error all or none. Blocks.
    pub fn commit(&self, changes: Vec<Change>) -> Answer {
        let (answer, answered) = sync_channel(1);
        let queue = self.queue.as_ref().ok_or(CommitError::Closed)?;
        queue.send((changes, answer)).map_err(|_| CommitError::Closed)?;
        answered.recv().unwrap_or(Err(CommitError::Closed))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has told its waiters already, by dropping their channels.
            let _ = thread.join();
        }
    }
}

fn run<F: FileSystem>(names: &Names<F>, index: &Index<F>, waiting: &Receiver<Waiting>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let (changes, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let changes: Vec<_> = changes.into_iter().flatten().collect();
        let applied = index.apply(&changes, &|content| names.is_whole(content));
        let outcome = applied.map_err(|error| CommitError::Index(Arc::new(error)));
        for answer in answers {
            // Each channel has room for its one answer; a waiter that has gone needs none.
            let _ = answer.try_send(outcome.clone());
        }
    }
}
